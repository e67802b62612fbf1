"""How a scenario writes that a model learns, in either fidelity, and what happens to its rows."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from agent.settings import DriftSettings, Share, Strict
from simulators.quantities import Cadence, Cores, Moment, NotNegative, Part, Positive


class ChangeSettings(Strict):
    """What happens to the rows of a model: harmful, harmless, incident, season or recurring; see `simulators.changes`."""

    kind: Literal["harmful", "harmless", "incident", "season", "recurring"]
    at_s: Moment
    until_s: Moment | None = None
    harm: NotNegative = 0.0
    """Modelled: loss per row on top. Played: half-turns of the concept, or the part of the rows that is broken or flipped, up to 1."""
    period_s: Cadence | None = None
    """Of a recurring concept: so long the new one lasts, then so long the old one."""
    broken: Literal["missing", "units"] = "missing"
    """Played: what is wrong with the rows of an incident."""

    @model_validator(mode="after")
    def _season_ends(self) -> "ChangeSettings":
        if self.kind == "season" and self.until_s is None:
            raise ValueError("a season needs until_s, since its wave is as long as that")
        if (self.kind == "recurring") != (self.period_s is not None):
            raise ValueError("period_s belongs to a recurring change, and a recurring change needs it")
        if self.until_s is not None and self.until_s <= self.at_s:
            raise ValueError(f"until_s ({self.until_s}) must come after at_s ({self.at_s})")
        return self


class AnyLearningSettings(Strict):
    """A managed model: how it learns and what happens to its rows, in either fidelity."""

    label_delay_s: NotNegative = 600.0
    label_share: Annotated[Share, Field(gt=0)] = 1.0
    trials: Annotated[int, Field(ge=1, le=10_000)] = 8
    concurrent_trials: Annotated[int, Field(ge=1, le=10_000)] = 2
    trial_s: Cadence = 60.0
    """Mean duration of one trial in simulated time; so many at a time hold their place as long."""
    trial_cpus: Cores = 1.0
    trial_gpus: Cores = 0.0
    swap_s: NotNegative = 1.0
    changes: tuple[ChangeSettings, ...] = ()
    bad_versions: dict[int, NotNegative] = Field(default_factory=dict)
    """Number of a version -> how bad it is on top, as by a defect of the pipeline. Modelled: loss; played: the part of its answer that is
    the opposite one."""
    crashing_versions: tuple[int, ...] = ()
    """Numbers of versions whose replicas do not start."""


class ModelledSettings(AnyLearningSettings):
    """Loss is a formula. Losses are per row."""

    fidelity: Literal["modelled"] = "modelled"
    base_loss: NotNegative = 0.1
    noise: NotNegative = 0.2
    window_rows: Annotated[int, Field(ge=10, le=10_000_000)] = 2000
    rows_needed: Annotated[int, Field(ge=1, le=1_000_000_000)] = 5000
    """Rows after a change that teach a version all of it."""
    detection_delay_s: NotNegative = 60.0
    delta: Part = 0.002


class GenerateSettings(Strict):
    """Rows that need no data; see `simulators.row_streams.GeneratedStream`."""

    features: Annotated[int, Field(ge=3, le=200)] = 6
    signal: Positive = 3.0
    """How surely the features tell the label."""


class PlayedSettings(AnyLearningSettings):
    """Real models answer the rows of a stream, and real monitors watch them."""

    fidelity: Literal["played"]
    stream: str | None = None
    """A CSV file with a header, in stream order. A relative path begins beside the scenario, or at HOMEOSTAT_DATA."""
    generate: GenerateSettings | None = None
    target: str | None = None
    """The column of the label."""
    task: Literal["binary", "regression"] = "binary"
    positive: tuple[str | int | float | bool, ...] = ()
    """The values of the target that count as 1; none: the target is 0 or 1 already."""
    drop: tuple[str, ...] = ()
    """Columns that no model may read."""
    recipes: Annotated[tuple[str, ...], Field(min_length=1)] = ("logistic",)
    first_rows: Annotated[int, Field(ge=50, le=10_000_000)] = 2000
    """The first rows of the stream, on which version 1 is fitted before the run."""
    rows_per_request: Positive = 1.0
    """How many rows an answered request consumes; below 1 only a part of the requests does."""
    rows_max: Annotated[int, Field(ge=50, le=10_000_000)] = 20_000
    """The newest so many labelled rows are kept to train on."""
    validation_share: Part = 0.25
    drift: DriftSettings = DriftSettings()
    """What is watched, as in a configuration of the agent."""

    @model_validator(mode="after")
    def _has_rows(self) -> "PlayedSettings":
        if (self.stream is None) == (self.generate is None):
            raise ValueError("expected either a stream or generate")
        if self.stream is not None and self.target is None:
            raise ValueError("a stream needs a target, the column of its label")
        if self.drift.label_wait_s <= self.label_delay_s:
            raise ValueError(
                f"drift.label_wait_s must be above label_delay_s ({self.label_delay_s}), or no label is awaited"
            )
        return self

    @model_validator(mode="after")
    def _fits_its_task(self) -> "PlayedSettings":
        of_numbers = self.drift.loss in {"absolute", "squared"}
        if (self.task == "regression") != of_numbers:
            fitting = "absolute or squared" if self.task == "regression" else "brier, log_loss or zero_one"
            raise ValueError(f"the loss of a {self.task} task is {fitting}, not {self.drift.loss}")
        if self.task == "regression" and (self.positive or self.generate is not None):
            raise ValueError("a regression has no positive values, and generated rows have binary labels")
        return self

    @model_validator(mode="after")
    def _changes_can_be_played(self) -> "PlayedSettings":
        for change in self.changes:
            if self.stream is not None and change.kind != "incident":
                raise ValueError(
                    f"a stream has the changes that it has; of changes only an incident can be played on it, not {change.kind}"
                )
            if change.harm > 1:
                raise ValueError(f"harm of a played change is a part, up to 1, not {change.harm}")
        return self


def _fidelity(value: Any) -> Any:
    """Which settings `value` is for; what is no mapping at all is refused as such by either."""
    return value.get("fidelity", "modelled") if isinstance(value, dict) else getattr(value, "fidelity", "modelled")


LearningSettings = Annotated[
    Annotated[ModelledSettings, Tag("modelled")] | Annotated[PlayedSettings, Tag("played")],
    Discriminator(
        _fidelity, custom_error_type="fidelity", custom_error_message="expected fidelity: modelled or played"
    ),
]
