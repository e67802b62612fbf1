"""ModelMonitor: all that is watched of one model. Rows, requests and late labels go in; a Report, a Comparison and traffic come out.

1. A row waits for its label by key, at most `label_wait_s` and among at most ROWS_KEPT others; what is forgotten is counted.
2. Only rows that the champion answered to somebody reach the detectors.
3. What comes in is made sound or refused first (`agent.monitoring.intake`): a bad row costs itself only.
4. A row that both versions answered (a shadow copy) gives one paired difference of loss when its label is known, in whatever order the
   three come.

Has no clock; picklable whole.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.monitoring.comparison import ComparisonStatistics
from agent.monitoring.fitting import FittingLoss
from agent.monitoring.intake import LABEL, Intake
from agent.monitoring.moments import Welford
from agent.monitoring.rows import Answered, Labelled, Served
from agent.monitoring.sliding import SlidingTraffic
from agent.monitoring.watch import Watches
from agent.settings import DriftSettings
from policies.imports import Packages
from policies.observation import Comparison, Report, Traffic, known

ROWS_KEPT = 200_000
EARLY_LABELS_KEPT = 20_000
CONSTANT_ROWS = 100
"""Labels whose mean is a constant worth to be compared with."""
EARLY_LABEL_WAIT_S = 60.0
"""A label can overtake its row, since rows are sent in batches; one without a row after so long is of an unknown key."""


@dataclass(slots=True)
class _Row:
    at_s: float
    answered: float | None = None
    version: str | None = None
    shadow: float | None = None
    shadow_version: str | None = None
    label: float | None = None
    paired: bool = False


class ModelMonitor:
    """Watches one model. `stage` and `reset` tell it who serves; until then every row counts as the champion's.

    `seed` is for detectors that draw by chance.
    """

    def __init__(self, settings: DriftSettings, allowed: Packages = (), *, seed: int = 0) -> None:
        self._settings = settings
        self._allowed = allowed
        self._seed = seed
        self._intake = Intake()
        self._loss = FittingLoss(settings.loss)
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._early: OrderedDict[str, Labelled] = OrderedDict()
        self._traffic = SlidingTraffic()
        self._champion: str | None = None
        self._challenger: str | None = None
        self._share = 0.0
        self._comparison: ComparisonStatistics | None = None
        self._known_labels = Welford()
        self._labels_without_row = 0
        self.duplicate_labels = 0
        self.rejected_rows = 0
        self.forgotten_rows = 0
        self._clear()

    def _clear(self) -> None:
        self._watches = Watches(self._settings, self._allowed, loss=self._loss.name, seed=self._seed)
        self._seen_rows = 0
        self._clear_loss()

    def _clear_loss(self) -> None:
        self._labelled_rows = 0
        self._recent: list[float] = []
        self._reference: list[float] = []

    def reset(self, champion: str) -> None:
        """A new champion serves: detectors learn anew, with its first rows as the reference. The same champion again changes nothing."""
        if champion != self._champion:
            self._champion = champion
            self._intake.begin_anew()
            self._clear()

    def stage(self, challenger: str | None, share: float = 0.0) -> None:
        """A challenger came or went, or its share changed; the same again changes nothing.

        Arms are of the current stage, since another share is another load; pairs are of the whole rollout, since a row is a row.
        """
        if challenger != self._challenger:
            self._challenger = challenger
            self._comparison = ComparisonStatistics() if challenger is not None else None
        elif self._comparison is not None and share != self._share:
            self._comparison.next_stage()
        self._share = share

    def now(self, now_s: float) -> None:
        """What the clock says where rows come in; what is dated long after it is refused."""
        self._intake.now(now_s)

    def answered(self, requests: Iterable[Answered]) -> None:
        for request in requests:
            sound = self._intake.answer(request)
            if sound is not None:
                self._traffic.add(sound)

    def rows(self, batch: Iterable[Served]) -> list[Served]:
        """Take in what was answered; the rows that were taken, as they were."""
        taken = [sound for served in batch if (sound := self._intake.row(served)) is not None]
        for served in taken:
            self._compare_answer(served)
            if served.prediction is not None:
                self._answered(served, served.prediction)
        self._forget()
        return taken

    def _answered(self, served: Served, prediction: float) -> None:
        row = self._rows.get(served.key)
        if row is None:
            row = self._rows[served.key] = _Row(at_s=served.at_s)
        if served.shadow:
            row.shadow, row.shadow_version = prediction, served.version
        else:
            row.answered, row.version = prediction, served.version
            self._watch_row(served)
        early = self._early.pop(served.key, None)
        if early is not None:
            self._join(row, early.label)
        elif row.label is not None:
            self._pair(row)

    def labels(self, batch: Iterable[Labelled]) -> list[Labelled]:
        """Take in labels of rows that were or will be seen; those that were taken. One that is no finite number counts as unknown."""
        taken = []
        for each in batch:
            labelled = self._intake.label(each)
            if labelled is None:
                continue
            taken.append(labelled)
            row = self._rows.get(labelled.key)
            if row is None:
                self._early[labelled.key] = labelled
            elif row.label is not None:
                self.duplicate_labels += 1
            else:
                self._join(row, labelled.label)
            self._forget_early(labelled.at_s)
        return taken

    def report(self, at_s: float) -> Report:
        """How the model stands. `loss` and `loss_reference` are None until a window is full."""
        self._forget_early(at_s)
        window = self._settings.window_rows
        full = len(self._recent) >= window
        return Report(
            measured_at_s=at_s,
            version=self._champion,
            rows=self._seen_rows,
            labelled_rows=self._labelled_rows,
            loss_name=self._loss.name,
            loss=known(math.fsum(self._recent) / len(self._recent)) if full else None,
            loss_reference=known(math.fsum(self._reference) / window) if len(self._reference) >= window else None,
            window_rows=window,
            symptoms=self._watches.symptoms(),
            rejected_rows=self.rejected_rows,
            unknown_labels=self.unknown_labels,
            refused=self.refused,
        )

    @property
    def unknown_labels(self) -> int:
        """Labels that no row asked for, and those that are no finite number."""
        return self._labels_without_row + self._intake.refused[LABEL]

    @property
    def refused(self) -> dict[str, int]:
        """What could not be taken as it came, by reason."""
        return dict(sorted((self._intake.refused + self._loss.misfits + self._watches.failures()).items()))

    def comparison(self, at_s: float) -> Comparison | None:
        """Challenger beside champion, or None while there is no rollout."""
        return self._comparison.comparison(at_s) if self._comparison is not None else None

    def traffic(self, at_s: float) -> Mapping[str, Traffic]:
        """What each replica answered in the last seconds."""
        return self._traffic.traffic(at_s)

    def _compare_answer(self, served: Served) -> None:
        if self._comparison is None:
            return
        arm = self._comparison.challenger if served.version == self._challenger else self._comparison.champion
        arm.answered(served.latency_s, ok=served.prediction is not None)

    def _watch_row(self, served: Served) -> None:
        if self._champion is not None and served.version != self._champion:
            return
        self._seen_rows += 1
        for value in served.features.values():
            if value != value:  # noqa: PLR0124 - only NaN is not itself, and whatever else came in is sound
                self.rejected_rows += 1
                break
        self._watches.features(served.features, served.at_s)
        self._watches.stream("prediction", served.prediction, served.at_s)

    def _join(self, row: _Row, label: float) -> None:
        row.label = label
        if row.answered is not None and self._loss.note(row.answered, label):
            self._clear_loss()
            self._watches.of_loss(self._loss.name)
        loss = None if row.answered is None else self._loss.of(row.answered, label)
        if row.answered is not None and loss is not None:
            if self._champion is None or row.version == self._champion:
                # A symptom dates from the row, not from its late label: whoever trains on what came since then means rows.
                self._watch_loss(loss, row.at_s)
            if self._comparison is not None:
                challengers = row.version == self._challenger
                arm = self._comparison.challenger if challengers else self._comparison.champion
                arm.loss.add(loss)
                if challengers:
                    self._beside_constant(row.answered, label)
        self._pair(row)
        self._known_labels.add(label)

    def _beside_constant(self, prediction: float, label: float) -> None:
        """What the challenger said of one row, beside a model that knows nothing but the mean of the labels."""
        if self._comparison is not None and self._known_labels.n >= CONSTANT_ROWS:
            constant = self._known_labels.mean
            loss, constant_loss = self._loss.of(prediction, label), self._loss.of(constant, label)
            if loss is not None and constant_loss is not None:
                self._comparison.challenger_knew(
                    prediction, label, loss=loss, constant=constant, constant_loss=constant_loss
                )

    def _watch_loss(self, loss: float, at_s: float) -> None:
        self._labelled_rows += 1
        if len(self._reference) < self._settings.window_rows:
            self._reference.append(loss)
        self._recent.append(loss)
        if len(self._recent) > 2 * self._settings.window_rows:
            del self._recent[: -self._settings.window_rows]
        self._watches.stream("loss", loss, at_s)

    def _pair(self, row: _Row) -> None:
        if row.label is None or row.answered is None or row.shadow is None or row.paired:
            return
        if self._comparison is None or row.shadow_version != self._challenger:
            return
        challenger, champion = self._loss.of(row.shadow, row.label), self._loss.of(row.answered, row.label)
        if challenger is None or champion is None:
            return
        row.paired = True
        self._comparison.challenger.loss.add(challenger)
        self._comparison.paired.add(challenger - champion)
        self._beside_constant(row.shadow, row.label)

    def _forget(self) -> None:
        if not self._rows:
            return
        newest_s = next(reversed(self._rows.values())).at_s
        while self._rows:
            oldest = next(iter(self._rows.values()))
            if len(self._rows) <= ROWS_KEPT and newest_s - oldest.at_s <= self._settings.label_wait_s:
                return
            self._rows.popitem(last=False)
            self.forgotten_rows += oldest.label is None

    def _forget_early(self, at_s: float) -> None:
        while self._early:
            oldest = next(iter(self._early.values()))
            if len(self._early) <= EARLY_LABELS_KEPT and at_s - oldest.at_s <= EARLY_LABEL_WAIT_S:
                return
            self._early.popitem(last=False)
            self._labels_without_row += 1
