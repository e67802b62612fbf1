"""What is taken from a journal: a stretch without a hole that could not be filled, or a clear word why there is none."""

from collections.abc import Sequence
from typing import Any

import pytest

from agent.codec import to_json
from agent.journal.life import Beginning, started
from agent.journal.memory import MemoryJournal
from agent.settings import Settings
from policies.observation import Observation
from policies.testing import deployment, observation, traffic
from simulators.recorded.names import model_names, renamed
from simulators.recorded.recording import Gap, RecordingError, read

SETTINGS = Settings.model_validate({"name": "shop", "tick_s": 10.0, "policies": [{"use": "idle"}]})


def look(at_s: float, **fields: Any) -> Observation:
    return observation(at_s, deployment(**({"traffic": traffic(at_s, 100, window_s=10.0)} | fields)))


def journal(*lives: Sequence[Observation], settings: Sequence[Settings] = ()) -> MemoryJournal:
    """Each life begins a second before its first look."""
    kept = MemoryJournal()
    for place, seen in enumerate(lives):
        chosen = settings[place] if settings else SETTINGS
        at_s = seen[0].at_s - 1.0 if seen else 0.0
        kept.append([("started", at_s, started(Beginning(epoch=place + 1), chosen))])
        kept.append([("observed", each.at_s, to_json(each)) for each in seen])
    return kept


def looks(begin_s: float, count: int) -> list[Observation]:
    return [look(begin_s + 10.0 * n) for n in range(count)]


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (MemoryJournal(), "the journal is empty: no agent has written to it yet"),
        (journal([]), "nothing was observed in the chosen time; expected at least two ticks"),
        (journal([look(10.0, traffic=None), look(20.0, traffic=None)]), "0 of 2 observations hold traffic"),
        (journal([look(10.0), look(20.0, traffic=None)]), "1 of 2 observations hold traffic; expected at least two"),
    ],
    ids=["empty", "no look", "no traffic", "too little traffic"],
)
def test_a_journal_that_holds_too_little_says_what_it_lacks(kept: MemoryJournal, told: str) -> None:
    """An empty scenario would pass every test."""
    with pytest.raises(RecordingError, match=told):
        read(kept.entries())


def test_a_journal_without_a_start_is_none_of_ours() -> None:
    """Without settings nobody knows what the agent was told."""
    kept = MemoryJournal()
    kept.append([("observed", 1.0, to_json(look(1.0)))])
    with pytest.raises(RecordingError, match="none of its 1 entries is the start of an agent"):
        read(kept.entries())


def test_a_short_gap_is_told_and_kept() -> None:
    """The agent was away for five minutes, and a new life began."""
    found = read(journal(looks(10.0, 5), looks(350.0, 5)).entries())
    assert (found.gaps, list(found.starts_s)) == ([Gap(begin_s=50.0, end_s=350.0)], [9.0, 349.0])
    assert (found.origin_s, found.end_s, len(found.seen), list(found.notes)) == (0.0, 390.0, 10, [])


def test_a_long_gap_parts_the_journal_and_the_longest_part_is_taken() -> None:
    """What was left out is named."""
    found = read(journal(looks(10.0, 5), looks(5000.0, 9)).entries())
    assert (found.seen[0].at_s, len(found.seen), list(found.starts_s)) == (5000.0, 9, [4999.0])
    assert "left out: 1970-01-01 00:00:10 to 1970-01-01 00:00:50" in found.notes[0]


def test_a_part_can_be_chosen_and_knows_the_settings_from_before_it() -> None:
    """From and until are inclusive."""
    found = read(journal(looks(10.0, 20)).entries(), from_s=50.0, until_s=90.0)
    assert ([each.at_s for each in found.seen], found.settings.name) == ([50.0, 60.0, 70.0, 80.0, 90.0], "shop")


def test_settings_that_changed_meanwhile_are_told() -> None:
    """The last ones are taken."""
    other = SETTINGS.model_copy(update={"name": "other"})
    found = read(journal(looks(10.0, 5), looks(60.0, 5), settings=[SETTINGS, other]).entries())
    assert (found.settings.name, found.notes[0].split(";")[0]) == ("other", "the settings changed 1 times meanwhile")


def test_models_are_named_after_applications() -> None:
    """And after both where an application has several deployments."""
    found = model_names(["shop/Ranker", "bank/Fraud", "bank/Limit"])
    assert found == {"shop/Ranker": "shop", "bank/Fraud": "bank-Fraud", "bank/Limit": "bank-Limit"}


def test_policies_follow_the_new_names() -> None:
    """Targets by glob and parameters that name a deployment, however deep."""
    models = model_names(["shop/Ranker", "bank/Fraud"])
    settings = Settings.model_validate(
        {
            "policies": [
                {"use": "static", "targets": ["bank/*"], "replicas": {"shop/Ranker": 2}, "more": [["bank/Fraud"]]},
                {"use": "idle"},
            ]
        }
    )
    found = [(each.targets, each.parameters) for each in renamed(settings.policies, models)]
    assert found == [
        (("bank/ModelServer",), {"replicas": {"shop/ModelServer": 2}, "more": [["bank/ModelServer"]]}),
        (("*",), {}),
    ]


@pytest.mark.parametrize(("first", "second", "taken"), [(10, 50, 1), (50, 10, 0)])
def test_a_clock_that_was_set_back_parts_a_recording(first: int, second: int, taken: int) -> None:
    """The longer part is taken, whichever it is; what was ordered in the other at the same moments is no part of it."""
    kept = MemoryJournal()
    kept.append([("started", 0.0, started(Beginning(epoch=1), SETTINGS))])
    parts = [looks(1000.0, first), looks(1000.0 + 10.0 * (first - 9), second)]
    assert parts[1][0].at_s < parts[0][-1].at_s
    for number, each in enumerate([*parts[0], *parts[1]]):
        order = {"number": number, "action": {"kind": "scale", "deployment": "app/model", "replicas": 2}}
        kept.append([("observed", each.at_s, to_json(each)), ("intent", each.at_s, order)])
    found = read(kept.kept)
    assert list(found.seen) == parts[taken]
    assert [order["number"] for _, order in found.intents] == list(range(60))[first * taken : first + second * taken]
    assert found.until_seq == 1 + 2 * (first + second * taken)
    assert [note.split(";")[0] for note in found.notes] == ["the clock of the agent's machine was set back 1 times"]


@pytest.mark.parametrize(
    ("deployments", "models"),
    [
        (["shop-ranker/Model", "shop/ranker", "shop/fraud"], ["shop-ranker", "shop-ranker-2", "shop-fraud"]),
        (["shop/ranker", "shop/fraud", "shop-ranker/Model"], ["shop-ranker", "shop-fraud", "shop-ranker-2"]),
        (["a/b-c", "a/d", "a-b/c", "a-b/e"], ["a-b-c", "a-d", "a-b-c-2", "a-b-e"]),
    ],
)
def test_names_that_would_fall_together_stay_apart(deployments: list[str], models: list[str]) -> None:
    """An application may be called as another application and its deployment are together."""
    assert list(model_names(deployments).values()) == models
