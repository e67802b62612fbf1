"""The arrays beneath `joint`: what counts are worth, who serves when, how long starts take, and who flaps."""

import numpy as np
import pytest

from policies.observation import ReplicaState
from policies.scaling.flapping import Flapping
from policies.scaling.outlook import Outlook, asleep, latencies, utilities, wait_factors
from policies.scaling.presence import Presence
from policies.scaling.start_time import StartTime
from policies.testing import deployment, replica

STEPS = 6


def outlook(rate: float = 10.0, counts=(1.0, 2.0, 3.0, 4.0), backlog: float = 0.0, **more) -> Outlook:
    """One deployment for two minutes of three steps, at one rate, with a service of 0.15 s."""
    plain = {
        "serving": np.tile(np.array(counts), (STEPS, 1, 1)),
        "rates_rps": np.full((STEPS, 1, 1), rate),
        "wait_factors": np.ones(1),
        "service_s": np.array([0.15]),
        "tail_s": np.array([0.25]),
        "slo_s": np.array([0.72]),
        "backlog": np.array([backlog]),
        "backlog_max": np.array([50.0]),
        "step_s": 20.0,
        "stretch_steps": 3,
        "quantile": 0.99,
        "variability": 0.5,
        "load_max": 0.95,
        "spare": np.zeros(1),
        "react_steps": np.array([2]),
        "react_load": 0.5,
    }
    return Outlook(**(plain | more))


@pytest.mark.parametrize("rate", [1.0, 6.0, 10.0, 15.0, 40.0])
def test_more_replicas_are_never_worth_less(rate):
    """Also where all is late: there is always a slope to climb."""
    worth = utilities(outlook(rate))[0]
    assert (np.diff(worth) >= 0).all()
    assert rate < 40.0 or (np.diff(worth) > 0).all()


def test_with_nobody_waiting_the_latency_is_the_tail():
    """Hardly any load: a quarter of a second at the quantile, in every stretch."""
    assert latencies(outlook(0.01))[:, 0, -1, 0] == pytest.approx([0.25, 0.25])


def test_a_steady_wait_is_that_of_the_formula():
    """At 10 requests/s on 2 replicas of 0.15 s, by hand: p = .75, waits .657, conditional .15, so .315 s at the quantile."""
    load = 0.75
    waits = load ** (6**0.5 - 1)
    wait_s = 0.5 * 0.15 / (2 * (1 - load)) * np.log(100 * waits)
    expected = 0.15 + np.hypot(0.1, wait_s)
    assert latencies(outlook(10.0))[0, 0, 1, 0] == pytest.approx(expected)


def test_a_backlog_makes_late_until_it_is_worked_off():
    """Fifty wait, four replicas have room to spare: the first stretch is late, the second is not."""
    late, well = latencies(outlook(10.0, backlog=50.0))[:, 0, 3, 0]
    assert late > 0.72 > well


def test_refused_requests_are_worth_next_to_nothing():
    """One replica for six times its load: the queue is full at once."""
    assert utilities(outlook(40.0))[0, 0] < 0.02


def test_a_course_above_the_median_is_answered_late_and_with_what_is_spare():
    """From the second step on one course has 20/s more, which need 20 * 0.15 / 0.5 = 6 replicas: the two spare ones come in two steps."""
    rates = np.full((STEPS, 1, 3), 10.0)
    rates[1:, 0, 2] = 30.0
    known = outlook(counts=(1.0, 5.0), rates_rps=rates, spare=np.array([2.0]))
    assert known.present()[:, 0, 1, :].tolist() == [[5, 5, 5]] * 3 + [[5, 5, 7]] * 3
    assert known.present()[:, 0, 0, 2].tolist() == [1, 1, 1, 3, 3, 3]
    assert outlook(rates_rps=rates).present().shape == (STEPS, 1, 4, 1)


def test_every_factor_of_luck_occurs_once():
    """Their logarithms are normal quantiles, and neighbours are not in order."""
    factors = wait_factors(7, 0.75)
    assert np.exp(np.mean(np.log(factors))) == pytest.approx(1.0)
    assert len(set(factors.round(9))) == 7
    assert list(factors) != sorted(factors)
    assert wait_factors(9, 0.0) == pytest.approx(np.ones(9))


ENDS_S = np.arange(1, 7) * 20.0
TWO_AND_ONE = Presence(running=2, remaining_s=(30.0,), up_s=35.0, wait_s=30.0, free=1.0)


@pytest.mark.parametrize(
    ("first", "then", "serving"),
    [
        (3, 3, [2, 2.5, 3, 3, 3, 3]),  # one is starting, for 30 s more
        (2, 2, [2, 2, 2, 2, 2, 2]),  # that one is let go
        (1, 1, [1, 1, 1, 1, 1, 1]),  # what runs and is taken away is gone at once
        (4, 4, [2, 2.75, 4, 4, 4, 4]),  # one more has a place at once: after 35 s
        (5, 5, [2, 2.75, 4, 4.75, 5, 5]),  # the next waits for a place: after 65 s
        (3, 2, [2, 2.5, 3, 2, 2, 2]),  # later one fewer
        (2, 3, [2, 2, 2, 2, 2.25, 3]),  # later one more, 35 s after the switch
    ],
)
def test_who_serves_when(first, then, serving):
    """Two run, one comes up in 30 s, one place is free; a switch of plans comes after a minute."""
    found = TWO_AND_ONE.serving(np.array([float(first)]), np.array([float(then)]), 60.0, ENDS_S)
    assert found[:, 0] == pytest.approx(serving)


def test_a_start_is_measured_from_its_place_and_waiting_for_a_place_apart():
    """Begun after the look at 0 s, placed before the look at 30 s, running before that at 60 s: half-way between looks."""
    starts = StartTime()
    born = replica("r1", state=ReplicaState.STARTING, node=None)
    placed = replica("r1", state=ReplicaState.STARTING, node="n1")
    looks = [
        (0.0, ()),
        (10.0, (born,)),
        (20.0, (born,)),
        (30.0, (placed,)),
        (50.0, (placed,)),
        (60.0, (replica("r1"),)),
    ]
    for at_s, replicas in looks:
        starts.see(deployment("a", replicas), at_s)
    assert (starts.wait_s, starts.up_s) == (25.0, 30.0)


ONE_PLACED_ONE_NOT = (
    replica("r1", state=ReplicaState.STARTING, node="n1"),
    replica("r2", state=ReplicaState.STARTING, node=None),
)


def test_how_long_a_start_still_takes():
    """One that has a place, and one that has none yet."""
    starts = StartTime()
    starts.see(deployment("a", ONE_PLACED_ONE_NOT), 100.0)
    starts.see(deployment("a", ONE_PLACED_ONE_NOT), 110.0)
    assert starts.remaining_s(110.0, up_s=35.0, wait_s=30.0) == [25.0, 55.0]
    assert starts.slowest_so_far_s(110.0) == 10.0


def test_who_is_overdue_takes_as_much_longer_again():
    """Begun at 100 s and due at 135 s and, without a place yet, at 165 s: at 300 s both are late, and nobody says "now"."""
    starts = StartTime()
    starts.see(deployment("a", ONE_PLACED_ONE_NOT), 100.0)
    assert starts.remaining_s(300.0, up_s=35.0, wait_s=30.0) == [165.0, 205.0]
    assert starts.slowest_so_far_s(300.0) == 200.0


def test_turns_make_the_next_move_dearer_until_they_are_long_ago():
    """Up and down again and again: two turns are borne, each further one doubles what a move must bring."""
    flapping = Flapping(window_s=600.0)
    damping = []
    for n, wanted in enumerate([1, 3, 1, 3, 1, 3]):
        flapping.see(wanted, 60.0 * n)
        damping.append(flapping.damping)
    assert damping == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0]
    flapping.see(3, 2000.0)
    assert (flapping.turns, flapping.damping) == (0, 1.0)


@pytest.mark.parametrize(
    ("rate", "slo_s", "wake_s", "worth"),
    [
        (0.0, 1.0, 40.0, 1.0),  # nobody asks
        (0.01, 60.0, 40.0, 1.0),  # a wake-up within the objective harms nobody
        (0.01, 20.0, 40.0, 1.0 - (1.0 - np.exp(-0.6)) / 2),  # half of the objective missed where somebody asks
        (100.0, 60.0, 40.0, 0.0),  # one replica could not serve them
    ],
)
def test_who_sleeps_is_worth_what_waking_up_costs_those_who_ask(rate, slo_s, wake_s, worth) -> None:
    """Poisson arrivals, a minute at a time."""
    rates = np.full((7, 3), rate)
    assert asleep(rates, service_s=0.5, slo_s=slo_s, wake_s=wake_s, stretch_s=60.0) == pytest.approx(worth)
