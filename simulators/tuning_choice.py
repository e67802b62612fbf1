"""Which trials are best, which is taken, and which can not become either. Pure.

A trial has one value for each objective; its losses are the values with the sign turned where more is better. A trial dominates another
where none of its losses is greater and one is less; the front is those that none dominates.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulators.expectations import COMPARISONS, ExpectationError, number_of, split
from simulators.tuning_space import ChooseSettings, ObjectiveSettings

Losses = tuple[float, ...]
BEFORE = re.compile(r"(?:(\d+(?:\.\d*)?)\s*\*\s*)?before", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A finished trial."""

    trial: int
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """`measure comparison number`; the number is a factor on what was before, where `relative`."""

    measure: str
    comparison: str
    number: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Raises ExpectationError where `text` is no condition."""
        measure, comparison, rest = split(text) or ("", "", "")
        before = BEFORE.fullmatch(rest)
        number = number_of(before[1] or "1") if before else number_of(rest)
        if number is None or (before and comparison in ("==", "!=")):
            expected = "as in 'slo_violation_rate <= 0.02' or 'replica_hours <= 1.1 * before'"
            raise ExpectationError(f"found {text[:60]!r}; expected a measure, a comparison and a number, {expected}")
        return cls(measure=measure, comparison=comparison, number=number, relative=before is not None)

    def met(self, value: float, before: float | None) -> bool:
        """Never, where it asks for what was before and that is not known."""
        if self.relative and before is None:
            return False
        number = self.number * (before or 0.0) if self.relative else self.number
        return COMPARISONS[self.comparison](value, number)


def value(objective: ObjectiveSettings, runs: Sequence[float]) -> float:
    """What `runs` come to."""
    if objective.over == "mean":
        return sum(runs) / len(runs)
    return max(runs) if objective.direction == "minimise" else min(runs)


def losses(objectives: Sequence[ObjectiveSettings], values: Sequence[float]) -> Losses:
    return tuple(each.sign * value for each, value in zip(objectives, values, strict=True))


def dominates(better: Losses, other: Losses) -> bool:
    return better != other and all(one <= two for one, two in zip(better, other, strict=True))


def front(objectives: Sequence[ObjectiveSettings], points: Sequence[Point]) -> list[Point]:
    """Those that no other dominates, the earliest of equals, by trial."""
    first = {losses(objectives, each.values): each for each in sorted(points, key=lambda each: -each.trial)}
    kept = [each for loss, each in first.items() if not any(dominates(other, loss) for other in first)]
    return sorted(kept, key=lambda each: each.trial)


def chosen(
    objectives: Sequence[ObjectiveSettings],
    choose: ChooseSettings,
    best: Sequence[Point],
    before: Mapping[str, float | None],
) -> tuple[Point, str]:
    """One of the front `best`, and the rule that it was taken by, in words."""
    if len(objectives) == 1 and not choose.where:
        return best[0], f"the best {objectives[0].measure}"
    wanted = choose.least or choose.most
    if wanted is None:
        return knee(objectives, best), "the knee of the front"
    place = [each.measure for each in objectives].index(wanted)
    conditions = [Condition.parse(text) for text in choose.where]
    admitted = [each for each in best if _admitted(objectives, conditions, each, before)]
    rule = f"{'the least' if choose.least else 'the most'} {wanted}"
    if choose.where:
        rule += f" where {' and '.join(choose.where)}"
    if not admitted:
        return knee(objectives, best), f"the knee of the front, as no trial has {rule}"
    sign = 1.0 if choose.least else -1.0
    return min(admitted, key=lambda each: (sign * each.values[place], each.trial)), rule


def _admitted(
    objectives: Sequence[ObjectiveSettings],
    conditions: Sequence[Condition],
    point: Point,
    before: Mapping[str, float | None],
) -> bool:
    values = dict(zip((each.measure for each in objectives), point.values, strict=True))
    return all(each.met(values[each.measure], before.get(each.measure)) for each in conditions)


def knee(objectives: Sequence[ObjectiveSettings], best: Sequence[Point]) -> Point:
    """The point of the front that is nearest to the best of each objective, where each is scaled to run from 0 to 1 on the front."""
    rows = [losses(objectives, each.values) for each in best]
    spans = [(min(column), max(column)) for column in zip(*rows, strict=True)]

    def distance(row: Losses) -> float:
        return math.hypot(
            *((loss - low) / (high - low) if high > low else 0.0 for loss, (low, high) in zip(row, spans, strict=True))
        )

    return min(zip(rows, best, strict=True), key=lambda each: (distance(each[0]), each[1].trial))[1]


def hopeless(
    objectives: Sequence[ObjectiveSettings],
    done: Sequence[Sequence[float]],
    to_come: Sequence[Sequence[float | None]],
    finished: Sequence[Losses],
) -> bool:
    """Whether a finished trial dominates the best that can still become of one.

    `done` holds the values of the runs that were played, for each objective; `to_come` the best that the others can have, None where
    that is not known.
    """
    outlooks = []
    for objective, have, rest in zip(objectives, done, to_come, strict=True):
        known = [each for each in rest if each is not None]
        # The worst of all is at least as bad as the worst so far, whatever comes; a mean can be anything.
        if len(known) < len(rest) and objective.over == "mean":
            outlooks.append(-math.inf)
        else:
            outlooks.append(objective.sign * value(objective, [*have, *known]))
    return any(dominates(each, tuple(outlooks)) for each in finished)
