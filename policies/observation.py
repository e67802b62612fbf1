"""Observation: all that was seen at one moment, frozen.

`Observation.at_s` is the only clock there is. A value that is missing, stale or unreadable is `None`, which means "I do not
know": it is never replaced by zero. NaN and infinity do not occur; whoever fills an observation passes numbers through `known`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


def known(value: float | None) -> float | None:
    """`value` where it is a finite number, else None."""
    return value if value is not None and math.isfinite(value) else None


class ReplicaState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class DeploymentStatus(StrEnum):
    HEALTHY = "healthy"
    UPDATING = "updating"
    UNHEALTHY = "unhealthy"
    DEPLOY_FAILED = "deploy_failed"
    UNKNOWN = "unknown"


class JobState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What one deployment or one replica answered in the window that ended at `measured_at_s`."""

    measured_at_s: float
    window_s: float
    requests: int
    errors: int = 0
    arrived: int | None = None
    """Requests that came in the window, where somebody counts them: more than were answered while a queue grows."""
    ongoing: float | None = None
    """Requests in the system (queued and running), averaged over the window."""
    queued: float | None = None
    latency_mean_s: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None

    @property
    def load_unknown(self) -> bool:
        """Whether it was looked for, and nothing of the load is known: a window of no length, and no word of what is in the system."""
        return self.window_s <= 0 and self.ongoing is None

    @property
    def rate_rps(self) -> float | None:
        return self.requests / self.window_s if self.window_s > 0 else None

    @property
    def arrival_rps(self) -> float | None:
        """What comes; where only answers are counted, what is answered, which is less while everything is late."""
        if self.arrived is None or self.window_s <= 0:
            return self.rate_rps
        return self.arrived / self.window_s

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.requests if self.requests else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    id: str
    state: ReplicaState
    healthy: bool | None = None
    started_at_s: float | None = None
    node: str | None = None
    version: str | None = None
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one replica, one trial or one job takes; also what a cluster has."""

    cpus: float = 0.0
    gpus: float = 0.0
    memory_bytes: int = 0
    custom: tuple[tuple[str, float], ...] = ()
    """(name, amount) of resources that a cluster's owner has named, sorted by name."""
    spread: bool = False
    """Whether its parts may lie on several nodes, as the bundles of a placement group may; else it must fit on one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A Ray Serve deployment. `name` is "application/deployment"."""

    name: str
    status: DeploymentStatus
    replicas_wanted: int
    replicas: tuple[Replica, ...] = ()
    min_replicas: int = 1
    max_replicas: int | None = None
    max_ongoing_requests: int | None = None
    slo_latency_s: float | None = None
    resources: Resources = Resources(cpus=1.0)
    """What one replica takes: its actor, or where it reserves a placement group, all of its bundles."""
    traffic: Traffic | None = None
    scalable: bool = True
    """Whether an external scaler may set its replica count."""
    model: str | None = None
    slot: str | None = None
    """"champion" or "challenger" where the deployment serves a managed model, else None."""
    message: str = ""

    @property
    def running(self) -> tuple[Replica, ...]:
        return tuple(r for r in self.replicas if r.state is ReplicaState.RUNNING)

    @property
    def healthy(self) -> tuple[Replica, ...]:
        """Running replicas that are not known to be unhealthy."""
        return tuple(r for r in self.running if r.healthy is not False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """What one monitor says now about one signal. It stays until the monitor is reset or takes it back."""

    kind: str
    """One of error_drift, prediction_drift, feature_drift, data_quality, performance."""
    signal: str
    """The column or stream that was watched, such as "loss", "prediction" or a feature's name."""
    detector: str
    since_s: float
    value: float | None = None
    threshold: float | None = None
    n: int = 0
    """Rows that the detector has seen since its last reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the monitors of one model say. Losses are means over the last `window_rows` labelled rows."""

    measured_at_s: float
    version: str | None = None
    rows: int = 0
    labelled_rows: int = 0
    loss_name: str | None = None
    loss: float | None = None
    loss_reference: float | None = None
    window_rows: int = 0
    symptoms: tuple[Symptom, ...] = ()
    rejected_rows: int = 0
    """Rows with a NaN, an infinity or a missing column, counted and kept out of every detector."""
    dropped_rows: int = 0
    """Rows that a probe had no room for, or could not send."""
    unknown_labels: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    """What came in and could not be taken as it was (rows, features, labels, requests), counted by reason, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, mean and unbiased variance of a sample; enough for a confidence sequence on its mean."""

    n: int = 0
    mean: float = 0.0
    variance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one version did since the current stage of its rollout began."""

    requests: int = 0
    errors: int = 0
    loss: Moments = Moments()
    latency: Moments = Moments()
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Challenger beside champion since the rollout began. `paired_loss` is loss(challenger) - loss(champion) on the same rows."""

    measured_at_s: float
    champion: Arm = Arm()
    challenger: Arm = Arm()
    paired_loss: Moments = Moments()
    loss_over_constant: Moments = Moments()
    """loss(challenger) - loss(the mean of the labels known until then, whatever the row); of no rows where nobody counts it."""
    covariance: Moments = Moments()
    """(the challenger's prediction - their mean) * (label - their mean), with the means until then; of no rows where nobody counts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version. `digest` is the SHA-256 of its files, checked before they are loaded."""

    number: str
    digest: str
    created_at_s: float
    recipe: str = ""
    score: float | None = None
    source: str = ""
    """Who made it: a training job's id, or a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A challenger beside a champion. `share` is the part of keys it answers; `shadow` the part of rows copied to it."""

    version: str
    started_at_s: float
    stage_since_s: float
    share: float = 0.0
    shadow: float = 0.0
    ready: bool = False
    """Whether the challenger's replicas run and every champion replica holds the current traffic table."""
    failed: str | None = None
    """Why it can not serve (did not load, crashed), where it is known to fail."""
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    id: str
    state: JobState
    started_at_s: float
    resources: Resources = Resources(cpus=1.0)
    """What all of its concurrent trials take together."""
    finished_at_s: float | None = None
    trials_done: int = 0
    trials_wanted: int = 0
    rows: int = 0
    best_score: float | None = None
    version: str | None = None
    """The version it registered, once it has."""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Rows of a model that must never be trained on, by arrival time."""

    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that the probe watches; where it is managed, also its versions, its rollout and its training."""

    name: str
    champion: Version | None = None
    previous: Version | None = None
    """The champion before this one: where a rollback after promotion goes."""
    candidates: tuple[Version, ...] = ()
    """Registered versions newer than the champion that were neither promoted nor rejected, oldest first."""
    champion_since_s: float | None = None
    report: Report | None = None
    rollout: Rollout | None = None
    training: TrainingJob | None = None
    """The job that runs, or else the last one that ended."""
    quarantined: tuple[Quarantined, ...] = ()
    managed: bool = False
    unread: tuple[str, ...] = ()
    """Which of "training" and "quarantined" could not be read: what stands there is what was last known, and more may be true now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the cluster has and what is free of it; None where it could not be read."""

    total: Resources | None = None
    free: Resources | None = None
    free_by_node: tuple[tuple[str, Resources], ...] | None = None
    """(node, what is free on it): a replica or a trial must fit on one node, whatever is free in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What people said: freeze, kill switch, approvals and denials by order number, rollbacks asked for by hand, files accepted."""

    frozen: bool = False
    killed: bool = False
    approved: tuple[int, ...] = ()
    denied: tuple[int, ...] = ()
    rollbacks: tuple[str, ...] = ()
    accepted: tuple[tuple[str, str, str], ...] = ()
    """(model, version, digest): files that a person has looked at, and that count from then on as the version's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    at_s: float
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    capacity: Capacity = Capacity()
    controls: Controls = Controls()
    due: tuple[str, ...] = ()
    """Names of cron schedules that fell due since the last observation."""
    problems: tuple[str, ...] = ()
    """What could not be read, in words, so that a HOLD can say why."""
    clock_ahead_s: float = 0.0
    """By how much `at_s`, which never runs back, is ahead of the civil clock; not zero where somebody has set that clock."""

    @property
    def civil_s(self) -> float:
        """What the civil clock showed: for what goes by the calendar, such as freeze windows and the time of day."""
        return self.at_s - self.clock_ahead_s
