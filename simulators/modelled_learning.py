"""Models whose accuracy is a formula: versions, drift, labels that come late, and what monitors would say of them.

The expected loss of a version at a moment is

    base + sum over the changes of the world so far of harm * (1 - known)

where `known` is how well the version knows the concept of that moment, by the rows that it was trained on. What is observed is that plus
normal noise of the rows that were labelled. The detector of error is the agent's own (River's ADWIN), fed with one mean per look.
"""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from agent.monitoring import detectors
from agent.monitoring.detectors import Detector
from policies.observation import Moments, Report, Symptom
from simulators.changes import Change, Span, within
from simulators.learning import FIRST, Answers, Learning, Losses, Made, SimModel, seed_of
from simulators.sums import Batches, pooled

RECOVERED_WINDOWS = 2
"""A fall in performance is taken back after so many windows of rows without it, as by `agent.monitoring.windows`."""
DETECTORS = {"error_drift": "adwin", "performance": "window_mean"}
PAIRED_NOISE = 0.5
"""Losses on the same rows are alike: the noise of their difference, as a part of the noise of one."""
ALIKE = 1.0 - PAIRED_NOISE**2 / 2.0
"""The correlation of two such losses: the variance of their difference is 2 (1 - ALIKE) times that of one."""
BIN_S = 60.0
"""Rows are remembered by bins of so long, so that a training knows how many came when."""


@dataclass(frozen=True, kw_only=True)
class ModelledLearning(Learning):
    """Losses are per row; `noise` is the standard deviation of one row's loss."""

    base_loss: float = 0.1
    noise: float = 0.2
    loss_name: str = "brier"
    window_rows: int = 2000
    rows_needed: int = 5000
    """Rows of a concept that teach a version all of it."""
    detection_delay_s: float = 60.0
    """Until a shift of features, or broken rows, show in the monitors."""
    delta: float = 0.002
    """ADWIN's."""
    performance_rise: float = 0.05
    """Performance has fallen when the loss of a window is above that of the first by this part of it, and by more than chance."""

    def model(self, name: str, seed: np.random.SeedSequence) -> "ModelledModel":
        return ModelledModel(name, self, seed)


@dataclass(frozen=True, kw_only=True)
class Known:
    """How well a version knows each change's new concept and the old one, 0 to 1; `extra` is what it loses on top of all."""

    new: tuple[float, ...]
    old: tuple[float, ...]
    extra: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """Rows whose labels are still to come: of the champion, those of them that the challenger got a copy of, and the challenger's own."""

    at_s: float
    champion: str
    challenger: str | None
    rows: int
    copied: int
    theirs: int


class ModelledModel(SimModel):
    """See `simulators.learning.SimModel`."""

    learning: ModelledLearning

    def __init__(self, name: str, learning: ModelledLearning, seed: np.random.SeedSequence) -> None:
        self._labels = np.random.default_rng(seed_of(seed, "labels"))
        self._noise = np.random.default_rng(seed_of(seed, "noise"))
        self._beside = np.random.default_rng(seed_of(seed, "challengers"))
        begun = [change.is_new(0.0) for change in learning.changes]
        self._fresh = Known(new=tuple(map(float, begun)), old=tuple(float(not each) for each in begun))
        self._known: dict[str, Known] = {}
        self._waiting: deque[_Waiting] = deque()
        self._learnable = RowsByTime()
        self._frozen_total = 0.0
        self._since: dict[tuple[str, str], float] = {}
        self._paired = self._champion_loss = self._challenger_loss = Moments()
        self._compared: str | None = None
        self._clear(learning)
        super().__init__(name, learning, seed, Made())

    def _clear(self, learning: ModelledLearning) -> None:
        # Each value is the mean of many rows already: there is no reason to look at every 32nd only.
        self._detector: Detector = detectors.build("adwin", {"delta": learning.delta, "clock": 1}, rises_only=True)
        self._batches = Batches(learning.window_rows)
        self._reference: float | None = None
        self._rows = self._labelled_rows = self._well_rows = 0
        self._since = {key: since_s for key, since_s in self._since.items() if key[0] == "data_quality"}

    def _begin_anew(self) -> None:
        self._clear(self.learning)

    # -- the truth -----------------------------------------------------------------------------------------------

    def true_loss(self, version: str, at_s: float) -> float:
        """Expected loss of one row that `version` answers at `at_s`."""
        known = self._known[version]
        harms = (_harm(*each, at_s) for each in zip(self.learning.changes, known.new, known.old, strict=True))
        return self.learning.base_loss + known.extra + sum(harms)

    @property
    def frozen_total(self) -> float:
        return self._frozen_total

    def loss_now(self, at_s: float) -> float:
        return self.true_loss(self.champion.number, at_s)

    # -- trainings -----------------------------------------------------------------------------------------------

    def _gather(self, at_s: float, since_s: float | None, rows_max: int | None) -> tuple[Span, int]:
        newest_s = self._learnable.newest_s
        oldest_s = min(since_s if since_s is not None else 0.0, newest_s)
        if rows_max is not None:
            oldest_s = max(oldest_s, self._learnable.since(newest_s, rows_max))
        return (oldest_s, newest_s), self._rows_of(self._kept(oldest_s, newest_s))

    def _rows_of(self, spans: list[Span]) -> int:
        """Labelled rows in `spans`."""
        return int(sum(self._learnable.between(*span) for span in spans))

    def _fit(self, at_s: float) -> Made:
        rows = self._rows_of(self.job_spans)
        both = [self._learned_of(change, rows) for change in self.learning.changes]
        poison = sum(self._poison(change, rows) for change in self.learning.changes)
        self._fresh = Known(new=tuple(new for new, _ in both), old=tuple(old for _, old in both), extra=poison)
        return Made()

    def _learned_of(self, change: Change, rows: int) -> tuple[float, float]:
        """(of the new concept, of the old one): what the rows of the job teach.

        Concepts that take turns contradict each other: a version that saw both knows each by its part of the rows only.
        """
        needed, new = self.learning.rows_needed, self._rows_of(within(self.job_spans, change))
        if change.kind == "harmful":
            return min(1.0, new / needed), 1.0
        if change.kind == "recurring" and rows:
            return new / rows * min(1.0, new / needed), (rows - new) / rows * min(1.0, (rows - new) / needed)
        return 0.0, 1.0

    def _poison(self, change: Change, rows: int) -> float:
        """The part of the job's rows that are broken, times the harm."""
        if change.kind != "incident" or not rows:
            return 0.0
        return change.harm * self._rows_of(within(self.job_spans, change)) / rows

    def _registered(self, number: str) -> None:
        made = self._fresh
        defect = self.learning.bad_versions.get(int(number), 0.0)
        self._known[number] = Known(new=made.new, old=made.old, extra=made.extra + defect)

    # -- rows and labels -----------------------------------------------------------------------------------------

    def _take(self, answers: Answers) -> None:
        middle_s = (answers.since_s + answers.at_s) / 2.0
        challenger = self.rollout.version if self.rollout is not None else None
        self._rows += answers.champion
        self._lose(answers, challenger, middle_s)
        rows, copied, theirs = (
            self._labelled(each)
            for each in (answers.champion, min(answers.copies, answers.champion), answers.challenger)
        )
        if rows + theirs:
            self._waiting.append(
                _Waiting(
                    at_s=middle_s,
                    champion=self.champion.number,
                    challenger=challenger,
                    rows=rows,
                    copied=min(copied, rows) if challenger is not None else 0,
                    theirs=theirs if challenger is not None else 0,
                )
            )
        while self._waiting and self._is_due(self._waiting[0].at_s, answers.at_s):
            due = self._waiting.popleft()
            refused = self.labels_lost or self.labels_wild
            self._learnable.add(due.at_s, 0 if refused else due.rows + due.theirs)
            if not refused:
                self._learn_truth(due)
        self._look_at_features(answers.at_s)

    def _lose(self, answers: Answers, challenger: str | None, at_s: float) -> None:
        self.loss_rows += answers.rows
        self.loss_total += answers.champion * self.true_loss(self.champion.number, at_s)
        self.loss_total += answers.challenger * self.true_loss(challenger or self.champion.number, at_s)
        self._frozen_total += answers.rows * self.true_loss(FIRST, at_s)

    def _labelled(self, rows: int) -> int:
        """How many of `rows` will get a label."""
        share = self.learning.label_share
        return int(self._labels.binomial(rows, share)) if share < 1 else rows

    def _learn_truth(self, rows: _Waiting) -> None:
        """The labels of `rows` have come: to the monitors, where the champion is the one that answered them, and to the rollout."""
        truth = self.true_loss(rows.champion, rows.at_s)
        alone = rows.rows - rows.copied
        on_copied = self._drawn(self._noise, rows.copied)
        mean = truth + (alone * self._drawn(self._noise, alone) + rows.copied * on_copied) / max(1, rows.rows)
        if rows.rows and rows.champion == self.champion.number:
            self._watch(rows.rows, mean, rows.at_s)
        if rows.challenger is None or self._compared != rows.challenger:
            return
        beside = self.true_loss(rows.challenger, rows.at_s)
        # Two losses on one row vary together: the challenger's noise is the champion's, and a little of its own.
        own = math.sqrt(1.0 - ALIKE**2) * self._drawn(self._beside, rows.copied)
        on_copies = beside + ALIKE * on_copied + own
        on_theirs = beside + self._drawn(self._beside, rows.theirs)
        noise = self.learning.noise
        self._champion_loss = pooled(self._champion_loss, rows.rows, mean, noise)
        self._challenger_loss = pooled(self._challenger_loss, rows.copied, on_copies, noise)
        self._challenger_loss = pooled(self._challenger_loss, rows.theirs, on_theirs, noise)
        difference = on_copies - truth - on_copied
        self._paired = pooled(self._paired, rows.copied, difference, noise * PAIRED_NOISE)

    def _drawn(self, stream: np.random.Generator, rows: int) -> float:
        """The noise of the mean loss of so many rows; one number is drawn also for none, so that a rollout shifts no later noise."""
        return float(stream.normal()) * self.learning.noise / math.sqrt(max(1, rows))

    # -- monitors ------------------------------------------------------------------------------------------------

    def _watch(self, rows: int, mean: float, at_s: float) -> None:
        self._labelled_rows += rows
        self._batches.add(rows, mean)
        if self._reference is None and self._batches.full:
            self._reference = self._batches.mean
        self._detector.update(mean)
        if self._detector.drift_detected and self._reference is not None:
            self._since.setdefault(("error_drift", "loss"), at_s)
        self._judge_performance(rows, at_s)

    def _judge_performance(self, rows: int, at_s: float) -> None:
        """The window's mean loss against the first window's, as `agent.monitoring.windows.WindowMean` has it."""
        if self._reference is None or not self._batches.full:
            return
        chance = 4.0 * self.learning.noise * math.sqrt(2.0 / self.learning.window_rows)
        least = max(chance, self.learning.performance_rise * abs(self._reference))
        if self._batches.mean - self._reference > least:
            self._well_rows = 0
            self._since.setdefault(("performance", "loss"), at_s)
            return
        self._well_rows += rows
        if self._well_rows >= RECOVERED_WINDOWS * self.learning.window_rows:
            self._since.pop(("performance", "loss"), None)

    def _look_at_features(self, at_s: float) -> None:
        """Symptoms of broken rows and of features that moved, each for as long as the change lasts."""
        seen_s = at_s - self.learning.detection_delay_s
        lasting = [each for each in self.learning.changes if each.lasts(seen_s)]
        broken = [each for each in lasting if each.kind == "incident"]
        moved = [e for e in lasting if e.kind in {"harmful", "harmless"} and e.at_s > self.champion_since_s]
        if broken:
            self._since.setdefault(("data_quality", "rows"), min(each.at_s for each in broken))
        else:
            self._since.pop(("data_quality", "rows"), None)
        if moved:
            self._since.setdefault(("feature_drift", "features"), at_s)
        else:
            self._since.pop(("feature_drift", "features"), None)

    def _stage(self) -> None:
        challenger = self.rollout.version if self.rollout is not None else None
        if challenger != self._compared:
            self._compared, self._paired = challenger, Moments()
        self._champion_loss = self._challenger_loss = Moments()

    def _losses(self, at_s: float) -> Losses:
        return Losses(self._champion_loss, self._challenger_loss, self._paired)

    def _report(self, at_s: float) -> Report:
        loss = self._batches.mean if self._batches.full else None
        return Report(
            measured_at_s=at_s,
            version=self.champion.number,
            rows=self._rows,
            labelled_rows=self._labelled_rows,
            loss_name=self.learning.loss_name,
            loss=loss,
            loss_reference=self._reference,
            window_rows=self.learning.window_rows,
            symptoms=tuple(
                Symptom(
                    kind=kind, signal=signal, detector=DETECTORS.get(kind, "modelled"),
                    since_s=since_s, value=loss, threshold=self._reference, n=self._batches.rows,
                )
                for (kind, signal), since_s in sorted(self._since.items())
            ),
        )  # fmt: skip


def _harm(change: Change, new: float, old: float, at_s: float) -> float:
    """What a version that knows the new and the old concept so well loses by `change` at `at_s`."""
    match change.kind:
        case "harmful":
            return change.harm * (1.0 - new) if change.lasts(at_s) else 0.0
        case "recurring":
            return change.harm * (1.0 - (new if change.is_new(at_s) else old))
        case "season":
            return change.harm * change.height(at_s)
        case "incident":
            return change.harm if change.lasts(at_s) else 0.0
        case _:
            return 0.0


@dataclass
class RowsByTime:
    """How many rows came until when, remembered to the minute."""

    _until_s: list[float] = field(default_factory=lambda: [0.0])
    _rows: list[float] = field(default_factory=lambda: [0.0])

    def add(self, at_s: float, rows: int) -> None:
        """`rows` more until `at_s`, which never goes back."""
        total = self._rows[-1] + rows
        if len(self._until_s) > 1 and self._until_s[-1] - self._until_s[-2] < BIN_S:
            self._until_s[-1], self._rows[-1] = at_s, total
        else:
            self._until_s.append(at_s)
            self._rows.append(total)

    @property
    def newest_s(self) -> float:
        return self._until_s[-1]

    def between(self, since_s: float, until_s: float) -> float:
        early, late = np.interp([since_s, until_s], self._until_s, self._rows)
        return float(late - early)

    def since(self, until_s: float, rows: float) -> float:
        """Since when the `rows` rows before `until_s` came; 0 where there are not so many."""
        left = float(np.interp(until_s, self._until_s, self._rows)) - rows
        return float(np.interp(left, self._rows, self._until_s)) if left > 0 else 0.0
