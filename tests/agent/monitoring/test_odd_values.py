"""Values that are odd: no value whatever raises out of a monitor, and none costs more than its own row or label."""

import contextlib
import enum
import itertools
import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.codec import canonical, to_json
from agent.monitoring import intake
from agent.monitoring.detectors import RIVER, WINDOWS
from agent.monitoring.intake import Intake
from agent.monitoring.limits import RIGHT_OR_WRONG
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Answered, Labelled, Served
from agent.monitoring.values import Unreadable, number, plain
from agent.settings import DriftSettings, MonitorSettings

GOOD = [Served(f"good-{n}", 100.0 + n, {"x": 0.5 * n, "city": "Ulm"}, 0.25, 0.01, "1", "r1") for n in range(3)]


class Number(int):
    """An int by type, whose arithmetic is somebody's own."""

    def __int__(self) -> int:
        raise RuntimeError("int")

    def __le__(self, other: object) -> bool:
        raise RuntimeError("le")


class Grade(enum.IntEnum):
    GOOD = 2


class Depth(enum.Enum):
    DEEP = Decimal("2.5")


def raising(name: str) -> Any:
    """An object of which `name` raises."""

    def fails(self: Any, *arguments: Any) -> Any:
        raise RuntimeError(name)

    own = {"__hash__": object.__hash__} if name == "__eq__" else {}
    return type(f"Raises{name.strip('_').title()}", (), {**own, name: fails})()


def raising_kind(kind: type, name: str, *arguments: Any) -> Any:
    """A value of a class of `kind` of which `name` raises."""

    def fails(self: Any, *more: Any) -> Any:
        raise RuntimeError(name)

    return type(f"Raising{kind.__name__.title()}", (kind,), {name: fails})(*arguments)


DUNDERS = (
    "__float__", "__eq__", "__str__", "__repr__", "__bool__", "__len__", "__index__", "__int__", "__iter__", "__getattribute__",
    "__array__", "__format__",
)  # fmt: skip
STRANGE: list[Any] = [
    *map(raising, DUNDERS), *(raising_kind(float, each, 0.5) for each in ("__float__", "__eq__", "__le__", "__ge__", "__neg__")),
    *(raising_kind(str, each, "word") for each in ("__str__", "__len__", "isascii", "encode", "__eq__")),
    *(raising_kind(int, each, 3) for each in ("__int__", "__float__", "__le__", "__index__", "__str__")),
    *(raising_kind(dict, each) for each in ("__iter__", "items", "__len__", "keys")), raising_kind(list, "__iter__", [1]),
    np.timedelta64(5, "s"), np.timedelta64("NaT"), np.timedelta64(1, "M"), np.timedelta64(5), np.datetime64("NaT"),
    np.datetime64("2026-01-02T03:04:05.123456789"), np.datetime64("2026"), np.datetime64("+99999-01-01"), pd.NaT, pd.NA,
    pd.Timestamp("2026-01-02", tz="Europe/Berlin"), pd.Timedelta("2min"), pd.Period("2026-01"), pd.Interval(0, 1), pd.Series([1.0]),
    pd.Categorical(["a"]), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1e999999"), Decimal("0.1"), Fraction(1, 3),
    Fraction(10**400), Fraction(1, 10**400), 1j, np.complex64(1), np.clongdouble(1), np.longdouble(2), np.ma.masked,
    np.ma.array(5.0, mask=True), np.ma.array([1, 2], mask=[True, False]), np.void(b"abc"),
    np.array((1, 2.5), dtype=[("a", "i4"), ("b", "f8")])[()],
    np.array(0.5), np.array(b"x"), np.array(None, dtype=object), np.array(1j), np.bool_(False), Number(3), Grade.GOOD, Depth.DEEP,
    b"raw", bytearray(b"raw"), memoryview(b"raw"), range(3), Ellipsis, NotImplemented, object, len, float, 10**400, -0.0, math.nan,
    math.inf, timedelta.max, "half \ud800", frozenset({1, "a"}), (), np.float16("inf"), np.uint64(2**64 - 1), np.array([]),
    np.str_("s"), np.bytes_(b"s"),
]  # fmt: skip


def strange(place: int) -> Any:
    """By its place, since hypothesis would hash what it samples from, and write what it maps with."""
    return STRANGE[place]


def dictionary(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Of what can be put together, for names may not be hashed, or not be compared."""
    made: dict[Any, Any] = {}
    for name, value in pairs:
        with contextlib.suppress(Exception):
            made[name] = value
    return made


odd_scalars = st.one_of(
    st.integers(0, len(STRANGE) - 1).map(strange),
    st.builds(np.timedelta64, st.integers(-(2**40), 2**40), st.sampled_from(["Y", "M", "D", "h", "s", "ms", "ns", "as"])),
    st.builds(np.datetime64, st.integers(-(2**40), 2**40), st.sampled_from(["Y", "M", "D", "s", "us", "ns", "as"])),
    st.decimals(), st.fractions(), st.complex_numbers(), st.binary(max_size=4), st.integers(), st.floats(), st.text(max_size=4),
    st.datetimes(), st.timedeltas(), st.uuids(), st.booleans().map(np.bool_), st.floats(width=16).map(np.float16),
    st.floats(width=32).map(np.array), st.integers(-5, 5).map(Number),
)  # fmt: skip
odd_names = st.one_of(odd_scalars, st.text(max_size=3), st.integers())
odd_features = st.one_of(
    odd_scalars,
    st.dictionaries(st.text(max_size=3), odd_scalars, max_size=3),
    st.lists(st.tuples(odd_names, odd_scalars), max_size=3).map(dictionary),
)
odd_rows = st.builds(
    Served, key=odd_scalars, at_s=st.one_of(st.just(101.0), odd_scalars), features=odd_features, prediction=odd_scalars,
    latency_s=odd_scalars, version=odd_scalars, replica=odd_scalars, shadow=st.one_of(st.just(False), odd_scalars),
)  # fmt: skip
odd_labels = st.builds(
    Labelled,
    key=st.one_of(st.just("good-0"), odd_scalars),
    at_s=st.one_of(st.just(101.0), odd_scalars),
    label=odd_scalars,
)
odd_answers = st.builds(
    Answered, replica=odd_scalars, version=odd_scalars, at_s=st.one_of(st.just(101.0), odd_scalars), latency_s=odd_scalars, ok=odd_scalars
)  # fmt: skip


@settings(max_examples=400, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(odd_rows, max_size=3), st.lists(odd_labels, max_size=3), st.lists(odd_answers, max_size=2))
def test_no_value_raises_and_no_good_row_or_label_is_lost_beside_an_odd_one(rows, labels, answers) -> None:
    """Whatever stands in whatever place; every row that was not taken is counted, and the report can be written down."""
    monitor = ModelMonitor(DriftSettings(window_rows=10))
    monitor.stage("2")
    mixed = [row for pair in zip(rows, GOOD, strict=False) for row in pair] + GOOD[len(rows) :]
    taken = monitor.rows(mixed)
    monitor.answered(answers)
    told = [Labelled(each.key, 200.0, 1.0) for each in GOOD]
    kept = monitor.labels([*labels, *told])
    assert [row for row in taken if row in GOOD] == GOOD
    assert [each for each in kept if each.at_s == 200.0] == told
    refused = len(mixed) - len(taken) + len(labels) + len(told) - len(kept)
    assert refused <= sum(monitor.refused.values())
    canonical(to_json(monitor.report(300.0)))
    canonical({name: to_json(each) for name, each in monitor.traffic(110.0).items()})
    canonical(to_json(monitor.comparison(300.0)))
    for row in taken:
        assert {type(value) for value in row.features.values()} <= {float, int, bool, str, type(None)}
        assert {type(name) for name in row.features} <= {str}


@pytest.mark.parametrize("place", range(len(STRANGE)))
def test_a_value_is_read_or_said_to_be_unreadable(place: int) -> None:
    """There is no third way; and `number` never raises at all."""
    try:
        found = plain(STRANGE[place])
    except Unreadable:
        found = None
    assert type(found) in {float, int, bool, str, type(None)}
    assert type(number(STRANGE[place])) in {float, type(None)}


KINDS: dict[str, list[Any]] = {
    "texts": ["ab", "c", ""], "numbers": [1.0, 2.0], "whole numbers": [1, 2], "truths": [True, False], "nothing": [None],
    "a mixture": [1.0, "a", None, True, math.nan], "texts and numbers": ["a", 1.0, None],
}  # fmt: skip


@pytest.mark.parametrize("use", [*RIVER, *WINDOWS])
def test_a_detector_that_is_put_on_a_feature_of_another_kind_costs_no_row(use: str) -> None:
    """A monitor names its feature, whatever that turns out to hold."""
    for signal, values in itertools.product(("x", "*", "prediction"), KINDS.values()):
        if use in RIGHT_OR_WRONG:
            signal = "loss"  # noqa: PLW2901 - they watch nothing else
        monitor = ModelMonitor(
            DriftSettings(window_rows=10, monitors=(MonitorSettings(kind="feature_drift", use=use, signal=signal),))
        )
        rows = [replace(GOOD[0], key=str(n), features={"x": values[n % len(values)]}) for n in range(60)]
        assert len(monitor.rows(rows)) == 60
        assert len(monitor.labels([Labelled(each.key, 101.0, 1.0) for each in rows])) == 60
        assert (monitor.report(200.0).rows, monitor.refused) == (60, {})


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (np.timedelta64(90, "s"), 90.0), (np.timedelta64(2, "m"), 120.0), (np.timedelta64(1500, "ms"), 1.5), (pd.Timedelta("2min"), 120.0),
        (np.datetime64("2026-01-02T03:04:05.000000000"), "2026-01-02T03:04:05"), (np.datetime64("2026-01-02"), "2026-01-02"),
        (Number(3), 3), (Grade.GOOD, 2), (Depth.DEEP, 2.5), (Fraction(1, 4), 0.25), (np.array(b"x"), "x"), (np.void(b"abc"), "abc"),
        (np.array(np.array(2.0), dtype=object), 2.0),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_and_a_moment_the_same_text_in_every_library(value, read) -> None:
    """A number of a class of its own is the number that it holds."""
    assert (plain(value), type(plain(value))) == (read, type(read))
    assert number(value) == (read if isinstance(read, int | float) else None)


@pytest.mark.parametrize(
    "missing", [np.timedelta64("NaT"), np.datetime64("NaT"), pd.NaT, pd.NA, np.ma.masked, np.ma.array(5.0, mask=True)]
)
def test_what_is_missing_is_unknown_in_every_place(missing) -> None:
    """A feature is missing, a prediction unknown, a label none; never zero."""
    door = Intake()
    row = door.row(replace(GOOD[0], features={"x": missing}, prediction=missing, latency_s=missing))
    assert row == replace(GOOD[0], features={"x": None}, prediction=None, latency_s=None)
    assert (plain(missing), math.isnan(number(missing))) == (None, True)
    assert door.label(Labelled("a", 1.0, missing)) is None
    assert door.row(replace(GOOD[0], key=missing)) is None
    assert door.refused == {intake.PREDICTION_UNKNOWN: 1, intake.LATENCY: 1, intake.LABEL: 1, intake.KEY: 1}


@pytest.mark.parametrize(
    ("key", "text"),
    [(2**60 + 1, str(2**60 + 1)), (np.uint64(2**64 - 1), str(2**64 - 1)), (Decimal(2**60 + 1), str(2**60 + 1)), (Grade.GOOD, "2")],
)  # fmt: skip
def test_a_key_that_is_a_whole_number_is_its_text_to_the_last_digit(key, text) -> None:
    """Two keys never become one by rounding."""
    row = Intake().row(replace(GOOD[0], key=key))
    assert row is not None
    assert row.key == text


@pytest.mark.parametrize("key", [True, np.True_, timedelta(seconds=60), np.timedelta64(60, "s"), b"raw", 1.5, 1j])
def test_a_key_that_is_neither_text_nor_whole_number_is_refused(key) -> None:
    """A truth value or a duration would be taken for another row's number."""
    door = Intake()
    assert door.row(replace(GOOD[0], key=key)) is None
    assert door.refused == {intake.KEY: 1}
