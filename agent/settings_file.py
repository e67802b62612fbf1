"""Reading the configuration: YAML with line numbers, strict; environment variables on top; every error named by file, line and key.

A variable HOMEOSTAT__JOURNAL__URL sets journal.url; double underscores separate keys, and the value is read as YAML.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from apscheduler.triggers.cron import CronTrigger
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.assembly import AssemblyError, build_core
from agent.monitoring import detectors
from agent.recipes import registry as recipes
from agent.settings import PolicySettings, Settings

ENVIRONMENT_PREFIX = "HOMEOSTAT__"
Keys = tuple[str | int, ...]


class SettingsError(ValueError):
    """What is wrong with a configuration, one line per fault: `file:line: key: what was found; what was expected`."""


@dataclass(frozen=True)
class Located:
    """Plain values, and the line of each key (from 1)."""

    values: dict[str, Any]
    lines: Mapping[Keys, int]

    def line(self, keys: Keys) -> int:
        """The line of `keys`, or of the nearest key around it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)


def load(path: str | Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `path` with the environment's overrides. Raises SettingsError with all that is wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can not be read: {error}") from error
    return parse(text, str(path), environment)


def parse(text: str, name: str, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `text`, called `name` in messages. Raises SettingsError."""
    located = _located(text, name)
    _override(located.values, environment)
    try:
        settings = Settings.model_validate(located.values)
    except ValidationError as error:
        lines = [f"{name}:{located.line(_keys(e))}: {_told(e)}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from error
    faults = [f"{name}:{located.line(keys)}: {_dotted(keys)}: {told}" for keys, told in _impossible(settings)]
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def schema() -> dict[str, Any]:
    """JSON Schema of the configuration, with descriptions, for editors and checks elsewhere."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def _located(text: str, name: str) -> Located:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise SettingsError(f"{name}:{line}: not YAML: {getattr(error, 'problem', error)}") from error
    if root is None:
        return Located({}, {})
    if not isinstance(root, yaml.MappingNode):
        raise SettingsError(f"{name}:1: found {root.tag.rsplit(':', 1)[-1]}; expected a mapping of keys to values")
    lines: dict[Keys, int] = {}
    duplicates: list[str] = []
    _walk(root, (), lines, duplicates, name)
    if duplicates:
        raise SettingsError("\n".join(duplicates))
    values: dict[str, Any] = yaml.safe_load(text)
    return Located(values, lines)


def _walk(node: yaml.Node, keys: Keys, lines: dict[Keys, int], duplicates: list[str], name: str) -> None:
    lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            full = (*keys, key.value)
            if full in lines:
                duplicates.append(
                    f"{name}:{key.start_mark.line + 1}: {_dotted(full)}: given twice, first on line {lines[full]}; expected once"
                )
            lines[full] = key.start_mark.line + 1
            _walk(value, full, lines, duplicates, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*keys, index), lines, duplicates, name)


def _override(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for variable, raw in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        *outer, last = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        place = values
        for key in outer:
            inner = place.get(key)
            place[key] = dict(inner) if isinstance(inner, dict) else {}
            place = place[key]
        place[last] = yaml.safe_load(raw)


def _keys(error: ErrorDetails) -> Keys:
    return tuple(key for key in error["loc"] if key != "[key]")


def _told(error: ErrorDetails) -> str:
    keys = _keys(error)
    found = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            return f"{_dotted(keys)}: unknown key{_nearest(keys)}"
        case "missing":
            return f"{_dotted(keys)}: missing; expected a value"
        case "float_parsing" | "float_type" | "int_parsing" | "int_type" if str(keys[-1]).endswith("_s"):
            return f"{_dotted(keys)}: found {found!r}; expected seconds as a number, such as 30"
        case _:
            message = error["msg"].removeprefix("Value error, ")
            return f"{_dotted(keys)}: found {_short(found)}; {message[:1].lower()}{message[1:]}"


def _short(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest(keys: Keys) -> str:
    known = _fields(keys[:-1])
    near = difflib.get_close_matches(str(keys[-1]), known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(sorted(known))}" if known else ""


def _fields(keys: Keys) -> list[str]:
    """Names of the keys that may stand under `keys`."""
    model: Any = Settings
    for key in keys:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
        field = model.model_fields.get(str(key))
        if field is None:
            continue  # a name of the user's own, such as a model's: its settings are those of the mapping's values
        model = next(_models_in(field.annotation), None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _dotted(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _impossible(settings: Settings) -> Iterator[tuple[Keys, str]]:
    """Combinations that no type can forbid."""
    for index, entry in enumerate(settings.policies):
        yield from _policy_faults(settings, index, entry)
    for name, cron in settings.schedules.items():
        try:
            CronTrigger.from_crontab(cron)
        except ValueError as error:
            yield ("schedules", name), f"found {cron!r}; expected a cron expression of five fields: {error}"
    yield from _model_faults(settings)
    replicas = settings.budget.replicas
    least = sum(d.min_replicas for d in settings.deployments.values())
    least += sum(m.deployment.min_replicas for m in settings.models.values())
    if replicas is not None and least > replicas:
        yield ("budget", "replicas"), f"found {replicas}; the minimums of all deployments together are {least}"
    for name in settings.deployments:
        if name.count("/") != 1:
            yield ("deployments", name), 'expected "application/deployment", as Ray Serve names them'


def _model_faults(settings: Settings) -> Iterator[tuple[Keys, str]]:
    for name, model in settings.models.items():
        for index, use in enumerate(model.training.recipes if model.training else ()):
            try:
                recipes.build(use)
            except ValueError as error:
                yield ("models", name, "training", "recipes", index), str(error)
        for index, monitor in enumerate(model.drift.monitors or ()):
            try:
                detectors.build(monitor.use, monitor.parameters)
            except ValueError as error:
                yield ("models", name, "drift", "monitors", index), str(error)


def _policy_faults(settings: Settings, index: int, entry: PolicySettings) -> Iterator[tuple[Keys, str]]:
    alone = settings.model_copy(update={"policies": (entry,)})
    try:
        build_core(alone)
    except AssemblyError as error:
        yield ("policies", index), str(error.__cause__ or error)
        return
    schedule = entry.parameters.get("schedule")
    if schedule is not None and schedule not in settings.schedules:
        known = ", ".join(settings.schedules) or "none"
        yield ("policies", index, "schedule"), f"found {schedule!r}; expected a name under schedules ({known})"
