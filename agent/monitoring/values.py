"""Values as they come from anywhere (Python, numpy, pandas, databases, JSON) as plain numbers and texts.

One and the same reading for monitors, data log, training and serving: what a model was trained on is what it is asked for.
`plain(plain(value)) == plain(value)`.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Real
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

NUMBER_MAX = 1e30
"""Numbers further from 0 are unknown. The variance of a squared loss is a fourth power: up to here it stays far below 1e308."""
INTEGER_MAX = 2**63 - 1
"""Whole numbers beyond it are kept as floating-point numbers, since no column of a file holds them exactly."""
TEXT_MAX = 200
"""Longer texts are kept as their beginning and a digest: equal texts stay equal, and a row stays small."""
DIGEST = 16
MISSING = {"NAType", "NaTType"}
"""Names of pandas' types for what is missing; asked by name, since a replica need not import pandas."""


class Unreadable(ValueError):
    """A value that is neither number nor text, nor made of such."""


def number(value: Any) -> float | None:
    """`value` as a float; NaN for one that is not finite or beyond NUMBER_MAX, None for what is no number at all."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real | Decimal | np.bool_):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):  # 10**400, or a signalling NaN of Decimal
        return math.nan
    return found if -NUMBER_MAX <= found <= NUMBER_MAX else math.nan


def text(value: str) -> str:
    """`value` as a file can hold it: no lone surrogates, and where it is long its beginning and a digest."""
    if not value.isascii():
        value = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if len(value) <= TEXT_MAX:
        return str.__str__(value)
    digest = hashlib.sha256(value.encode()).hexdigest()[:DIGEST]
    return f"{value[: TEXT_MAX - DIGEST - 1]}~{digest}"


def plain(value: Any) -> float | int | bool | str | None:
    """The number, truth value or text that `value` stands for; None where it is missing, NaN where it is no number to work with.

    Times are ISO 8601, durations are seconds, and lists and mappings their JSON with sorted keys. Raises Unreadable.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return int(value) if -INTEGER_MAX <= value <= INTEGER_MAX else number(value)
    if isinstance(value, Real | Decimal):
        return plain(int(value)) if isinstance(value, np.integer) else number(value)
    return _other(value)


def _other(value: Any) -> float | int | bool | str | None:
    if type(value).__name__ in MISSING:
        return None
    for kinds, read in READERS:
        if isinstance(value, kinds):
            return read(value)
    raise Unreadable(f"a {type(value).__name__} is neither number nor text")


def _array(value: Any) -> float | int | bool | str | None:
    return plain(value.item()) if value.ndim == 0 else text(_json(value))


def _json(value: Any) -> str:
    try:
        return json.dumps(dict(value) if isinstance(value, Mapping) else value, default=_inside, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"a {type(value).__name__} can not be written as JSON: {error}") from error


def _inside(value: Any) -> Any:
    """What stands in a list or mapping and is no JSON. Raises Unreadable."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Set):
        return sorted(map(plain, value), key=str)
    return plain(value)


READERS: tuple[tuple[Any, Callable[[Any], float | int | bool | str | None]], ...] = (
    (date | time, lambda value: value.isoformat()),
    (timedelta, lambda value: value.total_seconds()),
    (np.datetime64 | np.timedelta64, lambda value: None if np.isnat(value) else str(value)),
    (np.generic | np.ndarray, _array),
    (UUID | PurePath, lambda value: text(str(value))),
    (bytes, lambda value: text(value.decode("utf-8", "replace"))),
    (Mapping | list | tuple | Set, lambda value: text(_json(value))),
)
"""How values of these types are read; the first that fits counts."""
