"""Warm starts: a policy goes on after a restart of its agent as if there had been none."""

from typing import Any

import pytest

from agent.assembly import assemble
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.journal.replay import replay
from agent.journal.store import SqlJournal
from agent.journal.warm_start import BeginsTooLate
from agent.loop import Agent, said
from agent.settings import Settings
from agent.testing import RecordingNotifier
from policies.observation import Controls, Observation
from policies.testing import deployment, model, observation, report, symptom, traffic

POLICIES = [
    {"use": "joint", "budget": 8, "slo_latency_s": 0.5},
    {"use": "target_utilization", "target": 0.5, "up_window_s": 40, "down_window_s": 90},
    {"use": "on_drift", "settle_s": 0, "min_rows": 10},
]


def settings(**journal: Any) -> Settings:
    return Settings.model_validate({"autonomy": {"default": "suggest"}, "journal": journal, "policies": POLICIES})


class Fleet:
    """Two deployments with a swell of traffic, and a model that drifts on the way; nobody acts on it."""

    def __init__(self, **controls: Any) -> None:
        self._controls = Controls(**controls)

    def observe(self, at_s: float) -> Observation:
        swell = 4.0 + 3.0 * (at_s % 400.0) / 400.0
        fleet = [
            deployment(
                f"{name}/model", 2, max_replicas=6, max_ongoing_requests=4,
                traffic=traffic(at_s, int(60 * rate), ongoing=rate / 4, latency_mean_s=0.3),
            )
            for name, rate in (("a", swell), ("b", 12.0 - swell))
        ]  # fmt: skip
        seen = report(at_s, *(symptom(since_s=250.0),) * (at_s > 250.0), labelled_rows=int(at_s))
        return observation(at_s, *fleet, model("m", report=seen), controls=self._controls)

    def start(self, order: Any) -> None:
        raise AssertionError("nothing may be started")


def life(journal: Any, at_s: float, chosen: Settings, world: Fleet | None = None) -> Agent:
    beginning = begin(journal, chosen, at_s)
    fleet: Any = world or Fleet()
    return assemble(
        chosen, sensor=fleet, actuator=fleet, trainer=fleet, notifier=RecordingNotifier(), journal=journal, beginning=beginning,
        allowed=(__name__,),
    )  # fmt: skip


def told(agent: Agent, *moments: int) -> list[dict[str, Any]]:
    """All that is said at each moment, numbers and evidence included."""
    return [said(agent.tick(float(at_s))) for at_s in moments]


FIRST, SECOND = range(5, 405, 5), range(405, 505, 5)


def test_a_restart_makes_no_policy_forget() -> None:
    """After it an agent says what one says that never died, to the last digit of evidence; without the warm start it does not."""
    stayed = life(MemoryJournal(), 0.0, settings())
    told(stayed, *FIRST)
    whole = told(stayed, *SECOND)
    later = {}
    for warm_start_s in (0, 600):
        journal, chosen = MemoryJournal(), settings(warm_start_s=warm_start_s)
        told(life(journal, 0.0, chosen), *FIRST)
        later[warm_start_s] = told(life(journal, 403.0, chosen), *SECOND)
    assert later[600] == whole
    assert later[0] != whole


def test_what_was_seen_long_ago_is_not_shown_again() -> None:
    """A life shows its policies the time from `warm_start_s` before it on."""
    journal = MemoryJournal()
    told(life(journal, 0.0, settings()), *FIRST)
    firsts = [begin(journal, settings(warm_start_s=s), 403.0).seen_again_from for s in (600, 3, 2, 0)]
    observed = [entry.seq for entry in journal.entries(kinds=(Kind.OBSERVED,))]
    assert firsts == [observed[0], observed[-1], None, None]


def test_two_lives_replay_identically(journal: SqlJournal) -> None:
    """From their journal alone, in either kind of database."""
    for at_s, moments in ((0.0, FIRST), (403.0, SECOND)):
        told(life(journal, at_s, settings()), *moments)
    result = replay(journal.entries())
    assert (result.identical, result.ticks) == (True, len(FIRST) + len(SECOND))


def test_a_journal_that_begins_too_late_is_told_so() -> None:
    """The second life began with what the first one saw: alone it can not be replayed."""
    journal = MemoryJournal()
    told(life(journal, 0.0, settings()), *FIRST)
    first = begin(journal, settings(), 403.0).seen_again_from
    with pytest.raises(BeginsTooLate, match=f"observations from entry {first} on"):
        replay(journal.kept[-1:])


def test_what_can_not_be_read_does_not_keep_an_agent_from_beginning() -> None:
    """An observation of another version of the agent is left out."""
    journal = MemoryJournal()
    told(life(journal, 0.0, settings()), 5, 10)
    journal.append([(Kind.OBSERVED, 12.0, {"of another": "version"})])
    told(life(journal, 13.0, settings()), 15)
    assert replay(entry for entry in journal.kept if entry.at_s != 12.0).identical


def test_what_people_were_told_is_not_told_again() -> None:
    """The same alert within the hour, from the life before."""
    journal, alerts = MemoryJournal(), []
    for at_s, moments in ((0.0, (255, 260)), (263.0, (265, 270))):
        alerts.append([each["alerts"] for each in told(life(journal, at_s, raising()), *moments)])
    assert [len(first) for first in alerts[0]] == [1, 0]
    assert alerts[1] == [[], []]


def raising() -> Settings:
    """A policy that raises at every tick, which is an alert."""
    return Settings.model_validate({"policies": [{"use": "tests.agent.journal.test_warm_start:Raises"}]})


class Raises:
    def propose(self, seen: Observation) -> list[Any]:
        raise RuntimeError("always the same")


def test_what_was_seen_while_it_was_killed_is_not_shown_again_either() -> None:
    """With the kill switch on no policy is asked, so it is not asked in memory."""
    journal = MemoryJournal()
    told(life(journal, 0.0, settings(), Fleet(killed=True)), *FIRST)
    fresh = told(life(MemoryJournal(), 403.0, settings()), *SECOND)
    assert told(life(journal, 403.0, settings()), *SECOND) == fresh


def test_a_journal_in_memory_keeps_only_the_newest_observations() -> None:
    """In their places among the other entries, and the chain covers the others, too."""
    whole, short = MemoryJournal(), MemoryJournal(observations_s=10.0)
    for journal in (whole, short):
        told(life(journal, 0.0, settings()), *FIRST)
    kept = [entry for entry in whole.entries() if entry.kind != Kind.OBSERVED or entry.at_s >= FIRST[-1] - 10.0]
    assert list(short.entries()) == kept
    assert short.head == whole.head
