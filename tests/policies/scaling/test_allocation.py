"""Greedy and exchange beside trying everything."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.scaling.allocation import Problem, allocate, allocate_fairly, best_fairly, worth
from policies.scaling.allocation import best as best_counts


def problem(values, capacity, lower=None, upper=None, charges=None, **more) -> Problem:
    size = len(values)
    return Problem(
        values=[np.array(each, dtype=float) for each in values],
        lower=np.array(lower or [0] * size),
        upper=np.array(upper or [len(each) - 1 for each in values]),
        charges=np.array(charges, dtype=float) if charges else np.ones((size, 1)),
        capacity=np.atleast_1d(np.array(capacity, dtype=float)),
        **more,
    )


def best(given: Problem) -> float:
    ranges = [range(low, up + 1) for low, up in zip(given.lower, given.upper, strict=True)]
    fitting = (np.array(n) for n in itertools.product(*ranges))
    return max(worth(given, n) for n in fitting if (n @ given.charges <= given.capacity + 1e-9).all())


CONCAVE = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(
    lambda gains: np.concatenate([[0.0], np.cumsum(sorted(gains, reverse=True))])
)


@settings(max_examples=150, deadline=None)
@given(values=st.lists(CONCAVE, min_size=2, max_size=4), capacity=st.integers(1, 12))
def test_on_concave_values_it_is_the_optimum(values, capacity):
    """Marginal analysis: nothing that was tried is better, but for what `gain_min` leaves lying."""
    given = problem(values, capacity)
    counts = allocate(given)
    assert counts.sum() <= capacity
    assert worth(given, counts) >= best(given) - len(values) * 4 * given.gain_min - 1e-9


def test_a_step_that_pays_only_as_a_whole_is_taken_as_a_whole():
    """Three replicas are worth much, one or two nothing."""
    given = problem([[0, 0, 0, 3.0], [0, 0.6, 1.0, 1.2]], 4)
    assert allocate(given).tolist() == [3, 1]


def test_what_greed_gets_wrong_an_exchange_mends():
    """Greed takes the dense single steps and then lacks the room for the pair."""
    given = problem([[0, 1.0, 1.0], [0, 0.0, 1.9]], 2)
    assert worth(given, allocate(given)) == pytest.approx(1.9)


def test_minima_are_given_first_and_maxima_are_kept():
    """Whatever they are worth, and also where they are more than there is."""
    assert allocate(problem([[0, 0, 0], [0, 1, 2]], 3, lower=[2, 0])).tolist() == [2, 1]
    assert allocate(problem([[0, 1, 2], [0, 1, 2]], 4, upper=[1, 1])).tolist() == [1, 1]
    assert allocate(problem([[0, 0, 0], [0, 1, 2]], 1, lower=[2, 0])).tolist() == [2, 0]


def test_what_adds_nothing_is_not_taken():
    """The rest of the capacity stays free."""
    assert allocate(problem([[0, 1.0, 1.00001, 1.00001]], 3)).tolist() == [1]


def test_sizes_count_and_scarce_things_are_dear():
    """Of two that gain the same, the one with half a GPU instead of two gets it."""
    values = [[0, 1, 1.9, 2.7], [0, 1, 1.9, 2.7]]
    given = problem(values, [100.0, 2.0], charges=[[1, 2.0], [1, 0.5]])
    assert allocate(given).tolist() == [0, 3]


def test_a_quota_is_a_resource_of_its_team():
    """Team one may have one replica for both of its models."""
    values = [[0, 5, 9], [0, 4, 8], [0, 1, 2]]
    given = problem(values, [10.0, 1.0], charges=[[1, 1], [1, 1], [1, 0]])
    assert allocate(given).tolist() == [1, 0, 2]


def test_fairness_lifts_the_least():
    """The sum gives all to one; fairly both get something."""
    values = [[0, 0.5, 1.0], [0, 0.2, 0.4]]
    given = problem(values, 2)
    assert allocate(given).tolist() == [2, 0]
    assert allocate_fairly(given, given.values, weight=2.0).tolist() == [1, 1]


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(st.lists(st.floats(-1, 1), min_size=5, max_size=5), min_size=2, max_size=4),
    capacity=st.integers(3, 12),
)
def test_a_small_fleet_of_one_size_is_solved_exactly(values, capacity):
    """Whatever the values, concave or not, also falling ones: nothing that was tried is better."""
    given = problem(values, capacity)
    assert worth(given, best_counts(given)) == pytest.approx(best(given))


@settings(max_examples=80, deadline=None)
@given(values=st.lists(CONCAVE, min_size=2, max_size=4), capacity=st.integers(2, 10))
def test_the_fairer_of_two_keeps_the_limits(values, capacity):
    """Within capacity and bounds, and never a lower score than the best sum has."""
    given = problem(values, capacity)
    utilities = [each / max(1.0, each.max()) for each in given.values]

    def score(counts):
        reached = [float(utility[n]) for utility, n in zip(utilities, counts, strict=True)]
        return worth(given, counts) + 2.0 * (min(reached) - max(reached) + 1.0)

    fair = best_fairly(given, utilities, 2.0)
    assert (fair <= given.upper).all()
    assert fair.sum() <= capacity
    assert score(fair) >= score(best_counts(given)) - 1e-9
