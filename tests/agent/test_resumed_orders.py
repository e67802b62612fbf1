"""Orders that an earlier life left open: what becomes of them in the next one, and in the ones after that."""

from dataclasses import replace
from typing import Any

import pytest

from agent.assembly import build_core
from agent.back_off import BackOff, Failures
from agent.calendar import FreezeCalendar
from agent.core import Core, Decision, Rules
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.journal.replay import replay
from agent.loop import Agent, lines_of
from agent.order import Autonomy, Order, Status
from agent.settings import AutonomySettings, BudgetSettings, GuardSettings, Settings
from agent.testing import RecordingActuator, RecordingNotifier, ScriptedWorld
from agent.versions import Versions
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
    target,
)
from policies.observation import Capacity, Controls, JobState, Observation, ReplicaState, Resources, TrainingJob
from policies.testing import comparison, deployment, model, observation, replica, rollout, traffic, version

ROOMY = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
ACT = AutonomySettings(default=Autonomy.ACT)
FROZEN = Controls(frozen=True)
SCALE = Scale(deployment="app/model", replicas=3)
CANARY = SetTraffic(model="m", version="2", share=0.1)
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")


class Wants:
    def __init__(self, *actions: Action) -> None:
        self.actions = list(actions)

    def propose(self, seen: Observation) -> list[Proposal]:
        return [Proposal(action=action, because=(Evidence(name="test"),)) for action in self.actions]


def order(action: Action, number: int = 1, *, at_s: float = 0.0, allowed_s: float = 120.0) -> Order:
    return Order(
        number=number,
        epoch=1,
        key=f"key-{number}",
        action=action,
        because=(),
        policy="earlier",
        issued_at_s=at_s,
        deadline_s=at_s + allowed_s,
    )


def life(*orders: Order, wants: Any = (), versions: Versions | None = None, **rules: Any) -> Core:
    """The second life, which begins with `orders` open."""
    policy = Wants(*wants)
    rules = {"autonomy": ACT} | rules
    calendar = FreezeCalendar()
    return Core(
        [("policy", policy)],
        Rules(**rules),
        calendar,
        epoch=2,
        next_number=9,
        open_orders=orders,
        versions=versions,
    )


def seen_at(at_s: float, *things: Any, **fields: Any) -> Observation:
    return observation(at_s, *(things or (deployment(),)), **({"capacity": ROOMY} | fields))


def again(each: Order) -> Order:
    """As the second life sends it."""
    return replace(each, epoch=2)


def ends(decision: Decision) -> list[tuple[int, Status, str]]:
    return [(each.number, each.status, each.detail) for each in decision.outcomes]


def canary(**fields: Any) -> Any:
    """A model whose version 2 runs beside the champion, well compared."""
    running = rollout("2", **({"comparison": comparison(rows=900)} | fields))
    return model(candidates=(version("2"),), rollout=running)


def test_a_resumed_order_waits_for_the_end_of_a_freeze() -> None:
    """It stays open, is told as kept back, and goes out once when people allow changes again."""
    first = order(SCALE)
    core = life(first)
    frozen = core.step(seen_at(1.0, controls=FROZEN))
    assert (frozen.orders, frozen.outcomes, [v.rule for v in frozen.vetoes]) == ((), (), ["freeze"])
    assert core.open_orders == (again(first),)
    assert core.step(seen_at(2.0)).orders == (again(first),)
    assert core.step(seen_at(3.0)).orders == ()


def test_a_resumed_order_that_is_frozen_beyond_its_deadline_expires() -> None:
    """The time that it may take is not the freeze's to give."""
    core = life(order(SCALE))
    core.step(seen_at(1.0, controls=FROZEN))
    late = core.step(seen_at(120.0, controls=FROZEN))
    assert ends(late) == [(1, Status.EXPIRED, "not seen to be done 120 s after it was issued")]
    assert core.step(seen_at(121.0)).orders == ()


def test_a_frozen_order_that_the_world_has_done_all_the_same_succeeds() -> None:
    """It may have been sent before the crash; the world is what counts."""
    core = life(order(SCALE))
    core.step(seen_at(1.0, controls=FROZEN))
    done = core.step(seen_at(2.0, deployment(replicas=3), controls=FROZEN))
    assert ends(done) == [(1, Status.SUCCEEDED, "3 replicas run")]


def test_a_promotion_with_other_files_than_were_first_seen_is_not_sent_again() -> None:
    """It is given up with the reason, and never resumed."""
    core = life(
        order(Promote(model="m", version="2", digest="foreign")), versions=Versions(digests={("m", "2"): "sha-2"})
    )
    decision = core.step(seen_at(1.0, canary()))
    told = "not sent again: the files of version 2 are not those that were first seen"
    assert (decision.orders, ends(decision)) == ((), [(1, Status.SUPERSEDED, told)])
    later = core.step(seen_at(400.0, canary()))
    assert (core.open_orders, later.orders, later.outcomes) == ((), (), ())


def test_a_promotion_whose_files_were_exchanged_while_no_agent_looked_is_not_sent_again() -> None:
    """The order names the files of then; the registry has others now."""
    first = order(Promote(model="m", version="2", digest="sha-2"))
    core = life(first, versions=Versions(digests={("m", "2"): "sha-2"}))
    exchanged = replace(canary(), candidates=(version("2", digest="other"),))
    decision = core.step(seen_at(1.0, exchanged))
    assert (decision.orders, [end[:2] for end in ends(decision)]) == ((), [(1, Status.SUPERSEDED)])


def test_a_promotion_is_not_sent_again_beside_its_own_rollback() -> None:
    """What takes its place is decided before anything is sent: one order, and an outcome for the other."""
    first = order(Promote(model="m", version="2", digest="sha-2"))
    core = life(first, wants=[BACK])
    decision = core.step(seen_at(1.0, canary()))
    assert [each.action for each in decision.orders] == [BACK]
    assert ends(decision) == [(1, Status.SUPERSEDED, "another order took its place")]
    assert core.step(seen_at(2.0, canary())).orders == ()


def test_a_promotion_is_sent_again_where_nothing_speaks_against_it() -> None:
    """The control of the three above: steps of a rollout are sent again, since what is left undone of them can not be seen."""
    first = order(Promote(model="m", version="2", digest="sha-2"))
    assert life(first).step(seen_at(1.0, canary())).orders == (again(first),)


def test_a_resumed_order_that_does_not_fit_any_more_is_given_up() -> None:
    """Somebody else has taken the capacity meanwhile. It goes whole or not at all, and the policy is heard anew."""
    core = life(order(Scale(deployment="a/a", replicas=6)), budget=BudgetSettings(replicas=8))
    decision = core.step(seen_at(1.0, deployment("a/a", replicas=2), deployment("b/b", replicas=5)))
    told = "not sent again: not enough replicas left"
    assert (decision.orders, ends(decision)) == ((), [(1, Status.SUPERSEDED, told)])


def test_what_a_resumed_order_will_take_is_not_spent_on_others() -> None:
    """Sent or waiting for the end of a freeze, it is charged."""
    here = (deployment("a/a", replicas=2), deployment("b/b", replicas=1))
    more = Scale(deployment="b/b", replicas=4)
    core = life(order(Scale(deployment="a/a", replicas=6)), wants=[more], budget=BudgetSettings(replicas=8))
    decision = core.step(seen_at(1.0, *here))
    assert [each.action for each in decision.orders] == [
        Scale(deployment="a/a", replicas=6),
        Scale(deployment="b/b", replicas=2),
    ]


@pytest.mark.parametrize(("scalable", "left"), [(True, 5), (False, 9)], ids=["it waits", "it is given up"])
def test_what_a_resumed_order_that_waits_will_take_is_not_spent_on_others(scalable: bool, left: int) -> None:
    """It failed just now and is tried again later; what is given up takes nothing."""
    first = order(Scale(deployment="a/a", replicas=6))
    failed = BackOff({("scale", ("deployment", "a/a"), "2"): Failures(times=3, last_s=0.0, reason="refused: no")})
    core = Core(
        [("policy", Wants(Scale(deployment="b/b", replicas=9)))],
        Rules(autonomy=ACT, budget=BudgetSettings(replicas=11)),
        FreezeCalendar(),
        epoch=2,
        next_number=9,
        open_orders=[first],
        back_off=failed,
    )
    decision = core.step(seen_at(1.0, deployment("a/a", scalable=scalable), deployment("b/b")))
    assert [each.action for each in decision.orders] == [Scale(deployment="b/b", replicas=left)]
    assert [each.number for each in core.open_orders] == ([1, 9] if scalable else [9])


def test_a_resumed_order_whose_minute_is_full_waits_and_is_charged() -> None:
    """The others of the minute are counted, not itself."""
    full = [order(Scale(deployment="c/c", replicas=3), number=n, at_s=50.0) for n in (7,)]
    first = order(Scale(deployment="a/a", replicas=6), at_s=55.0)
    core = Core(
        [("policy", Wants(Scale(deployment="b/b", replicas=4)))],
        Rules(autonomy=ACT, budget=BudgetSettings(replicas=8, orders_per_minute=1)),
        FreezeCalendar(),
        epoch=2,
        next_number=9,
        open_orders=[first],
        remembered=full,
    )
    here = (deployment("a/a", replicas=2), deployment("b/b", replicas=1))
    decision = core.step(seen_at(60.0, *here))
    assert (decision.orders, decision.outcomes) == ((), ())
    assert [(v.rule, v.proposal.action) for v in decision.vetoes] == [
        ("orders_per_minute", first.action),
        ("orders_per_minute", Scale(deployment="b/b", replicas=4)),
    ]
    assert core.step(seen_at(110.0, *here)).orders == (again(first),)


def test_resumed_orders_do_not_stand_in_their_own_way() -> None:
    """Cool-down, orders of the minute and retrainings of the day have counted them when they were decided."""
    retrain, scale = order(Retrain(model="m"), 1, allowed_s=7200.0), order(SCALE, 2)
    core = life(
        retrain,
        scale,
        budget=BudgetSettings(orders_per_minute=2, retrainings_per_day=1),
        guards=GuardSettings(cool_down_s={"scale": 600.0, "retrain": 600.0}),
    )
    assert core.step(seen_at(1.0, deployment(), model())).orders == (again(retrain), again(scale))


@pytest.mark.parametrize(
    ("action", "thing"),
    [
        (SCALE, deployment(replicas=(replica("r1"), replica("r2")), replicas_wanted=3)),
        (
            Restart(deployment="app/model", replica="r1"),
            deployment(replicas=(replica("r1", state=ReplicaState.STOPPING), replica("r2"))),
        ),
        (Restart(deployment="app/model", replica="r1"), deployment(replicas=(replica("r2"),), replicas_wanted=2)),
        (Retrain(model="m"), model(training=TrainingJob(id="key-1", state=JobState.RUNNING, started_at_s=0.0))),
        (CANARY, canary(share=0.1, shadow=0.0, ready=False)),
    ],
    ids=["wanted already", "stops already", "gone already", "trains already", "answers already"],
)
def test_an_order_that_the_world_shows_under_way_is_not_sent_again(action: Action, thing: Any) -> None:
    """A world that did double what it is told twice would show no harm."""
    core = life(order(action))
    decision = core.step(seen_at(1.0, thing))
    assert (decision.orders, decision.outcomes, decision.vetoes) == ((), (), ())
    assert core.open_orders == (again(order(action)),)


@pytest.mark.parametrize(
    ("action", "thing"),
    [
        (SCALE, deployment()),
        (Restart(deployment="app/model", replica="r1"), deployment(replicas=(replica("r1"), replica("r2")))),
        (Retrain(model="m"), model(training=TrainingJob(id="other", state=JobState.FAILED, started_at_s=-50.0))),
        (CANARY, canary(share=0.0)),
        (StartRollout(model="m", version="2", digest="sha-2"), canary(ready=False)),
    ],
    ids=["wanted by nobody yet", "still runs", "another has trained", "answers nothing yet", "half begun"],
)
def test_an_order_that_the_world_does_not_show_is_sent_again(action: Action, thing: Any) -> None:
    """The control: nobody knows whether it was told."""
    first = order(action)
    assert life(first).step(seen_at(1.0, thing)).orders == (again(first),)


def test_a_retraining_is_not_sent_again_where_another_runs() -> None:
    """The world would refuse it, and a refusal a tick is no plan."""
    job = TrainingJob(id="other", state=JobState.RUNNING, started_at_s=-50.0)
    decision = life(order(Retrain(model="m"))).step(seen_at(1.0, model(training=job)))
    assert (decision.orders, ends(decision)) == ((), [(1, Status.SUPERSEDED, "not sent again: training other runs")])


def test_a_resumed_order_waits_for_a_deployment_that_can_not_be_seen_yet() -> None:
    """Right after a restart of everything not all can be read: unknown ends nothing."""
    first = order(SCALE)
    core = life(first)
    blind = core.step(seen_at(1.0, deployment("another/one")))
    assert (blind.orders, blind.outcomes, [v.rule for v in blind.vetoes]) == ((), (), ["unknown_target"])
    assert core.step(seen_at(2.0)).orders == (again(first),)


def test_what_the_settings_forbid_by_now_is_not_sent_again() -> None:
    """Somebody who takes the agent's autonomy away and starts it anew means that."""
    decision = life(order(SCALE), autonomy=AutonomySettings()).step(seen_at(1.0))
    assert (decision.orders, ends(decision)) == (
        (),
        [(1, Status.SUPERSEDED, "not sent again: the settings say suggest")],
    )


def test_the_kill_switch_ends_what_is_still_to_be_resumed() -> None:
    """Nothing comes up again when it is lifted."""
    core = life(order(SCALE))
    killed = core.step(seen_at(1.0, controls=Controls(killed=True)))
    assert (killed.orders, ends(killed)) == ((), [(1, Status.SUPERSEDED, "the kill switch is on")])
    lifted = core.step(seen_at(2.0))
    assert (lifted.orders, core.open_orders) == ((), ())


def test_a_resumed_rollback_of_an_open_canary_does_not_wait_for_the_end_of_a_freeze() -> None:
    """A freeze keeps from changes, not from taking back what is open."""
    first = order(BACK)
    decision = life(first).step(seen_at(1.0, canary(share=0.5), controls=FROZEN))
    assert decision.orders == (again(first),)


# -- over lives, by the journal


SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "journal": {"warm_start_s": 0},
        "models": {"m": {"training": {"recipes": ["logistic"]}}},
        "policies": [{"use": "target_utilization", "target": 0.5, "up_window_s": 0}],
    }
)


def busy(at_s: float, **fields: Any) -> Observation:
    """Two replicas where about eight are needed."""
    loaded = deployment(traffic=traffic(at_s, ongoing=4.0), max_ongoing_requests=1)
    return seen_at(at_s, loaded, **fields)


def lived(journal: MemoryJournal, *seen: Observation) -> list[Decision]:
    """One life over `seen`, written down."""
    core = build_core(SETTINGS, begin(journal, SETTINGS, seen[0].at_s - 0.5))
    decisions = []
    for each in seen:
        decisions.append(core.step(each))
        journal.append(lines_of(decisions[-1], each))
    return decisions


def intents_after_their_outcome(journal: MemoryJournal) -> list[int]:
    ended: set[int] = set()
    late = []
    for entry in journal.kept:
        if entry.kind == Kind.OUTCOME:
            ended.add(entry.payload["number"])
        elif entry.kind == Kind.INTENT and entry.payload["number"] in ended:
            late.append(entry.payload["number"])
    return late


def test_an_order_kept_back_by_a_freeze_is_the_same_in_every_later_life() -> None:
    """Three lives, the middle one frozen: one order, sent in the first and the last; the record replays."""
    journal = MemoryJournal()
    lived(journal, busy(1.0))
    frozen = lived(journal, busy(2.0, controls=FROZEN), busy(3.0, controls=FROZEN))
    last = lived(journal, busy(4.0), busy(5.0))
    assert [d.orders for d in frozen] == [(), ()]
    assert [(o.number, o.epoch) for o in last[0].orders] == [(1, 3)]
    assert [(p["number"], p["epoch"]) for p in journal.of_kind(Kind.INTENT)] == [(1, 1), (1, 3)]
    assert replay(journal.kept).identical


def test_a_superseded_order_is_resumed_in_no_later_life() -> None:
    """No intent after its outcome, whoever wrote the journal: what has ended has ended."""
    journal = MemoryJournal()
    lived(journal, busy(1.0))
    intent = next(entry.payload for entry in journal.kept if entry.kind == Kind.INTENT)
    gone = {"number": 1, "status": "superseded", "at_s": 2.0, "detail": "another order took its place"}
    journal.append([(Kind.OUTCOME, 2.0, gone), (Kind.INTENT, 2.0, {**intent, "epoch": 2})])
    assert begin(journal, SETTINGS, 3.0).open_orders == ()


def test_a_rollback_that_takes_the_place_of_a_resumed_step_leaves_one_order_in_flight() -> None:
    """By the journal: the step has its outcome, no intent comes after it, and the next life resumes the rollback alone."""
    journal = MemoryJournal()
    core = build_core(SETTINGS, begin(journal, SETTINGS, 0.0))
    core._policies = (("wants", Wants(CANARY)),)
    journal.append(lines_of(core.step(seen_at(1.0, canary())), seen_at(1.0, canary())))
    second = build_core(SETTINGS, begin(journal, SETTINGS, 2.0))
    second._policies = (("wants", Wants(BACK)),)
    journal.append(lines_of(second.step(seen_at(3.0, canary())), seen_at(3.0, canary())))
    assert intents_after_their_outcome(journal) == []
    third = begin(journal, SETTINGS, 4.0)
    assert [(o.number, o.action) for o in third.open_orders] == [(2, BACK)]


class DoublesWhatItIsToldTwice(RecordingActuator):
    """It keeps no keys: each start has its effect."""


def test_a_life_that_dies_between_intent_and_effect_is_made_up_for_once() -> None:
    """The next one sends the order, and no later one does: the world shows it."""
    world, journal, told = ScriptedWorld.with_deployment("app/model", 2), MemoryJournal(), DoublesWhatItIsToldTwice()
    lived(journal, busy(1.0))  # written down, and killed before it was sent
    for at_s in (2.0, 4.0):
        core = build_core(SETTINGS, begin(journal, SETTINGS, at_s))
        agent = Agent(core, sensor=world, actuator=told, trainer=told, notifier=RecordingNotifier(), journal=journal)
        agent.tick(at_s)
        for each in told.orders[-1:]:
            world.start(each)
        agent.tick(at_s + 1.0)
    assert [(each.number, each.epoch) for each in told.orders] == [(1, 2)]
    assert {target(each.action) for each in told.orders} == {("deployment", "app/model")}
