"""Detectors by name: guarded ones of River, and window tests."""

import math

import numpy as np
import pytest

from agent.monitoring.detectors import RIVER, build


def run(detector, values) -> list[int]:
    """The positions at which it alarmed."""
    alarmed = []
    for n, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            alarmed.append(n)
    return alarmed


@pytest.mark.parametrize("use", sorted(RIVER))
def test_no_detector_of_river_is_deafened_by_what_is_no_number(use: str) -> None:
    """With NaN, infinity and None strewn in it says what it says without them, and counts them."""
    drawn = np.random.default_rng(0)
    values = [float(v) for v in np.concatenate([drawn.random(2000) < 0.1, drawn.random(2000) < 0.6])]
    clean, strewn = build(use, {}), build(use, {})
    run(clean, values)
    for n, value in enumerate(values):
        strewn.update(value)
        if n % 100 == 0:
            strewn.update((math.nan, math.inf, -math.inf, None)[n // 100 % 4])
    assert strewn.drift_detected == clean.drift_detected
    assert strewn.rejected == 40


def test_adwin_is_silent_on_one_world_and_alarms_in_another() -> None:
    """No alarm in 5,000 even values; one within 500 of a shift of two deviations."""
    drawn = np.random.default_rng(0)
    detector = build("adwin", {"delta": 1e-6})
    assert run(detector, drawn.normal(0.0, 1.0, 5000)) == []
    assert run(detector, drawn.normal(2.0, 1.0, 500)) != []


def test_window_mean_alarms_on_a_rise_that_chance_does_not_explain_and_never_on_a_fall() -> None:
    """It watches losses: lower is better."""
    drawn = np.random.default_rng(0)
    even, worse, better = (drawn.normal(mean, 0.1, 4000) for mean in (0.2, 0.3, 0.1))
    assert run(build("window_mean", {"window": 1000}), [*even, *even]) == []
    assert run(build("window_mean", {"window": 1000}), [*even, *worse])[0] < 6000
    assert run(build("window_mean", {"window": 1000}), [*even, *better]) == []


def test_a_small_window_of_losses_alarms_no_more_often_by_chance_than_a_large_one() -> None:
    """Five blocks of rows tell their own spread badly: in 100 calm streams of 25 windows each there is one alarm at most."""
    drawn = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        detector = build("window_mean", {"window": 100})
        alarms += bool(run(detector, drawn.exponential(0.1, 2500)))
    assert alarms <= 1


@pytest.mark.parametrize("use", ["adwin", "page_hinkley"])
def test_of_a_signal_of_which_less_is_better_a_fall_is_no_alarm_and_a_later_rise_is(use: str) -> None:
    """River's tests of change look both ways; without the guard the fall alarms too."""
    drawn = np.random.default_rng(0)
    high, low = drawn.normal(5.0, 0.1, 1000), drawn.normal(2.0, 0.1, 1000)
    both_ways, rises = build(use, {}), build(use, {}, rises_only=True)
    assert run(both_ways, [*high, *low]) != []
    assert run(rises, [*high, *low]) == []
    assert run(rises, drawn.normal(8.0, 0.1, 500)) != []


@pytest.mark.parametrize(
    ("before", "after", "alarms"),
    [(0.0, 0.03, False), (0.0, 0.08, True), (0.1, 0.15, False), (0.1, 0.22, True), (0.5, 0.7, False), (0.5, 0.9, True)],
)
def test_missing_values_are_an_incident_where_they_are_far_more_than_before(
    before: float, after: float, alarms: bool
) -> None:
    """Few or none before: a small rise is far more; many before: only a large one is."""
    drawn = np.random.default_rng(0)
    missing = np.concatenate([drawn.random(2000) < before, drawn.random(4000) < after])
    detector = build("missing_rate", {"window": 2000})
    assert (run(detector, [None if each else 1.0 for each in missing]) != []) is alarms


@pytest.mark.parametrize(("factor", "alarms"), [(1.0, False), (3.0, False), (1000.0, True), (0.001, True)])
def test_numbers_of_another_order_of_magnitude_are_in_other_units(factor: float, alarms: bool) -> None:
    """Up or down; three times as much is the world's doing. Zeros and what is no number say nothing of the units."""
    drawn = np.random.default_rng(0)
    before, after = drawn.normal(5.0, 2.0, 1000), factor * drawn.normal(5.0, 2.0, 1500)
    strewn = [value for pair in zip(after, [0.0, math.nan, None] * 500, strict=True) for value in pair]
    assert (run(build("scale_change", {"window": 500}), [*before, *strewn]) != []) is alarms


def test_population_stability_finds_that_words_have_changed() -> None:
    """The same mixture is stable; a new one is not."""
    drawn = np.random.default_rng(0)
    before = drawn.choice(["a", "b", "c"], 2000, p=[0.6, 0.3, 0.1])
    same = drawn.choice(["a", "b", "c"], 4000, p=[0.6, 0.3, 0.1])
    after = drawn.choice(["a", "b", "d"], 4000, p=[0.2, 0.3, 0.5])
    assert run(build("population_stability", {"window": 1000}), [*before, *same]) == []
    assert run(build("population_stability", {"window": 1000}), [*before, *after]) != []


@pytest.mark.parametrize(
    ("use", "parameters", "message"),
    [
        ("adwim", {}, "unknown detector 'adwim'; expected one of adwin, ddm, eddm, fhddm"),
        ("adwin", {"detla": 1}, "detector 'adwin': .*detla"),
        ("window_mean", {"windows": 1}, "detector 'window_mean': .*windows"),
        ("no.such:Detector", {}, "detector 'no.such:Detector' can not be imported"),
        ("river.drift:Adwin", {}, "detector 'river.drift:Adwin' can not be imported: river.drift has no class"),
        (
            "subprocess:Popen",
            {},
            "detector 'subprocess:Popen' is an import path; expected a registered name, or --allow",
        ),
    ],
)
def test_a_detector_that_can_not_be_built_says_why(use: str, parameters: dict, message: str) -> None:
    """A name that is unknown says which are known; a wrong parameter is named."""
    with pytest.raises(ValueError, match=message):
        build(use, parameters, allowed=("no", "river"))
