import numpy as np
import pytest

from policies.action import Evidence
from policies.observation import Arm, Comparison, Moments
from policies.rollout.gates import Verdict, error_gate, knowledge_gate, latency_gate, loss_gate, tail_gate
from policies.testing import arm, comparison


def loss(seen: Comparison):
    return loss_gate(seen, margin=0.01, min_rows=200, alpha=0.05)


def latency(seen: Comparison):
    return latency_gate(seen, factor=1.5, floor_s=0.005, alpha=0.01)


@pytest.mark.parametrize(
    ("rows", "worse_by", "verdict"),
    [
        (1000, 0.0, Verdict.PASSED),
        (1000, -0.2, Verdict.PASSED),
        (1000, 0.2, Verdict.FAILED),
        (1000, 0.01, Verdict.UNDECIDED),
        (199, 0.2, Verdict.UNDECIDED),
        (200, 0.2, Verdict.FAILED),
    ],
)
def test_the_loss_is_judged_on_the_same_rows(rows, worse_by, verdict):
    """Passed below the margin, failed above it, undecided across it and on too few rows."""
    assert loss(comparison(rows=rows, worse_by=worse_by)).verdict is verdict


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [(200, Verdict.UNDECIDED), (400, Verdict.UNDECIDED), (597, Verdict.UNDECIDED), (598, Verdict.PASSED)],
)
def test_rows_that_never_differed_pass_only_where_a_rare_fault_would_have_shown(pairs, verdict):
    """A version that loses 30 on one row of 300 looks like this half of the time after 200 rows."""
    gate = loss(comparison(rows=1000, paired_loss=Moments(n=pairs, mean=0.0, variance=0.0)))
    assert gate.verdict is verdict


def test_a_pass_that_comes_too_early_says_how_many_rows_it_takes():
    """People read why nothing happens although no difference is seen."""
    gate = loss(comparison(rows=1000, paired_loss=Moments(n=400, mean=0.0, variance=0.0)))
    note = "undecided: a fault in few rows would not have shown itself yet"
    assert gate.evidence == Evidence(name="labelled_rows", value=400, threshold=598, n=400, note=note)


def test_a_pass_without_any_difference_still_has_a_bound_above_zero():
    """What was not seen in 2,000 rows may be there, once in hundreds of rows, as large as losses are."""
    gate = loss(comparison(rows=2000, paired_loss=Moments(n=2000, mean=0.0, variance=0.0)))
    assert gate.verdict is Verdict.PASSED
    assert 0.0 < gate.evidence.value < 0.01


def test_versions_that_never_lost_anything_can_pass():
    """Where no loss says how large a difference may be, it is counted in margins."""
    perfect = arm(2000, loss=0.0)
    still = Moments(n=2000, mean=0.0, variance=0.0)
    flawless = Moments(n=2000)
    seen = comparison(champion=arm(2000, loss=0.0), challenger=perfect, paired_loss=still)
    assert loss_gate(seen, margin=0.01, min_rows=200, alpha=0.05).verdict is Verdict.PASSED
    unknown = comparison(champion=Arm(loss=flawless), challenger=Arm(loss=flawless), paired_loss=still)
    assert loss(unknown).verdict is Verdict.PASSED


def test_a_fault_in_one_row_of_three_hundred_is_let_pass_in_fewer_than_one_run_of_twenty():
    """A version that equals the champion but loses 30 more once in 300 rows, looked at every 100 rows: a thousand runs."""
    rng = np.random.default_rng(11)
    alpha, passed = 0.05 / 6, 0
    for _ in range(1000):
        more = np.where(rng.random(2000) < 1 / 300, 30.0, 0.0)
        sums, squares = np.cumsum(more), np.cumsum(more**2)
        for n in range(200, 2001, 100):
            mean = float(sums[n - 1] / n)
            pairs = Moments(n=n, mean=mean, variance=float(squares[n - 1] - n * mean**2) / (n - 1))
            seen = comparison(rows=n, paired_loss=pairs)
            if loss_gate(seen, margin=0.01, min_rows=200, alpha=alpha).verdict is Verdict.PASSED:
                passed += 1
                break
    assert passed < 50


def test_a_failed_gate_shows_the_lower_bound_and_any_other_the_upper_one():
    """The evidence is the number that decided, beside the margin."""
    failed, passed = loss(comparison(worse_by=0.2)).evidence, loss(comparison()).evidence
    assert failed.value > failed.threshold == 0.01
    assert passed.value < passed.threshold == 0.01
    assert (failed.n, passed.n) == (1000, 1000)


def test_without_paired_rows_the_arms_are_compared():
    """A canary without shadow copies has no row that both answered."""
    apart = comparison(paired_loss=Moments(), champion=arm(4000, loss=0.1), challenger=arm(4000, loss=0.3))
    gate = loss(apart)
    assert (gate.verdict, gate.evidence.name) == (Verdict.FAILED, "loss")


def test_without_labels_the_loss_is_unknown():
    """Nothing labelled is neither good nor bad."""
    gate = loss(comparison(rows=0))
    assert gate.verdict is Verdict.UNDECIDED
    assert (gate.evidence.name, gate.evidence.value, gate.evidence.threshold) == ("labelled_rows", 0, 200)


@pytest.mark.parametrize(
    ("rows", "above", "told", "fails"),
    [
        (1000, 0.05, 0.0, True),
        (199, 0.05, 0.0, False),
        (1000, -0.05, 0.0, False),
        (1000, 0.001, 0.0, False),
        (1000, 0.05, 0.05, False),
        (1000, 0.05, -0.05, True),
    ],
)
def test_who_loses_more_than_a_constant_and_tells_no_rows_apart_knows_nothing(rows, above, told, fails):
    """The gate fails on proof only; without it, before enough rows, or where predictions rise with labels, it says nothing."""
    known = {
        "loss_over_constant": Moments(n=rows, mean=above, variance=0.0025),
        "covariance": Moments(n=rows, mean=told, variance=0.01),
    }
    gate = knowledge_gate(comparison(**known), min_rows=200, alpha=0.05)
    assert (gate is not None) is fails
    if gate is not None:
        assert (gate.verdict, gate.evidence.name) == (Verdict.FAILED, "loss_over_constant")
        assert 0.0 == gate.evidence.threshold < gate.evidence.value < above


@pytest.mark.parametrize(
    ("champion", "challenger", "verdict"),
    [
        (arm(2000), arm(2000), Verdict.PASSED),
        (arm(2000), arm(2000, errors=400), Verdict.FAILED),
        (arm(2000), arm(50, errors=1), Verdict.UNDECIDED),
        (arm(2000), arm(0), Verdict.UNDECIDED),
        (arm(0), arm(2000, errors=2000), Verdict.UNDECIDED),
        (arm(2000, errors=400), arm(2000), Verdict.PASSED),
    ],
)
def test_errors_are_judged_against_the_champions(champion, challenger, verdict):
    """No requests are no evidence of health."""
    seen = Comparison(measured_at_s=0.0, champion=champion, challenger=challenger)
    assert error_gate(seen, margin=0.02, alpha=0.01).verdict is verdict


@pytest.mark.parametrize(
    ("champion_s", "challenger_s", "verdict"),
    [
        (0.05, 0.05, Verdict.PASSED),
        (0.05, 0.07, Verdict.PASSED),
        (0.05, 0.10, Verdict.FAILED),
        (0.001, 0.004, Verdict.PASSED),  # four times as slow, yet below the floor
        (0.001, 0.02, Verdict.FAILED),
    ],
)
def test_latency_fails_only_above_both_the_factor_and_the_floor(champion_s, challenger_s, verdict):
    """Half as much again of a millisecond is nothing."""
    seen = comparison(champion=arm(latency_s=champion_s), challenger=arm(latency_s=challenger_s))
    assert latency(seen).verdict is verdict


def test_latency_on_a_handful_of_requests_is_unknown():
    """Before the burn-in no bound is given, rather than an infinite one."""
    gate = latency(comparison(challenger=arm(20, latency_s=5.0)))
    assert (gate.verdict, gate.evidence.value) == (Verdict.UNDECIDED, None)


@pytest.mark.parametrize(
    ("champion_s", "challenger_s", "verdict"),
    [
        (0.1, 0.14, Verdict.PASSED),
        (0.1, 0.2, Verdict.UNDECIDED),
        (None, 0.1, Verdict.UNDECIDED),
        (0.1, None, Verdict.UNDECIDED),
    ],
)
def test_the_tail_can_keep_a_challenger_waiting(champion_s, challenger_s, verdict):
    """It passes or waits, and one missing side is no pass."""
    seen = comparison(champion=arm(latency_p95_s=champion_s), challenger=arm(latency_p95_s=challenger_s))
    gate = tail_gate(seen, factor=1.5, floor_s=0.005)
    assert gate is not None
    assert gate.verdict is verdict


def test_a_tail_that_nobody_measures_is_no_gate():
    """Then the mean alone decides."""
    assert (
        tail_gate(comparison(champion=arm(latency_p95_s=None), challenger=arm(latency_p95_s=None)), factor=2, floor_s=0)
        is None
    )
