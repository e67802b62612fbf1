"""What each registered detector may be given: its parameters, and in what range. Known without importing River, which takes a second."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.refusals import meant

NUMBER_MAX = 1e30
"""No parameter is further from 0, as no number that a detector is fed."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A number above `low` and below `high`, or the bound itself where it is `closed`."""

    low: float = 0.0
    high: float = math.inf
    closed: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        if not -NUMBER_MAX <= value <= NUMBER_MAX:
            return False
        return self.low <= value <= self.high if self.closed else self.low < value < self.high

    def __str__(self) -> str:
        what = "a whole number" if self.whole else "a number"
        low, high = ("of at least", "of at most") if self.closed else ("above", "below")
        upper = "" if math.isinf(self.high) else f" and {high.removeprefix('of ')} {self.high:,.15g}"
        return f"{what} {low} {self.low:g}{upper}"


PART = Limit(0.0, 1.0)
POSITIVE = Limit()
NOT_NEGATIVE = Limit(closed=True)
ROWS_MAX = 10_000_000
"""Of a window: more would fill the memory before they told anything."""
COUNT = Limit(low=1, high=ROWS_MAX, closed=True, whole=True)
ANY_COUNT = Limit(high=ROWS_MAX, closed=True, whole=True)
SLOW = Limit(low=1, high=10_000, closed=True, whole=True)
"""Of windows that are gone through at every row: 10,000 values cost a millisecond."""
SEED = Limit(high=2**32 - 1, closed=True, whole=True)
WINDOW = Limit(low=10, high=ROWS_MAX, closed=True, whole=True)

_WINDOW = {"window": WINDOW, "threshold": NOT_NEGATIVE, "confirm": COUNT}
LIMITS: dict[str, dict[str, Limit]] = {
    "adwin": {
        "delta": PART, "clock": COUNT, "max_buckets": SLOW, "min_window_length": COUNT, "grace_period": ANY_COUNT,
    },
    "page_hinkley": {"min_instances": COUNT, "delta": NOT_NEGATIVE, "threshold": POSITIVE, "alpha": Limit(0.0, 1.0, closed=True)},
    "kswin": {"alpha": PART, "window_size": SLOW, "stat_size": SLOW, "seed": SEED},
    "ddm": {"warm_start": COUNT, "warning_threshold": POSITIVE, "drift_threshold": POSITIVE},
    "eddm": {"warm_start": COUNT, "alpha": PART, "beta": PART},
    "fhddm": {"sliding_window_size": COUNT, "confidence_level": PART, "short_window_size": SLOW},
    "hddm_a": {"drift_confidence": PART, "warning_confidence": PART},
    "hddm_w": {"drift_confidence": PART, "warning_confidence": PART, "lambda_val": PART},
    "window_mean": {**_WINDOW, "z": POSITIVE, "block": COUNT},
    "population_stability": _WINDOW,
    "missing_rate": {**_WINDOW, "growth": NOT_NEGATIVE, "least": Limit(0.0, 1.0, closed=True)},
    "scale_change": _WINDOW,
}  # fmt: skip
SWITCHES: dict[str, dict[str, tuple[Any, ...]]] = {
    "page_hinkley": {"mode": ("up", "down", "both")},
    "hddm_a": {"two_sided_test": (True, False)},
    "hddm_w": {"two_sided_test": (True, False)},
}
"""Parameters that are one of a few words."""
RIGHT_OR_WRONG = frozenset({"ddm", "eddm", "fhddm"})
"""They are for a stream of right and wrong answers, and so for the loss alone."""
PARTS_ONLY = frozenset({"hddm_a", "hddm_w"})
"""Their bounds are of values within [0, 1]."""


CALIBRATED: dict[str, dict[str, Any]] = {"kswin": {"alpha": 1e-5, "window_size": 300, "stat_size": 100}}
"""What is given where no one says otherwise, since River's own defaults alarm on calm streams.

KSWIN tests at every row: with alpha .005 on windows of 100 it alarms again and again on 12,000 Brier losses without any change, with these
never, and it finds turned labels after 86 rows.
"""
DEFAULTS: dict[str, dict[str, Any]] = {
    "kswin": {"window_size": 100, "stat_size": 30},
    "eddm": {"alpha": 0.95, "beta": 0.9},
    "fhddm": {"sliding_window_size": 100},
}
"""River's own, of the parameters that have to fit one another."""
FITTING: dict[str, tuple[str, int, str]] = {
    "kswin": ("stat_size", 2, "window_size"),  # which is drawn from what the newest `stat_size` leave of the window
    "eddm": ("beta", 1, "alpha"),
    "fhddm": ("short_window_size", 1, "sliding_window_size"),
}
"""The first, so many times, is at most the last: else River raises, and some only when rows come."""


def completed(use: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters` with those that are calibrated, where none of them is given."""
    calibrated = CALIBRATED.get(use, {})
    return {**parameters} if parameters.keys() & calibrated.keys() else {**calibrated, **parameters}


def fault(use: str, parameters: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which of the `parameters` of the registered detector `use` is wrong, and what was found and expected there.

    None where nothing is wrong, or where it is no detector of ours.
    """
    if use not in LIMITS:
        return None
    words = SWITCHES.get(use, {})
    for name, value in parameters.items():
        if name in words:
            if not any(type(value) is type(each) and value == each for each in words[name]):
                return name, f"found {_short(value)}; expected one of {', '.join(map(_word, words[name]))}"
        elif name not in LIMITS[use]:
            known = sorted([*LIMITS[use], *words])
            near = meant(name, known)
            hint = "" if near is None else f"; did you mean {near!r}?"
            return str(name), f"there is no parameter {name!r}; expected one of {', '.join(known)}{hint}"
        elif not LIMITS[use][name].holds(value):
            return name, f"found {_short(value)}; expected {LIMITS[use][name]}"
    return _unfitting(use, completed(use, parameters), parameters)


def _unfitting(use: str, parameters: Mapping[str, Any], written: Mapping[str, Any]) -> tuple[str, str] | None:
    if use not in FITTING:
        return None
    small, times, large = FITTING[use]
    given = {**DEFAULTS[use], **parameters}
    if small not in given or times * given[small] <= given[large]:
        return None
    if small in written:
        return (
            small,
            f"found {given[small]!r}; expected at most {given[large] / times:g}, since {large} is {given[large]:g}",
        )
    return (
        large,
        f"found {given[large]!r}; expected at least {given[small] * times:g}, since {small} is {given[small]:g}",
    )


def _word(value: Any) -> str:
    return str(value).lower()


def _short(value: Any) -> str:
    try:
        told = repr(value)
    except ValueError:  # of a whole number with too many digits to be written
        told = "a number of thousands of digits"
    return told if len(told) <= 60 else f"{told[:57]}..."
