"""Detectors by name: River's, and the window tests of ours.

River's go deaf for good on one NaN, alarm for one value only, and some are made for right and wrong alone, so they are guarded.
"""

import inspect
import math
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Protocol

import structlog

from agent.monitoring import limits
from agent.monitoring.coming_back import Away, Before
from agent.monitoring.feeds import Errors, Feed
from agent.monitoring.losses import PARTS, WRONG_ABOVE
from agent.monitoring.values import number
from agent.monitoring.windows import MissingRate, PopulationStability, ScaleChange, WindowMean
from policies.imports import ImportRefused, Packages, found
from policies.parameters import meant

log = structlog.get_logger()


class Detector(Protocol):
    """Fed value by value; `drift_detected` says how it stands after the last."""

    drift_detected: bool

    def update(self, value: Any) -> Any: ...


class Guarded:
    """A detector of River, or of a user's own, that meets finite numbers only.

    1. `rejected` counts what is no finite number, and is not fed.
    2. An alarm stays until the signal has come back to what it was before; then the detector begins anew.
    3. Detectors of change alarm on a fall as well; with `rises_only` the alarm of a fall is not passed on, for a signal of which less is
       better. The direction is that of ADWIN's mean across its cut, and else of the newest values against all since the last fall.
    4. One that raises costs no row: it begins anew, and `failures` counts it.
    """

    def __init__(self, make: Callable[[], Any], *, rises_only: bool = False, feed: Feed | None = None) -> None:
        self._make = make
        self._inner = make()
        self._feed = feed
        self._rises_only = rises_only
        self._before = Before()
        self._away: Away | None = None
        self.drift_detected = False
        self.rejected = 0
        self.failures = 0

    def update(self, value: Any) -> None:
        found = value if type(value) is float else number(value)
        if found is None or not math.isfinite(found):
            self.rejected += 1
            return
        feed = self._feed
        if feed is None:
            self._take(found)
        elif feed.learning:
            for each in feed.learn(found):
                self._take(each)
        else:
            self._take(feed.of(found))

    def _take(self, value: float) -> None:
        mean = self._mean if self._rises_only else None
        try:
            self._inner.update(value)
            alarms = self._inner.drift_detected
        except Exception as error:  # a detector may be a user's own
            log.warning(
                "detector_failed", detector=type(self._inner).__name__, reason=f"{type(error).__name__}: {error}"
            )
            self.failures += 1
            self._inner, alarms = self._make(), False
        if self._away is not None:
            if self._away.back(value, falls_count=self._rises_only):
                self._away, self._inner, self.drift_detected = None, self._make(), False
            return
        self._before.add(value)
        if not alarms:
            return
        if self._rises_only and self._has_fallen(mean):
            self._before = Before()
        else:
            self._away = self._before.alarmed(int(getattr(self._inner, "width", 0)))
            self.drift_detected = True

    def _has_fallen(self, before: float | None) -> bool:
        """Whether the values went down from what they were."""
        now = self._mean
        if before is None or now is None:
            before, now = self._before.mean, self._before.newest
        return before is not None and now is not None and now < before

    @property
    def _mean(self) -> float | None:
        """ADWIN's mean of the current window; None for detectors that keep none."""
        estimation = getattr(self._inner, "estimation", None)
        return float(estimation) if estimation is not None else None

    @property
    def value(self) -> float | None:
        """ADWIN's mean of the current window, in units of the signal; None for detectors that keep none."""
        mean = self._mean
        return mean if mean is None or self._feed is None else self._feed.unfed(mean)


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


def build(
    use: str,
    parameters: Mapping[str, Any],
    *,
    rises_only: bool = False,
    feed: Feed | None = None,
    loss: str | None = None,
    seed: int = 0,
    allowed: Packages = (),
) -> Detector:
    """The detector `use` with `parameters`; see `Guarded` for `rises_only`.

    `use` is a name, or "package.module:Class" in a package of `allowed`. `feed` stands between a signal and a detector of River. `loss` is
    the name of the loss that is fed; a detector of right and wrong is fed whether it was wrong. A detector that has a `seed` and is given
    none gets `seed`. Raises ValueError for an unknown name or parameter, saying which are known.
    """
    wrong = limits.fault(use, parameters)
    if wrong is not None:
        raise ValueError(f"detector {use!r}: {': '.join(wrong)}")
    if use in WINDOWS:
        window: Detector = WINDOWS[use](**parameters)
        return window
    kind = _river(use, allowed)
    given = limits.completed(use, parameters)
    given = {"seed": seed, **given} if _has_seed(kind) else given
    try:
        make: Callable[[], Any] = partial(_Turned, kind, given) if use == "fhddm" else partial(kind, **given)
        made = make()
    except Exception as error:  # a detector may be a user's own
        raise ValueError(f"detector {use!r} can not be made: {type(error).__name__}: {error}") from error
    if not callable(getattr(made, "update", None)) or not hasattr(made, "drift_detected"):
        raise ValueError(
            f"detector {use!r}: a {type(made).__name__} has no update and drift_detected, as River's detectors have"
        )
    if use in limits.RIGHT_OR_WRONG or (use in limits.PARTS_ONLY and loss not in PARTS):
        feed = Errors(WRONG_ABOVE.get(loss or ""))
    return Guarded(make, rises_only=rises_only, feed=feed)


class _Turned:
    """FHDDM counts what is right, whatever its documentation says."""

    def __init__(self, kind: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
        self._inner = kind(**parameters)

    def update(self, value: float) -> None:
        self._inner.update(1.0 - value)

    @property
    def drift_detected(self) -> bool:
        return bool(self._inner.drift_detected)


def seed_of(seed: int, *names: str) -> int:
    """A seed of its own for each detector: no two draw alike, and the same one draws the same in every run."""
    return zlib.crc32("\x00".join(names).encode("utf-8", "replace"), seed & 0xFFFFFFFF)


def _has_seed(made: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(made).parameters
    except (TypeError, ValueError):
        return False


def _river(use: str, allowed: Packages) -> Callable[..., Any]:
    if ":" in use:
        try:
            return found(use, allowed, METHODS)
        except ImportRefused as error:
            raise ValueError(f"detector {error}") from error
    path = RIVER.get(use)
    if path is None:
        known = ", ".join(sorted([*RIVER, *WINDOWS]))
        near = meant(use, [*RIVER, *WINDOWS])
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"unknown detector {use!r}; expected one of {known}, or package.module:Class{hint}")
    module, _, name = path.partition(":")
    make: Callable[..., Any] = getattr(import_module(module), name)
    return make
