"""ReplaceUnhealthy: replace a replica that fails its checks for long, or is far worse than its peers.

Ray Serve replaces replicas that die or fail their health checks by itself, so those are told of, and acted on only where Serve
does not. What it never sees is the gray failure: a replica that answers, but slowly or wrongly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from policies.action import Alert, Evidence, Hold, Proposal, Restart
from policies.healing.peers import Limits, answered, failing, slower
from policies.observation import Deployment, DeploymentStatus, Observation, Replica, ReplicaState, Traffic
from policies.parameters import not_negative, part, positive


@dataclass(slots=True)
class _Memory:
    """What is remembered of one deployment."""

    running: tuple[str, ...] = ()
    """Replicas that ran at the last tick."""
    wanted: int = 0
    """How many replicas were wanted at the last tick."""
    unhealthy_since_s: dict[str, float] = field(default_factory=dict)
    odd_since_s: dict[str, float] = field(default_factory=dict)
    """Since when each replica has been far worse than its peers."""
    short_since_s: float | None = None
    """Since when fewer replicas have been healthy than are wanted."""
    odd_nodes: dict[str, float] = field(default_factory=dict)
    """Node -> when a replica on it was first restarted for being worse than its peers."""
    asked: set[str] = field(default_factory=set)
    """Replicas that this policy wanted restarted; that they go is no news."""
    told: frozenset[str] = frozenset()
    """What people were told, as long as it lasts."""


@dataclass(kw_only=True, eq=False)
class ReplaceUnhealthy:
    """Restart what is ill, one replica of a deployment at a time, and tell people what a restart does not cure.

    At every tick, for each deployment:

    1. Its deployment failed (DEPLOY_FAILED), or it has had fewer healthy replicas than wanted for `stuck_for_s`: tell people once.
    2. A replica is gone, or fails its checks while its replacement is already starting: Serve is at it; tell people (info).
    3. A replica has failed its checks for `unhealthy_for_s`: restart it.
    4. A replica has been far slower than its peers, or has failed far more often, for `patience_s` (see `policies.healing.peers`;
       at least `min_requests` each, none younger than `settle_s`): restart the worst one.
    5. One that came to a node after 4 restarted another there, within `node_memory_s`, is not restarted: the node makes replicas
       slow, and a restart may lead back to it. Tell people once.
    6. While another replica starts or stops, 3 and 4 hold. So they do where no two replicas have answered enough to compare.

    A tick without evidence on a replica neither starts nor clears a suspicion, and never acts on one.
    """

    unhealthy_for_s: float = 30.0
    slow_factor: float = 3.0
    slow_factor_lone: float = 6.0
    """The factor where there is one peer only."""
    slow_floor_s: float = 0.05
    error_factor: float = 5.0
    error_floor: float = 0.1
    min_requests: int = 5
    """Serve's router gives a slow replica few requests, some in ten seconds, so more would leave it unseen."""
    patience_s: float = 30.0
    settle_s: float = 60.0
    """A young replica is not judged by its latency or errors: first requests are slow."""
    stuck_for_s: float = 300.0
    node_memory_s: float = 3600.0
    stale_after_s: float = 60.0
    _deployments: dict[str, _Memory] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("slow_factor", "slow_factor_lone", "error_factor"):
            if getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 1, got {getattr(self, name)}")
        positive(min_requests=self.min_requests, stale_after_s=self.stale_after_s)
        part(error_floor=self.error_floor)
        not_negative(unhealthy_for_s=self.unhealthy_for_s, patience_s=self.patience_s, slow_floor_s=self.slow_floor_s)
        not_negative(settle_s=self.settle_s, stuck_for_s=self.stuck_for_s, node_memory_s=self.node_memory_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        names = sorted(seen.deployments)
        self._deployments = {name: self._deployments.get(name, _Memory()) for name in names}
        proposals: list[Proposal] = []
        for name in names:
            proposals += self._one(seen.deployments[name], self._deployments[name], seen.at_s)
        return proposals

    def _one(self, deployment: Deployment, memory: _Memory, at_s: float) -> list[Proposal]:
        traffic = self._comparable(deployment, at_s)
        odd = self._odd(traffic)
        self._remember(deployment, memory, at_s, traffic, odd)
        came_back = self._came_back(deployment, memory, odd, at_s)
        proposals = self._tell(deployment, memory, at_s, came_back)
        curable = {id: why for id, why in odd.items() if id not in came_back}  # noqa: A001
        wish = self._unhealthy(deployment, memory, at_s) or self._worst(deployment, memory, at_s, curable)
        if wish is not None and (under_way := _under_way(deployment)) > 0:
            busy = Evidence(name="replicas_under_way", value=under_way, threshold=0, note="one at a time")
            wish = Proposal(action=Hold(subject=deployment.name), because=(busy, *wish.because))
        if wish is None and deployment.running and len(traffic) < 2:
            alone = Evidence(
                name="replicas_with_evidence",
                value=len(traffic),
                threshold=2,
                note=f"fewer answered {self.min_requests} requests",
            )
            wish = Proposal(action=Hold(subject=deployment.name), because=(alone,))
        memory.asked &= {each.id for each in deployment.replicas}
        if wish is not None and isinstance(wish.action, Restart):
            memory.asked.add(wish.action.replica)
        memory.running, memory.wanted = tuple(each.id for each in deployment.running), deployment.replicas_wanted
        return proposals + ([wish] if wish is not None else [])

    def _comparable(self, deployment: Deployment, at_s: float) -> dict[str, Traffic]:
        """What the settled replicas that answered enough lately did, by id."""
        settled = (r for r in deployment.running if r.started_at_s is None or at_s - r.started_at_s >= self.settle_s)
        found = {
            r.id: answered(r, at_s, min_requests=self.min_requests, stale_after_s=self.stale_after_s) for r in settled
        }
        return {id: each for id, each in sorted(found.items()) if each is not None}  # noqa: A001

    def _odd(self, traffic: Mapping[str, Traffic]) -> dict[str, Evidence]:
        """Which replicas are far worse than their peers now, and why."""
        limits = Limits(
            slow_factor=self.slow_factor,
            slow_factor_lone=self.slow_factor_lone,
            slow_floor_s=self.slow_floor_s,
            error_factor=self.error_factor,
            error_floor=self.error_floor,
        )
        odd = {}
        for replica, own in traffic.items():
            peers = {id: each for id, each in traffic.items() if id != replica}  # noqa: A001
            why = slower(own, peers, limits) or failing(own, peers, limits)
            if why is not None:
                odd[replica] = why
        return odd

    def _remember(
        self,
        deployment: Deployment,
        memory: _Memory,
        at_s: float,
        traffic: Mapping[str, Traffic],
        odd: Mapping[str, Evidence],
    ) -> None:
        there = {each.id for each in deployment.replicas}
        ill = [each.id for each in deployment.running if each.healthy is False]
        memory.unhealthy_since_s = {each: memory.unhealthy_since_s.get(each, at_s) for each in ill}
        kept = {each: since for each, since in memory.odd_since_s.items() if each in there and each not in traffic}
        memory.odd_since_s = kept | {each: memory.odd_since_s.get(each, at_s) for each in odd}
        if len(deployment.healthy) >= deployment.replicas_wanted:
            memory.short_since_s = None
        elif memory.short_since_s is None:
            memory.short_since_s = at_s

    # 1., 2. people

    def _tell(
        self, deployment: Deployment, memory: _Memory, at_s: float, came_back: Mapping[str, str]
    ) -> list[Proposal]:
        news = [*_failed(deployment), *self._stuck(deployment, memory, at_s), *_slow_nodes(came_back)]
        serious = bool([text for text, _ in news if text not in memory.told])
        news += [*_gone(deployment, memory), *_replaced(deployment)]
        fresh = [(text, why) for text, why in news if text not in memory.told]
        memory.told = frozenset(text for text, _ in news)
        if not fresh:
            return []
        text = f"{deployment.name}: " + "; ".join(text for text, _ in fresh)
        alert = Alert(subject=f"health of {deployment.name}", text=text, severity="critical" if serious else "info")
        return [Proposal(action=alert, because=tuple(why for _, why in fresh))]

    def _stuck(self, deployment: Deployment, memory: _Memory, at_s: float) -> Iterable[tuple[str, Evidence]]:
        if memory.short_since_s is None or at_s - memory.short_since_s < self.stuck_for_s:
            return
        short_s = at_s - memory.short_since_s
        note = f"{len(deployment.healthy)} of {deployment.replicas_wanted} replicas are healthy"
        yield (
            f"it has been short of replicas for over {self.stuck_for_s:g} s",
            Evidence(name="short_for_s", value=short_s, threshold=self.stuck_for_s, note=note),
        )

    # 3., 4., 5. restarts

    def _came_back(
        self, deployment: Deployment, memory: _Memory, odd: Mapping[str, Evidence], at_s: float
    ) -> dict[str, str]:
        """Odd replica -> its node, where it came there after another had been restarted there for being odd."""
        nodes = memory.odd_nodes
        memory.odd_nodes = {node: since_s for node, since_s in nodes.items() if at_s - since_s < self.node_memory_s}
        return {
            each.id: each.node
            for each in deployment.running
            if each.id in odd and each.node in memory.odd_nodes and each.started_at_s is not None
            if each.started_at_s > memory.odd_nodes[each.node]
        }

    def _unhealthy(self, deployment: Deployment, memory: _Memory, at_s: float) -> Proposal | None:
        since_s = memory.unhealthy_since_s
        long = sorted((since_s[each], each) for each in since_s if at_s - since_s[each] >= self.unhealthy_for_s)
        if not long or not _needs_us(deployment):
            return None
        since, replica = long[0]
        why = Evidence(
            name="unhealthy_for_s", value=at_s - since, threshold=self.unhealthy_for_s, note="fails its checks"
        )
        return Proposal(action=Restart(deployment=deployment.name, replica=replica), because=(why,))

    def _worst(
        self, deployment: Deployment, memory: _Memory, at_s: float, odd: Mapping[str, Evidence]
    ) -> Proposal | None:
        lasting = [each for each in odd if at_s - memory.odd_since_s[each] >= self.patience_s]
        if not lasting:
            return None
        worst = max(lasting, key=lambda each: (_excess(odd[each]), each))
        lasted_s = at_s - memory.odd_since_s[worst]
        for node in (each.node for each in deployment.running if each.id == worst and each.node is not None):
            memory.odd_nodes.setdefault(node, at_s)
        patient = Evidence(name="odd_for_s", value=lasted_s, threshold=self.patience_s, note="far worse than its peers")
        return Proposal(action=Restart(deployment=deployment.name, replica=worst), because=(odd[worst], patient))


def _excess(evidence: Evidence) -> float:
    return (evidence.value or 0.0) / (evidence.threshold or 1.0)


def _under_way(deployment: Deployment) -> int:
    return sum(each.state is not ReplicaState.RUNNING for each in deployment.replicas)


def _needs_us(deployment: Deployment) -> bool:
    """Whether Serve has not yet begun to replace the replicas that fail."""
    starting = sum(each.state is ReplicaState.STARTING for each in deployment.replicas)
    return len(deployment.healthy) + starting < deployment.replicas_wanted


def _failed(deployment: Deployment) -> Iterable[tuple[str, Evidence]]:
    if deployment.status is DeploymentStatus.DEPLOY_FAILED:
        yield "its deployment failed", Evidence(name="deploy_failed", note=deployment.message or "no reason was given")


def _slow_nodes(came_back: Mapping[str, str]) -> Iterable[tuple[str, Evidence]]:
    for node in sorted(set(came_back.values())):
        count = sum(1 for each in came_back.values() if each == node)
        note = "replicas that were replaced came back to it and are as slow"
        yield f"node {node} makes its replicas slow", Evidence(name="slow_on_node", value=count, note=note)


def _gone(deployment: Deployment, memory: _Memory) -> Iterable[tuple[str, Evidence]]:
    """Replicas that ran at the last tick and are nowhere now, though no fewer are wanted and nobody updates or restarts them."""
    if deployment.replicas_wanted < memory.wanted or deployment.status is DeploymentStatus.UPDATING:
        return
    there = {each.id for each in deployment.replicas}
    for replica in sorted(set(memory.running) - there - memory.asked):
        note = f"{len(deployment.running)} of {deployment.replicas_wanted} replicas run"
        yield f"replica {replica} died, and Serve replaces it", Evidence(name="replica_gone", note=note)


def _replaced(deployment: Deployment) -> Iterable[tuple[str, Evidence]]:
    ill: list[Replica] = [each for each in deployment.running if each.healthy is False]
    if ill and not _needs_us(deployment):
        for each in ill:
            note = "a replacement is starting"
            yield (
                f"replica {each.id} fails its checks, and Serve replaces it",
                Evidence(name="replica_unhealthy", note=note),
            )
