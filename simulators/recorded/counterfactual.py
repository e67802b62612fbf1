"""What would have happened under other policies: a recording played under its own and under others, from the same seeds.

How near the play of its own came to life says how far the play of the others may be believed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from agent.journal.record import Entry, Kind
from agent.settings import PolicySettings
from policies.imports import Packages
from simulators.checkers import BrokenRule
from simulators.recorded.divergence import FREE
from simulators.recorded.measured import Measured, measured, together
from simulators.recorded.names import renamed
from simulators.recorded.recording import Recording, read
from simulators.recorded.scenario import IDLE, Recorded
from simulators.run import Result, Simulation
from simulators.scenario import Scenario

TOTALS = (
    "slo_violation_rate", "lost_utility", "requests", "dropped", "failed", "replica_hours", "replicas_mean", "orders",
    "rollbacks", "promotions", "retrainings", "alerts", "vetoes",
)  # fmt: skip
"""Measures that are compared, besides orders by kind."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """One set of policies, from several seeds: means of what the simulator knows and of what observations of it show."""

    totals: Mapping[str, float | None]
    orders: Mapping[str, float]
    """By kind."""
    models: Mapping[str, Mapping[str, float | None]]
    seen: Measured
    broken: tuple[str, ...]
    """Rules that were broken, in words; the totals of such a run end there."""


@dataclass(frozen=True, kw_only=True)
class Counterfactual:
    """`life` is what was measured in the recording itself, as `own.seen` was in its simulation."""

    life: Measured
    life_orders: Mapping[str, int]
    own: Played
    other: Played
    seeds: tuple[int, ...]


def play_both(
    recorded: Recorded,
    policies: Sequence[PolicySettings],
    seeds: Sequence[int],
    *,
    act: bool = False,
    allowed: Packages = (),
) -> Counterfactual:
    """Both sets of policies under the settings of the recording; with `act` both may act, whatever it allowed."""
    with TemporaryDirectory(prefix="homeostat-") as folder:
        own = recorded.loaded(Path(folder), allowed)
        if act:
            own = replace(own, settings=own.settings.model_copy(update={"autonomy": FREE}))
        other = own.with_policies(renamed(policies, recorded.models) or IDLE)
        return Counterfactual(
            life=together(recorded.measured),
            life_orders=_kinds(recorded.recording),
            own=_played(own, recorded, seeds),
            other=_played(other, recorded, seeds),
            seeds=tuple(seeds),
        )


def _kinds(recording: Recording) -> dict[str, int]:
    return dict(Counter(order["action"]["kind"] for _, order in recording.intents))


def _played(scenario: Scenario, recorded: Recorded, seeds: Sequence[int]) -> Played:
    runs = [_run(scenario, seed) for seed in seeds]
    results = [result for result, _, _ in runs]
    kinds = [Counter(payload["action"]["kind"] for payload in _intents(result)) for result in results]
    return Played(
        totals={name: _mean([each.measures[name] for each in results]) for name in TOTALS},
        orders={kind: fmean(each[kind] for each in kinds) for kind in sorted(set().union(*kinds))},
        models={
            model: {name: _mean([each.measures["models"][model][name] for each in results]) for name in of}
            for model, of in results[0].measures["models"].items()
        },
        seen=_averaged([_seen(entries, scenario) for _, entries, _ in runs]),
        broken=tuple(told for _, _, told in runs if told is not None),
    )


def _run(scenario: Scenario, seed: int) -> tuple[Result, list[Entry], str | None]:
    entries: list[Entry] = []
    simulation = Simulation(scenario, seed, tell=entries.append)
    try:
        result, told = simulation.run(), None
    except BrokenRule as error:
        result, told = simulation.so_far(0.0), f"{error.rule} at {error.at_s:.1f} s, seed {seed}: {error.told}"
    if result.interrupted:
        raise KeyboardInterrupt
    return result, entries, told


def _intents(result: Result) -> list[Mapping[str, Any]]:
    return [each.payload for each in result.entries if each.kind == Kind.INTENT]


def _seen(entries: Sequence[Entry], scenario: Scenario) -> Measured:
    """As a recording of the simulation would be measured."""
    slos = {name: model.slo_latency_s for name, model in scenario.settings.models.items()}
    rows = read(entries).deployments()
    return together({name: measured(each, slos[name.rpartition("/")[0]]) for name, each in rows.items()})


def _averaged(found: Sequence[Measured]) -> Measured:
    def mean(name: str) -> Any:
        return _mean([getattr(each, name) for each in found])

    return Measured(
        requests=round(mean("requests")),
        errors=round(mean("errors")),
        latency_mean_s=mean("latency_mean_s"),
        latency_p95_s=mean("latency_p95_s"),
        latency_p99_s=mean("latency_p99_s"),
        violation_rate=mean("violation_rate"),
        replicas_mean=mean("replicas_mean"),
        replicas_max=round(mean("replicas_max")),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Not known where it is not known of one."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) and known else None
