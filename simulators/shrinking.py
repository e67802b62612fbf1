"""The smallest scenario that still breaks the rule which a run has broken, found by leaving things out and trying again.

After delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002): of a list halves are left out,
then quarters, down to single entries; of a number half is tried. What still breaks the same rule is kept, until nothing more can go.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulators.checkers import BrokenRule
from simulators.run import Simulation
from simulators.scenario import Scenario, ScenarioError, parse_scenario
from simulators.writing import plain, to_yaml

Plain = dict[str, Any]
Candidates = Iterator[Plain]
Break = tuple[str, float]
"""Name of a broken rule, and when it broke in simulated seconds."""
Breaks = Callable[[Scenario, int, Callable[[float], None]], Break | None]

RATES = ("rate_rps", "rates_rps", "mean_rps", "from_rps", "to_rps", "before_rps", "after_rps", "base_rps", "peak_rps")
LEAST_RPS = 0.01
LEAST_S = 1.0
"""A duration is not cut more finely than so."""


class NothingBreaks(ValueError):
    """The scenario breaks no rule from this seed, so there is nothing to shrink."""


class _OutOfTime(Exception):
    """The wall time is used up."""


def shrink(
    scenario: Scenario,
    seed: int,
    *,
    limit_s: float = 50.0,
    clock: Callable[[], float] = time.monotonic,
    breaks: Breaks | None = None,
) -> Scenario:
    """The smallest scenario found within `limit_s` of `clock` that breaks the same rule as `scenario` does from `seed`.

    It carries `seed`, expects nothing, and reads itself back from `simulators.writing.to_yaml`. Less time gives a larger one, at the
    worst `scenario` itself. Raises NothingBreaks where no rule breaks. `breaks` plays a scenario; see `broken_rule`.
    """
    search = _Search(scenario, seed, clock, clock() + limit_s, breaks or broken_rule)
    try:
        search.begin()
        while search.round():
            pass
    except _OutOfTime:
        pass
    return search.smallest


def broken_rule(scenario: Scenario, seed: int, progress: Callable[[float], None]) -> Break | None:
    """Play `scenario`: the rule that it breaks. `progress` is told simulated seconds, and may raise."""
    try:
        Simulation(scenario, seed, progress=progress).run()
    except BrokenRule as error:
        return error.rule, error.at_s
    return None


@dataclass
class _Search:
    """`smallest` is the smallest scenario so far that is known to break `rule`, or the one to begin with."""

    smallest: Scenario
    seed: int
    clock: Callable[[], float]
    until: float
    breaks: Breaks
    rule: str = ""
    broken_s: float = 0.0

    def begin(self) -> None:
        """Find out what breaks."""
        found = self._play(self.smallest)
        if found is None:
            raise NothingBreaks(f"{self.smallest.name} breaks no rule from seed {self.seed}")
        self.rule, self.broken_s = found
        self._take({**plain(self.smallest.settings), "seed": self.seed, "warm_up_s": 0.0, "expect": []})

    def round(self) -> bool:
        """Try every way of leaving things out; whether anything could go."""
        smaller = False
        for candidates in WAYS:
            smaller = self._reduce(candidates) or smaller
        return smaller

    def _reduce(self, candidates: Callable[[Plain, float], Candidates]) -> bool:
        """Take candidates of one kind for as long as they still break the rule."""
        smaller = False
        while self._first(candidates):
            smaller = True
        return smaller

    def _first(self, candidates: Callable[[Plain, float], Candidates]) -> bool:
        return any(self._take(each) for each in candidates(plain(self.smallest.settings), self.broken_s))

    def _take(self, candidate: Plain) -> bool:
        """Keep `candidate` where it is a scenario that breaks the rule."""
        made = self._made(candidate)
        found = self._play(made) if made is not None else None
        if made is None or found is None or found[0] != self.rule:
            return False
        self.smallest, self.broken_s = made, found[1]
        return True

    def _made(self, candidate: Plain) -> Scenario | None:
        """None where leaving something out left nothing that could be played."""
        try:
            settings = type(self.smallest.settings).model_validate(candidate)
            read = parse_scenario(to_yaml(settings), self.smallest.file, self.smallest.folder, self.smallest.allowed)
        except (ScenarioError, ValueError):
            return None
        return replace(self.smallest, settings=read.settings)

    def _play(self, scenario: Scenario) -> Break | None:
        self._tell(0.0)
        return self.breaks(scenario, self.seed, self._tell)

    def _tell(self, at_s: float) -> None:
        if self.clock() >= self.until:
            raise _OutOfTime


# -- what can be left out ----------------------------------------------------------------------------------------


def _shorter(now: Plain, broken_s: float) -> Candidates:
    """End just after the rule broke; where it breaks at the end only, after half of the time."""
    for end_s in (math.ceil(broken_s), math.ceil(broken_s / 2)):
        if LEAST_S <= end_s < now["duration_s"]:
            kept = {key: [each for each in now.get(key, []) if each["at_s"] <= end_s] for key in ("faults", "people")}
            yield {**now, "duration_s": float(end_s), **kept}


def _fewer_faults(now: Plain, broken_s: float) -> Candidates:
    for kept in _parts(now.get("faults", [])):
        yield {**now, "faults": kept}


def _fewer_people(now: Plain, broken_s: float) -> Candidates:
    for kept in _parts(now.get("people", [])):
        yield {**now, "people": kept}


def _fewer_policies(now: Plain, broken_s: float) -> Candidates:
    for kept in _parts(now.get("policies", [])):
        yield {**now, "policies": kept}


def _fewer_models(now: Plain, broken_s: float) -> Candidates:
    """Faults of a model go with it, and what people say of it."""
    for names in _parts(list(now["models"])):
        kept = {name: now["models"][name] for name in names}
        others = {
            key: [each for each in now.get(key, []) if each.get("model") in (None, *names)]
            for key in ("faults", "people")
        }
        yield {**now, "models": kept, **others}


def _fewer_replicas(now: Plain, broken_s: float) -> Candidates:
    for name, model in now["models"].items():
        replicas = model.get("replicas", 1)
        for fewer in _lower(replicas, 1):
            least = min(model.get("min_replicas", 1), fewer)
            yield _with_model(now, name, {**model, "replicas": fewer, "min_replicas": least})


def _fewer_nodes(now: Plain, broken_s: float) -> Candidates:
    nodes = now["cluster"]["nodes"]
    for place, kind in enumerate(nodes):
        for fewer in _lower(kind["count"], 1):
            kinds = [*nodes[:place], {**kind, "count": fewer}, *nodes[place + 1 :]]
            yield {**now, "cluster": {**now["cluster"], "nodes": kinds}}
    for kept in _parts(nodes):
        yield {**now, "cluster": {**now["cluster"], "nodes": kept}}


def _less_traffic(now: Plain, broken_s: float) -> Candidates:
    for name, model in now["models"].items():
        for kept in _parts(model["traffic"]):
            yield _with_model(now, name, {**model, "traffic": kept})
        if any(_most_rps(each) > LEAST_RPS for each in model["traffic"]):
            yield _with_model(now, name, {**model, "traffic": [_halved(each) for each in model["traffic"]]})


def _plainer(now: Plain, broken_s: float) -> Candidates:
    """Leave out what may be left out, as a whole: lifecycles, telemetry, guards, learning and its changes."""
    for key in ("lifecycle", "telemetry", "guards", "deadlines", "schedules", "autonomy", "first_tick_s", "budget"):
        if key in now:
            yield {name: value for name, value in now.items() if name != key}
    for name, model in now["models"].items():
        for key in ("learning", "lifecycle", "router", "overhead", "batch_max", "timeout_s", "retries", "routing"):
            if key in model:
                yield _with_model(now, name, {each: value for each, value in model.items() if each != key})
        for kept in _parts(model.get("learning", {}).get("changes", [])):
            yield _with_model(now, name, {**model, "learning": {**model["learning"], "changes": kept}})


WAYS = (
    _shorter,
    _fewer_models,
    _fewer_faults,
    _fewer_people,
    _fewer_policies,
    _less_traffic,
    _fewer_replicas,
    _fewer_nodes,
    _plainer,
)


def _parts(entries: Sequence[Any]) -> Iterator[list[Any]]:
    """`entries` without one half, then without a quarter, and so on to single entries."""
    size = len(entries)
    while size:
        size = size // 2 if size > 1 else 0
        chunk = max(1, size)
        for place in range(0, len(entries), chunk):
            yield [*entries[:place], *entries[place + chunk :]]
        if size <= 1:
            return


def _lower(count: int, least: int) -> Iterator[int]:
    """The least, half, one fewer: those that are below `count`."""
    yield from (each for each in dict.fromkeys((least, count // 2, count - 1)) if least <= each < count)


def _with_model(now: Plain, name: str, model: Plain) -> Plain:
    return {**now, "models": {**now["models"], name: model}}


def _most_rps(traffic: Plain) -> float:
    if traffic["kind"] == "trace":
        return float(traffic.get("scale", 1.0))
    rates = [traffic[key] for key in RATES if key in traffic]
    return max((rate for each in rates for rate in (each if isinstance(each, list) else [each])), default=0.0)


def _halved(traffic: Plain) -> Plain:
    """Half of its rate, of all its rates, or of its scale."""
    made = copy.deepcopy(traffic)
    if traffic["kind"] == "trace":
        return made | {"scale": traffic.get("scale", 1.0) / 2}
    for key in RATES:
        if key in made:
            made[key] = [_half(each) for each in made[key]] if isinstance(made[key], list) else _half(made[key])
    return made


def _half(rate_rps: float) -> float:
    """Half, to three digits, so that the file is for reading."""
    return float(f"{rate_rps / 2:.3g}")
