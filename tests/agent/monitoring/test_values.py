"""One reading of a value, whoever reads it."""

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from agent.monitoring.values import INTEGER_MAX, TEXT_MAX, Unreadable, number, plain


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1.5, 1.5), (7, 7), (True, True), (None, None), ("word", "word"),
        (np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), (np.array(2.0), 2.0), (np.str_("a"), "a"),
        (Decimal("12.50"), 12.5), (pd.NA, None), (pd.NaT, None), (np.datetime64("NaT"), None),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"), (date(2026, 1, 2), "2026-01-02"),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"), (np.datetime64("2026-01-02"), "2026-01-02"),
        (timedelta(minutes=2), 120.0), (Colour.RED, "red"), (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"b": 1, "a": Decimal("2.5")}, '{"a": 2.5, "b": 1}'), ([1, "x"], '[1, "x"]'), ({2, 1}, "[1, 2]"),
        (np.array([1, 2]), "[1, 2]"), (b"raw", "raw"), ("half \ud800", "half ���"),
        (INTEGER_MAX, INTEGER_MAX), (2**64, float(2**64)),
    ],
)  # fmt: skip
def test_a_value_is_the_number_or_text_that_it_stands_for(value, read) -> None:
    """Of whatever library; and what was read reads as itself."""
    assert (plain(value), type(plain(value))) == (read, type(read))
    assert plain(plain(value)) == plain(value)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 1e200, 10**400, np.float32("nan"), Decimal("1e200"), Decimal("NaN")]
)
def test_a_number_that_can_not_be_worked_with_is_nan(value) -> None:
    """Not finite, or so large that a sum of squares of it is not."""
    assert math.isnan(plain(value))
    assert math.isnan(number(value))


@pytest.mark.parametrize("value", [object(), (n for n in ()), {(1, 2): 3}, [object()], 1j])
def test_what_is_neither_number_nor_text_is_said_to_be_none(value) -> None:
    """A generator or an object has no text that would be the same tomorrow."""
    with pytest.raises(Unreadable, match=r"neither number nor text|as JSON"):
        plain(value)


def test_lists_that_hold_themselves_or_are_endlessly_deep_are_unreadable() -> None:
    """No recursion error reaches the caller."""
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    endless: list = []
    endless.append(endless)
    for value in (deep, endless):
        with pytest.raises(Unreadable):
            plain(value)


def test_a_long_text_is_its_beginning_and_a_digest() -> None:
    """Equal texts stay equal, texts that differ at their end stay different, and none is long."""
    first, second = plain("a" * 1_000_000), plain("a" * 999_999 + "b")
    assert first == plain("a" * 1_000_000) != second
    assert len(first) == len(second) == TEXT_MAX
    assert plain(json.loads(json.dumps({"k": "x" * 1000})))[:6] == '{"k": '
