"""What has failed is tried again ever more rarely; what makes things safe is never kept back for long."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from agent.assembly import build_core
from agent.back_off import FORGOTTEN_AFTER_S, BackOff, Failures, pause_s
from agent.calendar import FreezeCalendar
from agent.core import Core, Decision, Rules
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.journal.replay import replay
from agent.loop import lines_of
from agent.order import JOURNAL_WAS_AWAY, Autonomy, Order, Outcome, Status
from agent.settings import AutonomySettings, BudgetSettings, Settings
from policies.action import (
    Action,
    Evidence,
    Promote,
    Proposal,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
    target,
)
from policies.observation import Capacity, Controls, JobState, Observation, Resources, TrainingJob
from policies.testing import deployment, model, observation, replica, rollout, traffic, version

ROOMY = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
UP = Scale(deployment="app/model", replicas=4)
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")
RETRAIN = Retrain(model="m")
TICK_S = 10.0


class Wants:
    def __init__(self, *actions: Action) -> None:
        self.actions = list(actions)

    def propose(self, seen: Observation) -> list[Proposal]:
        return [Proposal(action=action, because=(Evidence(name="test"),)) for action in self.actions]


def core_of(policy: Wants, **rules: Any) -> Core:
    acting = {"autonomy": AutonomySettings(default=Autonomy.ACT)}
    return Core([("policy", policy)], Rules(**(acting | rules)), FreezeCalendar())


def seen_at(at_s: float, *things: Any, **fields: Any) -> Observation:
    return observation(at_s, *(things or (deployment(),)), **({"capacity": ROOMY} | fields))


def refused(core: Core, until_s: float, *things: Any, from_s: float = 0.0, reason: str = "not today") -> list[float]:
    """When an order was given to a world that refuses every one, looked at every ten seconds."""
    given = []
    for n in range(int((until_s - from_s) / TICK_S)):
        at_s = from_s + n * TICK_S
        for order in core.step(seen_at(at_s, *things)).orders:
            given.append(at_s)
            core.refused(order.number, reason)
    return given


def test_a_refused_order_is_given_again_ever_more_rarely() -> None:
    """At once the first time, then after 10 s, 20 s, and so on up to five minutes from its outcome: 16 times an hour instead of 360."""
    given = refused(core_of(Wants(UP)), 3600.0)
    assert given[:8] == [0.0, 10.0, 30.0, 60.0, 110.0, 200.0, 370.0, 680.0]
    assert [after - before for before, after in pairwise(given[7:])] == [310.0] * 9
    assert len(given) == 17


def test_what_is_kept_back_says_what_failed_and_until_when() -> None:
    """The whole veto, at the last tick before its end; it is no news at every tick."""
    core = core_of(Wants(UP))
    refused(core, 60.0)
    vetoes = [core.step(seen_at(at_s)) for at_s in (60.0, 65.0)]
    assert [order.number for order in vetoes[0].orders] == [4]
    core.refused(4, "not today")
    first, later, over = (core.step(seen_at(at_s)) for at_s in (70.0, 109.9, 110.0))
    reason = "it failed 4 times in a row (refused: not today), and is not tried again before 00:01:50 UTC"
    assert [(v.rule, v.reason, v.value, v.threshold) for v in first.vetoes] == [("back_off", reason, 0.0, 40.0)]
    assert [(v.reason, v.value) for v in later.vetoes] == [(reason, pytest.approx(39.9))]
    assert (later.news, [order.number for order in over.orders]) == (False, [5])


def test_a_rollback_that_fails_is_tried_again_twice_a_minute() -> None:
    """It is exempt from the orders of a minute, not from all bounds; it never waits for more than half a minute after it failed."""
    canary = model(candidates=(version("2"),), rollout=rollout("2", share=0.5))
    given = refused(core_of(Wants(BACK), budget=BudgetSettings(orders_per_minute=1)), 3600.0, canary)
    assert given[:5] == [0.0, 10.0, 30.0, 60.0, 100.0]
    assert max(after - before for before, after in pairwise(given)) == 40.0
    assert len(given) == 92


@pytest.mark.parametrize(
    ("action", "pauses"),
    [
        (UP, [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]),
        (Restart(deployment="a/a", replica="r1"), [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]),
        (StartRollout(model="m", version="2", digest="d"), [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]),
        (BACK, [0.0, 10.0, 20.0, 30.0, 30.0, 30.0, 30.0, 30.0]),
        (StopTraining(model="m"), [0.0, 10.0, 20.0, 30.0, 30.0, 30.0, 30.0, 30.0]),
        (RETRAIN, [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0]),
    ],
)
def test_how_long_it_waits_follows_from_how_often_it_failed(action: Action, pauses: list[float]) -> None:
    """Steps that make things safe least, a training, which costs most, longest."""
    assert [pause_s(action, times) for times in range(1, 9)] == pauses
    assert pause_s(RETRAIN, 10_000) == 3600.0


def order(action: Action, *, before: int | None = None) -> Order:
    undo = Scale(deployment="app/model", replicas=before) if before is not None else None
    return Order(
        number=1, epoch=1, key="1", action=action, because=(), policy="p", issued_at_s=0.0, deadline_s=60.0,
        inverse=undo,
    )  # fmt: skip


def ended(action: Action, *ends: tuple[Status, str], before: int | None = 2, at_s: float = 5.0) -> BackOff:
    back_off = BackOff()
    for status, detail in ends:
        back_off.end(order(action, before=before), Outcome(number=1, status=status, at_s=at_s, detail=detail))
    return back_off


FAILED = (Status.FAILED, "refused: no")


@pytest.mark.parametrize(
    ("ends", "times"),
    [
        ((FAILED,), 1),
        ((FAILED, FAILED), 2),
        ((FAILED, (Status.SUCCEEDED, "4 replicas run")), 0),
        ((FAILED, FAILED, (Status.EXPIRED, "")), 2),
        ((FAILED, (Status.SUPERSEDED, "")), 1),
        (((Status.FAILED, f"refused: {JOURNAL_WAS_AWAY}"),), 0),
        (((Status.EXPIRED, ""),), 0),
        (((Status.SUCCEEDED, "4 replicas run"),), 0),
    ],
)
def test_failures_in_a_row_are_counted_until_a_success(ends: Any, times: int) -> None:
    """To run out of time is to have waited, and what no world was asked for is no failure of it."""
    found = ended(UP, *ends).failures(UP, seen_at(5.0))
    assert found == (Failures(times=times, last_s=5.0, reason="refused: no") if times else None)


CANARY = SetTraffic(model="m", version="2", share=0.5)


@pytest.mark.parametrize(
    ("failed", "wanted", "things", "same"),
    [
        (UP, replace(UP, replicas=9), (deployment(),), True),
        (UP, UP, (deployment(replicas=3),), False),
        (UP, Scale(deployment="b/b", replicas=4), (deployment("b/b"),), False),
        (UP, Restart(deployment="app/model", replica="r1"), (deployment(),), False),
        (Restart(deployment="a/a", replica="r1"), Restart(deployment="a/a", replica="r2"), (), False),
        (Restart(deployment="a/a", replica="r1"), Restart(deployment="a/a", replica="r1"), (), True),
        (CANARY, replace(CANARY, share=0.9), (), True),
        (CANARY, replace(CANARY, version="3"), (), False),
        (BACK, replace(BACK, version="3"), (), False),
        (BACK, BACK, (), True),
        (RETRAIN, replace(RETRAIN, since_s=9.0, rows_max=3), (), True),
        (RETRAIN, StopTraining(model="m"), (), False),
        (Promote(model="m", version="2", digest="d"), Promote(model="m", version="2", digest="d"), (), False),
    ],
)
def test_a_failure_is_one_of_a_kind_of_order_on_a_thing(
    failed: Action, wanted: Action, things: Any, same: bool
) -> None:
    """Another wish for the count is no new story, a count that has changed is, and so is another replica, version or kind.

    Promotions are counted apart.
    """
    before = 2 if isinstance(failed, Scale) else None
    assert (ended(failed, FAILED, before=before).failures(wanted, seen_at(5.0, *things)) is not None) is same


@pytest.mark.parametrize(
    ("action", "before", "thing"),
    [
        (UP, 2, ("scale", ("deployment", "app/model"), "2")),
        (UP, None, ("scale", ("deployment", "app/model"), "")),
        (Restart(deployment="a/a", replica="r1"), None, ("restart", ("deployment", "a/a"), "r1")),
        (StartRollout(model="m", version="2", digest="d"), None, ("start_rollout", ("rollout", "m"), "2")),
        (CANARY, None, ("set_traffic", ("rollout", "m"), "2")),
        (BACK, None, ("roll_back", ("rollout", "m"), "2")),
        (RETRAIN, None, ("retrain", ("training", "m"), "")),
        (StopTraining(model="m"), None, ("stop_training", ("training", "m"), "")),
    ],
    ids=repr,
)
def test_a_failure_is_remembered_by_kind_target_and_which_of_its_things(
    action: Action, before: int | None, thing: tuple[str, tuple[str, str], str]
) -> None:
    """So it stands in the journal; where it is a count of which nobody knows what it was before, there is none."""
    assert ended(action, FAILED, before=before).failed == {thing: Failures(times=1, last_s=5.0, reason="refused: no")}


def test_a_failure_is_forgotten_in_the_end() -> None:
    """Whoever wants it again after hours finds a world that may be another."""
    back_off = ended(UP, FAILED, at_s=5.0)
    back_off.forget(5.0 + FORGOTTEN_AFTER_S - 0.1)
    assert len(back_off.failed) == 1
    back_off.forget(5.0 + FORGOTTEN_AFTER_S)
    assert back_off.failed == {}


def test_a_count_that_has_changed_begins_anew() -> None:
    """The world takes counts again, as somebody else has set one: nothing is held against it."""
    core = core_of(Wants(UP))
    refused(core, 200.0)
    assert core.step(seen_at(200.0, deployment(replicas=3), controls=Controls())).vetoes[0].rule == "foreign_change"
    assert [each.action for each in core.step(seen_at(260.0, deployment(replicas=3))).orders] == [UP]


def test_a_training_that_fails_is_not_begun_at_every_tick() -> None:
    """The world took it, and it ended badly."""
    core = core_of(Wants(RETRAIN))
    begun, job = [], None
    for n in range(60):
        at_s = n * TICK_S
        for each in core.step(seen_at(at_s, model(training=job))).orders:
            begun.append(at_s)
            job = TrainingJob(id=each.key, state=JobState.FAILED, started_at_s=at_s, message="no rows")
    assert begun == [0.0, 10.0, 30.0, 60.0, 110.0, 200.0, 370.0]


def test_an_approved_order_waits_until_it_may_be_tried_again() -> None:
    """It is kept, is told as kept back, and goes out when its time has come."""
    autonomy = AutonomySettings(default=Autonomy.APPROVE)
    waiting = order(UP, before=2)
    core = Core(
        [("p", Wants(UP))],
        Rules(autonomy=autonomy),
        FreezeCalendar(),
        next_number=2,
        awaiting=[waiting],
        back_off=BackOff({("scale", target(UP), "2"): Failures(times=3, last_s=0.0, reason="refused: no")}),
    )
    let_go = [core.step(seen_at(at_s, controls=Controls(approved=(1,)))) for at_s in (10.0, 19.9, 20.0)]
    assert [[v.rule for v in each.vetoes] for each in let_go] == [["back_off"], ["back_off"], []]
    assert [[each.number for each in decision.orders] for decision in let_go] == [[], [], [1]]


def test_another_wish_for_the_deployment_does_not_wait_with_the_one_that_failed() -> None:
    """A restart that fails keeps nobody from scaling, nor another replica from being replaced."""
    sick, other = Restart(deployment="app/model", replica="r1"), Restart(deployment="app/model", replica="r2")
    well = (replica(f"r{n}") for n in range(3, 7))
    here = deployment(replicas=(replica("r1", healthy=False), replica("r2", healthy=False), *well))
    core = core_of(Wants(sick, replace(UP, replicas=7)))
    assert len(refused(core, 20.0, here)) == 2
    more = core.step(seen_at(20.0, here))
    assert ([each.action for each in more.orders], [v.rule for v in more.vetoes]) == (
        [replace(UP, replicas=7)],
        ["back_off"],
    )
    core = core_of(Wants(sick, other))
    refused(core, 20.0, here)
    assert [each.action for each in core.step(seen_at(20.0, here)).orders] == [other]


# -- over lives, by the journal


SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "journal": {"warm_start_s": 0},
        "policies": [{"use": "target_utilization", "target": 0.5, "up_window_s": 0}],
    }
)


def lived(journal: MemoryJournal, *moments: float) -> list[Decision]:
    """One life that looks at `moments` and is refused everything, written down."""
    core = build_core(SETTINGS, begin(journal, SETTINGS, moments[0] - 0.5))
    decisions = []
    for at_s in moments:
        seen = seen_at(at_s, deployment(traffic=traffic(at_s, ongoing=4.0), max_ongoing_requests=1))
        decisions.append(core.step(seen))
        journal.append(lines_of(decisions[-1], seen))
        for each in decisions[-1].orders:
            core.refused(each.number, "not today")
            journal.append([(Kind.REFUSED, at_s, {"number": each.number, "reason": "not today"})])
    return decisions


def test_failures_are_remembered_over_restarts_and_the_record_replays() -> None:
    """A crash loop is no way around it."""
    journal = MemoryJournal()
    first = lived(journal, 0.5, 10.0, 20.0, 30.0, 40.0)
    second = lived(journal, 50.0, 59.9, 60.0)
    assert [len(each.orders) for each in first + second] == [1, 1, 0, 1, 0, 0, 0, 1]
    assert [v.rule for v in second[0].vetoes] == ["back_off"]
    told = begin(journal, SETTINGS, 61.0)
    assert told.failures == (("scale", ("deployment", "app/model"), "2", 3, 40.0, "refused: not today"),)
    assert begin(journal, SETTINGS, 61.0 + FORGOTTEN_AFTER_S).failures == ()
    assert replay(journal.kept).identical
