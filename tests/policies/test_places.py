"""What fits on the nodes of a cluster: a piece lies on one of them."""

import math

import pytest

from policies.observation import Capacity, Resources
from policies.places import Places


def places(*free: Resources) -> Places:
    return Places(Capacity(free_by_node=tuple((f"n{n}", each) for n, each in enumerate(free))))


PAIR = (Resources(cpus=8.0, gpus=2.0, memory_bytes=100), Resources(cpus=1.0, gpus=2.0, custom=(("TPU", 4.0),)))


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (Resources(gpus=1.0), 4),
        (Resources(gpus=2.0), 2),
        (Resources(gpus=3.0), 0),
        (Resources(gpus=3.0, spread=True), 1),
        (Resources(cpus=1.0, gpus=1.0), 3),
        (Resources(memory_bytes=60), 1),
        (Resources(memory_bytes=101), 0),
        (Resources(custom=(("TPU", 2.0),)), 2),
        (Resources(cpus=2.0, custom=(("TPU", 1.0),)), 0),
        (Resources(custom=(("of nobody", 1.0),)), 0),
        (Resources(cpus=0.1), 90),
        (Resources(), math.inf),
    ],
)
def test_a_piece_fits_where_one_node_has_all_of_it(piece: Resources, expected: float) -> None:
    """Four accelerators on two nodes are no room for one that takes three, but where its bundles may be spread."""
    assert places(*PAIR).fits(piece) == expected


def test_where_nodes_are_not_known_everything_fits() -> None:
    """What is free in all limits then."""
    unknown = Places(Capacity(free=Resources(cpus=1.0)))
    unknown.take(Resources(cpus=9.0), 3)
    assert unknown.fits(Resources(cpus=9.0)) == math.inf
    assert places().fits(Resources(cpus=1.0)) == 0


def test_what_is_taken_is_gone_and_small_pieces_leave_the_large_places() -> None:
    """Each is placed where it leaves the least room for another."""
    room = places(Resources(cpus=8.0), Resources(cpus=2.0))
    room.take(Resources(cpus=1.0), 2)
    assert (room.fits(Resources(cpus=8.0)), room.fits(Resources(cpus=1.0))) == (1, 8)
    room.take(Resources(cpus=5.0), 3)
    assert room.fits(Resources(cpus=1.0)) == 3
    room.take(Resources(), 5)
    assert room.fits(Resources(cpus=1.0)) == 3


def test_what_may_be_spread_is_taken_from_wherever_there_is() -> None:
    """Node after node."""
    room = places(Resources(gpus=2.0), Resources(gpus=2.0))
    room.take(Resources(gpus=3.0, spread=True), 1)
    assert (room.fits(Resources(gpus=1.0)), room.fits(Resources(gpus=2.0, spread=True))) == (1, 0)
