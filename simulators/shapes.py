"""What of a scenario has numbers that are fine one by one and can not be played together: unequal lists, times out of order. Pure.

Each fault is told at the key that is wrong. Whatever a run would refuse beside that is refused here as well, at the nearest key.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from agent.settings import SECONDS_MAX
from agent.yaml_nodes import Fault, Keys
from simulators.settings import (
    ANSWERS,
    BurstsSettings,
    DiurnalSettings,
    EmpiricalSettings,
    LifecycleSettings,
    LognormalSettings,
    NodesSettings,
    PersonSettings,
    PiecesSettings,
    RampSettings,
    ScenarioSettings,
    SimModelSettings,
    TokensSettings,
    TraceSettings,
)

DAYS = 7


def faults(settings: ScenarioSettings) -> Iterator[Fault]:
    """All of them, in the order of the file's sections."""
    for name, model in settings.models.items():
        yield from _model(model, ("models", name))
    yield from _lifecycle(settings.lifecycle, ("lifecycle",))
    yield from _nodes(settings.cluster.nodes)
    for index, person in enumerate(settings.people):
        yield from _person(person, ("people", index))


def _model(model: SimModelSettings, keys: Keys) -> Iterator[Fault]:
    for index, traffic in enumerate(model.traffic):
        yield from _traffic(traffic, (*keys, "traffic", index))
    for name in ("service", "router", "overhead"):
        yield from _duration(getattr(model, name), (*keys, name))
    if model.lifecycle is not None:
        yield from _lifecycle(model.lifecycle, (*keys, "lifecycle"))
    if model.max_replicas is not None and model.max_replicas < model.min_replicas:
        yield (
            (*keys, "max_replicas"),
            f"found {model.max_replicas}; expected at least min_replicas, {model.min_replicas}",
        )
    if isinstance(model.service, TokensSettings) and (
        len(model.traffic) > 1 or not isinstance(model.traffic[0], TraceSettings)
    ):
        yield (*keys, "service"), "tokens come with a trace; expected one trace as all traffic of this model"


def _lifecycle(lifecycle: LifecycleSettings, keys: Keys) -> Iterator[Fault]:
    return _duration(lifecycle.cold_start, (*keys, "cold_start"))


def never(settings: ScenarioSettings) -> Iterator[Fault]:
    """What is to happen when the run is over: it may be played, as a part of a longer one, and hardly was meant."""
    end_s = settings.duration_s
    for what, each in (("faults", settings.faults), ("people", settings.people)):
        for index, one in enumerate(each):
            if one.at_s > end_s:
                yield (what, index, "at_s"), f"found {one.at_s:g}; the run ends at {end_s:g} s, so nothing comes of it"
    first_s = settings.tick_s if settings.first_tick_s is None else settings.first_tick_s
    if settings.policies and first_s > end_s:
        key = "tick_s" if settings.first_tick_s is None else "first_tick_s"
        yield (key,), f"found {first_s:g}; the run ends at {end_s:g} s, so the policies are never asked"


# -- traffic and durations ---------------------------------------------------------------------------------------


def _traffic(traffic: object, keys: Keys) -> Iterator[Fault]:
    match traffic:
        case PiecesSettings(times_s=times_s, rates_rps=rates_rps):
            yield from _as_many(rates_rps, times_s, (*keys, "rates_rps"), "times_s")
            yield from _in_order(times_s, (*keys, "times_s"))
        case DiurnalSettings(weekdays=weekdays) if len(weekdays) not in (0, DAYS):
            yield (*keys, "weekdays"), f"found {_values(weekdays)}; expected {DAYS}, one for each day from Monday on"
        case RampSettings(begin_s=begin_s, end_s=end_s) if end_s < begin_s:
            yield (*keys, "end_s"), f"found {end_s:g}; expected at least begin_s, {begin_s:g}"
        case BurstsSettings(rates_rps=rates_rps, stays_s=stays_s):
            yield from _as_many(stays_s, rates_rps, (*keys, "stays_s"), "rates_rps")
        case TraceSettings(from_s=from_s, until_s=until_s) if until_s is not None and until_s <= from_s:
            yield (*keys, "until_s"), f"found {until_s:g}; expected more than from_s, {from_s:g}"
        case _:
            return


def _duration(duration: object, keys: Keys) -> Iterator[Fault]:
    match duration:
        case EmpiricalSettings(seconds=seconds, probabilities=probabilities):
            yield from _in_order(seconds, (*keys, "seconds"))
            yield from _distribution(seconds, probabilities, (*keys, "probabilities")) if probabilities else ()
        case LognormalSettings() as drawn if drawn.mean_s > SECONDS_MAX:
            told = f"a mean of {drawn.mean_s:.3g} s together with scale_s; expected at most {SECONDS_MAX:g} s"
            yield (*keys, "shape"), f"found {drawn.shape:g}, {told}"
        case _:
            return


def _distribution(seconds: Sequence[float], probabilities: Sequence[float], keys: Keys) -> Iterator[Fault]:
    """Probabilities are those of taking at most so long: they ascend from 0 to 1."""
    yield from _as_many(probabilities, seconds, keys, "seconds")
    for index, (before, after) in enumerate(pairwise(probabilities), start=1):
        if after <= before:
            yield (
                (*keys, index),
                f"found {after:g} after {before:g}; expected more, as each is of taking at most so long",
            )
            return
    for index, end in ((0, 0.0), (len(probabilities) - 1, 1.0)):
        if probabilities[index] != end:
            yield (*keys, index), f"found {probabilities[index]:g}; expected {end:g}, since they ascend from 0 to 1"


def _as_many(found: Sequence[float], others: Sequence[float], keys: Keys, name: str) -> Iterator[Fault]:
    if len(found) != len(others):
        yield keys, f"found {_values(found)}; expected {len(others)}, one for each of {name}"


def _in_order(values: Sequence[float], keys: Keys) -> Iterator[Fault]:
    """The first value that is less than the one before."""
    for index, (before, after) in enumerate(pairwise(values), start=1):
        if after < before:
            yield (*keys, index), f"found {after:g} after {before:g}; expected at least that"
            return


def _values(found: Sequence[float]) -> str:
    return f"{len(found)} value{'' if len(found) == 1 else 's'}"


# -- nodes and people --------------------------------------------------------------------------------------------


def _nodes(kinds: Sequence[NodesSettings]) -> Iterator[Fault]:
    known: dict[str, int] = {}
    for index, kind in enumerate(kinds):
        keys: Keys = ("cluster", "nodes", index)
        if kind.name in known:
            told = f"found {kind.name!r}, as cluster.nodes[{known[kind.name]}] is called; expected another name"
            yield (*keys, "name"), told
        known.setdefault(kind.name, index)
        if kind.preemptions_per_hour > 0 and not kind.spot:
            yield (
                (*keys, "preemptions_per_hour"),
                f"found {kind.preemptions_per_hour:g} with `spot: false`; expected it with `spot: true`",
            )


def _person(person: PersonSettings, keys: Keys) -> Iterator[Fault]:
    if person.model is not None and person.says not in (*ANSWERS, "rollback"):
        told = (
            f"found with `says: {person.says}`, which is about everything; expected with approve, deny or rollback only"
        )
        yield (*keys, "model"), told
    if person.for_s is not None and person.every_s is None and person.says in ANSWERS:
        yield (*keys, "for_s"), "found without every_s; expected with it, since they look once without"
