"""What is said again and again is told once, and an hour later with the number of times that it was not told. Pure.

What makes two sayings one is their mark. Of an error that is who raised it, its type and its place, and not its text, in which a counter,
a time or an address may change at every look.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from types import TracebackType

REPEAT_S = 3600.0
"""The same is not told again for so long."""
FORGOTTEN_S = 86400.0
"""What was not said for so long begins anew."""
MARKS_MAX = 10_000
"""Of more than that the oldest are forgotten."""


@dataclass
class _Heard:
    told_s: float
    said_s: float
    untold: int = 0


@dataclass
class Repeats:
    """Remembers what was told, and when."""

    _heard: dict[Hashable, _Heard] = field(default_factory=dict)

    def hear(self, mark: Hashable, at_s: float) -> int | None:
        """How often `mark` was said since it was told last, where it is to be told now; None where it is not."""
        self._forget(at_s)
        heard = self._heard.pop(mark, None)
        if heard is None:
            self._heard[mark] = _Heard(at_s, at_s)
            return 0
        self._heard[mark] = heard  # at the end: the oldest come first
        heard.said_s, heard.told_s = at_s, min(heard.told_s, at_s)
        if at_s - heard.told_s < REPEAT_S:
            heard.untold += 1
            return None
        untold, heard.told_s, heard.untold = heard.untold, at_s, 0
        return untold

    def _forget(self, at_s: float) -> None:
        for mark in list(self._heard):
            if at_s - self._heard[mark].said_s < FORGOTTEN_S and len(self._heard) <= MARKS_MAX:
                return
            del self._heard[mark]


def mark_of(error: BaseException) -> tuple[str, str]:
    """What stays the same of an error that is raised again: its type, and where it was raised."""
    return type(error).__qualname__, _place(error.__traceback__)


def again(text: str, untold: int) -> str:
    """`text` with the number of times that it was said and not told."""
    return f"{text} ({untold} times more since it was told last)" if untold else text


def _place(trace: TracebackType | None) -> str:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
