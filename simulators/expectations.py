"""Conditions on a result: "slo_violation_rate < 0.02", "models.fraud.recovery_s <= 90". Pure.

A condition names a measure by its path, a comparison and a number; models are named as they are called, with spaces and slashes. A measure
that is not known (None) makes no condition true.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from policies.parameters import meant

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
LONGEST = 500
TURNED = re.compile(r"(?<![<>=!])=[<>](?=[\s\d.eE+-]*$)")
_COMPARED = re.compile(r"(<=|>=|==|!=|<|>)([^<>=!]*)$")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)


class ExpectationError(ValueError):
    """A condition that can not be read, or that names no known measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    text: str
    measure: str
    comparison: str
    number: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What became of an expectation; `value` is what was measured."""

    text: str
    held: bool
    value: float | None


def parse(text: str) -> Expectation:
    """Raises ExpectationError where `text` is no condition."""
    measure, comparison, number = split(text) or ("", "", "")
    turned = TURNED.search(text)
    if turned is not None:
        raise ExpectationError(
            f"found {turned[0]!r} in {text[:60]!r}; expected {turned[0][::-1]!r}, or '==' for equality"
        )
    value = number_of(number)
    if value is None:
        raise ExpectationError(
            f"found {text[:60]!r}; expected a measure, a comparison and a number, as in 'slo_violation_rate < 0.02'"
        )
    return Expectation(text=text, measure=measure, comparison=comparison, number=value)


def split(text: str) -> tuple[str, str, str] | None:
    """The measure, the last comparison and what follows it; None where `text` has no such form. A measure may hold any name of a model."""
    found = _COMPARED.search(text) if len(text) <= LONGEST else None
    measure = text[: found.start()].strip() if found else ""
    return (measure, found[1], found[2].strip()) if found and measure else None


def number_of(text: str) -> float | None:
    """The plain number that `text` is; None where it is none, or so large that it would be taken for infinity."""
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def check(expectation: Expectation, measures: Mapping[str, Any]) -> Held:
    """`measures` are nested mappings; a path that leads nowhere raises ExpectationError and says what is there."""
    value = lookup(expectation.measure, measures)
    held = value is not None and COMPARISONS[expectation.comparison](float(value), expectation.number)
    return Held(text=expectation.text, held=held, value=None if value is None else float(value))


def lookup(path: str, measures: Mapping[str, Any]) -> float | None:
    """The number at `path`. A key of the user's own may hold dots, so the longest key that fits is taken."""
    place: Any = measures
    rest = path
    while rest:
        if not isinstance(place, Mapping):
            raise ExpectationError(f"{path!r} goes on below a number")
        keys = [key for key in place if rest == key or rest.startswith(f"{key}.")]
        if not keys:
            near = meant(rest, map(str, place))
            hint = f"; did you mean {near!r}?" if near is not None else ""
            raise ExpectationError(
                f"there is no measure {path!r}; known here: {', '.join(sorted(map(str, place)))}{hint}"
            )
        key = max(keys, key=len)
        place, rest = place[key], rest[len(key) + 1 :]
    if isinstance(place, Mapping):
        raise ExpectationError(f"{path!r} names several measures: {', '.join(sorted(map(str, place)))}")
    return place
