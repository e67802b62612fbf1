"""The comparison of `benchmarks.fidelity`, without Ray."""

from dataclasses import replace

import pytest

from benchmarks.fidelity_compare import errors, medians, middle_error, real_side, within
from benchmarks.fidelity_load import Answer, Request, poisson
from benchmarks.fidelity_sim import Case, Side, middle, simulated

SIDE = Side(
    p50_ms=100.0,
    p95_ms=200.0,
    p99_ms=300.0,
    throughput_rps=10.0,
    violation_rate=0.02,
    failed=0,
    events=((0.0, 1), (8.0, 2)),
)


def answer(due_s: float, latency_s: float, served_s: float = 0.1) -> Answer:
    return Answer(Request("one", due_s, 100), lag_s=0.0, latency_s=latency_s, served_s=served_s)


def test_the_same_seed_is_the_same_load_and_applications_differ() -> None:
    """Requests lie in their pieces of time, in order, at about the rate of each piece."""
    load = poisson("one", [(100.0, 2.0), (100.0, 20.0)], seed=3)
    assert load == poisson("one", [(100.0, 2.0), (100.0, 20.0)], seed=3)
    assert load != [replace(each, application="one") for each in poisson("two", [(100.0, 2.0), (100.0, 20.0)], seed=3)]
    assert [each.due_s for each in load] == sorted(each.due_s for each in load)
    early = sum(each.due_s < 100.0 for each in load)
    assert (150 < early < 250, 1800 < len(load) - early < 2200, min(each.tokens for each in load) >= 60) == (True,) * 3


def test_a_failed_request_is_a_violation_and_no_latency() -> None:
    """Two in time, one late, one failed; two of the three answers came before the load ended."""
    answers = [answer(0.0, 0.1), answer(1.0, 0.3), answer(9.9, 0.5), answer(2.0, 9.0, float("nan"))]
    assert real_side(answers, duration_s=10.0, slo_s=0.4, events=[(0.0, 1)]) == Side(
        p50_ms=pytest.approx(300.0),
        p95_ms=pytest.approx(480.0),
        p99_ms=pytest.approx(496.0),
        throughput_rps=0.2,
        violation_rate=0.5,
        failed=1,
        events=((0.0, 1),),
    )


def test_nothing_answered_is_an_error() -> None:
    """A latency of nobody is no latency of zero."""
    with pytest.raises(ValueError, match="none of 1"):
        real_side([answer(0.0, 1.0, float("nan"))], duration_s=10.0, slo_s=0.4, events=[])


@pytest.mark.parametrize(
    ("change", "near"),
    [
        ({}, True),
        ({"p50_ms": 109.0, "p95_ms": 171.0, "throughput_rps": 10.4, "violation_rate": 0.049}, True),
        ({"p50_ms": 111.0}, False),
        ({"p95_ms": 169.0}, False),
        ({"throughput_rps": 9.4}, False),
        ({"violation_rate": 0.051}, False),
        ({"events": ((0.0, 1), (9.1, 2))}, False),
        ({"events": ((0.0, 1), (8.9, 2))}, True),
        ({"events": ((0.0, 1), (8.0, 2), (9.0, 1))}, False),
    ],
)
def test_near_enough_is_within_every_bound(change: dict[str, object], near: bool) -> None:
    """p50 by 10 %, p95 by 15 %, throughput by 5 %, violations by 3 points, replicas by a second and by the same course."""
    assert within(errors(SIDE, replace(SIDE, **change))) is near


def test_the_error_of_a_case_is_the_median_of_its_plays_with_its_sign() -> None:
    """One play of three that went wrong, whose replicas even took another course, does not decide; two do."""
    good = errors(SIDE, replace(SIDE, p95_ms=190.0))
    other = errors(SIDE, replace(SIDE, p95_ms=206.0, events=((0.0, 1), (8.5, 2))))
    bad = errors(SIDE, replace(SIDE, p95_ms=100.0, events=((0.0, 1),)))
    assert middle_error([bad, good, other]) == {**good, "events_s": 0.5}
    assert middle_error([bad, good, bad]) == bad


def test_the_median_leaves_out_what_was_saturated_or_not_measurable() -> None:
    """Absolute errors of the others; none is None, not zero."""
    cases = [
        {"measurable": True, "saturated": False, "error": {"p50": -0.04, "p95": 0.1}},
        {"measurable": True, "saturated": True, "error": {"p50": 0.9, "p95": 0.9}},
        {"measurable": False, "saturated": False, "error": {"p50": 0.9, "p95": 0.9}},
    ]
    assert medians(cases) == {"p50": 0.04, "p95": 0.1}
    assert medians(cases[1:]) == {"p50": None, "p95": None}


def test_the_simulated_side_plays_the_very_requests_and_deeds() -> None:
    """Requests far apart take their tokens and the overhead; a replica comes a cold start after it was wanted."""
    case = Case(
        name="apart",
        requests=[Request("one", 1.0 * n, 100 + n) for n in range(1, 21)],
        replicas=1,
        max_ongoing=2,
        duration_s=30.0,
        slo_s=0.125,
        deeds=[{"kind": "foreign_scale", "at_s": 5.0, "replicas": 2}],
    )
    calibration = {
        "model": {"overhead": {"kind": "constant", "seconds": 0.01}, "probe_s": 0.001},
        "lifecycle": {"cold_start": {"kind": "constant", "seconds": 2.0}},
    }
    tokens = {"kind": "tokens", "prompt_token_s": 0.0, "output_token_s": 0.001}
    found = middle(simulated(case, calibration, tokens, range(2)))
    assert (found.p50_ms, found.p95_ms) == pytest.approx((120.0, 129.0), rel=0.02)
    assert (found.throughput_rps, found.violation_rate, found.failed) == (pytest.approx(20 / 30), 0.25, 0)
    assert [count for _, count in found.events] == [1, 2]
    assert found.events[1][0] == pytest.approx(7.0, abs=0.11)


def test_a_dead_replica_is_told_of_when_it_is_missed() -> None:
    """Killed at 5 s, missed at 6 s, replaced at 8 s."""
    case = Case(
        name="killed",
        requests=[Request("one", 1.0, 100)],
        replicas=2,
        max_ongoing=2,
        duration_s=20.0,
        slo_s=1.0,
        deeds=[{"kind": "replica_crash", "at_s": 5.0}],
    )
    calibration = {
        "model": {"overhead": {"kind": "constant", "seconds": 0.01}},
        "lifecycle": {"cold_start": {"kind": "constant", "seconds": 2.0}, "restart_after_s": 1.0},
    }
    tokens = {"kind": "tokens", "prompt_token_s": 0.0, "output_token_s": 0.001}
    (found,) = simulated(case, calibration, tokens, [1])
    assert [count for _, count in found.events] == [2, 1, 2]
    assert [at_s for at_s, _ in found.events] == pytest.approx([0.0, 6.0, 8.0], abs=0.11)
