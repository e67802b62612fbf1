"""The configuration: one YAML file, strict. Units stand in the names; unknown keys are errors.

Reading a file, its error messages and its JSON Schema are in `agent.settings_file`.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agent.monitoring import limits
from agent.order import Autonomy
from agent.refusals import inside
from policies.parameters import LATENCY_MAX_S

WARM_START_MAX_S = 86_400.0
SECONDS_MAX = 1e9
"""Thirty years: what is longer was meant in another unit, and no calendar reaches as far."""
TICK_MIN_S = 0.01
Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)]
SomeSeconds = Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Some = Annotated[int, Field(ge=1, le=1_000_000_000)]
Replicas = Annotated[int, Field(ge=0, le=100_000)]
Quantity = Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)]
"""Of CPUs or GPUs, in parts as well."""


def share_hint(value: Any) -> Any:
    """Shares are parts of one; a number up to a hundred was meant in per cent."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
        raise ValueError(f"expected a part of one, from 0 to 1 ({value / 100:g}?)")
    return value


def _latency(value: float) -> float:
    """Nobody waits for longer: the number is one of milliseconds."""
    if value > LATENCY_MAX_S:
        raise ValueError(f"expected seconds, at most {LATENCY_MAX_S:g} ({value / 1000:g}?)")
    return value


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(share_hint)]


def _at_a_time(value: float) -> float:
    if value < TICK_MIN_S:
        raise ValueError(f"expected at least {TICK_MIN_S:g} s")
    return value


Tick = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False), AfterValidator(_at_a_time)]
Slo = Annotated[Seconds, AfterValidator(_latency)]


def named(value: str) -> str:
    """What may be the name of a thing: people have to see it, and to tell it from others. Raises ValueError."""
    if not value.strip():
        raise ValueError("expected a name, not blanks")
    if value != value.strip():
        raise ValueError(f"expected {value.strip()!r}, without blanks around it")
    if not value.isprintable():
        raise ValueError("expected a name without control characters")
    if len(value) > NAME_MAX:
        raise ValueError(f"expected a name of at most {NAME_MAX} characters, not {len(value)}")
    return value


NAME_MAX = 200
Name = Annotated[str, AfterValidator(named)]


def _seen(value: str) -> str:
    """The name of a feature may have blanks around it, as columns of files have."""
    if not value.strip():
        raise ValueError('expected "loss", "prediction", the name of a feature, or "*" for every feature')
    return value


def _variable(value: str) -> str:
    if not VARIABLE.fullmatch(value):
        raise ValueError("expected the name of an environment variable, such as ALERT_URL")
    return value


VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Variable = Annotated[str, AfterValidator(_variable), Field(json_schema_extra={"pattern": f"^{VARIABLE.pattern}$"})]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ClusterSettings(Strict):
    address: str = "auto"
    """Ray address; "auto" joins the cluster that RAY_ADDRESS names, or else the one that runs on this machine."""
    dashboard_url: str | None = None
    """Address of the dashboard that takes scale requests; found from the cluster where it is missing."""


def _off(value: Any) -> Any:
    """Many readers of YAML take the word off for false, and write it so."""
    return Autonomy.OFF if value is False else value


Level = Annotated[Autonomy, BeforeValidator(_off)]


class AutonomySettings(Strict):
    """How far the agent may go, by kind of action. Day one is safe: it only suggests."""

    default: Level = Autonomy.SUGGEST
    """For every kind of action that has no level of its own: off, observe, suggest, approve or act."""
    scale: Level | None = None
    """Setting a replica count."""
    restart: Level | None = None
    """Replacing a replica."""
    retrain: Level | None = None
    """Starting a training job."""
    stop_training: Level | None = None
    """Ending a training job."""
    start_rollout: Level | None = None
    """Serving a challenger beside the champion, in shadow."""
    set_traffic: Level | None = None
    """Changing the challenger's share of keys and of shadow copies."""
    promote: Level | None = None
    """Making the challenger the champion."""
    roll_back: Level | None = None
    """Taking a challenger, or a new champion, back."""
    quarantine: Level | None = None
    """Keeping a span of rows out of training."""
    approval_expires_s: Seconds = 3600.0
    """An approval that nobody gave by then counts as a denial."""


class BudgetSettings(Strict):
    """What serving and training may take together. A missing limit is the cluster's own capacity."""

    replicas: Replicas | None = None
    """Replicas of all deployments together."""
    cpus: Quantity | None = None
    """CPU cores of serving and training together, as Ray counts them."""
    gpus: Quantity | None = None
    """GPUs of serving and training together, as Ray counts them."""
    cluster_makes_room: bool = False
    """What is free now is no limit, only those above: nodes are added, or places given back, while a new replica waits for its own."""
    orders_per_minute: Some = 30
    """Orders beyond this many in a minute wait: a loop that runs away is slow."""
    retrainings_per_day: Count | None = None
    """Training jobs in 24 hours, over all models."""


class FreezeWindow(Strict):
    """No action but alerts from `start` (cron, UTC) for `duration_s`."""

    start: str
    """Cron expression (UTC) of when it begins."""
    duration_s: Seconds
    """How long it lasts, in seconds."""
    reason: str = ""
    """What people read where an action was kept back."""


class GuardSettings(Strict):
    blast_radius: Share = 0.5
    """At most this part of a deployment's replicas is restarted at once (always at least one when there are two)."""
    cool_down_s: dict[
        Literal["scale", "restart", "retrain", "start_rollout", "set_traffic", "promote", "roll_back", "quarantine"],
        SomeSeconds,
    ] = {}
    """After an order of this kind on a target, no other of the same kind for so long."""
    promotion_min_rows: Count = 200
    """No promotion on fewer paired or answered labelled rows than this."""
    freeze_windows: tuple[FreezeWindow, ...] = ()
    """Times in which nothing is changed."""
    foreign_change_respected_s: SomeSeconds = 60.0
    """After somebody else has set a replica count, the agent tells people and leaves that count alone for so long."""


class JournalSettings(Strict):
    url: str = "sqlite:///homeostat.db"
    """SQLAlchemy URL. A password is taken from the environment variable HOMEOSTAT_JOURNAL_PASSWORD, never written here."""
    warm_start_s: Annotated[float, Field(ge=0, le=WARM_START_MAX_S, allow_inf_nan=False)] = 600.0
    """A new life of the agent first shows its policies what was seen in the last so many seconds, unheard, so that a restart makes none
    of them forget. It takes about as long as it took to decide on all that."""


class DeadlineSettings(Strict):
    """How long an order may take before it is given up."""

    scale_s: Seconds = 120.0
    """Until the replicas that were asked for run."""
    restart_s: Seconds = 120.0
    """Until a replaced replica is gone and another runs."""
    retrain_s: Seconds = 7200.0
    """Until a training job has ended."""
    rollout_s: Seconds = 300.0
    """Until a step of a rollout has come to pass."""


class DeploymentSettings(Strict):
    """A deployment of yours that the agent watches (level L0). The key is "application/deployment"."""

    min_replicas: Replicas = 1
    """Never fewer."""
    max_replicas: Annotated[Replicas, Field(ge=1)] | None = None
    """Never more; missing: as many as the budget allows."""
    slo_latency_s: Slo | None = None
    """What a request may take, in seconds. Policies that need an objective hold where it is missing."""
    probe: Name | None = None
    """The name given to the probe inside it (level L1), if any."""
    drift: "DriftSettings | None" = None
    """What is watched of what the probe tells; missing: as for a model without a word about it."""

    @model_validator(mode="after")
    def _drift_is_of_a_probe(self) -> "DeploymentSettings":
        if self.drift is not None and self.probe is None:
            raise ValueError(
                "drift is of what a probe tells, and there is no probe; a managed model has a drift of its own beside deployment"
            )
        return self

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "DeploymentSettings":
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) must be at least min_replicas ({self.min_replicas})")
        return self


class MonitorSettings(Strict):
    """One detector on one signal of a model."""

    kind: Literal["error_drift", "prediction_drift", "feature_drift", "data_quality", "performance"]
    """What an alarm stands for; `error_drift` and `performance` count as harm."""
    use: str
    """Registered detector name, or an import path into a package that `--allow-imports` names."""
    signal: Annotated[str, AfterValidator(_seen)] = "loss"
    """"loss", "prediction", a feature's name, or "*" for every feature. A feature called loss is "feature.loss"."""
    parameters: dict[str, Any] = {}
    """Of the detector, by name."""

    @model_validator(mode="after")
    def _detector_fits(self) -> "MonitorSettings":
        wrong = limits.fault(self.use, self.parameters)
        if wrong is not None:
            key, told = wrong
            raise inside(("parameters", key), f"detector {self.use!r}: {key}: {told}")
        if self.use in limits.RIGHT_OR_WRONG and self.signal != "loss":
            told = f"detector {self.use!r} is for right and wrong answers; its signal can only be loss, not {self.signal!r}"
            raise inside(("signal",), told)
        return self


class DriftSettings(Strict):
    loss: Literal["auto", "brier", "log_loss", "zero_one", "absolute", "squared"] = "auto"
    """What is lost between a prediction and its label. auto: brier of probabilities and labels of 0 and 1, absolute of other numbers, and
    none where only one of the two is a probability. A training scores with absolute where labels are more than two numbers, not all within
    [0, 1], and else with brier."""
    window_rows: Annotated[int, Field(ge=10, le=10_000_000)] = 2000
    """Rows of the reference and of the window that is held against it."""
    label_wait_s: Seconds = 86400.0
    """A row whose label has not come by then is forgotten by the monitors (not by the data log)."""
    monitors: tuple[MonitorSettings, ...] | None = None
    """Missing: a default set for error, prediction, features and data quality."""

    @property
    def training_loss(self) -> str:
        """What versions are scored with before anybody has asked them."""
        return "brier" if self.loss == "auto" else self.loss


class TrainingSettings(Strict):
    """How a managed model (level L2) is retrained."""

    recipes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Registered recipe names, or import paths into packages that `--allow-imports` names; the search chooses among them."""
    trials: Annotated[int, Field(ge=1, le=100_000)] = 16
    """Parameter sets that one search tries at most."""
    time_budget_s: Seconds = 1800.0
    """After so long no further trial is begun."""
    rows_max: Annotated[int, Field(ge=50, le=1_000_000_000)] = 50_000
    """The newest so many labelled rows are learned from."""
    validation_share: Annotated[float, Field(gt=0, lt=1), BeforeValidator(share_hint)] = 0.25
    """The newest part of the rows, held out to score trials."""
    trial_cpus: Annotated[Quantity, Field(gt=0)] = 1.0
    """CPU cores of one trial."""
    trial_gpus: Quantity = 0.0
    """GPUs of one trial; a fraction shares one."""
    concurrent_trials: Annotated[int, Field(ge=1, le=100_000)] = 2
    """Trials at a time, at most; fewer where the budget is short."""
    study_url: str = "sqlite:///homeostat-studies.db"
    """Where Optuna keeps its studies, so that the next search goes on from the last."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the search and of the recipes."""


class ServerSettings(Strict):
    """The replicas that serve a managed model."""

    replica_cpus: Quantity = 1.0
    """CPU cores of one replica."""
    replica_gpus: Quantity = 0.0
    """GPUs of one replica; a fraction shares one."""
    max_ongoing_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Requests that one replica answers at a time."""
    fault_injection: bool = False
    """Whether a replica may be made slow on purpose. For rehearsals only."""


class ModelSettings(Strict):
    """A model that serves versions from the registry (level L2). The key is its name."""

    application: str | None = None
    """Serve application of its champion; the challenger's is this with "-challenger". Missing: the model's name."""
    deployment: DeploymentSettings = DeploymentSettings()
    """Bounds and objective of its champion."""
    server: ServerSettings = ServerSettings()
    """Its replicas."""
    drift: DriftSettings = DriftSettings()
    """What is watched of it."""
    training: TrainingSettings | None = None
    """How it is retrained; missing: it never is."""


class RegistrySettings(Strict):
    tracking_uri: str = "sqlite:///mlflow.db"
    """MLflow's: an SQLAlchemy URL, or that of a server."""
    artifact_location: str | None = None
    """Folder or URL for new files; missing: MLflow's own choice."""


class DataLogSettings(Strict):
    url: str = "homeostat-data"
    """Folder or any fsspec URL; rows are Parquet, partitioned by model and day."""
    flush_s: Seconds = 5.0
    """Rows wait in memory for so long at most."""


class PolicySettings(BaseModel):
    """One policy; every other key is a parameter of it. Earlier in the list means first choice where two want the same target."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    use: str
    """Registered policy name, or "package.module:Class" of a package that `--allow-imports` names."""
    targets: Annotated[tuple[Name, ...], Field(min_length=1)] = ("*",)
    """Globs over deployment and model names; the policy sees nothing else."""

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Settings(Strict):
    name: str = "homeostat"
    """Of this agent; two agents on a cluster need two names, and a journal each."""
    tick_s: Tick = 5.0
    """Seconds between two looks at the world."""
    cluster: ClusterSettings = ClusterSettings()
    """Where Ray is."""
    autonomy: AutonomySettings = AutonomySettings()
    """How far the agent may go, by kind of action."""
    budget: BudgetSettings = BudgetSettings()
    """What serving and training may take together."""
    guards: GuardSettings = GuardSettings()
    """What is never done, whatever a policy wants."""
    deadlines: DeadlineSettings = DeadlineSettings()
    """How long an order may take."""
    journal: JournalSettings = JournalSettings()
    """Where every decision is written down."""
    registry: RegistrySettings = RegistrySettings()
    """Where versions of models are."""
    data_log: DataLogSettings = DataLogSettings()
    """Where rows and labels are kept."""
    deployments: dict[str, DeploymentSettings] = {}
    """Deployments of yours (level L0), by "application/deployment"."""
    models: dict[str, ModelSettings] = {}
    """Models that the agent serves and retrains (level L2), by name."""
    schedules: dict[Name, str] = {}
    """Name -> cron expression (UTC). A policy such as `scheduled` names the one it follows; "report" writes the daily report."""
    policies: tuple[PolicySettings, ...] = ()
    """Who proposes; earlier in the list means first choice."""
    notify: tuple[Variable, ...] = ()
    """Names of environment variables that hold notification URLs."""
