"""Detectors by name: River's, and the window tests of ours. River's go deaf for good on one NaN, so they are guarded."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol

from agent.monitoring.moments import Welford
from agent.monitoring.windows import MissingRate, PopulationStability, ScaleChange, WindowMean
from policies.imports import ImportRefused, Packages, found


class Detector(Protocol):
    """Fed value by value; `drift_detected` says how it stands after the last."""

    drift_detected: bool

    def update(self, value: Any) -> Any: ...


NEWEST = 100
"""Where a detector keeps no mean of its own, the newest so many values say in which direction it drifted."""


class Guarded:
    """A River detector that meets finite numbers only; `rejected` counts what else came. An alarm stays until it is made anew.

    Detectors of change alarm on a fall as well; with `rises_only` the alarm of a fall is not passed on, for a signal of which less
    is better. The direction is that of ADWIN's mean across its cut, and else of the newest values against all since the last alarm.
    """

    def __init__(self, inner: Any, *, rises_only: bool = False) -> None:
        self._inner = inner
        self._rises_only = rises_only
        self._all = Welford()
        self._newest: deque[float] = deque(maxlen=NEWEST)
        self.rejected = 0
        self.drift_detected = False

    def update(self, value: Any) -> None:
        if not isinstance(value, int | float) or not math.isfinite(value):
            self.rejected += 1
            return
        before = self.value if self._rises_only else None
        self._inner.update(float(value))
        if self._rises_only and not self.drift_detected:
            self._all.add(float(value))
            self._newest.append(float(value))
        if self._inner.drift_detected and not (self._rises_only and self._has_fallen(before)):
            self.drift_detected = True

    def _has_fallen(self, before: float | None) -> bool:
        """Whether the values went down from what they were since the last alarm; what they were begins anew here."""
        now = self.value
        if before is None or now is None:
            before, now = self._all.mean, math.fsum(self._newest) / len(self._newest)
        self._all = Welford()
        self._newest.clear()
        return now < before

    @property
    def value(self) -> float | None:
        """ADWIN's mean of the current window; None for detectors that keep none."""
        estimation = getattr(self._inner, "estimation", None)
        return float(estimation) if estimation is not None else None


RIVER = {
    "adwin": "river.drift:ADWIN",
    "page_hinkley": "river.drift:PageHinkley",
    "kswin": "river.drift:KSWIN",
    "ddm": "river.drift.binary:DDM",
    "eddm": "river.drift.binary:EDDM",
    "fhddm": "river.drift.binary:FHDDM",
    "hddm_a": "river.drift.binary:HDDMA",
    "hddm_w": "river.drift.binary:HDDMW",
}
"""Where each is; imported when it is first asked for, since River takes a second."""
WINDOWS: dict[str, Callable[..., Any]] = {
    "window_mean": WindowMean,
    "population_stability": PopulationStability,
    "missing_rate": MissingRate,
    "scale_change": ScaleChange,
}


METHODS = ("update",)


def build(use: str, parameters: Mapping[str, Any], *, rises_only: bool = False, allowed: Packages = ()) -> Detector:
    """The detector `use` with `parameters`; see `Guarded` for `rises_only`.

    `use` is a name, or "package.module:Class" in a package of `allowed`. Raises ValueError for an unknown name or parameter, saying
    which are known.
    """
    try:
        if use in WINDOWS:
            window: Detector = WINDOWS[use](**parameters)
            return window
        return Guarded(_river(use, allowed)(**parameters), rises_only=rises_only)
    except TypeError as error:
        raise ValueError(f"detector {use!r}: {error}") from error


def _river(use: str, allowed: Packages) -> Callable[..., Any]:
    if ":" in use:
        try:
            return found(use, allowed, METHODS)
        except ImportRefused as error:
            raise ValueError(f"detector {error}") from error
    path = RIVER.get(use)
    if path is None:
        known = ", ".join(sorted([*RIVER, *WINDOWS]))
        raise ValueError(f"unknown detector {use!r}; expected one of {known}, or package.module:Class")
    module, _, name = path.partition(":")
    make: Callable[..., Any] = getattr(import_module(module), name)
    return make
