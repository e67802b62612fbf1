"""The configuration: one YAML file, strict. Units stand in the names; unknown keys are errors.

Reading a file, its error messages and its JSON Schema are in `agent.settings_file`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.order import Autonomy

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ClusterSettings(Strict):
    address: str = "auto"
    """Ray address; "auto" joins the cluster that RAY_ADDRESS names, or else the one that runs on this machine."""
    dashboard_url: str | None = None
    """Address of the dashboard that takes scale requests; found from the cluster where it is missing."""


class AutonomySettings(Strict):
    """How far the agent may go, by kind of action. Day one is safe: it only suggests."""

    default: Autonomy = Autonomy.SUGGEST
    scale: Autonomy | None = None
    restart: Autonomy | None = None
    retrain: Autonomy | None = None
    stop_training: Autonomy | None = None
    start_rollout: Autonomy | None = None
    set_traffic: Autonomy | None = None
    promote: Autonomy | None = None
    roll_back: Autonomy | None = None
    quarantine: Autonomy | None = None
    approval_expires_s: Seconds = 3600.0
    """An approval that nobody gave by then counts as a denial."""


class BudgetSettings(Strict):
    """What serving and training may take together. A missing limit is the cluster's own capacity."""

    replicas: Count | None = None
    cpus: Annotated[float, Field(ge=0)] | None = None
    gpus: Annotated[float, Field(ge=0)] | None = None
    orders_per_minute: Annotated[int, Field(ge=1)] = 30
    retrainings_per_day: Annotated[int, Field(ge=0)] | None = None


class FreezeWindow(Strict):
    """No action but alerts from `start` (cron, UTC) for `duration_s`."""

    start: str
    duration_s: Seconds
    reason: str = ""


class GuardSettings(Strict):
    blast_radius: Share = 0.5
    """At most this part of a deployment's replicas is restarted at once (always at least one when there are two)."""
    cool_down_s: dict[
        Literal["scale", "restart", "retrain", "start_rollout", "set_traffic", "promote", "roll_back", "quarantine"],
        Annotated[float, Field(ge=0)],
    ] = {}
    """After an order of this kind on a target, no other of the same kind for so long."""
    promotion_min_rows: Count = 200
    """No promotion on fewer paired or answered labelled rows than this."""
    freeze_windows: tuple[FreezeWindow, ...] = ()
    foreign_change_respected_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    """After somebody else has set a replica count, the agent tells people and leaves that count alone for so long."""


class JournalSettings(Strict):
    url: str = "sqlite:///homeostat.db"
    """SQLAlchemy URL. A password is taken from the environment variable HOMEOSTAT_JOURNAL_PASSWORD, never written here."""


class DeadlineSettings(Strict):
    """How long an order may take before it is given up."""

    scale_s: Seconds = 120.0
    restart_s: Seconds = 120.0
    retrain_s: Seconds = 7200.0
    rollout_s: Seconds = 300.0


class DeploymentSettings(Strict):
    """A deployment of yours that the agent watches (level L0). The key is "application/deployment"."""

    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Annotated[int, Field(ge=1)] | None = None
    slo_latency_s: Seconds | None = None
    probe: str | None = None
    """The name given to the probe inside it (level L1), if any."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "DeploymentSettings":
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) must be at least min_replicas ({self.min_replicas})")
        return self


class MonitorSettings(Strict):
    """One detector on one signal of a model."""

    kind: Literal["error_drift", "prediction_drift", "feature_drift", "data_quality", "performance"]
    use: str
    """Registered detector name, or an import path."""
    signal: str = "loss"
    """"loss", "prediction", a feature's name, or "*" for every feature."""
    parameters: dict[str, Any] = {}


class DriftSettings(Strict):
    loss: Literal["brier", "log_loss", "zero_one", "absolute", "squared"] = "brier"
    window_rows: Annotated[int, Field(ge=10)] = 2000
    label_wait_s: Seconds = 86400.0
    """A row whose label has not come by then is forgotten by the monitors (not by the data log)."""
    monitors: tuple[MonitorSettings, ...] | None = None
    """Missing: a default set for error, prediction, features and data quality."""


class TrainingSettings(Strict):
    """How a managed model (level L2) is retrained."""

    recipes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Registered recipe names or import paths; the search chooses among them."""
    trials: Annotated[int, Field(ge=1)] = 16
    time_budget_s: Seconds = 1800.0
    rows_max: Annotated[int, Field(ge=50)] = 50_000
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """The newest part of the rows, held out to score trials."""
    trial_cpus: Annotated[float, Field(gt=0)] = 1.0
    trial_gpus: Annotated[float, Field(ge=0)] = 0.0
    concurrent_trials: Annotated[int, Field(ge=1)] = 2
    study_url: str = "sqlite:///homeostat-studies.db"
    seed: int = 0


class ServerSettings(Strict):
    """The replicas that serve a managed model."""

    replica_cpus: Annotated[float, Field(ge=0)] = 1.0
    replica_gpus: Annotated[float, Field(ge=0)] = 0.0
    max_ongoing_requests: Annotated[int, Field(ge=1)] = 20
    fault_injection: bool = False
    """Whether a replica may be made slow on purpose. For rehearsals only."""


class ModelSettings(Strict):
    """A model that serves versions from the registry (level L2). The key is its name."""

    application: str | None = None
    """Serve application of its champion; the challenger's is this with "-challenger". Missing: the model's name."""
    deployment: DeploymentSettings = DeploymentSettings()
    server: ServerSettings = ServerSettings()
    drift: DriftSettings = DriftSettings()
    training: TrainingSettings | None = None


class RegistrySettings(Strict):
    tracking_uri: str = "sqlite:///mlflow.db"
    artifact_location: str | None = None


class DataLogSettings(Strict):
    url: str = "homeostat-data"
    """Folder or any fsspec URL; rows are Parquet, partitioned by model and day."""
    flush_s: Seconds = 5.0


class PolicySettings(BaseModel):
    """One policy; every other key is a parameter of it. Earlier in the list means first choice where two want the same target."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str
    targets: tuple[str, ...] = ("*",)
    """Globs over deployment and model names; the policy sees nothing else."""

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Settings(Strict):
    name: str = "homeostat"
    tick_s: Seconds = 5.0
    cluster: ClusterSettings = ClusterSettings()
    autonomy: AutonomySettings = AutonomySettings()
    budget: BudgetSettings = BudgetSettings()
    guards: GuardSettings = GuardSettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    journal: JournalSettings = JournalSettings()
    registry: RegistrySettings = RegistrySettings()
    data_log: DataLogSettings = DataLogSettings()
    deployments: dict[str, DeploymentSettings] = {}
    models: dict[str, ModelSettings] = {}
    schedules: dict[str, str] = {}
    """Name -> cron expression (UTC). A policy such as `scheduled` names the one it follows; "report" writes the daily report."""
    policies: tuple[PolicySettings, ...] = ()
    notify: tuple[str, ...] = ()
    """Names of environment variables that hold notification URLs."""
