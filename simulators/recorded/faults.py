"""What broke, as far as a journal shows it: replicas that died or were slow, a lost node, blind telemetry, an agent that was away, and
counts that somebody else set. What broke unseen (a network, a disk, a training's data) is not told."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from agent.foreign import ForeignChanges
from policies.healing.peers import Limits, answered, slower
from policies.observation import Deployment, Observation
from simulators.recorded.recording import GAP_LEAST_S, GAP_TICKS, Recording
from simulators.recorded.replicas import Death, Lives, lives

LIMITS = Limits(slow_factor=3.0, slow_factor_lone=6.0, slow_floor_s=0.05, error_factor=5.0, error_floor=0.05)
"""Those of the policy that replaces unhealthy replicas."""
SLOW_LOOKS = 3
"""A replica that is slow in so many looks is a fault and no chance."""
SLOW_REQUESTS = 10
BLIND_TICKS = 3
NODE_SHARE = 0.01
"""A fall of the cluster's CPUs by less than this part is no lost node."""

Fault = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class NodeLoss:
    """`cpus` of the cluster were gone at `at_s`, together with replicas; for `for_s`, None: for good."""

    at_s: float
    cpus: float
    for_s: float | None


@dataclass(frozen=True, kw_only=True)
class Faults:
    """`found` are faults as a scenario writes them, in order of time, with moments of the recording."""

    found: tuple[Fault, ...]
    nodes_lost: tuple[NodeLoss, ...]
    lives: Mapping[str, Lives]
    """By deployment."""


def faults(recording: Recording, models: Mapping[str, str], nodes: Mapping[str, str] | None = None) -> Faults:
    """`models` are names of the scenario's models by deployment, `nodes` those of its nodes by node, where they are known."""
    nodes = nodes or {}
    gap_s = max(GAP_LEAST_S, GAP_TICKS * recording.settings.tick_s)
    replaced = frozenset(action["replica"] for _, action in recording.actions("restart"))
    rows = recording.deployments()
    lived = {name: lives(rows[name], replaced=replaced, gap_s=gap_s) for name in models}
    lost = tuple(_nodes_lost(recording, lived.values()))
    found = [
        *_away(recording),
        *_blind(recording.seen),
        *_foreign(recording, models),
        *({"at_s": each.at_s, "kind": "node_loss"} | _lasting(each.for_s) for each in lost),
    ]
    for name, model in models.items():
        found += [_crash(each, model) for each in lived[name].deaths if not _explained(each, lost, recording)]
        found += _slow(rows[name], model, nodes)
    return Faults(found=tuple(_in_order(found)), nodes_lost=lost, lives=lived)


def _in_order(found: Iterable[Fault]) -> Iterator[Fault]:
    """By time; a neighbour that several models have is told once."""
    noisy: set[str] = set()
    for fault in sorted(found, key=lambda each: each["at_s"]):
        node = fault.get("node")
        if node not in noisy:
            yield fault
        if node is not None:
            noisy.add(node)


def _lasting(for_s: float | None) -> Fault:
    return {} if for_s is None else {"for_s": for_s}


def _crash(death: Death, model: str) -> Fault:
    return {"at_s": death.at_s, "kind": "replica_crash", "model": model, "replicas": death.replicas}


def _explained(death: Death, lost: Iterable[NodeLoss], recording: Recording) -> bool:
    return any(abs(death.at_s - each.at_s) <= 2 * recording.settings.tick_s for each in lost)


def _away(recording: Recording) -> Iterator[Fault]:
    """A gap in which a new life began was the end of the old one; one that the same life came back from was a journal away."""
    explained: set[float] = set()
    for gap in recording.gaps:
        begun = [at_s for at_s in recording.starts_s if gap.begin_s < at_s <= gap.end_s]
        explained |= set(begun)
        kind = "agent_killed" if begun else "journal_away"
        yield {"at_s": gap.begin_s, "kind": kind, "for_s": gap.length_s}
    for at_s in recording.starts_s:
        if at_s not in explained and at_s > recording.seen[0].at_s:
            yield {"at_s": at_s, "kind": "agent_killed"}


def _blind(seen: Sequence[Observation]) -> Iterator[Fault]:
    """Whatever was known of traffic before is not known of any deployment, tick after tick."""
    first = next((n for n, each in enumerate(seen) if _sighted(each)), len(seen))
    begun: int | None = None
    for place in range(first, len(seen) + 1):
        blind = place < len(seen) and not _sighted(seen[place])
        if blind and begun is None:
            begun = place
        if not blind and begun is not None:
            if place - begun >= BLIND_TICKS:
                end_s = seen[min(place, len(seen) - 1)].at_s
                yield {"at_s": seen[begun].at_s, "kind": "telemetry_lost", "for_s": end_s - seen[begun].at_s}
            begun = None


def _sighted(seen: Observation) -> bool:
    return any(each.traffic is not None for each in seen.deployments.values())


def _foreign(recording: Recording, models: Mapping[str, str]) -> Iterator[Fault]:
    changes = ForeignChanges()
    orders = recording.actions("scale")
    place = 0
    told: set[tuple[str, float]] = set()
    for seen in recording.seen:
        while place < len(orders) and orders[place][0] < seen.at_s:
            changes.order(orders[place][1]["deployment"], orders[place][1]["replicas"])
            place += 1
        changes.see(seen)
        for name, change in changes.latest.items():
            if name in models and change.after >= 1 and (name, change.at_s) not in told:
                told.add((name, change.at_s))
                yield {"at_s": change.at_s, "kind": "foreign_scale", "model": models[name], "replicas": change.after}


def _nodes_lost(recording: Recording, lived: Iterable[Lives]) -> Iterator[NodeLoss]:
    """The cluster shrank, and replicas died with it: a node that is merely given back kills nobody."""
    deaths = [death.at_s for each in lived for death in each.deaths]
    sizes = [(seen.at_s, seen.capacity.total.cpus) for seen in recording.seen if seen.capacity.total is not None]
    for place, ((before_s, before), (at_s, now)) in enumerate(pairwise(sizes), 1):
        fell = before - now
        middle_s = (before_s + at_s) / 2
        if fell <= NODE_SHARE * before or not any(
            abs(each - middle_s) <= 2 * recording.settings.tick_s for each in deaths
        ):
            continue
        back_s = next((later_s for later_s, cpus in sizes[place:] if cpus >= before), None)
        yield NodeLoss(at_s=middle_s, cpus=fell, for_s=None if back_s is None else back_s - middle_s)


@dataclass
class _Spell:
    """One replica that is slow beside its peers."""

    begin_s: float
    end_s: float
    node: str | None
    gone: bool = False
    """It stayed slow until it was replaced: it would not have mended by itself."""
    factors: list[float] = field(default_factory=list)

    @property
    def factor(self) -> float:
        return round(median(self.factors), 2)


def _slow(rows: Sequence[tuple[float, Deployment]], model: str, nodes: Mapping[str, str]) -> Iterator[Fault]:
    """Several slow replicas on one node have a noisy neighbour, if that node is one of the scenario's; others are slow alone."""
    spells = _spells(rows)
    for node, name in nodes.items():
        there = [each for each in spells if each.node == node]
        if len(there) > 1:
            begin_s, end_s = min(each.begin_s for each in there), max(each.end_s for each in there)
            factor = round(median(each.factor for each in there), 2)
            yield {"at_s": begin_s, "kind": "noisy_neighbour", "node": name, "factor": factor, "for_s": end_s - begin_s}
            spells = [each for each in spells if each.node != node]
    for each in spells:
        lasted_s = None if each.gone else each.end_s - each.begin_s
        plain = {"at_s": each.begin_s, "kind": "slow_replica", "model": model, "factor": each.factor}
        yield plain | _lasting(lasted_s)


def _spells(rows: Sequence[tuple[float, Deployment]]) -> list[_Spell]:
    spells: dict[str, _Spell] = {}
    nodes = {each.id: each.node for _, deployment in rows for each in deployment.replicas}
    for at_s, deployment in rows:
        for replica, factor in _odd(at_s, deployment):
            spell = spells.setdefault(replica, _Spell(at_s, at_s, nodes[replica]))
            spell.end_s = at_s
            spell.factors.append(factor)
    last_seen = {each.id: at_s for at_s, deployment in rows for each in deployment.replicas}
    for replica, spell in spells.items():
        spell.gone = last_seen[replica] - spell.end_s <= 2 * (spell.end_s - spell.begin_s) / len(spell.factors)
    return [each for each in spells.values() if len(each.factors) >= SLOW_LOOKS]


def _odd(at_s: float, deployment: Deployment) -> Iterator[tuple[str, float]]:
    """Replicas that are far slower than their peers, and how many times as slow."""
    judged = {
        each.id: seen
        for each in deployment.running
        if (seen := answered(each, at_s, min_requests=SLOW_REQUESTS, stale_after_s=GAP_LEAST_S)) is not None
    }
    for replica, seen in judged.items():
        peers = {name: each for name, each in judged.items() if name != replica}
        if slower(seen, peers, LIMITS) is not None:
            yield replica, _times(seen.latency_mean_s, [each.latency_mean_s for each in peers.values()])


def _times(own_s: float | None, theirs_s: Sequence[float | None]) -> float:
    known_s = [each for each in theirs_s if each]
    return own_s / median(known_s) if own_s and known_s else LIMITS.slow_factor
