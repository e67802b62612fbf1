"""Nodes, places, quotas and prices."""

import pytest

from policies.observation import Resources
from simulators.cluster import Cluster, Node, Quota

ONE = Resources(cpus=1.0)
GPU = Resources(cpus=1.0, gpus=1.0)


def cluster(*quotas: Quota) -> Cluster:
    return Cluster.of([Node(name="a", cpus=4.0), Node(name="b", cpus=4.0, gpus=2.0)], quotas)


def test_the_fullest_node_that_fits_is_taken_and_nodes_with_gpus_last():
    """Best fit: what needs no GPU leaves them alone as long as it can."""
    made = cluster()
    assert [made.take(ONE) for _ in range(9)] == ["a"] * 4 + ["b"] * 4 + [None]


def test_free_capacity_in_pieces_does_not_hold_what_needs_a_whole():
    """Three CPUs are free on each node, and a job of four fits on none, though six are free."""
    made = Cluster.of([Node(name=name, cpus=4.0) for name in "ab"])
    for node in made.nodes.values():
        node.used_cpus = 1.0
    assert made.capacity().free == Resources(cpus=6.0)
    assert made.take(Resources(cpus=4.0)) is None
    assert made.take(Resources(cpus=3.0)) == "a"


def test_a_quota_bounds_what_its_models_hold_together_however_much_is_free():
    """Three CPUs for the fraud models; others are not bound by it, and what is given back may be taken again."""
    made = cluster(Quota(models=("fraud*",), cpus=3.0))
    assert [made.take(ONE, owner) for owner in ("fraud", "fraud-eu", "fraud", "fraud-eu", "search")] == [
        "a", "a", "a", None, "a",
    ]  # fmt: skip
    assert not made.fits(ONE, "fraud")
    made.give_back("a", ONE, "fraud-eu")
    assert made.take(ONE, "fraud") == "a"


def test_a_quota_of_gpus_counts_gpus():
    """One of the two GPUs, for everybody together."""
    made = cluster(Quota(gpus=1.0))
    assert [made.take(GPU, "vision"), made.take(GPU, "speech")] == ["b", None]


def test_what_was_on_a_lost_node_is_held_no_more():
    """Neither by the node when it is back, nor under a quota; giving back what died with it changes nothing."""
    made = cluster(Quota(models=("m",), cpus=4.0))
    for _ in range(4):
        made.take(ONE, "m")
    made.lose("a", 100.0)
    made.give_back("a", ONE, "m")
    assert made.take(ONE, "m") == "b"
    made.restore("a", 200.0)
    assert made.capacity().free == Resources(cpus=7.0, gpus=2.0)


def test_a_draining_node_takes_nothing_new():
    """It was told to go."""
    made = cluster()
    made.nodes["a"].draining = True
    assert made.take(ONE) == "b"


@pytest.mark.parametrize(("now_s", "cost"), [(3600.0, 2.0), (7200.0, 3.0), (10800.0, 5.0)])
def test_a_node_costs_its_price_for_as_long_as_it_lives(now_s, cost):
    """Two nodes of one an hour; one is lost after an hour and back after two."""
    made = Cluster.of([Node(name=name, cpus=1.0, price_per_hour=1.0) for name in "ab"])
    if now_s > 3600.0:
        made.lose("a", 3600.0)
    if now_s > 7200.0:
        made.restore("a", 7200.0)
    assert made.cost(now_s) == pytest.approx(cost)
