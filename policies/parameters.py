"""What a policy may be given: range checks for its constructor, and types for values that come out of a YAML file.

Every error is a ValueError that names the parameter, what was expected and what was given. Finding the class is the
registry's task.
"""

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from policies.policy import Policy

BuildNested = Callable[[str, Mapping[str, Any]], Policy]


def positive(**values: float | None) -> None:
    """Each value is above 0 (None passes)."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")


def not_negative(**values: float | None) -> None:
    """Each value is 0 or more (None passes)."""
    for name, value in values.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must be 0 or more, got {value}")


def inside_unit(**values: float) -> None:
    """Each value is above 0 and below 1."""
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must be above 0 and below 1, got {value}")


def fit(value: Any, hint: Any, build: BuildNested) -> Any:
    """`value`, as read from YAML, made into what the annotation `hint` asks for; ValueError "must be ..." where it can not.

    Whole numbers become floats, lists become tuples, a mapping with `use` becomes a policy. An annotation that is not
    understood is not checked.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _first_that_fits(value, inner, build)
    if origin is typing.Literal:
        if value not in inner:
            raise ValueError(f"must be one of {', '.join(map(repr, inner))}, got {value!r}")
        return value
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError(f"must be a list, got {value!r}")
        return tuple(fit(each, inner[0], build) for each in value)
    if hint is Policy:
        return _policy(value, build)
    return _plain(value, hint)


def _first_that_fits(value: Any, hints: tuple[Any, ...], build: BuildNested) -> Any:
    reasons = []
    for hint in hints:
        try:
            return fit(value, hint, build)
        except ValueError as error:
            reasons.append(str(error).removesuffix(f", got {value!r}").removeprefix("must be "))
    raise ValueError(f"must be {' or '.join(reasons)}, got {value!r}")


def _policy(value: Any, build: BuildNested) -> Policy:
    if isinstance(value, Policy):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("use"), str):
        raise ValueError(f"must be a policy, a mapping with the key 'use', got {value!r}")
    return build(value["use"], {key: each for key, each in value.items() if key != "use"})


def _plain(value: Any, hint: Any) -> Any:
    if hint in (None, types.NoneType):
        if value is not None:
            raise ValueError(f"must be null, got {value!r}")
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"must be a finite number, got {value!r}")
        return float(value)
    elif hint is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, got {value!r}")
    elif hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, got {value!r}")
    elif hint is str and not isinstance(value, str):
        raise ValueError(f"must be text, got {value!r}")
    return value
