"""A new life of the agent: what it takes over from the ones before, and what it may not forget."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assembly import AssemblyError, build_core
from agent.codec import to_json
from agent.core import Core
from agent.journal.controls import said
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind, UnreadableEntry, verify
from agent.journal.replay import replay
from agent.journal.store import SqlJournal
from agent.journal.warm_start import BeginsTooLate
from agent.loop import lines_of
from agent.schedules import taken
from agent.settings import Settings
from policies.action import Evidence, Proposal, StartRollout
from policies.observation import Capacity, Observation, Resources
from policies.testing import deployment, model, observation, report, symptom, traffic, version

ROOM = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "budget": {"retrainings_per_day": 1},
        "guards": {"cool_down_s": {"scale": 600}},
        "journal": {"warm_start_s": 0},
        "models": {"m": {"training": {"recipes": ["logistic"]}}},
        "policies": [
            {"use": "target_utilization", "target": 0.5, "up_window_s": 0},
            {"use": "on_drift", "settle_s": 0, "min_rows": 10, "retry_after_s": 1},
        ],
    }
)


def seen_at(at_s: float) -> Observation:
    """A deployment with too few replicas, which nobody else touches, and a model that has drifted."""
    busy = deployment("app/model", traffic=traffic(at_s, ongoing=4.0), max_ongoing_requests=1)
    drifted = model("m", report=report(at_s, symptom(since_s=1.0)))
    return observation(at_s, busy, drifted, capacity=ROOM)


def lived(journal: MemoryJournal, *moments: float) -> tuple[Core, list[str]]:
    """One life that sees the same at each of `moments`; the rules that kept it back at the last."""
    core = build_core(SETTINGS, begin(journal, SETTINGS, moments[0] - 0.5))
    for at_s in moments:
        seen = seen_at(at_s)
        decision = core.step(seen)
        journal.append(lines_of(decision, seen))
    return core, [veto.rule for veto in decision.vetoes]


def test_an_agent_that_is_restarted_gets_no_new_allowance() -> None:
    """Cool-downs and the retrainings of a day count over lives: a crash loop can not retrain at every start."""
    journal = MemoryJournal()
    lived(journal, 100.0, 101.0)
    ended = [(Kind.OUTCOME, 102.0, {"number": n, "status": "failed", "at_s": 102.0, "detail": ""}) for n in (1, 2)]
    journal.append(ended)
    _, kept_back = lived(journal, 110.0)
    assert sorted(kept_back) == ["cool_down", "retrainings_per_day"]
    assert len(journal.of_kind("intent")) == 2
    last_life = max(n for n, entry in enumerate(journal.kept) if entry.kind == Kind.STARTED)
    assert replay(journal.kept[last_life:]).identical


def test_orders_that_a_wrong_clock_dated_after_now_count_as_given_now() -> None:
    """A journal from before the agent had a clock of its own, set back by a day: no minute and no cool-down lasts that day longer."""
    journal = MemoryJournal()
    lived(journal, 100_000.0, 100_001.0)
    ended = [(Kind.OUTCOME, 100_002.0, {"number": 1, "status": "failed", "at_s": 100_002.0, "detail": ""})]
    journal.append(ended)
    beginning = begin(journal, SETTINGS, 13_600.0)
    assert [(each.number, each.issued_at_s, each.deadline_s) for each in beginning.remembered] == [
        (1, 13_600.0, 13_720.0)
    ]
    assert [(each.number, each.issued_at_s, each.deadline_s) for each in beginning.open_orders] == [
        (2, 13_600.0, 20_800.0)
    ]


def test_a_version_that_was_acted_upon_keeps_its_digest_over_lives() -> None:
    """Files that were exchanged while no agent looked are found out by the next one, from the journal."""
    journal = MemoryJournal()
    first = build_core(SETTINGS, begin(journal, SETTINGS, 0.0))
    start = StartRollout(model="m", version="2", digest="sha-2")
    seen = observation(1.0, model("m", candidates=(version("2"),)), capacity=ROOM)
    first._policies = (("wants", _Wants(start)),)
    journal.append(lines_of(first.step(seen), seen))
    journal.append([(Kind.OUTCOME, 1.5, {"number": 1, "status": "failed", "at_s": 1.5, "detail": ""})])
    second = build_core(SETTINGS, begin(journal, SETTINGS, 2.0))
    other = StartRollout(model="m", version="2", digest="other")
    second._policies = (("wants", _Wants(other)),)
    swapped = model("m", candidates=(version("2", digest="other"),))
    decision = second.step(observation(3.0, swapped, capacity=ROOM))
    assert [veto.rule for veto in decision.vetoes] == ["digest"]


class _Wants:
    def __init__(self, action: StartRollout) -> None:
        self._proposal = Proposal(action=action, because=(Evidence(name="test"),))

    def propose(self, seen: Observation) -> list[Proposal]:
        return [self._proposal]


def test_a_journal_that_was_begun_anew_leaves_its_agent_the_power_to_act(tmp_path: Path) -> None:
    """A cluster that has seen epoch 7 obeys no lower one, so the next is 8, whatever the new database holds."""
    journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    assert [begin(journal, SETTINGS, 1.0, above=7).epoch, begin(journal, SETTINGS, 2.0, above=3).epoch] == [8, 9]
    journal.append([(Kind.NOTE, 3.0, to_json({"written": True}))])
    assert [entry.kind for entry in journal.entries()] == ["started", "started", "note"]


ORDER = {"number": 9, "action": {"kind": "teleport", "model": "m"}, "key": "9-k"}


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.INTENT, ORDER),
        (Kind.INTENT, {"number": 9}),
        (Kind.OUTCOME, {"number": 9, "status": "forgotten"}),
        (Kind.OUTCOME, {"status": "succeeded"}),
        (Kind.DECIDED, {"awaiting": [ORDER]}),
        (Kind.DECIDED, {"awaiting": None}),
        (Kind.DECIDED, {}),
        (Kind.CONTROL, {"word": "sing"}),
        (Kind.CONTROL, {"word": "accept", "model": "m"}),
        (Kind.CONTROL, {}),
        ("dream", {"number": 9}),
    ],
)
def test_what_another_version_wrote_neither_stops_a_start_nor_comes_alive(kind: str, payload: dict) -> None:
    """The life begins with what it can read, gives no number again, and hears what people said before and after."""
    journal = MemoryJournal()
    lived(journal, 100.0)
    before = begin(journal, SETTINGS, 101.0)
    journal.append([(Kind.CONTROL, 101.5, said("freeze", by="test")), (kind, 102.0, payload)])
    journal.append([(Kind.CONTROL, 103.0, said("kill", by="test"))])
    after = begin(journal, SETTINGS, 104.0)
    assert after.open_orders == before.open_orders
    assert after.awaiting == ()
    assert after.next_number == (
        10 if 9 in {payload.get("number"), *_waiting(payload)} and kind != "dream" else before.next_number
    )
    controls = journal.controls(105.0)
    assert (controls.frozen, controls.killed) == (True, True)


def _waiting(payload: dict) -> list[int]:
    return [each["number"] for each in payload.get("awaiting") or ()]


def test_an_intent_after_the_outcome_of_its_order_opens_nothing_again() -> None:
    """However many lives read it."""
    journal = MemoryJournal()
    lived(journal, 100.0)
    intent = journal.of_kind("intent")[0]
    journal.append(
        [(Kind.OUTCOME, 102.0, {"number": intent["number"], "status": "failed", "at_s": 102.0, "detail": ""})]
    )
    journal.append([(Kind.INTENT, 103.0, intent)])
    numbers = [[each.number for each in begin(journal, SETTINGS, at_s).open_orders] for at_s in (104.0, 105.0)]
    assert numbers == [[2], [2]]


@pytest.mark.parametrize("outcome", [{"status": "forgotten", "at_s": 102.0, "detail": ""}, {"status": "failed"}])
def test_an_order_whose_outcome_can_not_be_read_has_ended_all_the_same(outcome: dict) -> None:
    """How it ended, another version knew; it is not sent again."""
    journal = MemoryJournal()
    lived(journal, 100.0)
    assert [each.number for each in begin(journal, SETTINGS, 101.0).open_orders] == [1, 2]
    journal.append([(Kind.OUTCOME, 102.0, {"number": 1, **outcome})])
    assert [each.number for each in begin(journal, SETTINGS, 103.0).open_orders] == [2]


@pytest.mark.parametrize(("at_s", "numbers"), [(699.0, [1, 2]), (700.0, [2]), (86_499.0, [2]), (86_500.0, [])])
def test_what_counts_no_more_stands_in_no_start(at_s: float, numbers: list[int]) -> None:
    """A scale counts for its cool-down of 600 s, a retraining for the day; the journal keeps both for ever."""
    journal = MemoryJournal()
    lived(journal, 100.0)
    ended = {"status": "succeeded", "at_s": 101.0, "detail": ""}
    journal.append([(Kind.OUTCOME, 101.0, {"number": number, **ended}) for number in (1, 2)])
    assert [each.number for each in begin(journal, SETTINGS, at_s).remembered] == numbers


def test_the_orders_of_a_journal_that_was_begun_anew_have_other_keys() -> None:
    """The same number for the same action, and yet no job of before passes for it."""
    keys = []
    for prefix in ("a-", "b-"):
        core = build_core(SETTINGS, begin(MemoryJournal(), SETTINGS, 0.0, key_prefix=prefix))
        keys.append([order.key.removeprefix(prefix) for order in core.step(seen_at(1.0)).orders])
        assert all(order.key.startswith(prefix) for order in core.open_orders)
    assert keys[0] == keys[1] != []


def test_lives_whose_keys_begin_with_chance_replay_identically() -> None:
    """The chance is in the journal; one that was written before there was any has the keys of that time."""
    journal = MemoryJournal()
    core = build_core(SETTINGS, begin(journal, SETTINGS, 0.0, key_prefix="cafe-"))
    seen = seen_at(1.0)
    journal.append(lines_of(core.step(seen), seen))
    assert [intent["key"].split("-")[0] for intent in journal.of_kind("intent")] == ["cafe", "cafe"]
    assert replay(journal.kept).identical


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "number", "action", "key", "status", "awaiting", "word", "model", "digests", "note", "names", "civil_s", "settings", "open_orders",
    "schedules", "epoch", "deployments", "models", "at_s", "alerts", "vetoes",
)  # fmt: skip
ODD = st.lists(
    st.tuples(
        st.sampled_from([*Kind, "dream"]),
        st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), PLAIN, max_size=6),
    ),
    max_size=5,
)


@settings(max_examples=80, deadline=None)
@given(ODD)
def test_whatever_stands_in_a_journal_an_agent_begins_and_people_are_told_why_it_can_not_be_replayed(odd: list) -> None:
    """Between two lives, of any kind and content: the chain holds, controls are read, and a replay says yes, no or why not."""
    journal = MemoryJournal()
    lived(journal, 100.0)
    journal.append([(kind, 102.0, payload) for kind, payload in odd])
    assert begin(journal, SETTINGS, 103.0).epoch == 2
    assert journal.controls(104.0) == journal.controls(104.0)
    assert taken(journal, {"nightly": "0 3 * * *"}, 104.0)["nightly"] <= 104.0
    assert verify(journal.kept).ok
    with suppress(BeginsTooLate, AssemblyError, UnreadableEntry):
        replay(journal.kept)
