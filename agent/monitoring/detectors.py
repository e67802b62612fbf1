"""Detectors by name: River's, and the window tests of ours. River's go deaf for good on one NaN, so they are guarded."""

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol

from agent.monitoring.windows import MissingRate, PopulationStability, WindowMean


class Detector(Protocol):
    """Fed value by value; `drift_detected` says how it stands after the last."""

    drift_detected: bool

    def update(self, value: Any) -> Any: ...


class Guarded:
    """A River detector that meets finite numbers only; `rejected` counts what else came. An alarm stays until it is made anew."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.rejected = 0
        self.drift_detected = False

    def update(self, value: Any) -> None:
        if not isinstance(value, int | float) or not math.isfinite(value):
            self.rejected += 1
            return
        self._inner.update(float(value))
        self.drift_detected = self.drift_detected or bool(self._inner.drift_detected)

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
}


def build(use: str, parameters: Mapping[str, Any]) -> Detector:
    """The detector `use` (a name, or "package.module:Class") with `parameters`.

    Raises ValueError for an unknown name or parameter, saying which are known.
    """
    try:
        if use in WINDOWS:
            window: Detector = WINDOWS[use](**parameters)
            return window
        return Guarded(_river(use)(**parameters))
    except TypeError as error:
        raise ValueError(f"detector {use!r}: {error}") from error


def _river(use: str) -> Callable[..., Any]:
    path = RIVER.get(use, use)
    if ":" not in path:
        known = ", ".join(sorted([*RIVER, *WINDOWS]))
        raise ValueError(f"unknown detector {use!r}; expected one of {known}, or package.module:Class")
    module, _, name = path.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"detector {use!r} can not be imported: {error}") from error
    return found
