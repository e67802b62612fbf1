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
FINER = {"ns", "ps", "fs", "as"}
"""Units of numpy's moments that are finer than those of Python."""
TEXT_MAX = 200
"""Longer texts are kept as their beginning and a digest: equal texts stay equal, and a row stays small."""
DIGEST = 16
MISSING = {"NAType", "NaTType", "MaskedConstant"}
"""Names of pandas' and numpy's types for what is missing; asked by name, since a replica need not import pandas."""


class Unreadable(ValueError):
    """A value that is neither number nor text, nor made of such."""


def number(value: Any) -> float | None:
    """`value` as a float; NaN for one that is missing, not finite or beyond NUMBER_MAX, None for what is no number at all. Never raises."""
    if type(value) is float:
        return _bounded(value)
    try:
        found = plain(value)
    except Unreadable:
        return None
    if found is None:
        return None if value is None else math.nan
    return None if isinstance(found, str) else _bounded(found)


def text(value: str) -> str:
    """`value` as a file can hold it: no lone surrogates, and where it is long its beginning and a digest."""
    if not value.isascii():
        value = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if len(value) <= TEXT_MAX:
        return str.__str__(value)
    digest = hashlib.sha256(value.encode()).hexdigest()[:DIGEST]
    return f"{value[: TEXT_MAX - DIGEST - 1]}~{digest}"


def name(value: Any) -> str:
    """The name of a feature as a text: a text as it is, and a number as its text, 3 and 3.0 both as "3".

    Raises Unreadable for all else, and for texts that no file can hold, lest two names become one.
    """
    found = plain(value)
    if isinstance(value, str):
        if not _encodes(value):
            raise Unreadable("a name with half a character in it")
        return str(found)
    exact = whole(value)
    if exact is not None:
        return str(exact)
    if type(found) is not float or math.isnan(found) or isinstance(value, timedelta | np.timedelta64):
        raise Unreadable(f"a {type(value).__name__} is no name; expected a text or a finite number")
    return repr(found)


def whole(value: Any) -> int | None:
    """`value` as an int, to the last digit: two must not become one. None for what is no whole number. Raises Unreadable."""
    if isinstance(value, Enum):
        return whole(value.value)
    found = plain(value)
    if isinstance(found, str | bool) or found is None or isinstance(value, timedelta | np.timedelta64):
        return None
    if isinstance(found, int):
        return found
    return int(value) if found.is_integer() else None


def _encodes(value: str) -> bool:
    try:
        str.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def plain(value: Any) -> float | int | bool | str | None:
    """The number, truth value or text that `value` stands for; None where it is missing, NaN where it is no number to work with.

    Times are ISO 8601, durations are seconds, and lists and mappings their JSON with sorted keys. Raises Unreadable, and nothing else
    whatever the value does when it is looked at.
    """
    kind = type(value)
    if kind is float:
        return _bounded(value)
    if value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    try:
        return _read(value)
    except Unreadable:
        raise
    except Exception as error:  # a class may be anybody's
        raise Unreadable(f"a {kind.__name__} can not be read: it raises {type(error).__name__}") from error


def _read(value: Any) -> float | int | bool | str | None:
    """Of a subclass what the plain class reads in it, whatever it makes of itself."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return text(str.__str__(value))
    if isinstance(value, int):
        whole = int.__int__(value)
        return whole if -INTEGER_MAX <= whole <= INTEGER_MAX else _bounded(whole)
    if isinstance(value, float):
        return _bounded(float.__float__(value))
    if type(value).__name__ in MISSING:
        return None
    for kinds, read in READERS:
        if isinstance(value, kinds):
            return read(value)
    raise Unreadable(f"a {type(value).__name__} is neither number nor text")


def _bounded(value: Any) -> float:
    """NaN for what is not finite, or so large that sums of it would not be."""
    try:
        found = float(value)
    except (OverflowError, ValueError):  # 10**400, or a signalling NaN of Decimal
        return math.nan
    return found if -NUMBER_MAX <= found <= NUMBER_MAX else math.nan


def _array(value: Any) -> float | int | bool | str | None:
    if value.ndim:
        return text(_json(value))
    if isinstance(value, np.ma.MaskedArray) and value.mask:
        return None
    item = value.item()
    if type(item) is type(value):  # numpy has numbers that Python has not
        raise Unreadable(f"a {type(value).__name__} is neither number nor text")
    return plain(item)


def _duration(value: np.timedelta64) -> float | None:
    return None if np.isnat(value) else _bounded(value / np.timedelta64(1, "s"))


def _moment(value: np.datetime64) -> str | None:
    """As Python writes it, where Python can: finer than microseconds only where that says more."""
    if np.isnat(value):
        return None
    rounded = value.astype("datetime64[us]") if np.datetime_data(value.dtype)[0] in FINER else value
    moment = rounded.item()
    return moment.isoformat() if isinstance(moment, date) and rounded == value else str(value)


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
    (np.datetime64, _moment),
    (np.timedelta64, _duration),  # which numpy counts among the whole numbers
    (np.integer, lambda value: plain(int(value))),
    (Real | Decimal, _bounded),
    (np.generic | np.ndarray, _array),
    (UUID | PurePath, lambda value: text(str(value))),
    (bytes, lambda value: text(value.decode("utf-8", "replace"))),
    (Mapping | list | tuple | Set, lambda value: text(_json(value))),
)
"""How values of these types are read; the first that fits counts."""
