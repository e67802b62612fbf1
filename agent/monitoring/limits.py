"""What each registered detector may be given: its parameters, and in what range. Known without importing River, which takes a second."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
        if self.closed:
            return self.low <= value <= self.high and math.isfinite(value)
        return self.low < value < self.high

    def __str__(self) -> str:
        what = "a whole number" if self.whole else "a number"
        low, high = ("of at least", "of at most") if self.closed else ("above", "below")
        upper = "" if math.isinf(self.high) else f" and {high.removeprefix('of ')} {self.high:g}"
        return f"{what} {low} {self.low:g}{upper}"


PART = Limit(0.0, 1.0)
POSITIVE = Limit()
NOT_NEGATIVE = Limit(closed=True)
ROWS_MAX = 10_000_000
"""Of a window: more would fill the memory before they told anything."""
COUNT = Limit(low=1, high=ROWS_MAX, closed=True, whole=True)
ANY_COUNT = Limit(closed=True, whole=True)
ANY = Limit(-math.inf, math.inf)
WINDOW = Limit(low=10, high=ROWS_MAX, closed=True, whole=True)

_WINDOW = {"window": WINDOW, "threshold": NOT_NEGATIVE, "confirm": COUNT}
LIMITS: dict[str, dict[str, Limit]] = {
    "adwin": {
        "delta": PART, "clock": COUNT, "max_buckets": COUNT, "min_window_length": COUNT, "grace_period": ANY_COUNT,
    },
    "page_hinkley": {"min_instances": COUNT, "delta": NOT_NEGATIVE, "threshold": POSITIVE, "alpha": Limit(0.0, 1.0, closed=True)},
    "kswin": {"alpha": PART, "window_size": COUNT, "stat_size": COUNT, "seed": ANY_COUNT},
    "ddm": {"warm_start": COUNT, "warning_threshold": POSITIVE, "drift_threshold": POSITIVE},
    "eddm": {"warm_start": COUNT, "alpha": PART, "beta": PART},
    "fhddm": {"sliding_window_size": COUNT, "confidence_level": PART, "short_window_size": COUNT},
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


def fault(use: str, parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with the `parameters` of the registered detector `use`; None where nothing is, or where it is no detector of ours."""
    if use not in LIMITS:
        return None
    words = SWITCHES.get(use, {})
    for name, value in parameters.items():
        if name in words:
            if value not in words[name]:
                return f"detector {use!r}: {name}: found {value!r}; expected one of {', '.join(map(str, words[name]))}"
        elif name not in LIMITS[use]:
            known = ", ".join(sorted([*LIMITS[use], *words]))
            return f"detector {use!r}: there is no parameter {name!r}; expected one of {known}"
        elif not LIMITS[use][name].holds(value):
            return f"detector {use!r}: {name}: found {value!r}; expected {LIMITS[use][name]}"
    return None
