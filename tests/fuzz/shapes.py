"""Scenarios of every kind of section there is: each key holds a value of its type, in whatever order, number and range.

The kinds are read off the settings themselves, so that a pattern, a distribution, a fault, a person or a policy that is added is given too.
"""

import inspect
import operator
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

from agent.settings import PolicySettings
from policies.policy import Policy
from policies.registry import _find, names
from simulators.learning_settings import ModelledSettings
from simulators.settings import (
    FaultSettings,
    LifecycleSettings,
    NodesSettings,
    PersonSettings,
    SimModelSettings,
    TraceSettings,
)

NUMBERS = (0.0, 0.001, 0.1, 0.25, 0.5, 0.9, 1.0, 1.5, 2.0, 5.0, 10.0, 30.0, 60.0, 100.0, 600.0)
WHOLE = (0, 1, 2, 3, 5, 7, 60)
TEXTS = ("shop", "shop", "node-1", "spam", "shop/ModelServer", "*", "zz*", "late", "")
STEADY = {"kind": "steady", "rate_rps": 5}
QUICK = {"kind": "constant", "seconds": 0.1}
NODE = {"name": "node", "count": 3, "cpus": 8, "gpus": 8}
RARE = 5
"""One of so many scenarios has a key that it need not have."""


def of(hint: Any, bounds: Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    """Plain values of the type that an annotation asks for, each within its own `bounds`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        return of(inner[0], [*bounds, *_bounds(inner[1:])])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, types.UnionType):
        return st.one_of([of(each, bounds) for each in inner if each not in (type(None), TraceSettings)])
    if origin in (tuple, list, Sequence):
        least = max((getattr(each, "min_length", 0) for each in bounds), default=0)
        return st.lists(of(inner[0]), min_size=least, max_size=least + 3)
    if origin in (dict, Mapping):
        return st.dictionaries(of(inner[0]), of(inner[1]), max_size=3)
    return plain(hint, bounds)


def plain(hint: Any, bounds: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Values of a type that is made of no others, or of settings."""
    if hint is Policy:
        return policies
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return settings(hint)
    numbers = [each for each in NUMBERS if _within(each, bounds)]
    whole = [each for each in WHOLE if _within(each, bounds)] or [100]
    kinds = {
        float: st.sampled_from(numbers),
        int: st.sampled_from(whole),
        bool: st.booleans(),
        str: st.sampled_from(TEXTS),
    }
    return kinds.get(hint, st.one_of(*kinds.values()))


def _bounds(metadata: Sequence[Any]) -> list[Any]:
    return [bound for each in metadata for bound in getattr(each, "metadata", [each])]


def _within(value: float, bounds: Sequence[Any]) -> bool:
    """Whether each of the bounds lets a number pass."""
    compared = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
    return all(
        holds(value, getattr(each, name)) for each in bounds for name, holds in compared.items() if hasattr(each, name)
    )


@st.composite
def settings(draw: st.DrawFn, model: type[BaseModel]) -> dict[str, Any]:
    """A mapping for `model`: what it needs, and some of what it may have."""
    found = {}
    for name, field in model.model_fields.items():
        if field.is_required() or draw(st.integers(0, RARE)) == 0:
            found[name] = draw(of(field.annotation, field.metadata))
    return found


@st.composite
def policies_of(draw: st.DrawFn) -> dict[str, Any]:
    """Any policy that is registered, with some of its parameters."""
    use = draw(st.sampled_from(names()))
    make = _find(use, ())
    hints = typing.get_type_hints(make.__init__ if inspect.isclass(make) else make)
    found: dict[str, Any] = {"use": use}
    for name, parameter in inspect.signature(make).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if parameter.default is inspect.Parameter.empty or draw(st.integers(0, 3)) == 0:
            found[name] = draw(of(hints.get(name, Any)))
    if draw(st.integers(0, 3)) == 0:
        found["targets"] = draw(of(PolicySettings.model_fields["targets"].annotation))
    return found


policies: st.SearchStrategy[dict[str, Any]] = st.deferred(policies_of)


def sometimes(strategy: st.SearchStrategy[Any], plainly: Any) -> st.SearchStrategy[Any]:
    """What is plain beside it lets through what is odd in one part of a scenario."""
    return st.one_of(st.just(plainly), st.just(plainly), strategy)


models = st.builds(
    lambda odd, learning: (
        {"traffic": [STEADY], "service": QUICK} | odd | {"slo_latency_s": 0.5, "cpus": 0.1, "gpus": 0} | learning
    ),
    sometimes(settings(SimModelSettings), {}),
    sometimes(
        settings(ModelledSettings).map(lambda learning: {"learning": learning}), {"learning": {"base_loss": 0.1}}
    ),
)
shaped_scenarios = st.fixed_dictionaries(
    {
        "name": st.just("shaped"),
        "duration_s": st.sampled_from([60, 130]),
        "tick_s": st.just(10),
        "cluster": sometimes(st.lists(settings(NodesSettings), max_size=1), []).map(
            lambda more: {"nodes": [NODE, *more]}
        ),
        "models": st.one_of(
            st.fixed_dictionaries({"shop": models}), st.fixed_dictionaries({"shop": models, "spam": models})
        ),
        "lifecycle": sometimes(settings(LifecycleSettings), {}),
        "faults": sometimes(st.lists(settings(FaultSettings), max_size=2), []),
        "people": sometimes(st.lists(settings(PersonSettings), max_size=2), []),
        "policies": sometimes(st.lists(policies, max_size=2), [{"use": "target_utilization"}]),
    }
)
"""A minute or two of one or two models."""
