"""Reading the configuration: YAML with line numbers, strict; environment variables on top; every error named by file, line and key.

A variable HOMEOSTAT__JOURNAL__URL sets journal.url; double underscores separate keys, and the value is read as YAML.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.application_names import faults as name_faults
from agent.assembly import AssemblyError, build_policies, policy_fault
from agent.cron import faults as cron_faults
from agent.database_urls import faults as url_faults
from agent.matching import unscheduled
from agent.monitoring import detectors
from agent.settings import DriftSettings, PolicySettings, Settings
from agent.strict_yaml import validated, value_in
from agent.yaml_nodes import FileFault, Keys, text_of
from policies.imports import Packages

ENVIRONMENT_PREFIX = "HOMEOSTAT__"


class SettingsError(FileFault):
    """What is wrong with a configuration; see FileFault."""


def load(
    path: str | Path,
    environment: Mapping[str, str] = os.environ,
    *,
    allowed: Packages = (),
    built: bool = True,
) -> Settings:
    """The settings in `path` with the environment's overrides. Raises SettingsError with all that is wrong.

    `allowed` are the packages whose classes may be named by import path; without `built` no name of a class is looked up at all.
    """
    if not os.path.lexists(path):
        raise SettingsError(
            f"{path}: can not be read: there is no such file; expected the configuration, as FILE or as homeostat.yaml where you "
            "are. The least that one holds is `name: shop`; `homeostat config schema` says what else"
        )
    try:
        text = text_of(path)
    except FileFault as fault:
        raise SettingsError(str(fault)) from fault
    return parse(text, str(path), environment, allowed=allowed, built=built)


def parse(
    text: str,
    name: str,
    environment: Mapping[str, str] = os.environ,
    *,
    allowed: Packages = (),
    built: bool = True,
) -> Settings:
    """The settings in `text`, called `name` in messages; see `load`. Raises SettingsError."""
    try:
        return validated(
            text,
            name,
            Settings,
            change=lambda values: _override(values, environment),
            impossible=lambda settings: _impossible(settings, allowed, built),
        )
    except FileFault as fault:
        raise SettingsError(str(fault)) from fault


def schema() -> dict[str, Any]:
    """JSON Schema of the configuration, with descriptions, for editors and checks elsewhere."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def _override(values: dict[str, Any], environment: Mapping[str, str]) -> dict[Keys, str]:
    """Put what the environment says on top of `values`; which variable gave which key. Raises FileFault for what is no YAML."""
    overrides: dict[Keys, str] = {}
    for variable, raw in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        *outer, last = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        place = values
        for key in outer:
            inner = place.get(key)
            place[key] = dict(inner) if isinstance(inner, dict) else {}
            place = place[key]
        try:
            place[last] = value_in(raw)
        except ValueError as error:
            raise FileFault(f"{variable}: {error}") from error
        overrides[(*outer, last)] = variable
    return overrides


def _impossible(settings: Settings, allowed: Packages, built: bool) -> Iterator[tuple[Keys, str]]:
    """Combinations that no type can forbid."""
    for index, entry in enumerate(settings.policies if built else ()):
        yield from _policy_faults(settings, index, entry, allowed)
    yield from unscheduled(settings.policies, settings.schedules)
    yield from cron_faults(settings.schedules, settings.guards.freeze_windows)
    if built:
        yield from _model_faults(settings, allowed)
    replicas = settings.budget.replicas
    least = sum(d.min_replicas for d in settings.deployments.values())
    least += sum(m.deployment.min_replicas for m in settings.models.values())
    if replicas is not None and least > replicas:
        yield ("budget", "replicas"), f"found {replicas}; the minimums of all deployments together are {least}"
    yield from name_faults(settings)
    yield from url_faults(settings)


def _model_faults(settings: Settings, allowed: Packages) -> Iterator[tuple[Keys, str]]:
    for name, deployment in settings.deployments.items():
        if deployment.drift is not None:
            yield from _monitor_faults(("deployments", name, "drift"), deployment.drift, allowed)
    if not settings.models:
        return
    from agent.recipes import registry as recipes  # noqa: PLC0415 - pandas takes long to import, and few commands need it

    for name, model in settings.models.items():
        for index, use in enumerate(model.training.recipes if model.training else ()):
            try:
                recipes.build(use, allowed)
            except ValueError as error:
                yield ("models", name, "training", "recipes", index), str(error)
        yield from _monitor_faults(("models", name, "drift"), model.drift, allowed)


def _monitor_faults(keys: Keys, drift: DriftSettings, allowed: Packages) -> Iterator[tuple[Keys, str]]:
    for index, monitor in enumerate(drift.monitors or ()):
        try:
            detectors.build(monitor.use, monitor.parameters, allowed=allowed)
        except ValueError as error:
            yield (*keys, "monitors", index), str(error)


def _policy_faults(
    settings: Settings, index: int, entry: PolicySettings, allowed: Packages
) -> Iterator[tuple[Keys, str]]:
    alone = settings.model_copy(update={"policies": (entry,)})
    try:
        build_policies(alone, allowed)
    except AssemblyError as error:
        yield policy_fault(error, index)
