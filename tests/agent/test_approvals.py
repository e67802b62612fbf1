"""Orders that wait for a person: how long the wish for one lasts, and what its approval still has to pass."""

from dataclasses import replace
from typing import Any

import pytest

from agent.approvals import decide_every_s, pauses_s
from agent.arbiter import Veto
from agent.assembly import build_core
from agent.calendar import FreezeCalendar
from agent.codec import to_json
from agent.core import Core, Decision, Rules
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.journal.replay import replay
from agent.loop import lines_of
from agent.order import Autonomy, Order, Status
from agent.settings import AutonomySettings, BudgetSettings, Settings
from policies.action import (
    Action,
    Evidence,
    Hold,
    Proposal,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StopTraining,
)
from policies.idle import Idle
from policies.observation import Capacity, Controls, JobState, Observation, Resources, TrainingJob
from policies.scaling.faro import FaroSum
from policies.testing import deployment, model, observation, rollout, traffic, version
from policies.wrappers import FirstOf, Scoped

ROOMY = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
ASKS = AutonomySettings(default=Autonomy.APPROVE, approval_expires_s=1000.0)
UP = Scale(deployment="app/model", replicas=4)
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")
EXPIRED = "nobody approved it in time"


class Wants:
    decide_every_s = 0.0

    def __init__(self, *actions: Action) -> None:
        self.actions: list[Action] = list(actions)
        self.raises = False

    def propose(self, seen: Observation) -> list[Proposal]:
        if self.raises:
            raise RuntimeError("a policy's bad day")
        return [Proposal(action=action, because=(Evidence(name="test"),)) for action in self.actions]


def core_of(*policies: Any, autonomy: AutonomySettings = ASKS, **rules: Any) -> Core:
    return Core(
        [(f"policy-{n}", p) for n, p in enumerate(policies)], Rules(autonomy=autonomy, **rules), FreezeCalendar()
    )


def seen_at(at_s: float, *things: Any, approved: tuple[int, ...] = (), **fields: Any) -> Observation:
    controls = Controls(approved=approved)
    return observation(at_s, *(things or (deployment(),)), **({"capacity": ROOMY, "controls": controls} | fields))


def told(decision: Decision) -> tuple[list[tuple[int, Action]], list[tuple[int, Status, str]], list[int]]:
    """Orders, ends, and what waits."""
    return (
        [(each.number, each.action) for each in decision.orders],
        [(each.number, each.status, each.detail) for each in decision.outcomes],
        [each.number for each in decision.awaiting],
    )


# -- the guards, and the ledger, are asked again


def test_an_approval_that_a_freeze_overtakes_waits_for_its_end() -> None:
    """What a person let go goes out when people allow changes again, not before."""
    core = core_of(Wants(UP))
    core.step(seen_at(0.0))
    frozen = core.step(seen_at(5.0, controls=Controls(approved=(1,), frozen=True)))
    assert told(frozen) == ([], [], [1])
    assert [v.rule for v in frozen.vetoes] == ["freeze"]
    assert told(core.step(seen_at(10.0, approved=(1,)))) == ([(1, UP)], [], [])


def test_an_approval_that_a_guard_objects_to_for_good_ends() -> None:
    """Somebody has made the deployment unscalable meanwhile; the outcome says so."""
    core = core_of(Wants(UP))
    core.step(seen_at(0.0))
    late = core.step(seen_at(5.0, deployment(scalable=False), approved=(1,)))
    reason = "approved too late: its application lacks external_scaler_enabled: true"
    assert told(late) == ([], [(1, Status.SUPERSEDED, reason)], [])


def test_two_approvals_never_pass_the_budget() -> None:
    """Each fits alone, as it did when it was asked for; together they would make 12 of 8."""
    a, b = Scale(deployment="a/a", replicas=6), Scale(deployment="b/b", replicas=6)
    here = (deployment("a/a"), deployment("b/b"))
    first, second = Wants(a), Wants()
    core = core_of(first, second, budget=BudgetSettings(replicas=8))
    core.step(seen_at(0.0, *here))
    first.actions, second.actions = [Hold(subject="a/a")], [b]
    assert told(core.step(seen_at(5.0, *here))) == ([], [], [1, 2])
    both = core.step(seen_at(10.0, *here, approved=(1, 2)))
    reason = "approved too late: not enough replicas left"
    assert told(both) == ([(1, a)], [(2, Status.SUPERSEDED, reason)], [])


def test_an_approved_order_is_charged_before_anything_that_is_proposed() -> None:
    """A policy that acts by itself gets what the person's word leaves."""
    a, b = Scale(deployment="a/a", replicas=6), Restartless(Scale(deployment="b/b", replicas=6))
    here = (deployment("a/a"), deployment("b/b"))
    asks = Wants(a)
    core = core_of(asks, b, budget=BudgetSettings(replicas=9), autonomy=ASKS)
    core.step(seen_at(0.0, *here))
    decision = core.step(seen_at(5.0, *here, approved=(1,)))
    assert [(each.action, each.number) for each in decision.orders] == [(a, 1)]
    assert [each.action for each in decision.awaiting] == [Scale(deployment="b/b", replicas=3)]


def test_of_several_approvals_as_many_are_sent_as_a_minute_allows() -> None:
    """The others wait for the next, and are told as kept back with the count."""
    wanted = [Scale(deployment=name, replicas=3) for name in ("a/a", "b/b", "c/c")]
    here = [deployment(each.deployment) for each in wanted]
    core = Core(
        [("p", Wants(*wanted))],
        Rules(autonomy=ASKS, budget=BudgetSettings(orders_per_minute=2)),
        FreezeCalendar(),
        next_number=4,
        awaiting=[
            Order(number=n, epoch=1, key=str(n), action=each, because=(), policy="p", issued_at_s=0.0, deadline_s=60.0)
            for n, each in enumerate(wanted, 1)
        ],
    )
    first = core.step(seen_at(5.0, *here, approved=(1, 2, 3)))
    assert told(first) == ([(1, wanted[0]), (2, wanted[1])], [], [3])
    reason = "as many orders as allowed in the last minute"
    third = Proposal(action=wanted[2], because=(), policy="p")
    assert first.vetoes == (Veto(proposal=third, rule="orders_per_minute", reason=reason, value=2, threshold=2),)
    assert told(core.step(seen_at(64.9, *here, approved=(1, 2, 3))))[0] == []
    assert told(core.step(seen_at(65.0, *here, approved=(1, 2, 3))))[0] == [(3, wanted[2])]


class Restartless(Wants):
    """Wants from its second look on."""

    def __init__(self, *actions: Action) -> None:
        super().__init__(*actions)
        self._looks = 0

    def propose(self, seen: Observation) -> list[Proposal]:
        self._looks += 1
        return super().propose(seen) if self._looks > 1 else []


def test_an_approved_scale_down_gives_when_the_world_shows_it() -> None:
    """Its capacity is spent one observation later, by whoever needs it."""
    down, up = Scale(deployment="a/a", replicas=2), Scale(deployment="b/b", replicas=4)
    core = core_of(Wants(down, up), budget=BudgetSettings(replicas=6), autonomy=ASKS)
    here = (deployment("a/a", replicas=4), deployment("b/b"))
    assert told(core.step(seen_at(0.0, *here))) == ([], [], [1])
    assert told(core.step(seen_at(5.0, *here, approved=(1,)))) == ([(1, down)], [], [])
    assert told(core.step(seen_at(10.0, deployment("a/a"), deployment("b/b")))) == (
        [],
        [(1, Status.SUCCEEDED, "2 replicas run")],
        [2],
    )


def test_an_approval_does_not_overwrite_an_order_in_flight() -> None:
    """It waits until that has ended."""
    running = Order(
        number=5, epoch=1, key="5", action=Scale(deployment="app/model", replicas=3), because=(), policy="p",
        issued_at_s=0.0, deadline_s=60.0,
    )  # fmt: skip
    waiting = replace(running, number=6, key="6", action=Scale(deployment="app/model", replicas=1))
    policy = Wants(waiting.action)
    core = Core(
        [("p", policy)],
        Rules(autonomy=ASKS),
        FreezeCalendar(),
        next_number=7,
        open_orders=[running],
        awaiting=[waiting],
    )
    here = deployment(replicas=2)
    assert told(core.step(seen_at(1.0, here, approved=(6,)))) == ([(5, running.action)], [], [6])
    assert told(core.step(seen_at(2.0, here, approved=(6,)))) == ([], [], [6])
    assert [order.number for order in core.open_orders] == [5]
    ended = core.step(seen_at(60.0, here, approved=(6,)))
    assert told(ended) == (
        [(6, waiting.action)],
        [(5, Status.EXPIRED, "not seen to be done 60 s after it was issued")],
        [],
    )


def test_an_approved_scale_up_that_fits_replaces_a_smaller_one_in_flight() -> None:
    """Eight are allowed and eight are wanted: the three that the smaller order brings are not counted twice."""
    to_eight = Scale(deployment="app/model", replicas=8)
    running = Order(
        number=5, epoch=1, key="5", action=Scale(deployment="app/model", replicas=5), because=(), policy="p",
        issued_at_s=0.0, deadline_s=60.0,
    )  # fmt: skip
    core = Core(
        [("p", Wants(to_eight))],
        Rules(autonomy=ASKS, budget=BudgetSettings(replicas=8)),
        FreezeCalendar(),
        next_number=6,
        open_orders=[running],
    )
    assert told(core.step(seen_at(1.0))) == ([(5, running.action)], [], [6])
    replaced = [(5, Status.SUPERSEDED, "another order took its place")]
    assert told(core.step(seen_at(2.0, approved=(6,)))) == ([(6, to_eight)], replaced, [])


def test_an_approved_rollback_replaces_the_step_that_is_in_flight() -> None:
    """Safety does not wait for the end of what it takes back."""
    step = SetTraffic(model="m", version="2", share=0.5)
    running = Order(
        number=5, epoch=1, key="5", action=step, because=(), policy="p", issued_at_s=0.0, deadline_s=60.0
    )  # fmt: skip
    canary = model(candidates=(version("2"),), rollout=rollout("2", share=0.1))
    core = Core([("p", Wants(BACK))], Rules(autonomy=ASKS), FreezeCalendar(), next_number=7, open_orders=[running])
    assert told(core.step(seen_at(1.0, canary))) == ([], [], [7])  # nor is the step sent again beside the wish
    let_go = core.step(seen_at(2.0, canary, approved=(7,)))
    assert told(let_go) == ([(7, BACK)], [(5, Status.SUPERSEDED, "another order took its place")], [])
    assert [order.number for order in core.open_orders] == [7]


@pytest.mark.parametrize("blip", ["raises", "holds"])
def test_nothing_goes_forward_while_a_rollback_waits(blip: str) -> None:
    """The policy that asked for it can not speak for a moment, and another one wants the next step: the bad challenger gets no more."""
    judge, mover = Wants(BACK), Wants()
    core = core_of(judge, mover, autonomy=AutonomySettings(default=Autonomy.ACT, roll_back=Autonomy.APPROVE))
    canary = model(candidates=(version("2"),), rollout=rollout("2", share=0.1))
    assert told(core.step(seen_at(0.0, canary))) == ([], [], [1])
    judge.raises = blip == "raises"
    judge.actions = [Hold(subject="m")]
    mover.actions = [SetTraffic(model="m", version="2", share=1.0)]
    assert told(core.step(seen_at(10.0, canary))) == ([], [], [1])
    judge.raises, judge.actions = False, [BACK]
    assert told(core.step(seen_at(20.0, canary, approved=(1,))))[0] == [(1, BACK)]


def test_the_kill_switch_ends_what_waits() -> None:
    """Lifted, nothing waits any more, whoever approves it then."""
    core = core_of(Wants(UP))
    core.step(seen_at(0.0))
    killed = core.step(seen_at(5.0, controls=Controls(killed=True)))
    assert told(killed) == ([], [(1, Status.SUPERSEDED, "the kill switch is on")], [])
    assert told(core.step(seen_at(10.0, approved=(1,)))) == ([], [], [2])


# -- the wish


def test_an_order_that_nobody_wants_any_more_is_withdrawn() -> None:
    """After a minute without the wish, with the reason; nothing is left to approve."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    core.step(seen_at(10.0))
    wants.actions = []
    assert told(core.step(seen_at(69.9))) == ([], [], [1])
    assert told(core.step(seen_at(70.0))) == ([], [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")], [])
    assert told(core.step(seen_at(75.0, approved=(1,)))) == ([], [], [])


def test_a_wish_that_flickers_keeps_its_number_and_its_approval() -> None:
    """The person's word counts when the wish is back; while it is gone nothing is sent."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions = []
    assert told(core.step(seen_at(5.0, approved=(1,)))) == ([], [], [1])
    wants.actions = [UP]
    assert told(core.step(seen_at(10.0, approved=(1,)))) == ([(1, UP)], [], [])


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ([Hold(subject="app/model")], {}),
        ([Hold(subject="everything")], {}),
        (None, {}),
        ([3], {}),
        ([], {"problems": ("metrics: no answer",)}),
    ],
    ids=["holds", "holds altogether", "raises", "proposes nonsense", "something can not be read"],
)
def test_not_to_know_is_not_to_withdraw(said: list[Any] | None, fields: dict[str, Any]) -> None:
    """It waits on, may be let go, and expires as any other."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions, wants.raises = said or [], said is None
    assert told(core.step(seen_at(500.0, **fields)))[1:] == ([], [1])
    assert told(core.step(seen_at(505.0, approved=(1,), **fields)))[0] == [(1, UP)]


def test_what_can_not_be_seen_is_not_withdrawn() -> None:
    """A deployment that is missing for a while may be back."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions = []
    assert told(core.step(seen_at(500.0, deployment("another/one")))) == ([], [], [1])
    assert told(core.step(seen_at(1000.0, deployment("another/one")))) == ([], [(1, Status.DENIED, EXPIRED)], [])


@pytest.mark.parametrize(("replicas", "vetoes"), [(4, 1), (5, 2)], ids=["the same", "more"])
def test_a_wish_for_what_can_not_be_seen_is_one_all_the_same(replicas: int, vetoes: int) -> None:
    """Nobody knows how many there are, so it waits, may be let go, and is sent when the deployment is back."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions = [replace(UP, replicas=replicas)]
    gone = core.step(seen_at(500.0, deployment("another/one"), approved=(1,)))
    assert (told(gone), [veto.rule for veto in gone.vetoes]) == (([], [], [1]), ["unknown_target"] * vetoes)
    assert told(core.step(seen_at(505.0, approved=(1,))))[:2] == ([(1, UP)], [])


def test_to_hold_one_thing_keeps_no_wish_for_another() -> None:
    """The policy holds another deployment; this one is well again."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions = [Hold(subject="b/b")]
    gone = core.step(seen_at(60.0, deployment(), deployment("b/b")))
    assert told(gone) == ([], [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")], [])


@pytest.mark.parametrize(
    ("asked", "wanted", "keeps"),
    [
        (Scale(deployment="app/model", replicas=4), Scale(deployment="app/model", replicas=7), True),
        (Scale(deployment="app/model", replicas=4), Scale(deployment="app/model", replicas=3), False),
        (Scale(deployment="app/model", replicas=4), Scale(deployment="app/model", replicas=1), False),
        (Scale(deployment="app/model", replicas=1), Scale(deployment="app/model", replicas=0), True),
        (Retrain(model="m", since_s=1.0), Retrain(model="m", since_s=9.0), True),
        (Quarantine(model="m", since_s=1.0, until_s=5.0), Quarantine(model="m", since_s=1.0, until_s=9.0), True),
        (Quarantine(model="m", since_s=1.0, until_s=5.0), Quarantine(model="m", since_s=0.0, until_s=5.0), True),
        (Quarantine(model="m", since_s=1.0, until_s=5.0), Quarantine(model="m", since_s=2.0, until_s=9.0), False),
        (Quarantine(model="m", since_s=1.0, until_s=5.0), Quarantine(model="m", since_s=0.0, until_s=4.0), False),
    ],
    ids=["more", "less", "the other way", "fewer", "training", "more rows", "earlier rows", "other rows", "fewer rows"],
)
def test_an_order_waits_on_while_it_is_a_part_of_what_is_wanted(asked: Action, wanted: Action, keeps: bool) -> None:
    """A person who looks for a minute finds the number that was told; what is more than wanted gives way to a new one."""
    wants = Wants(asked)
    core = core_of(wants)
    here = (deployment(min_replicas=0), model())
    core.step(seen_at(0.0, *here))
    wants.actions = [wanted]
    decision = core.step(seen_at(5.0, *here))
    replaced = [(1, Status.SUPERSEDED, "another order took its place")]
    assert told(decision) == (([], [], [1]) if keeps else ([], replaced, [2]))
    if keeps:
        assert told(core.step(seen_at(10.0, *here, approved=(1,))))[0] == [(1, asked)]


def test_a_wish_that_was_met_by_somebody_else_is_gone() -> None:
    """Four replicas were asked for, and a person has set them: there is nothing left to approve."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    there = deployment(replicas=4)
    assert told(core.step(seen_at(5.0, there, approved=(1,)))) == ([], [], [1])
    assert told(core.step(seen_at(60.0, there, approved=(1,))))[1:] == (
        [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")],
        [],
    )


@pytest.mark.parametrize(
    "problem",
    ["deployment b/b: its load is not known", "model m: its registry: no answer", "capacity: no answer", "b/b: away"],
)
def test_what_can_not_be_read_of_another_thing_keeps_no_wish(problem: str) -> None:
    """A deployment whose name was written wrong is a problem for ever, and not with this one."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions = []
    fields = {"problems": (problem,)}
    here = (deployment(), deployment("b/b"), model())
    assert told(core.step(seen_at(5.0, *here, approved=(1,), **fields))) == ([], [], [1])
    gone = [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")]
    assert told(core.step(seen_at(60.0, *here, approved=(1,), **fields))) == ([], gone, [])


@pytest.mark.parametrize(
    "problem", ["deployment app/model: its load is not known", "app/model: away", "Serve: no answer"]
)
def test_what_can_not_be_read_of_its_own_target_keeps_a_wish(problem: str) -> None:
    """The control: nobody knows, and that takes back nothing."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions = []
    assert told(core.step(seen_at(500.0, problems=(problem,)))) == ([], [], [1])


def test_a_model_is_not_known_while_its_own_parts_are_away_only() -> None:
    """The metrics say nothing about a training; its registry does."""
    wants = Wants(Retrain(model="m"))
    core = core_of(wants)
    core.step(seen_at(0.0, model()))
    wants.actions = []
    assert told(core.step(seen_at(500.0, model(), problems=("model m: its registry: away",)))) == ([], [], [1])
    ended = core.step(seen_at(560.0, model(), problems=("metrics: no answer",)))
    assert told(ended) == ([], [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")], [])


@pytest.mark.parametrize("blip", ["holds it", "holds altogether", "raises"])
def test_what_another_policy_does_not_know_keeps_no_wish(blip: str) -> None:
    """The policy that asked was asked again, and is silent: it wants nothing, whatever another one holds or raises."""
    asks, other = Wants(UP), Wants()
    core = core_of(asks, other)
    core.step(seen_at(0.0))
    asks.actions = []
    other.raises = blip == "raises"
    other.actions = [Hold(subject="app/model" if blip == "holds it" else "everything")]
    assert told(core.step(seen_at(5.0, approved=(1,)))) == ([], [], [1])
    gone = [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")]
    assert told(core.step(seen_at(60.0, approved=(1,)))) == ([], gone, [])


def test_the_pause_of_another_policy_is_not_that_of_the_one_that_asked() -> None:
    """One in the configuration decides every 300 s; the one that asked is heard at every tick, and is silent."""
    asks = Wants(UP)
    core = core_of(asks, Rarely())
    core.step(seen_at(0.0))
    asks.actions = []
    assert told(core.step(seen_at(5.0, approved=(1,)))) == ([], [], [1])
    gone = [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")]
    assert told(core.step(seen_at(60.0, approved=(1,)))) == ([], gone, [])


def test_a_wish_is_of_the_policy_that_was_last_heard_with_it() -> None:
    """Another wants the same where the first has fallen silent: the number stays, and from then on its silence counts."""
    asks, other = Wants(UP), Wants()
    core = core_of(asks, other)
    core.step(seen_at(0.0))
    asks.actions, other.actions = [], [Scale(deployment="app/model", replicas=5)]
    assert told(core.step(seen_at(100.0))) == ([], [], [1])
    other.raises = True
    assert told(core.step(seen_at(200.0))) == ([], [], [1])
    other.raises, other.actions = False, []
    gone = [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")]
    assert told(core.step(seen_at(260.0))) == ([], gone, [])


def test_a_policy_that_can_not_speak_keeps_its_wish_though_another_has_it_too() -> None:
    """It is still its own: the other one's silence afterwards takes back nothing."""
    asks, other = Wants(UP), Wants(UP)
    core = core_of(asks, other)
    core.step(seen_at(0.0))
    asks.raises = True
    core.step(seen_at(10.0))
    other.actions = []
    assert told(core.step(seen_at(200.0))) == ([], [], [1])


class Rarely(Wants):
    """Decides every 300 s."""

    decide_every_s = 300.0

    def propose(self, seen: Observation) -> list[Proposal]:
        return super().propose(seen) if seen.at_s % 300.0 == 0.0 else []


def test_the_silence_of_a_policy_between_two_decisions_says_nothing() -> None:
    """Approved in between it is sent; withdrawn after two decisions without it."""
    rare = Rarely(UP)
    core = core_of(rare)
    core.step(seen_at(0.0))
    assert told(core.step(seen_at(100.0, approved=(1,)))) == ([(1, UP)], [], [])
    rare, core = Rarely(UP), core_of(rare)
    core = core_of(rare)
    core.step(seen_at(0.0))
    rare.actions = []
    assert told(core.step(seen_at(599.0))) == ([], [], [1])
    assert told(core.step(seen_at(600.0)))[1] == [(1, Status.WITHDRAWN, "no policy has wanted it for 600 s")]


@pytest.mark.parametrize(("later_s", "sent"), [(299.9, True), (300.0, False), (301.0, False)])
def test_the_pause_of_a_policy_ends_with_its_next_decision(later_s: float, sent: bool) -> None:
    """Counted from when it was last heard; from the decision on at which it is silent nothing is sent."""
    rare = Rarely(UP)
    core = core_of(rare)
    core.step(seen_at(600.0))
    rare.actions = []
    assert told(core.step(seen_at(600.0 + later_s, approved=(1,))))[0] == ([(1, UP)] if sent else [])


def test_a_policy_that_is_heard_at_every_tick_has_no_pause() -> None:
    """Its first silence keeps what it asked for, however short the tick."""
    wants = Wants(UP)
    core = core_of(wants)
    core.step(seen_at(0.0))
    wants.actions = []
    assert told(core.step(seen_at(0.1, approved=(1,)))) == ([], [], [1])


def test_another_wish_for_the_target_is_no_silence() -> None:
    """Whoever has it: what was asked for is not sent against it, though its own policy may still want it."""
    rare, other = Rarely(UP), Wants()
    core = core_of(rare, other)
    core.step(seen_at(0.0))
    other.actions = [Scale(deployment="app/model", replicas=1)]
    against = core.step(seen_at(100.0, deployment(), approved=(1,)))
    assert told(against) == ([], [(1, Status.SUPERSEDED, "another order took its place")], [2])


def test_a_policy_says_how_often_it_decides_through_its_wrappers() -> None:
    """The longest of all counts."""
    assert decide_every_s([Idle()]) == 0.0
    assert decide_every_s([]) == 0.0
    assert (
        decide_every_s([Idle(), Scoped(policy=FirstOf(policies=(Idle(), FaroSum(slo_latency_s=1.0, budget=8))))])
        == 300.0
    )


def test_only_policies_that_decide_now_and_then_have_a_pause() -> None:
    """By the name in the configuration, which several may share: the longest counts, however short it is."""
    rare, rarer, always = Wants(), Wants(), Wants()
    rare.decide_every_s, rarer.decide_every_s = 0.2, 0.5
    assert pauses_s([("a", rarer), ("a", rare), ("b", always), ("c", Idle())]) == {"a": 0.5}


def test_what_the_arbiter_wants_lasts_while_it_wants_it() -> None:
    """No policy asks for the end of a training; serving that can not grow does."""
    autonomy = AutonomySettings(default=Autonomy.ACT, stop_training=Autonomy.APPROVE)
    core = core_of(Wants(UP), budget=BudgetSettings(replicas=2), autonomy=autonomy)
    trains = model(training=TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0))
    for at_s in range(0, 200, 5):
        assert told(core.step(seen_at(float(at_s), deployment(), trains))) == ([], [], [1])
    let_go = core.step(seen_at(200.0, deployment(), trains, approved=(1,)))
    assert told(let_go) == ([(1, StopTraining(model="m"))], [], [])


def test_what_the_arbiter_wants_lasts_while_a_guard_keeps_it_back() -> None:
    """Changes are frozen for minutes: it still wants the end of the training, and the person finds the number again."""
    autonomy = AutonomySettings(default=Autonomy.ACT, stop_training=Autonomy.APPROVE)
    core = core_of(Wants(UP), budget=BudgetSettings(replicas=2), autonomy=autonomy)
    trains = model(training=TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0))
    core.step(seen_at(0.0, deployment(), trains))
    for at_s in range(5, 200, 5):
        frozen = core.step(seen_at(float(at_s), deployment(), trains, controls=Controls(frozen=True)))
        assert told(frozen) == ([], [], [1])
    let_go = core.step(seen_at(200.0, deployment(), trains, approved=(1,)))
    assert told(let_go) == ([(1, StopTraining(model="m"))], [], [])


def arbiter_asks() -> tuple[Wants, Core, Any]:
    """Order 1, the end of a training for a deployment that can not grow, waits since 0 s."""
    autonomy = AutonomySettings(default=Autonomy.ACT, stop_training=Autonomy.APPROVE)
    wants = Wants(UP)
    core = core_of(wants, budget=BudgetSettings(replicas=2), autonomy=autonomy)
    trains = model(training=TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0))
    assert told(core.step(seen_at(0.0, deployment(), trains))) == ([], [], [1])
    return wants, core, trains


def test_what_the_arbiter_wants_may_be_let_go_at_the_next_look() -> None:
    """It stands from the moment at which it was asked for."""
    _, core, trains = arbiter_asks()
    let_go = core.step(seen_at(5.0, deployment(), trains, approved=(1,)))
    assert told(let_go) == ([(1, StopTraining(model="m"))], [], [])


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (None, None),
        (Restart(deployment="app/model", replica="r9"), "unknown_target"),
        (Scale(deployment="app/model", replicas=0), "bounds"),
    ],
    ids=["nothing", "no capacity, and waits", "capacity, and never"],
)
def test_what_the_arbiter_does_not_want_any_more_is_withdrawn(wanted: Action | None, rule: str | None) -> None:
    """Kept back for now may be a wish for capacity only, and one that is kept back for good is none."""
    wants, core, trains = arbiter_asks()
    wants.actions = [] if wanted is None else [wanted]
    for at_s in (5.0, 64.9):
        still = core.step(seen_at(at_s, deployment(), trains, approved=(1,) if at_s > 5.0 else ()))
        assert (told(still), [veto.rule for veto in still.vetoes]) == (([], [], [1]), [] if rule is None else [rule])
    gone = [(1, Status.WITHDRAWN, "no policy has wanted it for 60 s")]
    assert told(core.step(seen_at(65.0, deployment(), trains, approved=(1,)))) == ([], gone, [])


class Ensemble(Wants):
    """Names an inner policy as the author of what it wants, and decides rarely, or raises."""

    def propose(self, seen: Observation) -> list[Proposal]:
        return [
            each if isinstance(each.action, Hold) else replace(each, policy="fast") for each in super().propose(seen)
        ]


@pytest.mark.parametrize("blip", ["raises", "holds", "decides rarely"])
def test_a_policy_that_names_another_author_is_one_policy_all_the_same(blip: str) -> None:
    """What it does not know, and how rarely it decides, is said of the entry of the configuration, whoever it names."""
    asks = Ensemble(UP)
    asks.decide_every_s = 300.0 if blip == "decides rarely" else 0.0
    core = core_of(asks)
    assert [order.policy for order in core.step(seen_at(0.0)).awaiting] == ["fast"]
    asks.raises = blip == "raises"
    asks.actions = [Hold(subject="app/model")] if blip == "holds" else []
    for at_s in (5.0, 100.0, 200.0):
        assert told(core.step(seen_at(at_s))) == ([], [], [1])
    assert told(core.step(seen_at(205.0, approved=(1,))))[0] == [(1, UP)]


@pytest.mark.parametrize("blip", ["raises", "holds"])
def test_a_policy_that_can_not_speak_at_the_first_look_of_a_life_keeps_what_waits(blip: str) -> None:
    """It asked in an earlier life; nobody has heard it in this one, and that takes back nothing."""
    asks = Wants(Hold(subject="app/model"))
    asks.raises = blip == "raises"
    waiting = Order(
        number=5, epoch=1, key="5", action=UP, because=(), policy="policy-0", issued_at_s=0.0, deadline_s=60.0
    )  # fmt: skip
    core = Core([("policy-0", asks)], Rules(autonomy=ASKS), FreezeCalendar(), next_number=6, awaiting=[waiting])
    for at_s in (100.0, 200.0):
        assert told(core.step(seen_at(at_s))) == ([], [], [5])
    asks.raises, asks.actions = False, []
    assert told(core.step(seen_at(259.9))) == ([], [], [5])
    assert told(core.step(seen_at(260.0))) == ([], [(5, Status.WITHDRAWN, "no policy has wanted it for 60 s")], [])


def test_a_policy_that_is_silent_from_the_first_look_of_a_life_on_is_given_its_minute() -> None:
    """Counted anew in each life, however long it was wanted before."""
    waiting = Order(
        number=5, epoch=1, key="5", action=UP, because=(), policy="policy-0", issued_at_s=0.0, deadline_s=60.0
    )  # fmt: skip
    core = Core([("policy-0", Wants())], Rules(autonomy=ASKS), FreezeCalendar(), next_number=6, awaiting=[waiting])
    gone = (5, Status.WITHDRAWN, "no policy has wanted it for 60 s")
    assert [told(core.step(seen_at(at_s)))[1] for at_s in (100.0, 159.9, 160.0)] == [[], [], [gone]]


# -- over lives, by the journal


SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "approve"},
        "journal": {"warm_start_s": 0},
        "policies": [{"use": "target_utilization", "target": 0.5, "up_window_s": 0}],
    }
)


def busy(at_s: float, **fields: Any) -> Observation:
    loaded = deployment(traffic=traffic(at_s, ongoing=4.0), max_ongoing_requests=1)
    return seen_at(at_s, loaded, **fields)


def lived(journal: MemoryJournal, *seen: Observation, settings: Settings = SETTINGS) -> list[Decision]:
    core = build_core(settings, begin(journal, settings, seen[0].at_s - 0.5))
    decisions = []
    for each in seen:
        decisions.append(core.step(each))
        journal.append(lines_of(decisions[-1], each))
    return decisions


def test_what_waits_survives_a_restart() -> None:
    """The same number, and its approval is heard by the next life; the record replays."""
    journal = MemoryJournal()
    first = lived(journal, busy(1.0))[0]
    second = lived(journal, busy(2.0), busy(3.0, approved=(1,)))
    assert [told(each) for each in second] == [([], [], [1]), ([(1, first.awaiting[0].action)], [], [])]
    assert [(order.epoch, order.issued_at_s) for order in second[1].orders] == [(2, 3.0)]
    assert [order.number for order in begin(journal, SETTINGS, 4.0).open_orders] == [1]
    assert begin(journal, SETTINGS, 4.0).awaiting == ()
    assert replay(journal.kept).identical


def test_a_wait_does_not_begin_anew_with_a_restart() -> None:
    """Silence is no consent, over lives either."""
    journal = MemoryJournal()
    lived(journal, busy(1.0))
    late = lived(journal, busy(3601.0))[0]
    assert told(late) == ([], [(1, Status.DENIED, EXPIRED)], [2])


def test_what_waited_and_has_ended_does_not_wait_again() -> None:
    """Denied in the last tick of a life."""
    journal = MemoryJournal()
    lived(journal, busy(1.0), busy(2.0, controls=Controls(denied=(1,))))
    assert [order.number for order in begin(journal, SETTINGS, 3.0).awaiting] == [2]
    outcome = {"number": 2, "status": "denied", "at_s": 3.5, "detail": ""}
    journal.append([(Kind.OUTCOME, 3.5, outcome)])
    assert begin(journal, SETTINGS, 4.0).awaiting == ()


def test_what_the_settings_forbid_by_now_waits_no_more() -> None:
    """Nothing may be approved that the agent would not ask for."""
    journal = MemoryJournal()
    lived(journal, busy(1.0))
    quiet = SETTINGS.model_copy(update={"autonomy": AutonomySettings()})
    after = lived(journal, busy(2.0, approved=(1,)), settings=quiet)[0]
    assert told(after) == ([], [(1, Status.WITHDRAWN, "the settings no longer let the agent do it")], [])


def test_the_agents_word_for_what_waits_can_be_read_back() -> None:
    """What the journal holds of an order that waits is all of it."""
    journal = MemoryJournal()
    waiting = lived(journal, busy(1.0))[0].awaiting
    assert journal.of_kind(Kind.DECIDED)[-1]["awaiting"] == [to_json(order) for order in waiting]
    assert begin(journal, SETTINGS, 2.0).awaiting == waiting


def test_a_policy_that_says_in_no_number_how_often_it_decides_is_heard_at_every_tick() -> None:
    """The attribute may be anything in a policy of a user's own."""

    class Odd:
        decide_every_s = "often"

        def propose(self, seen: Observation) -> tuple[Proposal, ...]:
            return ()

    assert decide_every_s([Odd()]) == 0.0
    Odd.decide_every_s = float("inf")  # type: ignore[assignment]
    assert decide_every_s([Odd()]) == 0.0
    Odd.policies = 3  # type: ignore[attr-defined]
    assert decide_every_s([Odd()]) == 0.0
