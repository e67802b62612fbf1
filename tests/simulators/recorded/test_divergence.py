"""Where other policies part from what was decided: nowhere for the same, at the exact tick for others."""

from typing import Any

import pytest

from agent.codec import to_json
from agent.journal.life import Beginning, started
from agent.journal.memory import MemoryJournal
from agent.journal.record import Entry, Kind
from agent.journal.replay import replay
from agent.journal.warm_start import BeginsTooLate
from agent.settings import PolicySettings, Settings
from policies.action import Retrain, Scale, StartRollout
from policies.testing import observation
from simulators.recorded.divergence import Difference, divergence


def recorded_policies(entries: list[Entry]) -> tuple[PolicySettings, ...]:
    started = next(each for each in entries if each.kind == Kind.STARTED)
    return Settings.model_validate(started.payload["settings"]).policies


def test_the_same_policies_part_nowhere(life: Any) -> None:
    """Every tick decides the same, as many orders of each kind."""
    found = divergence(life.entries, recorded_policies(life.entries))
    assert (found.firsts, found.alike) == ((), found.ticks)
    assert found.recorded == found.other
    assert found.ticks == sum(each.kind == Kind.OBSERVED for each in life.entries)


def test_the_same_policies_part_nowhere_after_a_restart_either(two_lives: list[Entry]) -> None:
    """The second life begins with what the first one saw last, in a replay as in this comparison."""
    found = divergence(two_lives, recorded_policies(two_lives))
    assert sum(each.kind == Kind.STARTED for each in two_lives) == 2
    assert (found.firsts, found.alike) == ((), found.ticks)
    assert replay(two_lives).identical


def test_a_journal_may_begin_between_two_starts(two_lives: list[Entry]) -> None:
    """The ticks before its first start are not compared, and are remembered; one that lacks what its first life began with is refused."""
    second = max(n for n, each in enumerate(two_lives) if each.kind == Kind.STARTED)
    found = divergence(two_lives[1:], recorded_policies(two_lives))
    assert found.ticks == sum(each.kind == Kind.OBSERVED for each in two_lives[second:])
    assert (found.firsts, found.alike) == ((), found.ticks)
    with pytest.raises(BeginsTooLate):
        divergence(two_lives[second:], recorded_policies(two_lives))


def test_who_wants_nothing_parts_at_the_first_order(life: Any) -> None:
    """That order is named with its evidence, and every tick before it is alike."""
    first = next(each for each in life.entries if each.kind == Kind.INTENT)
    found = divergence(life.entries, (PolicySettings(use="idle"),))
    seen = [each for each in life.entries if each.kind == Kind.OBSERVED and each.at_s == first.at_s]
    assert found.firsts == (
        Difference(
            at_s=first.at_s,
            seq=seen[0].seq,
            target="shop/ModelServer",
            aspect="deployment",
            recorded=first.payload["action"],
            other=None,
            why=first.payload,
        ),
    )
    orders = sum(each.kind == Kind.INTENT for each in life.entries)
    assert (found.ticks - found.alike, found.other) == (orders, {})


def test_a_journal_where_the_agent_only_suggested_has_orders_only_where_they_may_be_given(life: Any) -> None:
    """Under the recorded autonomy the other policies may not act either; with `act` they do."""
    shy = [_suggesting(each) for each in life.entries if each.kind in (Kind.STARTED, Kind.OBSERVED)]
    policies = recorded_policies(life.entries)
    assert divergence(shy, policies).other == {}
    assert divergence(shy, policies, act=True).other["scale"] > 0


def _suggesting(entry: Entry) -> Entry:
    if entry.kind != Kind.STARTED:
        return entry
    settings = entry.payload["settings"] | {"autonomy": {"default": "suggest"}}
    fields = {name: getattr(entry, name) for name in ("seq", "at_s", "kind", "previous_hash", "hash")}
    return Entry(payload={**entry.payload, "settings": settings}, **fields)


@pytest.mark.parametrize("until_s", [100.0, 900.0])
def test_what_comes_after_the_chosen_time_is_not_looked_at(life: Any, until_s: float) -> None:
    """As many ticks as lie before it."""
    last = max(entry.seq for entry in life.entries if entry.at_s <= until_s)
    found = divergence(life.entries, recorded_policies(life.entries), until_seq=last)
    assert found.ticks == until_s / 10.0


def test_orders_of_one_tick_for_one_model_are_compared_each_for_itself() -> None:
    """A training and a rollout of the same model at one moment: neither hides the other."""
    settings = Settings.model_validate({"policies": [{"use": "idle"}]})
    journal = MemoryJournal()
    journal.append([("started", 0.0, started(Beginning(), settings)), ("observed", 1.0, to_json(observation(1.0)))])
    actions = (Retrain(model="m"), StartRollout(model="m", version="2", digest="d"), Scale(deployment="m", replicas=2))
    for number, action in enumerate(actions, 1):
        journal.append([("intent", 1.0, {"number": number, "action": to_json(action), "because": []})])
    found = divergence(journal.kept, (PolicySettings(use="idle"),))
    assert found.recorded == {"retrain": 1, "start_rollout": 1, "scale": 1}
    assert [(each.target, each.aspect) for each in found.firsts] == [
        ("m", "deployment"),
        ("m", "rollout"),
        ("m", "training"),
    ]
