"""A bad row costs itself only, whatever is bad about it, and what is refused is counted with its reason."""

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.codec import canonical, to_json
from agent.monitoring import intake
from agent.monitoring.intake import Intake
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Answered, Labelled, Served
from agent.monitoring.values import text
from agent.settings import DriftSettings

LONG = "x" * 1_000_000
GOOD = Served("a", 1.0, {"x": 0.5, "word": "w"}, 0.5, 0.01, "1", "r")
SETTINGS = DriftSettings(window_rows=10, loss="squared")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"key": ["list"]}, intake.KEY), ({"key": None}, intake.KEY), ({"key": "half \ud800"}, intake.KEY),
        ({"key": 10**5000}, intake.KEY), ({"key": 1.5}, intake.KEY), ({"key": math.nan}, intake.KEY),
        ({"prediction": "fraud"}, intake.PREDICTION), ({"prediction": [0.2, 0.8]}, intake.PREDICTION),
        ({"at_s": math.nan}, intake.TIME), ({"at_s": 1.7e12}, intake.TIME), ({"at_s": -1.0}, intake.TIME),
        ({"at_s": "now"}, intake.TIME), ({"features": [1, 2]}, intake.FEATURES), ({"features": None}, intake.FEATURES),
        ({"features": {"half \ud800": 1.0}}, intake.NAME), ({"features": {(1, 2): 1.0}}, intake.NAME),
        ({"features": {None: 1.0}}, intake.NAME), ({"features": {"x": object()}}, intake.VALUE),
        ({"version": "half \ud800"}, intake.TOLD), ({"version": ["1"]}, intake.TOLD), ({"version": None}, intake.TOLD),
        ({"replica": "half \ud800"}, intake.TOLD), ({"replica": ["r"]}, intake.TOLD), ({"replica": {}}, intake.TOLD),
    ],
)  # fmt: skip
def test_a_row_that_can_not_be_taken_is_refused_alone(bad: dict, reason: str) -> None:
    """Its neighbours are taken in, before and behind it, and the report says why it was not."""
    monitor = ModelMonitor(SETTINGS)
    taken = monitor.rows([GOOD, replace(GOOD, **bad), replace(GOOD, key="b")])
    assert [row.key for row in taken] == ["a", "b"]
    report = monitor.report(2.0)
    assert (report.rows, report.refused) == (2, {reason: 1})


@pytest.mark.parametrize(
    ("odd", "sound", "reasons"),
    [
        ({"key": 1}, {"key": "1"}, {}), ({"key": np.int64(7)}, {"key": "7"}, {}), ({"key": 2.0}, {"key": "2"}, {}),
        ({"prediction": np.float32(0.5)}, {"prediction": 0.5}, {}),
        ({"prediction": 1e200}, {"prediction": None}, {intake.PREDICTION_UNKNOWN: 1}),
        ({"prediction": math.nan}, {"prediction": None}, {intake.PREDICTION_UNKNOWN: 1}),
        ({"latency_s": math.nan}, {"latency_s": None}, {intake.LATENCY: 1}),
        ({"latency_s": -1.0}, {"latency_s": None}, {intake.LATENCY: 1}),
        ({"latency_s": "fast"}, {"latency_s": None}, {intake.LATENCY: 1}),
        ({"version": 3}, {"version": "3"}, {}), ({"replica": 3.0}, {"replica": "3"}, {}),
        ({"version": LONG, "replica": LONG}, {"version": text(LONG), "replica": text(LONG)}, {}),
        ({"features": {"x": 10**400}}, {"features": {"x": math.nan}}, {intake.NUMBER: 1}),
        ({"features": {7: 1.0}}, {"features": {"7": 1.0}}, {}),
    ],
)  # fmt: skip
def test_a_row_that_can_be_understood_is_taken_as_what_it_means(odd: dict, sound: dict, reasons: dict) -> None:
    """Keys that are whole numbers are texts, what is no number to work with is unknown; a good row is taken as it is."""
    door = Intake()
    assert repr(door.row(replace(GOOD, **odd))) == repr(replace(GOOD, **sound))
    assert door.refused == reasons
    assert [door.row(GOOD), door.row(GOOD)] == [GOOD, GOOD]
    assert door.row(GOOD) is GOOD


@pytest.mark.parametrize("label", [1e150, 1e200, int("9" * 400), math.nan, math.inf, None, "yes", [1.0], 1j])
def test_one_label_neither_stops_the_agent_nor_costs_its_batch(label) -> None:
    """Its neighbours are joined with their rows, and the report can be written down."""
    monitor = ModelMonitor(SETTINGS)
    monitor.stage("2")
    monitor.rows([replace(GOOD, key=str(n), version=str(1 + n % 2)) for n in range(20)])
    monitor.labels([Labelled(str(n), 2.0, label if n == 3 else 1.0) for n in range(20)])
    report = monitor.report(2.0)
    assert (report.labelled_rows, report.unknown_labels, report.refused) == (19, 1, {intake.LABEL: 1})
    canonical(to_json(report))
    canonical(to_json(monitor.comparison(2.0)))


@pytest.mark.parametrize("size", [1e30, -1e30, 1e29])
@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_sums_of_the_largest_numbers_that_are_taken_stay_finite(size: float, loss: str) -> None:
    """Whoever sends labels and predictions at the bound gets figures of that size, and no infinity."""
    monitor = ModelMonitor(DriftSettings(window_rows=10, loss=loss))
    monitor.stage("2")
    for n in range(400):
        rows = [replace(GOOD, key=str(n), prediction=-size, version="2"), replace(GOOD, key=f"c{n}")]
        monitor.rows([*rows, replace(GOOD, key=f"c{n}", prediction=size, version="2", shadow=True)])
        monitor.labels([Labelled(str(n), 2.0, size), Labelled(f"c{n}", 2.0, 0.0)])
    comparison = monitor.comparison(2.0)
    assert (comparison.challenger.loss.n, comparison.paired_loss.n) == (800, 400)
    assert comparison.challenger.loss.variance > 0
    canonical(to_json(comparison))
    canonical(to_json(monitor.report(2.0)))


@pytest.mark.parametrize("latency_s", [math.nan, math.inf, -1.0, 1e300, "fast"])
def test_a_latency_that_is_none_is_unknown_and_the_request_counts(latency_s) -> None:
    """Quantiles are of the others; how many were in the system is not known then."""
    monitor = ModelMonitor(SETTINGS)
    monitor.stage("2")
    monitor.answered([Answered("r", "1", 1.0, each, ok=True) for each in (0.1, latency_s, 0.1)])
    monitor.rows([replace(GOOD, latency_s=latency_s)])
    traffic = monitor.traffic(2.0)["r"]
    assert (traffic.requests, traffic.latency_p50_s, traffic.ongoing) == (3, 0.1, None)
    canonical(to_json(traffic))
    canonical(to_json(monitor.comparison(2.0)))
    only = ModelMonitor(SETTINGS)
    only.answered([Answered("r", "1", 1.0, latency_s, ok=True)])
    assert only.traffic(2.0)["r"].latency_mean_s is None


def test_a_new_name_in_every_row_costs_neither_time_nor_memory_without_bound() -> None:
    """Such names are left out and counted; features that rows share are watched, also those that come later."""
    monitor = ModelMonitor(SETTINGS)
    kept: set[str] = set()
    for n in range(3000):
        shared = {"x": 0.5} | ({"late": 1.0} if n >= 1000 else {})
        (row,) = monitor.rows([replace(GOOD, key=str(n), features=shared | {f"user {n}": 1.0})])
        kept |= row.features.keys()
    assert {"x", "late"} <= kept
    assert len(kept) == 2 + intake.FIRST_ROWS
    assert monitor.report(2.0).refused[intake.RARE] == 3000 - intake.FIRST_ROWS + intake.COMMON - 1
    assert monitor.report(2.0).rows == 3000


def test_no_model_has_more_features_than_can_be_watched() -> None:
    """The first of them are kept; a new champion begins anew."""
    monitor = ModelMonitor(SETTINGS)
    wide = {f"x{n}": 1.0 for n in range(intake.NAMES_MAX + 5)}
    (row,) = monitor.rows([replace(GOOD, features=wide)])
    assert (len(row.features), monitor.refused) == (intake.NAMES_MAX, {intake.RARE: 5})
    monitor.reset("2")
    (row,) = monitor.rows([replace(GOOD, key="b", version="2", features={"other": 1.0})])
    assert row.features == {"other": 1.0}


def test_long_texts_are_kept_short() -> None:
    """300 rows of a megabyte each are 300 short texts, and they are counted."""
    monitor = ModelMonitor(SETTINGS)
    long = "long text " * 100_000
    taken = monitor.rows(replace(GOOD, key=f"{n} {long}", features={"x": long}) for n in range(300))
    assert max(len(row.key) + len(row.features["x"]) for row in taken) <= 400
    assert monitor.refused == {intake.LONG: 300}


def test_a_row_from_the_far_future_makes_no_other_row_too_old_for_its_label() -> None:
    """One node's clock is years ahead: its rows and labels are refused, where there is a clock to say so."""
    monitor = ModelMonitor(SETTINGS)
    monitor.now(1000.0)
    monitor.rows([replace(GOOD, at_s=990.0), replace(GOOD, key="early", at_s=1000.0 + intake.AHEAD_MAX_S - 1.0)])
    monitor.rows([replace(GOOD, key="b", at_s=1e9)])
    monitor.labels([Labelled("b", 1e9, 1.0), Labelled("a", 995.0, 1.0)])
    assert (monitor.report(1000.0).labelled_rows, monitor.refused) == (1, {intake.TIME: 2})


@pytest.mark.parametrize("place", ["replica", "version"])
def test_a_request_of_no_replica_or_version_that_can_be_named_is_refused_alone(place: str) -> None:
    """What names a replica is short and can be written; what is neither text nor number names none."""
    sound = Answered("r", "1", 1.0, 0.1, ok=True)
    monitor = ModelMonitor(SETTINGS)
    monitor.answered(
        [sound, *(replace(sound, **{place: bad}) for bad in ("half \ud800", ["x"], None, object())), sound]
    )
    assert (list(monitor.traffic(2.0)), monitor.traffic(2.0)["r"].requests) == (["r"], 2)
    assert monitor.refused == {intake.TOLD: 4}
    door = Intake()
    assert door.answer(replace(sound, **{place: LONG})) == replace(sound, **{place: text(LONG)})
    assert door.answer(sound) is sound
