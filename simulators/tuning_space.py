"""What is tuned, over what, and for what: a SPACE.yaml as it is written. Reading it is in `simulators.tuning_problem`."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from agent.settings import Count, PolicySettings, Seconds, Share, Strict
from simulators.quantities import Seed

Choice = bool | int | float | str | None


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A value that is given twice would count twice, or was to be another one."""
    for place, value in enumerate(values):
        if any(type(each) is type(value) and each == value for each in values[:place]):
            raise ValueError(f"expected each value once, and {value!r} is there twice")
    return values


Once = AfterValidator(_once)
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=10_000), Once]


class ParameterSettings(Strict):
    """A range (`low`, `high`) or `choices` of one parameter."""

    model_config = ConfigDict(populate_by_name=True)
    low: Annotated[float, Field(allow_inf_nan=False)] | None = None
    high: Annotated[float, Field(allow_inf_nan=False)] | None = None
    log: bool = False
    """Whether ratios count, as from 1 to 1,000."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    whole: bool = Field(default=False, alias="int")
    """Whole numbers only."""
    choices: Annotated[tuple[Choice, ...], Once] = ()

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        ranged = self.low is not None or self.high is not None
        if ranged == bool(self.choices):
            raise ValueError("expected either low and high, or choices")
        if self.choices:
            return self._chosen()
        if self.low is None or self.high is None:
            raise ValueError(f"expected {'low' if self.low is None else 'high'} beside it, or choices")
        if not self.low < self.high:
            raise ValueError(f"expected low below high, got low {self.low} and high {self.high}")
        return self._ranged(self.low, self.high)

    def _chosen(self) -> Self:
        if len(self.choices) < 2 or self.log or self.step is not None or self.whole:
            raise ValueError("expected at least two choices, and neither log, step nor int beside them")
        return self

    def _ranged(self, low: float, high: float) -> Self:
        if self.log and (low <= 0 or self.step is not None):
            raise ValueError("expected low above 0 and no step where log is true")
        if self.step is not None and abs((high - low) / self.step - round((high - low) / self.step)) > 1e-9:
            raise ValueError(f"expected steps of {self.step:g} to lead from {low:g} to {high:g}")
        if self.whole and any(each != int(each) for each in (low, high, self.step or 1)):
            raise ValueError("expected whole numbers for low, high and step where int is true")
        return self

    @property
    def ends(self) -> tuple[Choice, ...]:
        """What is at the edge of it: if a policy takes these, it takes what is between."""
        if self.choices:
            return self.choices
        low, high = self.low or 0.0, self.high or 0.0
        return (int(low), int(high)) if self.whole else (low, high)


class ObjectiveSettings(Strict):
    """A measure of results, as expectations name it, and which way is better."""

    measure: str
    direction: Literal["minimise", "maximise"] = "minimise"
    over: Literal["mean", "worst"] = "mean"
    """What counts of all scenarios and seeds: their mean, or the worst of them."""
    bound: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """No run can be better than this; known to be 0 where a measure is minimised, as none of them is negative."""

    @property
    def sign(self) -> float:
        """What makes a loss of a value: less is better."""
        return 1.0 if self.direction == "minimise" else -1.0

    @property
    def best_possible(self) -> float | None:
        return 0.0 if self.bound is None and self.direction == "minimise" else self.bound


class HoldOutSettings(Strict):
    """What tuning never sees."""

    scenarios: Annotated[tuple[str, ...], Field(min_length=1), Once] = ()
    """Files or globs; missing: the scenarios of tuning, with other seeds."""
    seeds: Seeds


class SamplerSettings(Strict):
    """Who suggests parameters, as Optuna calls it."""

    kind: Literal["tpe", "random", "nsga2"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    startup_trials: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Of tpe: so many trials by chance come first."""
    population: Annotated[int, Field(ge=2, le=100_000)] = 20
    """Of nsga2."""


class PrunerSettings(Strict):
    """When a trial is given up before all its runs were played.

    `median`, `percentile` and `wilcoxon` are Optuna's and know one objective. `dominated` knows any number: a trial ends once a finished
    trial is better than the best that could still become of it.
    """

    kind: Literal["auto", "none", "median", "percentile", "wilcoxon", "dominated"] = "auto"
    """`auto`: median for one objective, dominated for several."""
    startup_trials: Count = 5
    warmup_runs: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    percentile: Annotated[float, Field(gt=0, lt=100)] = 25.0
    """Of percentile: the best so many per cent go on."""
    p_value: Share = 0.1
    """Of wilcoxon."""
    assume: Literal["bound", "seen"] = "bound"
    """Of dominated: what the runs to come may bring. The objective's bound, so that no trial of the front is ever lost; or the best that
    any finished trial had in the same run, which gives up far more trials, now and then a good one."""


class ChooseSettings(Strict):
    """Which trial of the front is taken: the one with the least (most) of an objective among those that meet every condition.
    Neither, or no trial that meets them: the knee, which is nearest to the best of each objective after scaling by the front's extent."""

    least: str | None = None
    most: str | None = None
    where: tuple[str, ...] = ()
    """Such as "slo_violation_rate <= 0.02"; the number may be `before` or `1.1 * before`, what the untuned settings had in tuning."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.least is not None and self.most is not None:
            raise ValueError("expected least or most, not both")
        if self.where and self.least is None and self.most is None:
            raise ValueError("expected least or most beside where")
        return self


def _named(value: str) -> str:
    """Files are called by it."""
    if not NAME.fullmatch(value):
        raise ValueError(
            "expected letters, digits, '_', '-', '.' and spaces, beginning with a letter or a digit, at most 100 of them"
        )
    return value


NAME = re.compile(r"[A-Za-z0-9][\w\-. ]{0,99}")


class SpaceSettings(Strict):
    """A SPACE.yaml."""

    name: Annotated[str, AfterValidator(_named), Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]
    """Of the study."""
    why: str = ""
    policy_file: str | None = None
    """A settings, scenario or policy file, whose policies are tuned; relative to this file."""
    policies: tuple[PolicySettings, ...] = ()
    """The policies themselves, in place of a file."""
    parameters: Annotated[dict[str, ParameterSettings], Field(min_length=1)]
    """By path: `policies[0].target`, or `target_utilization.target` where one policy of the list is called so."""
    scenarios: Annotated[tuple[str, ...], Field(min_length=1), Once]
    """Files or globs, relative to this file."""
    seeds: Seeds
    hold_out: HoldOutSettings
    objectives: Annotated[tuple[ObjectiveSettings, ...], Field(min_length=1)]
    trials: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    timeout_s: Seconds | None = None
    """No trial goes on after so long; the hold-out is played afterwards."""
    sampler: SamplerSettings = SamplerSettings()
    pruner: PrunerSettings = PrunerSettings()
    storage: str | None = None
    """`sqlite:///FILE` or `journal:///FILE`, relative to this file; missing: NAME.study.db beside this file."""
    choose: ChooseSettings = ChooseSettings()
    """`knee`, or a rule."""

    @field_validator("choose", mode="before")
    @classmethod
    def _knee(cls, value: Any) -> Any:
        if value != "knee" and not isinstance(value, dict | ChooseSettings):
            raise ValueError("expected knee, or a mapping with least or most, and where beside it")
        return {} if value == "knee" else value

    @property
    def pruning(self) -> str:
        """The kind of pruner, chosen where it was left open."""
        if self.pruner.kind != "auto":
            return self.pruner.kind
        return "median" if len(self.objectives) == 1 else "dominated"
