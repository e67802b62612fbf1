"""What a policy may be given: range checks for its constructor, and types for values that come out of a YAML file.

Every error is a ValueError that names the parameter, what was expected and what was given. Finding the class is the
registry's task.
"""

import difflib
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from policies.policy import Policy

HIGHEST = 1e9
"""Seconds, rows, replicas or anything else: a larger number is a slip of the hand."""
LATENCY_MAX_S = 300.0
"""Nobody waits for longer."""
BuildNested = Callable[[str, Mapping[str, Any]], Policy]


def positive(**values: float | None) -> None:
    """Each value is above 0, and no larger than anything that is meant (None passes)."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    at_most(HIGHEST, **values)


def not_negative(**values: float | None) -> None:
    """Each value is 0 or more, and no larger than anything that is meant (None passes)."""
    for name, value in values.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must be 0 or more, got {value}")
    at_most(HIGHEST, **values)


def inside_unit(**values: float) -> None:
    """Each value is above 0 and below 1."""
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must be above 0 and below 1, got {value}")


def part(**values: float) -> None:
    """Each value is above 0 and at most 1. A number up to a hundred was meant in per cent, and the message says which part that is."""
    for name, value in values.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1, got {value:g}{_part_meant(value)}")


def share(**values: float) -> None:
    """Each value is from 0 to 1; see `part`."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be from 0 to 1, got {value:g}{_part_meant(value)}")


def _part_meant(value: float) -> str:
    return f" ({value / 100:g}?)" if 1 < value <= 100 else ""


def at_least(limit: float, **values: float | None) -> None:
    """No value is below `limit`, which is far below all that is meant (None passes)."""
    for name, value in values.items():
        if value is not None and not value >= limit:
            raise ValueError(f"{name} must be at least {limit:g}, got {value:g}")


def at_most(limit: float, **values: float | None) -> None:
    """No value is above `limit`, which is far beyond all that is meant (None passes)."""
    for name, value in values.items():
        if value is not None and not value <= limit:
            raise ValueError(f"{name} must be at most {limit:,g}, got {value:g}")


def latency(**values: float | None) -> None:
    """Each value is a latency in seconds: above 0, and not so large that it was meant in milliseconds (None passes)."""
    for name, value in values.items():
        positive(**{name: value})
        if value is not None and not value <= LATENCY_MAX_S:
            raise ValueError(f"{name} must be seconds, at most {LATENCY_MAX_S:g}, got {value:g} ({value / 1000:g}?)")


def fit(value: Any, hint: Any, build: BuildNested) -> Any:
    """`value`, as read from YAML, made into what the annotation `hint` asks for; ValueError "must be ..." where it can not.

    Whole numbers become floats, lists become tuples, a mapping with `use` becomes a policy. An annotation that is not
    understood is not checked.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _first_that_fits(value, inner, build)
    if origin is typing.Literal:
        return _chosen(value, inner)
    if origin is Sequence or (origin is tuple and len(inner) == 2 and inner[1] is Ellipsis):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError(f"must be a list, got {value!r}")
        return tuple(fit(each, inner[0], build) for each in value)
    if origin is Mapping and len(inner) == 2:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a mapping of names to values, got {value!r}")
        return {name: _entry(name, each, inner[1], build) for name, each in value.items()}
    return _policy(value, build) if hint is Policy else _plain(value, hint)


def _chosen(value: Any, known: tuple[Any, ...]) -> Any:
    if value in known:
        return value
    near = meant(value, [each for each in known if isinstance(each, str)]) if isinstance(value, str) else None
    hint = f"; did you mean {near!r}?" if near else ""
    raise ValueError(f"must be one of {', '.join(map(repr, known))}, got {value!r}{hint}")


def meant(word: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """Which of `known` a word is most alike to, whatever its capitals; None where none is `alike` by as much, from 0 to 1."""
    folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=alike)
    return folded[near[0]] if near else None


def _entry(name: Any, value: Any, hint: Any, build: BuildNested) -> Any:
    try:
        return fit(value, hint, build)
    except ValueError as error:
        raise ValueError(f"[{name!r}] {error}") from error


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
