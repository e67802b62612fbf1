"""What happens to the world of a model: concepts that change, come back or go with a season; rows that break. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ChangeKind = Literal["harmful", "harmless", "incident", "season", "recurring"]
Broken = Literal["missing", "units"]
Span = tuple[float, float]
"""(since_s, until_s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens between `at_s` and `until_s`.

    harmful    what the labels follow is another concept; versions that have not learned it lose more
    harmless   the features move, the loss does not
    incident   rows are broken, whatever version answers them: values are missing, or their units are others
    season     the loss of every version goes up and down again, once in `until_s` - `at_s`
    recurring  the new concept for `period_s`, then the old one for `period_s`, and so on; the old one in the end
    """

    kind: ChangeKind
    at_s: float
    until_s: float = math.inf
    harm: float = 0.0
    period_s: float = math.inf
    broken: Broken = "missing"

    def lasts(self, at_s: float) -> bool:
        """Whether it goes on at `at_s`; a recurring one also while the old concept is back."""
        return self.at_s <= at_s < self.until_s

    def is_new(self, at_s: float) -> bool:
        """Whether the world at `at_s` is the changed one."""
        if not self.lasts(at_s):
            return False
        return self.kind != "recurring" or (at_s - self.at_s) // self.period_s % 2 == 0

    def height(self, at_s: float) -> float:
        """How far the wave of a season has risen, 0 to 1; 0 outside it."""
        if not self.lasts(at_s):
            return 0.0
        return (1.0 - math.cos(2.0 * math.pi * (at_s - self.at_s) / (self.until_s - self.at_s))) / 2.0

    def stretches(self, since_s: float, until_s: float) -> list[Span]:
        """The parts of [since_s, until_s) in which the world is the changed one."""
        begin_s, end_s = max(since_s, self.at_s), min(until_s, self.until_s)
        if begin_s >= end_s:
            return []
        if self.kind != "recurring":
            return [(begin_s, end_s)]
        found, turn = [], int((begin_s - self.at_s) // self.period_s)
        while (new_s := self.at_s + turn * self.period_s) < end_s:
            if turn % 2 == 0:
                found.append((max(begin_s, new_s), min(end_s, new_s + self.period_s)))
            turn += 1
        return found


def within(spans: Sequence[Span], change: Change) -> list[Span]:
    """The parts of `spans` in which `change` is there."""
    return [part for span in spans for part in change.stretches(*span)]


def without(since_s: float, until_s: float, cut: Sequence[Span]) -> list[Span]:
    """[since_s, until_s) without the parts `cut` out of it."""
    kept, from_s = [], since_s
    for begin_s, end_s in sorted(cut):
        if from_s < min(begin_s, until_s):
            kept.append((from_s, min(begin_s, until_s)))
        from_s = max(from_s, end_s)
    return [*kept, (from_s, until_s)] if from_s < until_s else kept
