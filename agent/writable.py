"""What of an observation can be written down. What can not is a part that is away: it is left out, and named in `problems`. Pure.

A number that is not finite, or that belongs to another library and has no plain form, is not known: the smallest part around it that may be
missing is missing then. A text is written with escapes for what UTF-8 can not hold. So nothing is decided on what no record can show.
"""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from numbers import Integral, Real
from types import NoneType
from typing import Any, get_args, get_type_hints

from pydantic_core import PydanticSerializationError

from agent.codec import canonical, to_json, writable_text
from policies.observation import Observation

UNWRITABLE = (ValueError, TypeError, ArithmeticError, RecursionError, PydanticSerializationError)
"""What is raised for a value that can not be written."""
WHOLE_MAX = 2**63 - 1
NONE_IS_KNOWN = frozenset({"champion", "previous", "rollout", "training", "max_replicas"})
"""Fields whose None says that there is none, which nobody knows of what can not be written."""


class _Missing(Exception):
    """There is no plain form of a part; where it stands, and what it is."""


def written_down(seen: Observation) -> tuple[Observation, Any]:
    """`seen` as far as it can be written, and its plain form. Never raises for what a sensor has filled in."""
    plain = plain_or_none(seen)
    if plain is None:
        seen = _writable(seen)
        plain = to_json(seen)
    return seen, plain


def plain_or_none(value: Any) -> Any:
    """The plain form of `value`, or None where it can not be written."""
    try:
        plain = to_json(value, exact=True)
        canonical(plain)
    except UNWRITABLE:
        return None
    return plain


def _writable(seen: Observation) -> Observation:
    problems: list[str] = [writable_text(str(problem)) for problem in seen.problems]
    kept = {
        name: _part(name, getattr(seen, name), problems) for name in ("deployments", "models", "capacity", "controls")
    }
    due = tuple(writable_text(str(name)) for name in seen.due)
    return replace(seen, due=due, problems=tuple(problems), **kept)


def _part(name: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        return _known(value, name, problems)
    kept = {}
    for key, each in value.items():
        where = f"{name}[{writable_text(str(key))}]"
        try:
            kept[_text(key, where)] = _known(each, where, problems)
        except _Missing as missing:
            problems.append(_problem(missing))
    return kept


def _known(value: Any, where: str, problems: list[str]) -> Any:
    """`value` with all of its parts written plainly; what may be missing is None where it can not be. Raises _Missing."""
    if not is_dataclass(value) or isinstance(value, type):
        return _leaf(value, where, problems)
    kinds = get_type_hints(type(value))
    changed: dict[str, Any] = {}
    for each in fields(value):
        old = getattr(value, each.name)
        try:
            new = _known(old, f"{where}.{each.name}", problems)
        except _Missing as missing:
            if NoneType not in get_args(kinds[each.name]) or each.name in NONE_IS_KNOWN:
                raise
            problems.append(_problem(missing))
            new = None
        if new is not old:
            changed[each.name] = new
    return replace(value, **changed) if changed else value


def _leaf(value: Any, where: str, problems: list[str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_known(each, f"{where}[{n}]", problems) for n, each in enumerate(value))
    if isinstance(value, str):
        return value if plain_or_none(value) is not None else writable_text(value)
    if isinstance(value, Real | Decimal) and not isinstance(value, bool):
        return _number(value, where)
    if plain_or_none(value) is None and value is not None:
        raise _Missing(f"{where}: {type(value).__name__}")
    return value


def _number(value: Real | Decimal, where: str) -> int | float:
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
    except (ArithmeticError, ValueError):
        raise _Missing(f"{where}: {type(value).__name__}") from None
    if isinstance(number, int) and abs(number) > WHOLE_MAX:
        raise _Missing(f"{where}: a number of more than 63 bits")
    if not math.isfinite(number):
        raise _Missing(f"{where}: {number}")
    return value if type(value) in {int, float} else number  # type: ignore[return-value]


def _text(key: Any, where: str) -> str:
    if not isinstance(key, str) or plain_or_none(key) is None:
        raise _Missing(f"{where}: its name")
    return key


def _problem(missing: _Missing) -> str:
    return f"{missing} can not be written down, so it counts as not known"
