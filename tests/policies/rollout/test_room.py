"""What challengers can carry: no replica of theirs gets more than one of the champion's."""

from typing import Any

import pytest

from policies.observation import ReplicaState
from policies.rollout.room import Room, slot
from policies.testing import deployment, model, observation, replica


def served(name: str, running: int, starting: int = 0, **fields: Any) -> Any:
    rows = [replica(f"r{n}") for n in range(running)]
    rows += [replica(f"s{n}", state=ReplicaState.STARTING) for n in range(starting)]
    return deployment(f"m{name}/ModelServer", tuple(rows), **({"model": "m", "slot": name} | fields))


def test_a_slot_is_that_of_the_model() -> None:
    """Neither another model's, nor the other slot."""
    champion, challenger = served("champion", 2), served("challenger", 1)
    seen = observation(1.0, deployment("x/y", model="n", slot="champion"), challenger, champion, model())
    assert (slot("m", "champion", seen), slot("m", "challenger", seen)) == (champion, challenger)
    assert slot("n", "challenger", seen) is None


def test_room_counts_what_runs() -> None:
    """What starts carries nothing yet; what is not seen is not known; what may not be scaled has no name to scale."""
    both = observation(1.0, served("champion", 4, 1), served("challenger", 2, 3))
    assert Room.of("m", both) == Room(champions=4, challengers=2, challenger="mchallenger/ModelServer")
    fixed = observation(1.0, served("challenger", 2, scalable=False))
    assert Room.of("m", fixed) == Room(champions=None, challengers=2, challenger=None)
    assert Room.of("n", both) == Room()


@pytest.mark.parametrize(
    ("champions", "share", "needed"),
    [(10, 0.1, 1), (10, 0.11, 2), (10, 0.3, 3), (3, 0.5, 2), (4, 0.5, 2), (0, 0.5, 1), (None, 0.5, 1), (10, 0.0, 1)],
)
def test_a_share_needs_its_part_of_the_champions_replicas(champions: int | None, share: float, needed: int) -> None:
    """Rounded up, but not for what is lost in floating point; one at least."""
    assert Room(champions=champions).needed(share) == needed


@pytest.mark.parametrize(
    ("champions", "challengers", "share", "wanted", "copies"),
    [
        (4, 1, 0.0, 1.0, 0.25),
        (3, 1, 0.0, 1.0, 0.33),
        (80, 27, 0.0, 1.0, 0.33),
        (4, 1, 0.0, 0.2, 0.2),
        (4, 2, 0.5, 1.0, 0.0),
        (4, 3, 0.5, 1.0, 0.5),
        (4, 1, 0.5, 1.0, 0.0),
        (4, 4, 0.0, 1.0, 1.0),
        (4, 9, 0.0, 0.7, 0.7),
        (4, 1, 1.0, 0.6, 0.6),
        (0, 1, 0.0, 0.6, 0.6),
        (None, 1, 0.0, 0.6, 0.6),
    ],
)
def test_copies_fill_what_is_left_of_a_challenger(
    champions: int | None, challengers: int, share: float, wanted: float, copies: float
) -> None:
    """Never more than is wanted, never less than none; to the hundredth, downwards."""
    assert Room(champions=champions).copies(wanted, share, challengers) == pytest.approx(copies, abs=1e-12)
