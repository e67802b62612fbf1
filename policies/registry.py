"""From a name and parameters to a policy; from an import path too, where the caller allows its package (see `policies.imports`).

A plain dict of import paths: nothing registers itself, and a policy's module is imported only when it is built. Packages
of others offer theirs through the entry-point group `homeostat.policies`; a name of ours always wins over theirs.
"""

import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import Any

from policies.imports import ImportRefused, Packages, found
from policies.parameters import BuildNested, fit, meant
from policies.policy import Policy

ENTRY_POINT_GROUP = "homeostat.policies"
METHODS = ("propose",)
VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
PLAIN = {each.__name__: each for each in (int, float, bool, str)}
Place = tuple[str | int, ...]
"""Keys that lead to a value among the parameters of a policy."""

POLICIES: dict[str, str] = {
    "idle": "policies.idle:Idle",
    "queue_length": "policies.scaling.queue_length:QueueLength",
    "target_utilization": "policies.scaling.target_utilization:TargetUtilization",
    "fair_share": "policies.scaling.fair_share:FairShare",
    "static": "policies.scaling.static:Static",
    "one_shot": "policies.scaling.one_shot:OneShot",
    "aiad": "policies.scaling.aiad:Aiad",
    "panic": "policies.scaling.panic:Panic",
    "mark": "policies.scaling.mark:Mark",
    "faro_sum": "policies.scaling.faro:FaroSum",
    "faro_fair_sum": "policies.scaling.faro:FaroFairSum",
    "joint": "policies.scaling.joint:Joint",
    "replace_unhealthy": "policies.healing.replace_unhealthy:ReplaceUnhealthy",
    "on_drift": "policies.retraining.on_drift:OnDrift",
    "scheduled": "policies.retraining.scheduled:Scheduled",
    "staged": "policies.rollout.staged:Staged",
    "patient": "policies.wrappers:Patient",
    "clamped": "policies.wrappers:Clamped",
    "cool_down": "policies.wrappers:CoolDown",
    "first_of": "policies.wrappers:FirstOf",
    "shadowed": "policies.wrappers:Shadowed",
    "scoped": "policies.wrappers:Scoped",
    "paced": "policies.pace:Paced",
}

GLOBS: dict[str, tuple[str, ...]] = {"static": ("replicas",), "scoped": ("targets",), "joint": ("weights", "quotas")}
"""Parameters of ours whose keys, or values, are globs over deployments."""


class Refused(ValueError):
    """No policy can be made of what was given; `place` leads to the parameter that is wrong, as far as that is known."""

    def __init__(self, told: str, place: Place = ()) -> None:
        self.place = place
        super().__init__(told)


class UnknownPolicy(Refused):
    """There is no policy of that name, or none that may be taken from that import path. The message lists the names there are."""


class BadParameter(Refused):
    """A policy was given a parameter that it does not take, lacks one that it needs, or a value that does not fit."""


def names() -> tuple[str, ...]:
    """All names that `build` knows, sorted: ours and those of installed packages."""
    return tuple(sorted(_import_paths()))


def build(use: str, parameters: Mapping[str, Any], allowed: Packages = ()) -> Policy:
    """The policy `use` with `parameters`, fresh; an import path, here or below, has to lead into a package of `allowed`.

    A parameter that is itself a policy is a mapping with `use` and its own parameters, as in
    `use: patient, patience_s: 30, policy: {use: target_utilization}`. Raises UnknownPolicy and BadParameter.
    """
    make = _find(use, allowed)
    arguments = _arguments(use, make, parameters, partial(build, allowed=allowed))
    try:
        policy = make(**arguments)
    except (TypeError, ValueError) as error:
        raise BadParameter(f"policy {use!r}: {error}", _place_in(str(error), arguments)) from error
    except Exception as error:  # whatever a constructor of somebody's raises is a fault of the file that names it
        raise BadParameter(f"policy {use!r}: {type(error).__name__}: {error}") from error
    if not isinstance(policy, Policy):
        raise UnknownPolicy(f"{use!r} is not a policy: what it makes has no method propose(seen)")
    return policy


def globs(use: str, parameters: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Where the parameters of a policy of ours, and of those inside it, name deployments by globs (`GLOBS`); nothing is imported."""
    for name, value in parameters.items():
        yield from _globs((name,), value, name in GLOBS.get(use, ()))


def _globs(place: Place, value: Any, named: bool) -> Iterator[tuple[Place, str]]:
    if isinstance(value, Mapping) and isinstance(value.get("use"), str):
        inner = {name: each for name, each in value.items() if name != "use"}
        yield from (((*place, *below), glob) for below, glob in globs(value["use"], inner))
    elif isinstance(value, Mapping) and named:
        yield from (((*place, name), name) for name in value)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            if named:
                yield (*place, index), each
            else:
                yield from _globs((*place, index), each, named)


def _import_paths() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)} | POLICIES


def _find(use: str, allowed: Packages) -> Callable[..., Any]:
    if ":" in use:
        try:
            return found(use, allowed, METHODS)
        except ImportRefused as error:
            raise UnknownPolicy(f"policy {error}") from error
    paths = _import_paths()
    path = paths.get(use)
    if path is None:
        raise UnknownPolicy(f"unknown policy {use!r};{_nearest(use, paths)} known are {', '.join(sorted(paths))}")
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise UnknownPolicy(f"policy {use!r}: can not import {module_name!r}: {error}") from error
    make = getattr(module, attribute, None)
    if not callable(make):
        raise UnknownPolicy(f"policy {use!r}: {module_name!r} has no class {attribute!r}")
    return typing.cast(Callable[..., Any], make)


def _arguments(
    use: str, make: Callable[..., Any], parameters: Mapping[str, Any], nested: BuildNested
) -> dict[str, Any]:
    accepted = inspect.signature(make).parameters
    more = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in accepted.values())
    for name in () if more else parameters:
        if name not in accepted:
            takes = f"it takes {', '.join(accepted)}" if accepted else "it takes no parameters"
            raise BadParameter(f"policy {use!r} has no parameter {name!r};{_nearest(name, accepted)} {takes}", (name,))
    for name, each in accepted.items():
        if each.default is inspect.Parameter.empty and name not in parameters and each.kind not in VARIADIC:
            raise BadParameter(f"policy {use!r} needs the parameter {name!r}")
    hints = _hints(make, accepted)
    return {name: _fitted(use, name, value, hints.get(name, Any), nested) for name, value in parameters.items()}


def _hints(make: Callable[..., Any], accepted: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """What each parameter is said to be; of annotations that can not be looked up, as those for type checkers alone, the plain ones."""
    named = {name: each for name, each in accepted.items() if each.kind not in VARIADIC}
    try:
        known = typing.get_type_hints(make.__init__ if inspect.isclass(make) else make)
    except Exception:  # whatever stands in an annotation of somebody's, it is a hint
        known = {}
    written = {name: PLAIN.get(str(each.annotation), each.annotation) for name, each in named.items()}
    plain = {name: hint for name, hint in written.items() if any(hint is each for each in PLAIN.values())}
    return {name: known.get(name, plain.get(name, Any)) for name in named}


def _fitted(use: str, name: str, value: Any, hint: Any, nested: BuildNested) -> Any:
    try:
        return fit(value, hint, nested)
    except Refused as error:
        error.place = (name, *error.place)
        raise
    except ValueError as error:
        raise BadParameter(f"policy {use!r}: parameter {name!r} {error}", (name,)) from error


def _place_in(told: str, parameters: Mapping[str, Any]) -> Place:
    """The parameter that a check of a constructor's begins its words with."""
    first = re.match(r"\w+", told)
    return (first[0],) if first is not None and first[0] in parameters else ()


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = meant(name, known)
    return f" did you mean {near!r}?" if near else ""
