"""Models whose accuracy is a formula: versions, drift, labels that come late, retrainings, and what monitors would say of them.

The expected loss of a version at a moment is

    base + sum over the changes of the world so far of harm * (1 - learned)

where `learned` is the part of the rows that a change needs, which the version was trained on. What is observed is that plus normal noise
of the rows that were labelled. Detectors are the agent's own (River's ADWIN), fed with one mean per tick.
"""

import hashlib
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from agent.monitoring import detectors
from policies.observation import (
    Arm,
    Comparison,
    JobState,
    Model,
    Moments,
    Quarantined,
    Report,
    Resources,
    Rollout,
    Symptom,
    TrainingJob,
    Version,
)

RECOVERED_WINDOWS = 2
"""A fall in performance is taken back after so many windows of rows without it, as by `agent.monitoring.windows`."""
ChangeKind = Literal["harmful", "harmless", "incident", "season"]
DETECTORS = {"error_drift": "adwin", "performance": "window_mean"}
PAIRED_NOISE = 0.5
"""Losses on the same rows are alike: the noise of their difference, as a part of the noise of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to the world of a model between `at_s` and `until_s`.

    harmful   versions that have not learned it lose `harm` more
    harmless  the features move, the loss does not
    incident  rows are broken: every version loses `harm` more, and what is trained on such rows stays worse by it
    season    the loss of every version goes up by `harm` and down again, once in `until_s` - `at_s`
    """

    kind: ChangeKind
    at_s: float
    until_s: float = math.inf
    harm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How a model learns. Losses are per row; `noise` is the standard deviation of one row's loss."""

    base_loss: float = 0.1
    noise: float = 0.2
    loss_name: str = "brier"
    label_delay_s: float = 600.0
    label_share: float = 1.0
    """The part of the rows whose label ever comes."""
    window_rows: int = 2000
    rows_needed: int = 5000
    """Rows after a change that teach a version all of it."""
    detection_delay_s: float = 60.0
    """Until a shift of features, or broken rows, show in the monitors."""
    delta: float = 0.002
    """ADWIN's."""
    performance_rise: float = 0.05
    """Performance has fallen when the loss of a window is above that of the first by this part of it, and by more than chance."""
    trials: int = 8
    concurrent_trials: int = 2
    trial_s: float = 60.0
    trial_resources: Resources = field(default_factory=lambda: Resources(cpus=1.0))
    swap_s: float = 1.0
    """Until every replica has loaded a version that it was told to serve."""
    changes: tuple[Change, ...] = ()
    bad_versions: Mapping[int, float] = field(default_factory=dict)
    """Number of a version that a training will make -> loss that it has on top, as by a defect of the pipeline."""
    crashing_versions: frozenset[int] = frozenset()
    """Numbers of versions whose replicas do not start."""

    @property
    def job_resources(self) -> Resources:
        times = self.concurrent_trials
        return Resources(cpus=self.trial_resources.cpus * times, gpus=self.trial_resources.gpus * times)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A version, and what only the simulator knows of it."""

    version: Version
    learned: tuple[float, ...]
    """For each change of the world, how much of it this version has learned."""
    extra_loss: float = 0.0
    poisoned: float = 0.0
    crashes: bool = False


class Batches:
    """Sums over the newest rows, a batch a tick."""

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
        self._batches: deque[tuple[int, float]] = deque()
        self.rows = 0
        self.total = 0.0

    def add(self, rows: int, mean: float) -> None:
        self._batches.append((rows, mean * rows))
        self.rows += rows
        self.total += mean * rows
        while self._batches and self.rows - self._batches[0][0] >= self._rows_max:
            old, total = self._batches.popleft()
            self.rows -= old
            self.total -= total

    @property
    def mean(self) -> float | None:
        return self.total / self.rows if self.rows else None


def moments(found: Moments, n: int, mean: float, deviation: float) -> Moments:
    """`found` with `n` more samples of `mean` and standard deviation `deviation`."""
    total = found.n + n
    if n == 0:
        return found
    shift = mean - found.mean
    between = shift * shift * found.n * n / total
    within = found.variance * max(0, found.n - 1) + deviation * deviation * max(0, n - 1)
    variance = (within + between) / (total - 1) if total > 1 else 0.0
    return Moments(n=total, mean=found.mean + shift * n / total, variance=variance)


class SimModel:
    """One managed model: its versions, its rollout, its training and its monitors. The world moves it; it moves nothing else."""

    def __init__(self, name: str, learning: Learning, stream: np.random.Generator) -> None:
        self.name = name
        self.learning = learning
        self._stream = stream
        self._detector = detectors.build("adwin", {"delta": learning.delta})
        self._batches = Batches(learning.window_rows)
        self._reference: float | None = None
        self._since: dict[tuple[str, str], float] = {}
        self._well_rows = 0
        """Labelled rows since performance was last found to have fallen."""
        self._unlabelled: deque[tuple[float, int]] = deque()
        self.rows = 0
        self.labelled_rows = 0
        self.labels_away = False
        self.registry_away = False
        self.versions: dict[str, Trained] = {}
        self.champion = self._register(0.0, tuple(1.0 for _ in learning.changes if _.at_s <= 0.0), "first").version
        self.previous: Version | None = None
        self.champion_since_s = 0.0
        self.candidates: tuple[Version, ...] = ()
        self.rollout: Rollout | None = None
        self.job: TrainingJob | None = None
        self.job_rows: tuple[float, float] = (0.0, 0.0)
        self.job_spans: list[tuple[float, float]] = []
        """The parts of `job_rows` that the job takes: what was set aside when it began is left out."""
        self.quarantined: tuple[Quarantined, ...] = ()
        self.promotions: list[tuple[float, str, int]] = []
        self.rollbacks = 0
        self.trainings: list[tuple[float, float, float]] = []
        """(when it ended, since when and until when its rows are)."""
        self.loss_rows = 0
        self.loss_total = 0.0

    # -- the truth -----------------------------------------------------------------------------------------------

    def true_loss(self, version: str, at_s: float) -> float:
        """Expected loss of one row that `version` answers at `at_s`."""
        trained = self.versions[version]
        total = self.learning.base_loss + trained.extra_loss + trained.poisoned
        for change, learned in zip(self.learning.changes, self._padded(trained.learned), strict=True):
            if change.at_s <= at_s < change.until_s:
                total += _harm(change, learned, at_s)
        return total

    def _padded(self, learned: tuple[float, ...]) -> tuple[float, ...]:
        return (*learned, *(0.0 for _ in range(len(self.learning.changes) - len(learned))))

    def _register(self, at_s: float, learned: tuple[float, ...], source: str, poisoned: float = 0.0) -> Trained:
        number = len(self.versions) + 1
        digest = hashlib.sha256(f"{self.name}/{number}".encode()).hexdigest()
        trained = Trained(
            version=Version(number=str(number), digest=digest, created_at_s=at_s, recipe="simulated", source=source),
            learned=learned,
            extra_loss=self.learning.bad_versions.get(number, 0.0),
            poisoned=poisoned,
            crashes=number in self.learning.crashing_versions,
        )
        self.versions[str(number)] = trained
        return trained

    # -- rows and labels -----------------------------------------------------------------------------------------

    def answered(self, rows: int, at_s: float) -> None:
        """`rows` were answered until `at_s`, since the last time that this was said."""
        self.rows += rows
        self.loss_rows += rows
        self.loss_total += rows * self._served_loss(at_s)
        labelled = self._stream.binomial(rows, self.learning.label_share) if self.learning.label_share < 1 else rows
        self._unlabelled.append((at_s, int(labelled)))
        due = 0
        while self._unlabelled and self._unlabelled[0][0] <= at_s - self.learning.label_delay_s:
            if self.labels_away:
                break
            due += self._unlabelled.popleft()[1]
        if due:
            self._labelled(due, at_s)
        self._look_at_features(at_s)

    def _served_loss(self, at_s: float) -> float:
        champion = self.true_loss(self.champion.number, at_s)
        if self.rollout is None or self.rollout.share == 0:
            return champion
        return champion + self.rollout.share * (self.true_loss(self.rollout.version, at_s) - champion)

    def _labelled(self, rows: int, at_s: float) -> None:
        then_s = at_s - self.learning.label_delay_s
        truth = self.true_loss(self.champion.number, then_s)
        mean = truth + self._stream.normal() * self.learning.noise / math.sqrt(rows)
        self.labelled_rows += rows
        self._batches.add(rows, mean)
        if self._reference is None and self._batches.rows >= self.learning.window_rows:
            self._reference = self._batches.mean
        self._detector.update(mean)
        if self._detector.drift_detected and self._batches.mean is not None and self._reference is not None:
            self._since.setdefault(("error_drift", "loss"), at_s)
        self._judge_performance(rows, at_s)
        if self.rollout is not None and self.rollout.ready:
            self._compare(rows, then_s, at_s)

    def _judge_performance(self, rows: int, at_s: float) -> None:
        """The window's mean loss against the first window's, as `agent.monitoring.windows.WindowMean` has it."""
        window = self.learning.window_rows
        if self._reference is None or self._batches.mean is None or self._batches.rows < window:
            return
        chance = 4.0 * self.learning.noise * math.sqrt(2.0 / window)
        least = max(chance, self.learning.performance_rise * abs(self._reference))
        if self._batches.mean - self._reference > least:
            self._well_rows = 0
            self._since.setdefault(("performance", "loss"), at_s)
            return
        self._well_rows += rows
        if self._well_rows >= RECOVERED_WINDOWS * window:
            self._since.pop(("performance", "loss"), None)

    def _look_at_features(self, at_s: float) -> None:
        """Symptoms of broken rows and of features that moved, each for as long as the change lasts."""
        seen_s = at_s - self.learning.detection_delay_s
        lasting = [each for each in self.learning.changes if each.at_s <= seen_s < each.until_s]
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

    def _compare(self, rows: int, then_s: float, at_s: float) -> None:
        rollout = self.rollout
        assert rollout is not None  # noqa: S101 - the caller has looked
        found = rollout.comparison or Comparison(measured_at_s=at_s)
        champion_loss = self.true_loss(self.champion.number, then_s)
        challenger_loss = self.true_loss(rollout.version, then_s)
        noise = self.learning.noise
        paired = round(rows * (1 - rollout.share) * rollout.shadow)
        answered = round(rows * rollout.share)
        self.rollout = replace(
            rollout,
            comparison=replace(
                found,
                measured_at_s=at_s,
                paired_loss=self._sampled(
                    found.paired_loss, paired, challenger_loss - champion_loss, noise * PAIRED_NOISE
                ),
                champion=self._with_loss(found.champion, rows - answered, champion_loss),
                challenger=self._with_loss(found.challenger, answered or paired, challenger_loss),
            ),
        )

    def _with_loss(self, arm: Arm, rows: int, truth: float) -> Arm:
        return replace(arm, loss=self._sampled(arm.loss, rows, truth, self.learning.noise))

    def _sampled(self, found: Moments, rows: int, truth: float, noise: float) -> Moments:
        if rows <= 0:
            return found
        return moments(found, rows, truth + self._stream.normal() * noise / math.sqrt(rows), noise)

    def watched(self, at_s: float, champion: Arm, challenger: Arm) -> None:
        """What the arms of the rollout answered in the tick that ends now: requests, errors, latencies."""
        if self.rollout is None or not self.rollout.ready:
            return
        found = self.rollout.comparison or Comparison(measured_at_s=at_s)
        self.rollout = replace(
            self.rollout,
            comparison=replace(
                found,
                measured_at_s=at_s,
                champion=_joined(found.champion, champion),
                challenger=_joined(found.challenger, challenger),
            ),
        )

    # -- what the agent does -------------------------------------------------------------------------------------

    def train(self, job: str, at_s: float, since_s: float | None, rows_max: int | None) -> float:
        """Begin a training; the seconds that it will take."""
        learning = self.learning
        rounds = math.ceil(learning.trials / learning.concurrent_trials)
        took_s = sum(
            float(np.max(self._stream.lognormal(0.0, 0.2, learning.concurrent_trials))) * learning.trial_s
            for _ in range(rounds)
        )
        newest_s = at_s - learning.label_delay_s
        oldest_s = since_s if since_s is not None else 0.0
        if rows_max is not None and self.rows:
            oldest_s = max(oldest_s, newest_s - rows_max / max(1e-9, self.rows / max(at_s, 1.0)))
        self.job_rows = (min(oldest_s, newest_s), newest_s)
        self.job_spans = self._kept(*self.job_rows)
        self.job = TrainingJob(
            id=job, state=JobState.RUNNING, started_at_s=at_s, resources=learning.job_resources,
            trials_wanted=learning.trials, rows=self._rows_of(self.job_spans, at_s),
        )  # fmt: skip
        return took_s

    def _kept(self, since_s: float, until_s: float) -> list[tuple[float, float]]:
        """[since_s, until_s) without what is set aside now."""
        kept, from_s = [], since_s
        for each in sorted(self.quarantined, key=lambda each: each.since_s):
            if from_s < min(each.since_s, until_s):
                kept.append((from_s, min(each.since_s, until_s)))
            from_s = max(from_s, each.until_s)
        return [*kept, (from_s, until_s)] if from_s < until_s else kept

    def _rows_of(self, spans: Sequence[tuple[float, float]], at_s: float) -> int:
        """Labelled rows in `spans`, at the mean rate until now."""
        rate = self.rows * self.learning.label_share / max(at_s, 1.0)
        return int(rate * sum(until_s - since_s for since_s, until_s in spans))

    def end_training(self, at_s: float, state: JobState, message: str = "") -> None:
        """The job is over; where it succeeded there is a candidate. On no rows none succeeds."""
        assert self.job is not None  # noqa: S101 - it runs
        if state is JobState.SUCCEEDED and self.job.rows == 0:
            state, message = JobState.FAILED, "there are no labelled rows to learn from"
        job = replace(self.job, state=state, finished_at_s=at_s, message=message, trials_done=self.job.trials_wanted)
        if state is JobState.SUCCEEDED:
            since_s, until_s = self.job_rows
            self.trainings.append((at_s, since_s, until_s))
            learned = tuple(self._learned(change, at_s) for change in self.learning.changes)
            poisoned = sum(self._poison(change) for change in self.learning.changes)
            trained = self._register(at_s, learned, job.id, poisoned)
            self.candidates = (*self.candidates, trained.version)
            job = replace(job, version=trained.version.number)
        self.job = job

    def _learned(self, change: Change, at_s: float) -> float:
        """How much of `change` the job has learned from the rows that came while it lasted."""
        if change.kind != "harmful":
            return 0.0
        return min(1.0, self._rows_of(_within(self.job_spans, change), at_s) / self.learning.rows_needed)

    def _poison(self, change: Change) -> float:
        """The part of the job's rows that are broken, times the harm."""
        taken_s = sum(until_s - since_s for since_s, until_s in self.job_spans)
        if change.kind != "incident" or taken_s <= 0:
            return 0.0
        broken_s = sum(until_s - since_s for since_s, until_s in _within(self.job_spans, change))
        return change.harm * broken_s / taken_s

    def begin_rollout(self, version: str, at_s: float) -> None:
        self.rollout = Rollout(version=version, started_at_s=at_s, stage_since_s=at_s)

    def set_rollout(self, **changes: object) -> None:
        """New share, shadow, readiness or failure of the running rollout; arms are counted anew for each share."""
        if self.rollout is None:
            return
        if "share" in changes and changes["share"] != self.rollout.share and self.rollout.comparison is not None:
            fresh = replace(self.rollout.comparison, champion=Arm(), challenger=Arm())
            changes = {"comparison": fresh, **changes}
        self.rollout = replace(self.rollout, **changes)  # type: ignore[arg-type]

    def promote(self, version: str, at_s: float) -> None:
        """`version` is the champion; its monitors begin anew."""
        evidence = self.rollout.comparison if self.rollout is not None else None
        rows = max(evidence.paired_loss.n, evidence.challenger.loss.n) if evidence is not None else 0
        self.promotions.append((at_s, version, rows))
        self.previous, self.champion = self.champion, self.versions[version].version
        self.champion_since_s = at_s
        self.candidates = tuple(each for each in self.candidates if each.number != version)
        self.rollout = None
        self._begin_anew()

    def roll_back(self, version: str, to: str, at_s: float) -> None:
        """`version` serves nobody any more."""
        self.candidates = tuple(each for each in self.candidates if each.number != version)
        if self.rollout is not None and self.rollout.version == version:
            self.rollbacks += 1
            self.rollout = None
        if self.champion.number == version:
            self.rollbacks += 1
            self.champion, self.previous = self.versions[to].version, None
            self.champion_since_s = at_s
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._detector = detectors.build("adwin", {"delta": self.learning.delta})
        self._batches = Batches(self.learning.window_rows)
        self._reference = None
        self._well_rows = 0
        self._since = {key: since_s for key, since_s in self._since.items() if key[0] == "data_quality"}

    # -- what is seen --------------------------------------------------------------------------------------------

    def seen(self, at_s: float) -> Model:
        """The model as the sensor shows it."""
        if self.registry_away:
            return Model(
                name=self.name,
                report=self._report(at_s),
                training=self.job,
                quarantined=self.quarantined,
                managed=True,
            )
        return Model(
            name=self.name,
            champion=self.champion,
            previous=self.previous,
            candidates=self.candidates,
            champion_since_s=self.champion_since_s,
            report=self._report(at_s),
            rollout=self.rollout,
            training=self.job,
            quarantined=self.quarantined,
            managed=True,
        )

    def _report(self, at_s: float) -> Report:
        return Report(
            measured_at_s=at_s,
            version=self.champion.number,
            rows=self.rows,
            labelled_rows=self.labelled_rows,
            loss_name=self.learning.loss_name,
            loss=self._batches.mean,
            loss_reference=self._reference,
            window_rows=self._batches.rows,
            symptoms=tuple(
                Symptom(
                    kind=kind, signal=signal, detector=DETECTORS.get(kind, "modelled"),
                    since_s=since_s, value=self._batches.mean, threshold=self._reference, n=self._batches.rows,
                )
                for (kind, signal), since_s in sorted(self._since.items())
            ),
        )  # fmt: skip


def _within(spans: Sequence[tuple[float, float]], change: Change) -> list[tuple[float, float]]:
    """The parts of `spans` in which `change` lasts."""
    cut = [(max(since_s, change.at_s), min(until_s, change.until_s)) for since_s, until_s in spans]
    return [(since_s, until_s) for since_s, until_s in cut if since_s < until_s]


def _harm(change: Change, learned: float, at_s: float) -> float:
    match change.kind:
        case "harmful":
            return change.harm * (1.0 - learned)
        case "season":
            return change.harm * (1 - math.cos(2 * math.pi * (at_s - change.at_s) / (change.until_s - change.at_s))) / 2
        case "incident":
            return change.harm
        case _:
            return 0.0


def _joined(arm: Arm, more: Arm) -> Arm:
    n = more.latency.n
    return replace(
        arm,
        requests=arm.requests + more.requests,
        errors=arm.errors + more.errors,
        latency=moments(arm.latency, n, more.latency.mean, math.sqrt(more.latency.variance)) if n else arm.latency,
        latency_p95_s=more.latency_p95_s if more.latency_p95_s is not None else arm.latency_p95_s,
    )
