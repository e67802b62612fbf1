"""Names of a real cluster beside those of a scenario, whose model `shop` is the deployment `shop/ModelServer`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

from agent.settings import PolicySettings
from simulators.served import SERVER

EVERYTHING = ("*",)


def model_names(deployments: Iterable[str]) -> dict[str, str]:
    """Deployment -> model: its application's name, with the deployment's where an application has several. No two have the same."""
    found = list(deployments)
    applications = Counter(name.split("/")[0] for name in found)
    models: dict[str, str] = {}
    for name in found:
        application = name.split("/")[0]
        wanted = application if applications[application] == 1 else name.replace("/", "-")
        models[name] = next(each for each in _candidates(wanted) if each not in models.values())
    return models


def _candidates(wanted: str) -> Iterator[str]:
    """`wanted`, or, where another deployment has that name, the same with a number."""
    yield wanted
    yield from (f"{wanted}-{number}" for number in count(2))


def renamed(policies: Iterable[PolicySettings], models: Mapping[str, str]) -> tuple[PolicySettings, ...]:
    """The same policies for the scenario: targets and parameters that name deployments name those of the scenario."""
    return tuple(_renamed(each, models) for each in policies)


def _renamed(policy: PolicySettings, models: Mapping[str, str]) -> PolicySettings:
    ours = {name: f"{model}/{SERVER}" for name, model in models.items()}
    parameters = {name: _replaced(value, ours) for name, value in policy.parameters.items()}
    targets: list[str] = list(policy.targets)
    if policy.targets != EVERYTHING:
        targets = [
            new for old, new in ours.items() if any(_meant(glob, old, models[old]) for glob in policy.targets)
        ] or targets
    return PolicySettings.model_validate({"use": policy.use, "targets": targets, **parameters})


def _meant(glob: str, deployment: str, model: str) -> bool:
    return fnmatchcase(deployment, glob) or fnmatchcase(model, glob)


def _replaced(value: Any, ours: Mapping[str, str]) -> Any:
    """Every text that is the name of a deployment, wherever it stands."""
    if isinstance(value, str):
        return ours.get(value, value)
    if isinstance(value, Mapping):
        return {_replaced(key, ours): _replaced(each, ours) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, ours) for each in value]
    return value
