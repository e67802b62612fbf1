"""Which names managed models and deployments can have, and which Serve applications are whose."""

import re
from collections.abc import Iterator

from agent.settings import ModelSettings, Settings, named
from agent.yaml_nodes import Fault, Keys

CHALLENGER_SUFFIX = "-challenger"
SERVER_DEPLOYMENT = "ModelServer"
"""The one deployment of a managed model's application."""
NAME_MAX = 100
"""Folders and applications are called by it, with more behind it."""
_NAME = re.compile(rf"\w([\w .-]{{0,{NAME_MAX - 2}}}\w)?")
EXPECTED = f"letters, digits, '_', '-', '.' and spaces inside, at most {NAME_MAX}, as registry and Serve take them"


def application_name(name: str, model: ModelSettings) -> str:
    """The Serve application of the champion of the model called `name`."""
    return model.application or name


def faults(settings: Settings) -> Iterator[Fault]:
    """Names that can not be, and applications that two would deploy over each other."""
    if not _NAME.fullmatch(settings.name):
        yield ("name",), f"found {settings.name!r}; expected {EXPECTED}"
    owners: dict[str, str] = {}
    for name, model in settings.models.items():
        yield from _model_faults(name, model, owners)
    for name in settings.deployments:
        yield from _deployment_faults(name, owners)
    yield from _probe_faults(settings)


def _probe_faults(settings: Settings) -> Iterator[Fault]:
    """A probe's name is that of a model: its rows lie under it, and its monitors are found by it."""
    watched = {name: f"models.{name}" for name in settings.models}
    for name, deployment in settings.deployments.items():
        probe, keys = deployment.probe, ("deployments", name, "probe")
        if probe is None:
            continue
        if not _NAME.fullmatch(probe):
            yield keys, f"found {probe!r}; expected {EXPECTED}"
        elif probe in watched:
            yield keys, f"found {probe!r}, under which {watched[probe]} is watched; expected another name"
        watched.setdefault(probe, f"deployments.{name}")


def _model_faults(name: str, model: ModelSettings, owners: dict[str, str]) -> Iterator[Fault]:
    """`owners` are the applications of the models so far, and whose they are; those of this one are added."""
    if not _NAME.fullmatch(name):
        yield ("models", name), f"found the name {name!r}; expected {EXPECTED}"
        return
    own = application_name(name, model)
    keys: Keys = ("models", name) if model.application is None else ("models", name, "application")
    if not _NAME.fullmatch(own):
        yield keys, f"found {own!r}; expected {EXPECTED}"
        return
    for application, whose in (
        (own, f"models.{name}"),
        (own + CHALLENGER_SUFFIX, f"the challenger of models.{name}"),
    ):
        if application in owners:
            yield (
                keys,
                f"the Serve application {application!r} is that of {owners[application]} as well; expected another",
            )
            break
        owners[application] = whose


def _deployment_faults(name: str, owners: dict[str, str]) -> Iterator[Fault]:
    application, slash, deployment = name.partition("/")
    if not slash or "/" in deployment or not application.strip() or not deployment.strip():
        yield ("deployments", name), 'expected "application/deployment", as Ray Serve names them'
        return
    for part in (application, deployment):
        try:
            named(part)
        except ValueError as error:
            yield ("deployments", name), f"found {part!r}; {error}"
    if application in owners:
        told = (
            f"{application!r} is the Serve application of {owners[application]}, where its bounds and objective stand"
        )
        yield ("deployments", name), f"{told}; expected an application of your own"
