"""What is watched of one model: rows, late labels, pairs; and what bad input does to it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.monitoring.model_monitor import EARLY_LABEL_WAIT_S, ModelMonitor
from agent.monitoring.rows import Labelled, Served
from agent.settings import DriftSettings
from policies.observation import Moments, Report

SETTINGS = DriftSettings.model_validate({"window_rows": 50, "loss": "brier"})


def row(key: str, prediction: float | None = 0.5, at_s: float = 0.0, **fields) -> Served:
    plain = {"features": {"x": 0.5}, "latency_s": 0.01, "version": "1", "replica": "r"}
    return Served(key=key, at_s=at_s, prediction=prediction, **(plain | fields))


def label(key: str, value: float = 1.0, at_s: float = 1.0) -> Labelled:
    return Labelled(key=key, at_s=at_s, label=value)


@pytest.mark.parametrize("label_first", [False, True])
def test_a_label_meets_its_row_whichever_comes_first(label_first: bool) -> None:
    """Batches overtake each other."""
    monitor = ModelMonitor(SETTINGS)
    steps = [lambda: monitor.rows([row("a")]), lambda: monitor.labels([label("a")])]
    for step in reversed(steps) if label_first else steps:
        step()
    report = monitor.report(2.0)
    assert (report.rows, report.labelled_rows, report.unknown_labels) == (1, 1, 0)


def test_a_label_without_a_row_is_unknown_after_its_wait_and_not_before() -> None:
    """It is counted once; it might have overtaken its row until then."""
    monitor = ModelMonitor(SETTINGS)
    monitor.labels([label("nobody", at_s=1.0)])
    waits = [monitor.report(1.0 + EARLY_LABEL_WAIT_S + late).unknown_labels for late in (0.0, 0.1, 9.0)]
    assert waits == [0, 1, 1]


def test_what_is_no_label_is_counted_and_a_second_label_changes_nothing() -> None:
    """NaN and infinity are of no use; the first truth counts."""
    monitor = ModelMonitor(SETTINGS)
    monitor.rows([row("a", 0.0), row("b")])
    monitor.labels([label("a", 0.0), label("a", 1.0), label("b", math.nan), label("b", math.inf)])
    assert (monitor.report(2.0).labelled_rows, monitor.unknown_labels, monitor.duplicate_labels) == (1, 2, 1)


def test_a_row_that_got_no_answer_is_no_row_to_the_detectors() -> None:
    """None and NaN predictions; the good row beside them is counted."""
    monitor = ModelMonitor(SETTINGS)
    monitor.rows([row("a", None), row("b", math.nan), row("c", math.inf), row("d", 0.3)])
    assert monitor.report(1.0).rows == 1


def test_losses_are_none_until_a_window_is_full_and_then_exact() -> None:
    """Nothing is said of 49 rows; of 50 the mean Brier loss is."""
    monitor = ModelMonitor(SETTINGS)
    for n in range(49):
        monitor.rows([row(str(n), 0.5)])
        monitor.labels([label(str(n), float(n % 2))])
    assert (monitor.report(1.0).loss, monitor.report(1.0).loss_reference) == (None, None)
    monitor.rows([row("last", 1.0)])
    monitor.labels([label("last", 1.0)])
    expected = 49 * 0.25 / 50
    assert monitor.report(1.0).loss == pytest.approx(expected, rel=1e-12)
    assert monitor.report(1.0).loss_reference == pytest.approx(expected, rel=1e-12)


def test_drift_in_labels_and_in_a_feature_is_found_and_stays_until_a_new_champion() -> None:
    """A symptom names kind, signal and since when; the reset begins anew, and resetting to the same champion does not."""
    drawn = np.random.default_rng(0)
    monitor = ModelMonitor(SETTINGS)
    monitor.reset("1")
    for n in range(3000):
        late = n >= 1500
        features = {"x": drawn.normal(3.0 if late else 0.0, 1.0)}
        monitor.rows([row(str(n), 0.2, at_s=float(n), features=features)])
        monitor.labels([label(str(n), float(late), at_s=float(n))])
    found = {(s.kind, s.signal): s.since_s for s in monitor.report(3000.0).symptoms}
    assert {("error_drift", "loss"), ("performance", "loss"), ("feature_drift", "x")} <= set(found)
    assert all(1500.0 <= since_s < 2000.0 for since_s in found.values())
    monitor.reset("1")
    assert monitor.report(3000.0).symptoms
    monitor.reset("2")
    assert monitor.report(3000.0) == Report(
        measured_at_s=3000.0, version="2", loss_name="brier", window_rows=SETTINGS.window_rows
    )


def test_a_symptom_of_error_dates_from_the_rows_and_not_from_their_late_labels() -> None:
    """Rows turn bad at 1,500 and their labels come 1,000 s later: a training "since the symptom" must get the bad rows."""
    drawn = np.random.default_rng(0)
    monitor = ModelMonitor(SETTINGS)
    for n in range(4000):
        monitor.rows([row(str(n), 0.2, at_s=float(n))])
        if n >= 1000:
            truth = float(drawn.random() < (0.2 if n - 1000 < 1500 else 0.9))
            monitor.labels([label(str(n - 1000), truth, at_s=float(n))])
    found = {(s.kind, s.detector): s.since_s for s in monitor.report(4000.0).symptoms}
    assert set(found) == {("error_drift", "adwin"), ("performance", "window_mean")}
    assert all(1500.0 <= since_s < 1700.0 for since_s in found.values())


def test_broken_rows_are_dated_back_to_before_the_first_of_them_and_not_far() -> None:
    """Values go missing at 1,000; what is set aside from the symptom on holds every such row, and at most a window of good ones."""
    monitor = ModelMonitor(SETTINGS)
    for n in range(1200):
        monitor.rows([row(str(n), 0.2, at_s=float(n), features={"x": None if n >= 1000 else 0.5})])
    (symptom,) = monitor.report(1200.0).symptoms
    assert symptom.kind == "data_quality"
    assert 1000.0 - SETTINGS.window_rows <= symptom.since_s <= 1000.0


def test_a_feature_full_of_nan_neither_alarms_as_drift_nor_deafens_the_detectors() -> None:
    """Missing values are a symptom of data quality; a shift after them is still found."""
    drawn = np.random.default_rng(1)
    monitor = ModelMonitor(SETTINGS)
    for n in range(2000):
        monitor.rows([row(str(n), features={"x": drawn.normal()})])
    for n in range(300):
        monitor.rows([row(f"n{n}", features={"x": (math.nan, math.inf, None)[n % 3]})])
    assert {s.kind for s in monitor.report(1.0).symptoms} == {"data_quality"}
    for n in range(2000):
        monitor.rows([row(f"l{n}", features={"x": drawn.normal(3.0)})])
    assert ("feature_drift", "adwin") in {(s.kind, s.detector) for s in monitor.report(1.0).symptoms}


def test_only_rows_that_both_answered_are_pairs() -> None:
    """In whatever order champion, copy and label come; the difference is challenger minus champion."""
    monitor = ModelMonitor(SETTINGS)
    monitor.reset("1")
    monitor.stage("2")
    copy = replace(row("a", 0.9), shadow=True, version="2")
    monitor.rows([copy])
    monitor.labels([label("a", 1.0), label("b", 1.0)])
    monitor.rows([row("a", 0.5), row("b", 0.5)])
    comparison = monitor.comparison(5.0)
    assert comparison is not None
    assert comparison.paired_loss.n == 1
    assert comparison.paired_loss.mean == pytest.approx(0.01 - 0.25)
    monitor.stage(None)
    assert monitor.comparison(6.0) is None


def test_a_new_share_keeps_the_pairs_and_begins_the_arms_anew() -> None:
    """A row is a row at any share, but another share is another load."""
    monitor = ModelMonitor(SETTINGS)
    monitor.stage("2", 0.0)
    monitor.rows([row("a", 0.5), replace(row("a", 0.5), shadow=True, version="2")])
    monitor.labels([label("a")])
    monitor.stage("2", 0.1)
    comparison = monitor.comparison(5.0)
    assert comparison is not None
    assert comparison.paired_loss == Moments(n=1, mean=0.0, variance=0.0)
    assert comparison.champion.requests == comparison.challenger.requests == 0


def test_a_feature_stays_what_it_was_first_seen_as() -> None:
    """A text among numbers is a missing number, a number among texts a text; neither stops the monitor, nor a list or a mapping."""
    drawn = np.random.default_rng(2)
    monitor = ModelMonitor(SETTINGS)
    for n in range(2000):
        monitor.rows([row(str(n), features={"x": drawn.normal(), "word": "ab"[n % 2]})])
    odd = ["many", [1], {"a": 1}, True, ""]
    for n in range(300):
        monitor.rows([row(f"o{n}", features={"x": odd[n % 5] if n % 5 != 3 else "no", "word": odd[n % 5]})])
    kinds = {(s.kind, s.signal) for s in monitor.report(1.0).symptoms}
    assert ("data_quality", "x") in kinds
    assert ("feature_drift", "word") in kinds
    assert monitor.report(1.0).rows == 2300


def test_a_challenger_is_held_against_the_mean_of_the_labels_that_came_before():
    """Shadow rows and canary rows count alike, each once, from 100 known labels on; the next stage goes on counting."""
    monitor = ModelMonitor(SETTINGS)
    monitor.reset("1")
    monitor.stage("2")
    monitor.rows([row(f"before{n}") for n in range(100)])
    monitor.labels([label(f"before{n}", float(n < 25)) for n in range(100)])
    monitor.rows([row("shadow"), replace(row("shadow", 0.5), shadow=True, version="2")])
    monitor.labels([label("shadow", 1.0)])
    monitor.stage("2", 0.1)
    monitor.rows([replace(row("canary", 1.0), version="2")])
    monitor.labels([label("canary", 1.0)])
    comparison = monitor.comparison(5.0)
    assert comparison is not None
    beside = comparison.loss_over_constant
    first, second = 0.25 - 0.75**2, 0.0 - (1.0 - 26 / 101) ** 2
    assert (beside.n, beside.mean) == (2, pytest.approx((first + second) / 2))
    assert comparison.covariance == Moments(n=1, mean=pytest.approx((1.0 - 0.5) * (1.0 - 26 / 101)), variance=0.0)
