"""Epochs on a cluster: claimed once, never lowered, whoever claims in between."""

from collections.abc import Callable

import pytest

from agent.ports import Refused
from ray_cluster import epochs, kv


class Store:
    """The cluster's key-value store; `meanwhile` happens after each reading, as another process would do it."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.meanwhile: Callable[[], None] = lambda: None

    def create(self, key: str, value: bytes) -> bool:
        there = key in self.rows
        self.rows.setdefault(key, value)
        return not there

    def get(self, key: str) -> bytes | None:
        found = self.rows.get(key)
        self.meanwhile()
        return found

    def keys(self, prefix: str) -> tuple[str, ...]:
        found = tuple(key for key in self.rows if key.startswith(prefix))
        self.meanwhile()
        return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    for name in ("create", "get", "keys"):
        monkeypatch.setattr(kv, name, getattr(made, name))
    return made


def test_a_life_that_is_over_is_refused_and_the_agents_of_other_names_are_not(store: Store) -> None:
    """The highest epoch acts; "shop:eu" is another agent than "shop"."""
    epochs.admit("shop", 1, "first")
    epochs.admit("shop:eu", 9, "abroad")
    epochs.admit("shop", 2, "second")
    with pytest.raises(Refused, match="epoch 1 is over; epoch 2 acts on this cluster"):
        epochs.admit("shop", 1, "first")
    assert (epochs.highest_epoch("shop"), epochs.highest_epoch("none")) == (2, 0)


def test_two_agents_can_not_have_one_epoch(store: Store) -> None:
    """Whoever claimed it first goes on in it; the other takes the next one."""
    epochs.admit("shop", 5, "first")
    with pytest.raises(Refused, match="epoch 5 is that of another agent called 'shop'"):
        epochs.admit("shop", 5, "second")
    epochs.admit("shop", 5, "first")


def test_a_later_life_that_claims_in_between_is_never_lowered(store: Store) -> None:
    """However the two are interleaved, the lower one is refused from then on, and the higher one acts."""
    store.meanwhile = lambda: store.rows.update({"epoch:shop:7": b"later"})
    with pytest.raises(Refused, match="epoch 6 is over"):
        epochs.admit("shop", 6, "earlier")
    epochs.admit("shop", 7, "later")
    assert epochs.highest_epoch("shop") == 7


def test_who_only_asks_claims_nothing(store: Store) -> None:
    """A trainer refuses what is over; the actuator is the one that claims."""
    epochs.refuse_lower("shop", 3)
    assert store.rows == {}
    epochs.admit("shop", 4, "later")
    with pytest.raises(Refused, match="epoch 3 is over; epoch 4 acts on this cluster"):
        epochs.refuse_lower("shop", 3)
