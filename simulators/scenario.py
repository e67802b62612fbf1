"""A scenario from its file: read strictly, checked whole, with every fault named by file, line and key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent.application_names import CHALLENGER_SUFFIX
from agent.assembly import AssemblyError, build_core, policy_fault
from agent.cron import faults as cron_faults
from agent.matching import unscheduled
from agent.refusals import meant
from agent.settings import PolicySettings, Settings
from agent.strict_yaml import validated
from agent.yaml_nodes import Fault, FileFault, Keys, text_of
from policies.imports import Packages
from simulators import room, shapes
from simulators.arrival_traces import CountTrace, StampTrace, TraceError, load_trace
from simulators.data_files import DataMissing, ScenarioError, data_path
from simulators.expectations import ExpectationError, lookup, parse
from simulators.learning_settings import PlayedSettings
from simulators.scenario_size import faults as size_faults
from simulators.settings import ANSWERS, OF_LEARNING, TOKENS, ScenarioSettings, TokensSettings, TraceSettings
from simulators.trace_spans import span

SCHEMA_KEY = "$schema"


@dataclass(frozen=True)
class Scenario:
    """A scenario and where it lies; traces are found beside it or under HOMEOSTAT_DATA."""

    settings: ScenarioSettings
    folder: Path
    file: str = "scenario"
    allowed: Packages = ()
    """Packages whose policies and recipes may be named by import path."""

    @property
    def name(self) -> str:
        return self.settings.name

    def with_policies(self, policies: Iterable[PolicySettings]) -> "Scenario":
        """The same scenario under other policies."""
        return replace(self, settings=self.settings.model_copy(update={"policies": tuple(policies)}))

    def agent_settings(self) -> Settings:
        """What the agent in it is told, as in a configuration file."""
        told = self.settings
        return Settings.model_validate(
            {
                "name": "simulated",
                "tick_s": told.tick_s,
                "autonomy": told.autonomy,
                "budget": told.budget,
                "guards": told.guards,
                "deadlines": told.deadlines,
                "schedules": told.schedules,
                "policies": [each.model_dump() for each in told.policies],
                "models": {},
            }
        )


def load(path: str | Path, allowed: Packages = ()) -> Scenario:
    """The scenario in `path`, whose import paths have to lead into the packages of `allowed`.

    Raises ScenarioError with all that is wrong with it, DataMissing where only a trace is lacking.
    """
    file = Path(path)
    try:
        text = text_of(file)
    except FileFault as fault:
        raise ScenarioError(str(fault)) from fault
    return parse_scenario(text, str(file), file.absolute().parent, allowed)


def parse_scenario(text: str, name: str, folder: Path, allowed: Packages = ()) -> Scenario:
    """The scenario in `text`, called `name` in messages. Raises ScenarioError."""
    try:
        settings = validated(
            text,
            name,
            ScenarioSettings,
            change=lambda values: values.pop(SCHEMA_KEY, None),
            impossible=lambda value: _impossible(value, folder, allowed),
        )
    except FileFault as fault:
        raise ScenarioError(str(fault)) from fault
    return Scenario(settings=settings, folder=folder, file=name, allowed=allowed)


class PolicyFile(BaseModel):
    """What of a settings, scenario or policy file is read as policies; its other keys are not looked at."""

    policies: tuple[PolicySettings, ...]


def load_policies(path: str | Path, allowed: Packages = ()) -> tuple[PolicySettings, ...]:
    """The policies of a settings, scenario or policy file. Raises ScenarioError with all that is wrong with them."""
    try:
        text = text_of(path)
        return validated(
            text, str(path), PolicyFile, impossible=lambda value: _impossible_policies(value, allowed)
        ).policies
    except FileFault as fault:
        raise ScenarioError(str(fault)) from fault


def schema() -> dict[str, Any]:
    """JSON Schema of a scenario, for completion in editors."""
    plain = ScenarioSettings.model_json_schema()
    plain["properties"][SCHEMA_KEY] = {"type": "string"}
    return {SCHEMA_KEY: "https://json-schema.org/draft/2020-12/schema", **plain}


def trace_path(path: str, folder: Path) -> Path:
    """Where a trace lies: absolute, beside the scenario, or under HOMEOSTAT_DATA. Raises DataMissing."""
    return data_path(path, folder, "trace")


# -- what no type can forbid -------------------------------------------------------------------------------------


def _impossible(settings: ScenarioSettings, folder: Path, allowed: Packages) -> Iterator[Fault]:
    yield from _impossible_policies(settings, allowed)
    yield from unscheduled(settings.policies, settings.schedules)
    yield from _quota_faults(settings)
    yield from _expectation_faults(settings)
    yield from _fault_faults(settings)
    yield from _people_faults(settings)
    yield from _name_faults(settings)
    for name, model in settings.models.items():
        for index, traffic in enumerate(model.traffic):
            if isinstance(traffic, TraceSettings):
                keys = ("models", name, "traffic", index)
                yield from _trace_faults(traffic, keys, folder, settings.duration_s)
                if isinstance(model.service, TokensSettings):
                    yield from _token_faults(traffic, keys, folder)
        if isinstance(model.learning, PlayedSettings):
            yield from _played_faults(model.learning, ("models", name, "learning"), folder, allowed)
    yield from shapes.faults(settings)
    yield from size_faults(settings)
    yield from room.faults(settings)
    yield from cron_faults(settings.schedules, settings.guards.freeze_windows)
    if settings.warm_up_s >= settings.duration_s:
        yield ("warm_up_s",), f"found {settings.warm_up_s:g}; expected less than duration_s, {settings.duration_s:g}"


def _impossible_policies(settings: ScenarioSettings | PolicyFile, allowed: Packages) -> Iterator[Fault]:
    for index, entry in enumerate(settings.policies):
        try:
            build_core(Settings(policies=(entry,)), allowed=allowed)
        except AssemblyError as error:
            yield policy_fault(error, index)


def _trace_faults(traffic: TraceSettings, keys: Keys, folder: Path, duration_s: float) -> Iterator[Fault]:
    try:
        trace = load_trace(trace_path(traffic.path, folder))
    except DataMissing:
        return  # said where the scenario is to be run, since its other parts may be checked without the data
    except (TraceError, OSError) as error:
        yield (*keys, "path"), str(error)
        return
    told = _column_fault(trace, traffic)
    if told is not None:
        yield (*keys, "column"), told
    elif (played := span(trace, traffic, duration_s)).missed:
        yield (
            keys,
            f"no request of this trace lies within the run; its first comes at {played.first_s:g} s of the trace",
        )


def _token_faults(traffic: TraceSettings, keys: Keys, folder: Path) -> Iterator[Fault]:
    """Where service is by tokens, each request of the trace says how many it reads and writes."""
    try:
        trace = load_trace(trace_path(traffic.path, folder))
    except (DataMissing, TraceError, OSError):
        return  # said of the trace itself
    if isinstance(trace, CountTrace) or not set(TOKENS) <= set(trace.names):
        told = f"a trace of {', '.join(trace.names) or 'times alone'}; expected the columns {' and '.join(TOKENS)} of each request"
        yield (*keys, "path"), f"found {told}, since service is by tokens"
    elif (trace.columns[:, [trace.names.index(name) for name in TOKENS]] < 0).any():
        yield (*keys, "path"), f"found fewer than 0 tokens; expected 0 or more in {' and '.join(TOKENS)}"


def _column_fault(trace: CountTrace | StampTrace, traffic: TraceSettings) -> str | None:
    column = traffic.column
    if isinstance(trace, StampTrace):
        told = f"found {column!r}; this trace holds timestamps and has no columns to choose from"
        return None if column is None else told
    chosen = column in trace.names or (column is None and len(trace.names) == 1)
    return None if chosen else f"found {column!r}; {_one_of(column, trace.names)}"


def _played_faults(learning: PlayedSettings, keys: Keys, folder: Path, allowed: Packages) -> Iterator[Fault]:
    from simulators.played import faults  # noqa: PLC0415 - scikit-learn and River take seconds; few scenarios play rows

    for below, told in faults(learning, folder, allowed):
        yield (*keys, *below), told


def _one_of(found: object, names: Iterable[str]) -> str:
    """What may be named, as far as people read it, and what was probably meant."""
    known = list(names)
    near = meant(found, known)
    return f"expected one of {_few(known)}" + (f"; did you mean {near!r}?" if near is not None else "")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])} and {len(names) - 12} more"


def _quota_faults(settings: ScenarioSettings) -> Iterator[Fault]:
    for index, quota in enumerate(settings.cluster.quotas):
        for place, glob in enumerate(quota.models):
            if not any(fnmatchcase(name, glob) for name in settings.models):
                told = f"found {glob!r}, which matches no model; expected a glob over {_few(list(settings.models))}"
                yield ("cluster", "quotas", index, "models", place), told


def _fault_faults(settings: ScenarioSettings) -> Iterator[Fault]:
    nodes = {f"{kind.name}-{n + 1}" for kind in settings.cluster.nodes for n in range(kind.count)}
    for index, fault in enumerate(settings.faults):
        if fault.model is not None and fault.model not in settings.models:
            yield ("faults", index, "model"), f"found {fault.model!r}; {_one_of(fault.model, settings.models)}"
        if fault.kind in OF_LEARNING and not _learns(settings, fault.model):
            told = f"found {fault.kind!r}, which is about models with `learning`; {fault.model or 'every model'} is without"
            yield ("faults", index, "kind"), told
        if fault.node is not None and fault.node not in nodes:
            yield ("faults", index, "node"), f"found {fault.node!r}; {_one_of(fault.node, sorted(nodes))}"


def _learns(settings: ScenarioSettings, model: str | None) -> bool:
    """Whether the model has something to learn, or any has where none is named."""
    return any(each.learning is not None for name, each in settings.models.items() if model in (None, name))


def _name_faults(settings: ScenarioSettings) -> Iterator[Fault]:
    """A model that learns has an application for its challenger, which no other model may be called like."""
    for name, model in settings.models.items():
        challenger = f"{name}{CHALLENGER_SUFFIX}"
        if model.learning is not None and challenger in settings.models:
            told = f"found {challenger!r}, as the challenger of models.{name} is called; expected another name"
            yield ("models", challenger), told


def _people_faults(settings: ScenarioSettings) -> Iterator[Fault]:
    managed = [name for name, model in settings.models.items() if model.learning is not None]
    for index, person in enumerate(settings.people):
        keys, answers = ("people", index), person.says in ANSWERS
        if person.says == "rollback" and person.model not in managed:
            yield (
                (*keys, "model"),
                f"found {person.model!r}; expected a model with `learning`: {', '.join(managed) or 'there is none'}",
            )
        elif person.model is not None and person.model not in settings.models:
            yield (*keys, "model"), f"found {person.model!r}; {_one_of(person.model, settings.models)}"
        for name in ("action", "every_s", "for_s"):
            if getattr(person, name) is not None and not answers:
                yield (
                    (*keys, name),
                    f"found with `says: {person.says}`; expected with {' or '.join(sorted(ANSWERS))} only",
                )


def _expectation_faults(settings: ScenarioSettings) -> Iterator[Fault]:
    known = known_measures(settings.models)
    for index, text in enumerate(settings.expect):
        try:
            lookup(parse(text).measure, known)
        except ExpectationError as error:
            yield ("expect", index), str(error)


TOTALS = (
    "lost_utility", "slo_violation_rate", "violations_per_request", "requests", "dropped", "failed", "unfinished",
    "replica_hours", "replicas_mean", "node_cost", "orders", "rollbacks", "promotions", "retrainings", "restarts", "alerts", "vetoes",
    "recovery_s", "mean_loss", "frozen_loss", "scale_orders", "trainings_stopped", "lives",
)  # fmt: skip
OF_MODEL = (
    "slo_violation_rate", "lost_utility", "requests", "dropped", "failed", "unfinished", "replica_hours", "replicas_mean",
    "replicas_max", "p50_s", "p95_s", "p99_s", "rollbacks", "promotions", "retrainings", "restarts", "recovery_s",
    "mean_loss", "frozen_loss", "scale_orders", "quarantines", "challenger_requests",
)  # fmt: skip


def known_measures(models: Iterable[str]) -> Mapping[str, Any]:
    """Every measure that a result has, with a zero for its value: what an expectation may name."""
    return {**dict.fromkeys(TOTALS, 0.0), "models": {name: dict.fromkeys(OF_MODEL, 0.0) for name in models}}
