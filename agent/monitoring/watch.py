"""Watch: one detector on one signal, and the symptom that it stands for. Watches: all of a model's."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from agent.monitoring.detectors import WINDOWS, Detector, build, seed_of
from agent.monitoring.feeds import Feed, Scaled
from agent.monitoring.losses import OF_NUMBERS
from agent.monitoring.signals import EVERY, LOSS, OWN, PREDICTION, apart, means
from agent.settings import DriftSettings, MonitorSettings
from policies.imports import Packages
from policies.observation import Symptom

DEFAULT_MONITORS = (
    MonitorSettings(kind="error_drift", use="adwin", signal="loss", parameters={"delta": 1e-6}),
    MonitorSettings(kind="performance", use="window_mean", signal="loss"),
    MonitorSettings(kind="prediction_drift", use="adwin", signal="prediction", parameters={"delta": 1e-6}),
    MonitorSettings(kind="feature_drift", use="adwin", signal="*", parameters={"delta": 1e-8}),
    MonitorSettings(kind="feature_drift", use="population_stability", signal="*"),
    MonitorSettings(kind="data_quality", use="missing_rate", signal="*"),
)
NUMERIC_ONLY = {"population_stability": False, "missing_rate": None}
"""Which features a detector on "*" is put on: numbers (default, True), text (False), or all (None)."""
WINDOWED = {"window_mean", "population_stability", "missing_rate", "scale_change"}
"""Window tests that take the window of the settings, where they are given none of their own."""


MARKS = 16
"""How finely the time of the values is remembered over which an alarm reaches back."""


class Watch:
    """Feeds its detector and remembers since when it alarms.

    Broken rows are dated back to the first of the values that the alarm speaks of: what is set aside must hold them all. Other alarms
    date from the value at which they came, since what is learned from then on must be of the new times. An alarm that is taken back and
    comes again is another one.
    """

    def __init__(
        self,
        settings: MonitorSettings,
        signal: str,
        parameters: Mapping[str, Any],
        allowed: Packages = (),
        *,
        loss: str | None,
        seed: int = 0,
    ) -> None:
        self.kind = settings.kind
        self.signal = signal
        self.use = settings.use
        # A loss that falls is no error that drifts: there is nothing to mend.
        self._detector: Detector = build(
            settings.use,
            parameters,
            rises_only=settings.kind == "error_drift",
            feed=_feed(settings.use, signal, loss),
            loss=loss if signal == LOSS else None,
            seed=seed_of(seed, settings.kind, signal, settings.use),
            allowed=allowed,
        )
        self._reach = getattr(self._detector, "reach", 0) if settings.kind == "data_quality" else 0
        self._mark_every = max(1, self._reach // MARKS)
        self._marks_s: deque[float] = deque(maxlen=1 + self._reach // self._mark_every)
        self._n = 0
        self._since_s: float | None = None
        self._reference: float | None = None

    def update(self, value: Any, at_s: float) -> None:
        if self._reach and self._n % self._mark_every == 0:
            self._marks_s.append(at_s)
        self._n += 1
        detector = self._detector
        detector.update(value)
        if not detector.drift_detected:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = self._marks_s[0] if self._reach else at_s

    @property
    def failures(self) -> int:
        """How often the detector raised."""
        return int(getattr(self._detector, "failures", 0))

    def symptom(self) -> Symptom | None:
        if self._since_s is None:
            return None
        return Symptom(
            kind=self.kind,
            signal=self.signal,
            detector=self.use,
            since_s=self._since_s,
            value=_finite(getattr(self._detector, "value", None)),
            threshold=_finite(getattr(self._detector, "threshold", None)),
            n=self._n,
        )


class Watches:
    """The watches on loss and prediction, and on each feature as features show up."""

    def __init__(
        self, settings: DriftSettings, allowed: Packages = (), *, loss: str | None = None, seed: int = 0
    ) -> None:
        self._settings = settings
        self._loss = loss
        self._allowed = allowed
        self._seed = seed
        self._monitors = DEFAULT_MONITORS if settings.monitors is None else settings.monitors
        self._streams: dict[str, list[Watch]] = {LOSS: [], PREDICTION: []}
        self._features: dict[str, tuple[type, list[Watch]]] = {}
        """Whether a feature is a number or a text, by what it was first, and what watches it."""
        for monitor in self._monitors:
            if monitor.signal in self._streams:
                self._streams[monitor.signal].append(self._watch(monitor, monitor.signal))

    def of_loss(self, loss: str | None) -> None:
        """Another loss is taken from now on: what watches it begins anew."""
        self._loss = loss
        watched = [monitor for monitor in self._monitors if monitor.signal == LOSS]
        self._streams[LOSS] = [self._watch(monitor, LOSS) for monitor in watched]

    def stream(self, signal: str, value: float | None, at_s: float) -> None:
        """One value of "loss" or "prediction"."""
        for watch in self._streams[signal]:
            watch.update(value, at_s)

    def features(self, features: Mapping[str, Any], at_s: float) -> None:
        watched = self._features
        for name, value in features.items():
            found = watched.get(name)
            if found is None:
                if value is None:
                    continue  # whether it is a number or a text is not known yet
                found = watched[name] = (
                    float if isinstance(value, int | float) else str,
                    self._for_feature(name, value),
                )
            kind, watches = found
            if type(value) is not kind:  # of most values it is that very kind
                value = _of_its_kind(value, numeric=kind is float)  # noqa: PLW2901
            for watch in watches:
                watch.update(value, at_s)
        if len(features) < len(watched):
            for name in watched.keys() - features.keys():
                for watch in watched[name][1]:
                    watch.update(None, at_s)

    def symptoms(self) -> tuple[Symptom, ...]:
        found = (watch.symptom() for watch in self._all())
        return tuple(symptom for symptom in found if symptom is not None)

    def failures(self) -> Counter[str]:
        """How often a detector raised, in words that name it."""
        found: Counter[str] = Counter()
        for watch in self._all():
            if watch.failures:
                found[f"detector {watch.use} raised on a value of {watch.signal}, and began anew"] += watch.failures
        return found

    def _watch(self, monitor: MonitorSettings, signal: str) -> Watch:
        parameters = self._parameters(monitor)
        return Watch(monitor, signal, parameters, self._allowed, loss=self._loss, seed=self._seed)

    def _all(self) -> Iterable[Watch]:
        for watches in (*self._streams.values(), *(watches for _, watches in self._features.values())):
            yield from watches

    def _for_feature(self, name: str, value: Any) -> list[Watch]:
        numeric = isinstance(value, int | float)
        chosen = []
        for monitor in self._monitors:
            wanted = NUMERIC_ONLY.get(monitor.use, True)
            fits = wanted is None or wanted == numeric
            if means(monitor.signal, name) or (monitor.signal == EVERY and fits):
                chosen.append(self._watch(monitor, apart(name, OWN)))
        return chosen

    def _parameters(self, monitor: MonitorSettings) -> dict[str, Any]:
        window = {"window": self._settings.window_rows} if monitor.use in WINDOWED else {}
        return {**window, **monitor.parameters}


def _feed(use: str, signal: str, loss: str | None) -> Feed | None:
    """Features, and what is no probability, have units of their own."""
    if use in WINDOWS:
        return None
    if signal == PREDICTION:
        return Scaled(unless_part=True)
    if signal == LOSS:
        return Scaled(unless_part=True) if loss in OF_NUMBERS else None
    return Scaled()


def _of_its_kind(value: Any, *, numeric: bool) -> Any:
    """A feature stays what it was first seen as: what is no number among numbers is missing, a number among texts is a text."""
    if numeric:
        return value if isinstance(value, int | float) else None
    return value if value is None else str(value)


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
