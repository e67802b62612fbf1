"""Managed models in simulated time: what a scenario says of their learning, and what all of them share.

That is the record of versions, the rollout, the training and what was set aside, and counting who answered. How well a version answers,
what the monitors say and what a training makes is the part of a fidelity: `simulators.modelled_learning`, where loss is a formula, and
`simulators.played_learning`, where real models answer the rows of a stream and real monitors watch them.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from policies.observation import (
    Comparison,
    JobState,
    Model,
    Moments,
    Quarantined,
    Report,
    Resources,
    Rollout,
    TrainingJob,
    Version,
)
from simulators.arms import arm_between
from simulators.changes import Change, Span, without
from simulators.request_counters import Counters

LOOK_S = 10.0
"""What was answered reaches models, monitors and labels so often, whether or not an agent ticks."""
WILD = 1e150
"""A label that nobody means: one of them in a sum of squares is more than a number can hold."""
ROWS_LEAST = 50
"""A training on fewer labelled rows fails, as on a cluster."""
FIRST = "1"
"""The version that serves when a scenario begins."""


@dataclass(frozen=True, slots=True)
class Losses:
    """As in `policies.observation.Comparison`."""

    champion: Moments = field(default_factory=Moments)
    challenger: Moments = field(default_factory=Moments)
    paired: Moments = field(default_factory=Moments)
    over_constant: Moments = field(default_factory=Moments)
    covariance: Moments = field(default_factory=Moments)


@dataclass(frozen=True, kw_only=True)
class Learning(ABC):
    """How a model learns, in either fidelity."""

    label_delay_s: float = 600.0
    label_share: float = 1.0
    """The part of the rows whose label ever comes."""
    trials: int = 8
    concurrent_trials: int = 2
    trial_s: float = 60.0
    trial_resources: Resources = field(default_factory=lambda: Resources(cpus=1.0))
    swap_s: float = 1.0
    """Until every replica has loaded a version that it was told to serve."""
    changes: tuple[Change, ...] = ()
    bad_versions: Mapping[int, float] = field(default_factory=dict)
    """Number of a version that a training will make -> how bad it is on top, as by a defect of the pipeline."""
    crashing_versions: frozenset[int] = frozenset()
    """Numbers of versions whose replicas do not start."""

    def job_resources(self, at_once: int | None = None) -> Resources:
        """What a training takes that tries `at_once` parameter sets at a time, or as many as it may."""
        times = at_once or self.concurrent_trials
        return Resources(cpus=self.trial_resources.cpus * times, gpus=self.trial_resources.gpus * times)

    @abstractmethod
    def model(self, name: str, seed: np.random.SeedSequence) -> "SimModel":
        """The model `name` at the beginning of a run; every chance in it comes from `seed`."""


class NothingLearned(Exception):
    """A training ended without a version; says why."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a training makes: its recipe and its score, where there are any."""

    recipe: str = "simulated"
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A version, and whether its replicas start."""

    version: Version
    crashes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was answered in (since_s, at_s]: by the champion, by the challenger to callers, and by the challenger to nobody."""

    since_s: float
    at_s: float
    champion: int
    challenger: int = 0
    copies: int = 0

    @property
    def rows(self) -> int:
        return self.champion + self.challenger


@dataclass(slots=True)
class _Done:
    """Completed requests, as last counted."""

    champion: int = 0
    challenger: int = 0
    copies: int = 0


class SimModel(ABC):
    """One managed model. The world moves it; it moves nothing else.

    Switches for faults: `labels_away` (they wait), `labels_late_s` (so much later than usual), `labels_lost` (those that fall due never
    come), `labels_wild` (they come, and are no label of anything), `registry_away`.
    """

    def __init__(self, name: str, learning: Learning, seed: np.random.SeedSequence, first: Made) -> None:
        self.name = name
        self.learning = learning
        self._durations = np.random.default_rng(seed_of(seed, "durations"))
        self.labels_away = self.labels_lost = self.labels_wild = False
        self.labels_late_s = 0.0
        self.registry_away = False
        self.versions: dict[str, Trained] = {}
        self.champion = self._register(0.0, first, "first")
        self.previous: Version | None = None
        self.champion_since_s = 0.0
        self.candidates: tuple[Version, ...] = ()
        self.rollout: Rollout | None = None
        self.job: TrainingJob | None = None
        self.job_rows: Span = (0.0, 0.0)
        self.job_spans: list[Span] = []
        """The parts of `job_rows` that the job takes: what was set aside when it began is left out."""
        self.quarantined: tuple[Quarantined, ...] = ()
        self.promotions: list[tuple[float, str, int]] = []
        self.rollbacks = 0
        self.trainings: list[tuple[float, float, float]] = []
        """(when it ended, since when and until when its rows are)."""
        self.loss_rows = 0
        self.loss_total = 0.0
        self._job_takes_s = 0.0
        self._done = _Done()
        self._looked_s = 0.0
        self._counted: tuple[Counters | None, Counters | None] = (None, None)
        """Champion and challenger as last counted, and below as they were when the stage began."""
        self._stage_began: tuple[Counters | None, Counters | None] = (None, None)

    # -- the part of a fidelity ----------------------------------------------------------------------------------

    @property
    @abstractmethod
    def frozen_total(self) -> float:
        """The loss that the first version would have had on the `loss_rows` rows that were answered."""

    @abstractmethod
    def loss_now(self, at_s: float) -> float | None:
        """The champion's loss as only the simulator knows it; None where nothing was answered yet."""

    @abstractmethod
    def _take(self, answers: Answers) -> None:
        """Rows were answered; what is due of labels comes."""

    @abstractmethod
    def _gather(self, at_s: float, since_s: float | None, rows_max: int | None) -> tuple[Span, int]:
        """Choose the rows of a training that begins now: their time, and how many of them it takes. See `_kept`."""

    @abstractmethod
    def _fit(self, at_s: float) -> Made:
        """Make what comes of the rows that `_gather` chose. Raises NothingLearned."""

    @abstractmethod
    def _registered(self, number: str) -> None:
        """What `_fit` made, or at the beginning the first version, is now version `number`."""

    @abstractmethod
    def _losses(self, at_s: float) -> Losses:
        """Of both versions in this stage, and differences in this rollout."""

    @abstractmethod
    def _stage(self) -> None:
        """The rollout has begun, has ended, or has another share."""

    @abstractmethod
    def _begin_anew(self) -> None:
        """Another champion serves; the monitors begin anew."""

    @abstractmethod
    def _report(self, at_s: float) -> Report:
        """What the monitors say."""

    def _is_due(self, came_s: float, at_s: float) -> bool:
        """Whether the label of a row that came at `came_s` falls due by `at_s`."""
        return not self.labels_away and came_s <= at_s - self.learning.label_delay_s - self.labels_late_s

    # -- who answered --------------------------------------------------------------------------------------------

    def counted(
        self, at_s: float, champion: Counters, challenger: Counters | None = None, live: tuple[int, int] = (0, 0)
    ) -> None:
        """The counters of both slots at `at_s`. `live` are the requests that callers sent to the challenger, and all that it was sent."""
        done = self._done
        theirs, all_theirs = live
        completed = challenger.completed if challenger is not None else 0
        to_callers = max(done.challenger, round(completed * theirs / all_theirs) if all_theirs else 0)
        now = _Done(champion.completed, to_callers, max(done.copies, completed - to_callers))
        self._counted = (champion, challenger)
        answers = Answers(
            since_s=self._looked_s,
            at_s=at_s,
            champion=now.champion - done.champion,
            challenger=now.challenger - done.challenger,
            copies=now.copies - done.copies,
        )
        self._done, self._looked_s = now, at_s
        if at_s > answers.since_s:
            self._take(answers)
        self._compare(at_s)

    def _compare(self, at_s: float) -> None:
        """What both arms did since the stage began."""
        champion, challenger = self._counted
        if self.rollout is None or not self.rollout.ready or champion is None or challenger is None:
            return
        found = self._losses(at_s)
        before = self._stage_began
        comparison = Comparison(
            measured_at_s=at_s,
            champion=replace(arm_between(before[0], champion), loss=found.champion),
            challenger=replace(arm_between(before[1], challenger), loss=found.challenger),
            paired_loss=found.paired,
            loss_over_constant=found.over_constant,
            covariance=found.covariance,
        )
        self.rollout = replace(self.rollout, comparison=comparison)

    # -- trainings -----------------------------------------------------------------------------------------------

    def train(
        self, job: str, at_s: float, since_s: float | None, rows_max: int | None, at_once: int | None = None
    ) -> float:
        """Begin a training that tries `at_once` parameter sets at a time; the seconds that it will take."""
        learning = self.learning
        times = at_once or learning.concurrent_trials
        rounds = ceil(learning.trials / times)
        slowest = (float(np.max(self._durations.lognormal(0.0, 0.2, times))) for _ in range(rounds))
        self._job_takes_s = learning.trial_s * sum(slowest)
        self.job_rows, rows = self._gather(at_s, since_s, rows_max)
        self.job_spans = self._kept(*self.job_rows)
        self.job = TrainingJob(
            id=job, state=JobState.RUNNING, started_at_s=at_s, resources=learning.job_resources(at_once),
            trials_wanted=learning.trials, rows=rows,
        )  # fmt: skip
        return self._job_takes_s

    def _kept(self, since_s: float, until_s: float) -> list[Span]:
        """[since_s, until_s) without what is set aside now."""
        return without(since_s, until_s, [(each.since_s, each.until_s) for each in self.quarantined])

    def end_training(self, at_s: float, state: JobState, message: str = "") -> None:
        """The job is over; where it succeeded there is a candidate. On too few rows none succeeds."""
        assert self.job is not None  # noqa: S101 - it runs
        part = (at_s - self.job.started_at_s) / self._job_takes_s if self._job_takes_s > 0 else 1.0
        tried = min(self.job.trials_wanted, int(part * self.job.trials_wanted + 1e-9))
        job = replace(self.job, state=state, finished_at_s=at_s, message=message, trials_done=tried)
        if state is JobState.SUCCEEDED:
            try:
                job = self._learned(job, at_s)
            except NothingLearned as error:
                job = replace(job, state=JobState.FAILED, message=str(error))
        self.job = job

    def _learned(self, job: TrainingJob, at_s: float) -> TrainingJob:
        if job.rows < ROWS_LEAST:
            told = f"only {job.rows} labelled rows may be trained on; at least {ROWS_LEAST} are needed"
            raise NothingLearned(told)
        made = self._fit(at_s)
        version = self._register(at_s, made, job.id)
        self.trainings.append((at_s, *self.job_rows))
        self.candidates = (*self.candidates, version)
        return replace(job, version=version.number, best_score=made.score, trials_done=job.trials_wanted)

    def _register(self, at_s: float, made: Made, source: str) -> Version:
        number = len(self.versions) + 1
        version = Version(
            number=str(number),
            digest=hashlib.sha256(f"{self.name}/{number}".encode()).hexdigest(),
            created_at_s=at_s,
            recipe=made.recipe,
            score=made.score,
            source=source,
        )
        self.versions[version.number] = Trained(version=version, crashes=number in self.learning.crashing_versions)
        self._registered(version.number)
        return version

    # -- rollouts ------------------------------------------------------------------------------------------------

    def begin_rollout(self, version: str, at_s: float) -> None:
        """`version` is brought up beside the champion."""
        self.rollout = Rollout(version=version, started_at_s=at_s, stage_since_s=at_s)
        self._done.challenger = self._done.copies = 0
        self._new_stage(None)

    def set_rollout(self, **changes: object) -> None:
        """New share, shadow, readiness or failure of the running rollout; arms are counted anew for each share."""
        if self.rollout is None:
            return
        other_share = "share" in changes and changes["share"] != self.rollout.share
        self.rollout = replace(self.rollout, **changes)  # type: ignore[arg-type]
        if other_share:
            self._new_stage(self._counted[1])

    def promote(self, version: str, at_s: float) -> None:
        """`version` is the champion; its monitors begin anew."""
        evidence = self.rollout.comparison if self.rollout is not None else None
        rows = max(evidence.paired_loss.n, evidence.challenger.loss.n) if evidence is not None else 0
        self.promotions.append((at_s, version, rows))
        self.candidates = tuple(each for each in self.candidates if each.number != version)
        self._end_rollout()
        self._crown(self.versions[version].version, self.champion, at_s)

    def roll_back(self, version: str, to: str, at_s: float) -> None:
        """`version` serves nobody any more."""
        self.candidates = tuple(each for each in self.candidates if each.number != version)
        if self.rollout is not None and self.rollout.version == version:
            self.rollbacks += 1
            self._end_rollout()
        if self.champion.number == version:
            self.rollbacks += 1
            self._crown(self.versions[to].version, None, at_s)

    def _crown(self, champion: Version, previous: Version | None, at_s: float) -> None:
        self.champion, self.previous, self.champion_since_s = champion, previous, at_s
        self._begin_anew()

    def _end_rollout(self) -> None:
        self.rollout = None
        self._counted = (self._counted[0], None)
        self._new_stage(None)

    def _new_stage(self, challenger: Counters | None) -> None:
        self._stage_began = (self._counted[0], challenger)
        self._stage()

    # -- what is seen --------------------------------------------------------------------------------------------

    def seen(self, at_s: float) -> Model:
        """The model as the sensor shows it; while the registry is away nothing is known of versions."""
        plain = Model(
            name=self.name,
            report=self._report(at_s),
            training=self.job,
            quarantined=self.quarantined,
            managed=True,
        )
        if self.registry_away:
            return plain
        return replace(
            plain,
            champion=self.champion,
            previous=self.previous,
            candidates=self.candidates,
            champion_since_s=self.champion_since_s,
            rollout=self.rollout,
        )


def seed_of(seed: np.random.SeedSequence, name: str, *numbers: int) -> np.random.SeedSequence:
    """A seed of its own for each cause: asking for one shifts no other."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return np.random.SeedSequence(entropy=seed.entropy, spawn_key=(*seed.spawn_key, key, *numbers))
