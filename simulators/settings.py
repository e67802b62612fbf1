"""A scenario as it is written: strict YAML, units in the names. Reading it is in `simulators.scenario`."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agent.settings import (
    SECONDS_MAX,
    AutonomySettings,
    BudgetSettings,
    Count,
    DeadlineSettings,
    GuardSettings,
    Name,
    PolicySettings,
    Replicas,
    Seconds,
    Share,
    Slo,
    Strict,
    Tick,
)
from simulators.learning_settings import LearningSettings
from simulators.quantities import Cadence, Cores, Moment, NotNegative, PerHour, Positive, Rate, Seed

# -- durations ---------------------------------------------------------------------------------------------------


class ConstantSettings(Strict):
    """Always the same."""

    kind: Literal["constant"]
    seconds: NotNegative


class ExponentialSettings(Strict):
    """Without memory, after a fixed part."""

    kind: Literal["exponential"]
    mean_s: Positive
    shift_s: NotNegative = 0.0


class LognormalSettings(Strict):
    """shift_s + scale_s * exp(shape * N), N standard normal."""

    kind: Literal["lognormal"]
    scale_s: Positive
    shape: Annotated[NotNegative, Field(le=10)]
    shift_s: NotNegative = 0.0

    @property
    def mean_s(self) -> float:
        return self.shift_s + self.scale_s * math.exp(self.shape**2 / 2)


class EmpiricalSettings(Strict):
    """Measured quantiles, linear between them; equally spaced where no probabilities are given."""

    kind: Literal["empirical"]
    seconds: Annotated[tuple[NotNegative, ...], Field(min_length=2)]
    probabilities: tuple[Share, ...] = ()


TOKENS = ("prompt_tokens", "output_tokens")
"""Columns of a trace that say how many tokens each request reads and writes."""


class TokensSettings(Strict):
    """A language model: the traffic must be a trace with prompt_tokens and output_tokens."""

    kind: Literal["tokens"]
    prompt_token_s: NotNegative
    output_token_s: NotNegative
    constant_s: NotNegative = 0.0


Duration = Annotated[
    ConstantSettings | ExponentialSettings | LognormalSettings | EmpiricalSettings, Field(discriminator="kind")
]
ServiceTime = Annotated[
    ConstantSettings | ExponentialSettings | LognormalSettings | EmpiricalSettings | TokensSettings,
    Field(discriminator="kind"),
]


# -- traffic -----------------------------------------------------------------------------------------------------


class SteadySettings(Strict):
    """Poisson at one rate."""

    kind: Literal["steady"]
    rate_rps: Rate


class PiecesSettings(Strict):
    """Poisson; the rate runs straight from point to point, and stays after the last."""

    kind: Literal["pieces"]
    times_s: Annotated[tuple[Moment, ...], Field(min_length=1)]
    rates_rps: Annotated[tuple[Rate, ...], Field(min_length=1)]


class DiurnalSettings(Strict):
    """Poisson; a wave of one day with its peak at `peak_s` after midnight. `weekdays` are factors by day of the week."""

    kind: Literal["diurnal"]
    mean_rps: Annotated[Rate, Field(gt=0)]
    swing: Share
    """Height of the wave as a part of the mean."""
    peak_s: Moment = 50_400.0
    period_s: Cadence = 86_400.0
    weekdays: tuple[NotNegative, ...] = ()


class RampSettings(Strict):
    """Poisson; from one rate to another between two moments."""

    kind: Literal["ramp"]
    from_rps: Rate
    to_rps: Rate
    begin_s: Moment
    end_s: Moment


class StepSettings(Strict):
    """Poisson; another rate from a moment on."""

    kind: Literal["step"]
    before_rps: Rate
    after_rps: Rate
    at_s: Moment


class FlashCrowdSettings(Strict):
    """Poisson; a crowd that comes within `rise_s`, stays and leaves."""

    kind: Literal["flash_crowd"]
    base_rps: Rate
    peak_rps: Rate
    at_s: Moment
    rise_s: Positive = 10.0
    hold_s: NotNegative = 60.0
    fall_s: Positive = 300.0


class BurstsSettings(Strict):
    """A Markov-modulated Poisson process: states with a rate and a mean stay each."""

    kind: Literal["bursts"]
    rates_rps: Annotated[tuple[Rate, ...], Field(min_length=2)]
    stays_s: Annotated[tuple[Cadence, ...], Field(min_length=2)]


def _of_the_trace(value: float) -> float:
    if value > SECONDS_MAX:
        raise ValueError(
            "expected seconds from the trace's first request on, from which times since 1970 are counted too"
        )
    return value


TraceMoment = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_of_the_trace)]


class TraceSettings(Strict):
    """A recorded trace: counts per minute or second of one column, or raw timestamps. A relative path begins at HOMEOSTAT_DATA
    where that is set, else beside the scenario."""

    kind: Literal["trace"]
    path: str
    column: str | None = None
    """Which column of counts; missing: the file has one."""
    from_s: TraceMoment = 0.0
    until_s: TraceMoment | None = None
    scale: Annotated[Positive, Field(le=10_000)] = 1.0
    stretch: Annotated[Positive, Field(ge=0.001, le=10_000)] = 1.0
    gaps: Literal["poisson", "exponential_gaps"] = "poisson"
    """How the requests of a bin lie in it."""


Traffic = Annotated[
    SteadySettings
    | PiecesSettings
    | DiurnalSettings
    | RampSettings
    | StepSettings
    | FlashCrowdSettings
    | BurstsSettings
    | TraceSettings,
    Field(discriminator="kind"),
]


# -- cluster -----------------------------------------------------------------------------------------------------


class NodesSettings(Strict):
    """So many nodes of one kind; their names are `name`-1, `name`-2 and so on."""

    name: Name = "node"
    count: Annotated[int, Field(ge=1, le=10_000)]
    cpus: Cores
    gpus: Cores = 0.0
    price_per_hour: NotNegative = 0.0
    spot: bool = False
    preemptions_per_hour: PerHour = 0.0
    """For spot nodes: mean number of times that each is taken away in an hour."""
    preemption_notice_s: NotNegative = 120.0
    back_after_s: Seconds = 600.0


class LifecycleSettings(Strict):
    """How long the steps in the life of a replica take."""

    cold_start: Duration = ConstantSettings(kind="constant", seconds=10.0)
    warm_start_s: NotNegative = 0.0
    warm_s: NotNegative = 0.0
    """A stopped replica keeps its place and can be taken back within so long."""
    warm_look_s: Cadence = 5.0
    stop_s: NotNegative = 0.0
    drains_in_place: bool = True
    """Whether a replica keeps its place until it has drained; else its place is free, or warm, from the moment it is told to stop."""
    drain_max_s: Seconds | None = None
    capacity_retry_s: Cadence = 5.0
    restart_after_s: NotNegative = 1.0
    """Until the controller has noticed that a replica is dead."""
    start_failure_p: Share = 0.0


class QuotaSettings(Strict):
    """What some models may hold together, serving and training, however much is free."""

    models: Annotated[tuple[Name, ...], Field(min_length=1)] = ("*",)
    """Globs over the names of models."""
    cpus: Cores | None = None
    gpus: Cores | None = None


class ClusterSettings(Strict):
    nodes: Annotated[tuple[NodesSettings, ...], Field(min_length=1)]
    quotas: tuple[QuotaSettings, ...] = ()


class TelemetrySettings(Strict):
    window_s: Positive = 30.0
    lag_s: NotNegative = 0.0
    mean_latency_counts_lost: bool = False
    """Whether dropped and failed requests count in the mean latency, as where a proxy measures."""
    by_replica: bool = True


# -- models ------------------------------------------------------------------------------------------------------


class SimModelSettings(Strict):
    """One model: its traffic, its service, its replicas."""

    traffic: Annotated[tuple[Traffic, ...], Field(min_length=1)]
    service: ServiceTime
    replicas: Replicas = 1
    min_replicas: Replicas = 1
    max_replicas: Annotated[Replicas, Field(ge=1)] | None = None
    cpus: Cores = 1.0
    gpus: Cores = 0.0
    slo_latency_s: Slo
    routing: Literal["power_of_two", "round_robin", "shared_queue", "least_loaded"] = "power_of_two"
    max_ongoing_requests: Annotated[int, Field(ge=1, le=100_000)] = 5
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = 1
    max_queued_requests: Annotated[int, Field(ge=-1, le=1_000_000_000)] = -1
    dispatcher_holds: Annotated[Count, Field(le=1_000_000)] = 0
    probe_s: NotNegative = 0.0
    """How long Serve's router waits to hear from full replicas how much they hold."""
    refusal_s: NotNegative | None = None
    """How long a request is away that a full replica refuses, one after the other; without it as long as `probe_s`."""
    router: Duration | None = None
    overhead: Duration | None = None
    batch_max: Annotated[int, Field(ge=1, le=100_000)] = 1
    batch_wait_s: NotNegative = 0.0
    batch_growth: NotNegative = 0.0
    timeout_s: Seconds | None = None
    retries: Annotated[Count, Field(le=100)] = 0
    retry_backoff_s: NotNegative = 0.0
    lifecycle: LifecycleSettings | None = None
    """Missing: that of the scenario."""
    learning: LearningSettings | None = None


# -- faults ------------------------------------------------------------------------------------------------------

OF_LEARNING = frozenset({"labels_away", "labels_late", "labels_lost", "labels_wild", "registry_away"})
"""Faults that nothing but a model with `learning` can have."""
FaultKind = Literal[
    "replica_crash",
    "crash_loop",
    "slow_replica",
    "hang",
    "node_loss",
    "noisy_neighbour",
    "spot_preemption",
    "network_delay",
    "telemetry_lost",
    "telemetry_late",
    "telemetry_duplicated",
    "telemetry_nan",
    "latency_nan",
    "gauges_nan",
    "gauges_stuck",
    "metrics_silent",
    "labels_away",
    "labels_late",
    "labels_lost",
    "labels_wild",
    "registry_away",
    "journal_away",
    "controller_away",
    "agent_killed",
    "clock_set_back",
    "clock_set_forward",
    "actuator_lies",
    "actuator_slow",
    "foreign_scale",
    "cold_start_storm",
]


class FaultSettings(Strict):
    """Something breaks at `at_s`, for `for_s` where it mends by itself."""

    at_s: Moment
    kind: FaultKind
    model: str | None = None
    node: str | None = None
    replicas: Annotated[Replicas, Field(ge=1)] = 1
    """How many replicas it hits, or how many a foreign hand sets."""
    factor: Positive = 10.0
    """How much slower."""
    seconds: NotNegative = 1.0
    """Of a delay, a lag, or the notice before a preemption; by how much a clock is set."""
    for_s: Seconds | None = None
    version: Annotated[int, Field(ge=1)] | None = None
    """For a crash loop: only replicas that serve this version crash, from `seconds` after it became the champion on."""
    noticed_after_s: NotNegative | None = None
    """For a hang: until Serve's health check replaces the replica; missing: never."""


# -- people ------------------------------------------------------------------------------------------------------


ActionKind = Literal[
    "scale",
    "restart",
    "retrain",
    "stop_training",
    "start_rollout",
    "set_traffic",
    "promote",
    "roll_back",
    "quarantine",
]


ANSWERS = frozenset({"approve", "deny"})
"""What people say to orders that wait."""


class PersonSettings(Strict):
    """What a person tells the agent at `at_s`, as with the command of that name."""

    at_s: Moment
    says: Literal["freeze", "unfreeze", "kill", "resume", "approve", "deny", "rollback"]
    model: str | None = None
    """For a rollback: of which model. For an answer: only to orders about this model."""
    action: ActionKind | None = None
    """For an answer: only to orders of this kind."""
    every_s: Seconds | None = None
    """For an answer: look again every so long, and answer what waits by then; missing: once."""
    for_s: Seconds | None = None
    """For an answer: how long they go on looking; missing: to the end of the run."""


# -- the whole ---------------------------------------------------------------------------------------------------


class ScenarioSettings(Strict):
    """A scenario file."""

    name: Name
    why: str = ""
    """Why this scenario is there."""
    seed: Seed = 1
    duration_s: Seconds
    warm_up_s: NotNegative = 0.0
    """Minutes before it do not count in the measures."""
    tick_s: Tick = 10.0
    first_tick_s: Moment | None = None
    models: Annotated[dict[Name, SimModelSettings], Field(min_length=1)]
    cluster: ClusterSettings
    lifecycle: LifecycleSettings = LifecycleSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    faults: tuple[FaultSettings, ...] = ()
    people: tuple[PersonSettings, ...] = ()
    policies: tuple[PolicySettings, ...] = ()
    autonomy: AutonomySettings = AutonomySettings.model_validate({"default": "act"})
    budget: BudgetSettings = BudgetSettings()
    guards: GuardSettings = GuardSettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    schedules: dict[Name, str] = Field(default_factory=dict)
    expect: tuple[str, ...] = ()
    """Conditions such as "slo_violation_rate < 0.02" or "models.fraud.recovery_s <= 90"."""
