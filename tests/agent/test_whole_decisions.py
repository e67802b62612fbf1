"""Decisions compared whole: of many things at one moment each has its own end, its own time and its own place, and none hides another."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from agent.arbiter import Veto
from agent.calendar import FreezeCalendar
from agent.codec import canonical, to_json
from agent.core import Core, Decision, Rules, Suggestion
from agent.order import Autonomy, Order, Outcome, Status
from agent.settings import AutonomySettings, BudgetSettings, GuardSettings
from policies.action import Action, Alert, Evidence, Hold, Proposal, Restart, RollBack, Scale, SetTraffic
from policies.observation import Capacity, Controls, Deployment, Observation, Resources
from policies.testing import deployment, model, observation, rollout, version

ROOMY = Capacity(total=Resources(cpus=640.0), free=Resources(cpus=640.0))
ACT = AutonomySettings(default=Autonomy.ACT)
APPROVE = AutonomySettings(default=Autonomy.APPROVE)
WHY = (Evidence(name="test"),)
REPLACED = "another order took its place"


class Wants:
    def __init__(self, *actions: Action) -> None:
        self.actions = list(actions)
        self.because = WHY

    def propose(self, seen: Observation) -> list[Proposal]:
        return [Proposal(action=action, because=self.because) for action in self.actions]


def up(name: str, replicas: int = 3) -> Scale:
    return Scale(deployment=name, replicas=replicas)


def order(number: int, action: Action, at_s: float = 0.0) -> Order:
    return Order(
        number=number, epoch=1, key=f"key-{number}", action=action, because=WHY, policy="p", issued_at_s=at_s,
        deadline_s=at_s + 120.0,
    )  # fmt: skip


def core_of(policy: Any, autonomy: AutonomySettings = ACT, **fields: Any) -> Core:
    rules = {name: fields.pop(name) for name in ("budget", "guards") if name in fields}
    return Core([("p", policy)], Rules(autonomy=autonomy, **rules), FreezeCalendar(), next_number=20, **fields)


def seen_at(at_s: float, *things: Any, **fields: Any) -> Observation:
    return observation(at_s, *things, **({"capacity": ROOMY} | fields))


def end(number: int, status: Status, at_s: float, detail: str) -> Outcome:
    return Outcome(number=number, status=status, at_s=at_s, detail=detail)


def all_of(*names: str, **others: Deployment) -> list[Deployment]:
    """Two replicas of each."""
    return [others.get(name, deployment(name)) for name in names]


def new(number: int, action: Scale, at_s: float, *, wanted: int = 2, epoch: int = 1) -> Order:
    """What the core makes of a wish for `action` while `wanted` replicas are wanted."""
    digest = hashlib.sha256(canonical(to_json(action))).hexdigest()[:12]
    undo = replace(action, replicas=wanted)
    return replace(order(number, action, at_s), epoch=epoch, key=f"{number}-{digest}", inverse=undo)


def test_of_all_that_ends_and_begins_at_one_moment_nothing_hides_another() -> None:
    """Orders end, are denied, resumed, approved, given up, replaced and given anew: each by its number, at that moment."""
    opened = [order(n, up(name)) for n, name in enumerate("abcdefgh", 1)]
    asked = (up("i"), up("j"), up("e", 5), up("f", 5), up("k"), up("l"))
    waiting = [order(n, action) for n, action in enumerate(asked, 9)]
    wants = Wants(*asked[:-1], up("g", 7), up("h", 7), up("m"), up("n"))
    core = core_of(wants, epoch=2, open_orders=opened, awaiting=waiting)
    core.refused(2, "no room")
    fixed = {name: deployment(name, scalable=False) for name in "dk"}
    here = all_of(*"abcdefghijklmn", a=deployment("a", replicas=3), **fixed)
    controls = Controls(approved=(9, 10, 11, 12, 13), denied=(14,))
    let_go = [replace(waiting[n], epoch=2, issued_at_s=7.0, deadline_s=127.0) for n in (2, 3, 0, 1)]
    because = "its application lacks external_scaler_enabled: true"
    assert core.step(seen_at(7.0, *here, controls=controls)) == Decision(
        at_s=7.0,
        outcomes=(
            end(1, Status.SUCCEEDED, 7.0, "3 replicas run"),
            end(2, Status.FAILED, 7.0, "refused: no room"),
            end(14, Status.DENIED, 7.0, "a person said no"),
            end(5, Status.SUPERSEDED, 7.0, REPLACED),
            end(6, Status.SUPERSEDED, 7.0, REPLACED),
            end(4, Status.SUPERSEDED, 7.0, f"not sent again: {because}"),
            end(13, Status.SUPERSEDED, 7.0, f"approved too late: {because}"),
            end(7, Status.SUPERSEDED, 7.0, REPLACED),
            end(8, Status.SUPERSEDED, 7.0, REPLACED),
        ),
        orders=(
            replace(opened[2], epoch=2),
            *let_go,
            new(20, up("g", 7), 7.0, epoch=2),
            new(21, up("h", 7), 7.0, epoch=2),
            new(22, up("m"), 7.0, epoch=2),
            new(23, up("n"), 7.0, epoch=2),
        ),
    )


def test_the_kill_switch_ends_all_that_had_not_ended() -> None:
    """What the world shows done is done; all else is given up at that moment, what waits after what was sent."""
    opened = [order(n, up(name)) for n, name in enumerate("abc", 1)]
    waiting = [order(n, up(name)) for n, name in enumerate("de", 4)]
    core = core_of(Wants(up("f"), Alert(subject="s", text="t")), open_orders=opened, awaiting=waiting)
    here = all_of(*"abcdef", a=deployment("a", replicas=3))
    killed = "the kill switch is on"
    assert core.step(seen_at(7.0, *here, controls=Controls(killed=True))) == Decision(
        at_s=7.0,
        outcomes=(
            end(1, Status.SUCCEEDED, 7.0, "3 replicas run"),
            *(end(n, Status.SUPERSEDED, 7.0, killed) for n in (2, 3, 4, 5)),
        ),
    )
    assert (core.open_orders, core.awaiting) == ((), ())


def test_of_all_that_waits_for_a_person_nothing_hides_another() -> None:
    """What stands keeps its number, what is wanted otherwise is replaced, what is new is asked for."""
    waiting = [order(n, up(name)) for n, name in enumerate("abc", 1)]
    wants = Wants(up("a", 5), up("b", 1), up("c", 1), up("d"), up("e"))
    core = core_of(wants, APPROVE, awaiting=waiting)
    kept = waiting[0]
    fresh = tuple(new(20 + n, action, 7.0) for n, action in enumerate(wants.actions[1:]))
    assert core.step(seen_at(7.0, *all_of(*"abcde"))) == Decision(
        at_s=7.0,
        outcomes=tuple(end(n, Status.SUPERSEDED, 7.0, REPLACED) for n in (2, 3)),
        awaiting=(kept, *fresh),
        news=True,
    )


def test_of_all_that_is_kept_back_what_passes_waits_and_what_does_not_ends() -> None:
    """Vetoes on what waits come first, then those on what was proposed; each is told in the order in which it was decided."""
    restart = Restart(deployment="gone", replica="r1")
    opened = [order(1, restart), order(2, up("b")), order(3, up("c"))]
    wants = Wants(Hold(subject="x"), up("d", 0), up("e"))
    core = core_of(wants, open_orders=opened)
    fixed = {name: deployment(name, scalable=False) for name in "bc"}
    given_up = "not sent again: its application lacks external_scaler_enabled: true"
    unseen = Veto(proposal=opened[0].proposal, rule="unknown_target", reason="there is no replica 'r1'")
    few = Veto(
        proposal=Proposal(action=up("d", 0), because=WHY, policy="p"), rule="bounds",
        reason="fewer than the minimum of replicas", value=0, threshold=1,
    )  # fmt: skip
    assert core.step(seen_at(7.0, *all_of(*"bcde", **fixed))) == Decision(
        at_s=7.0,
        outcomes=tuple(end(n, Status.SUPERSEDED, 7.0, given_up) for n in (2, 3)),
        orders=(new(20, up("e"), 7.0),),
        vetoes=(unseen, few),
        holds=(Proposal(action=Hold(subject="x"), because=WHY, policy="p"),),
        news=True,
    )
    assert [each.number for each in core.open_orders] == [1, 20]


@pytest.mark.parametrize("kept_back", ["suggested", "vetoed"])
def test_what_is_wanted_for_other_reasons_is_no_news_unless_it_holds(kept_back: str) -> None:
    """A hold is its reasons; a suggestion, or what is vetoed, is what would be done."""
    autonomy = AutonomySettings() if kept_back == "suggested" else ACT
    controls = Controls(frozen=kept_back == "vetoed")
    wants = Wants(up("a"))
    core = core_of(wants, autonomy)
    news = []
    for names, action in (
        ("a", up("a")),
        ("b", up("a")),
        ("b", up("a", 4)),
        ("b", Hold(subject="a")),
        ("c", Hold(subject="a")),
    ):
        wants.actions, wants.because = [action], (Evidence(name=names),)
        news.append(core.step(seen_at(float(len(news)), deployment("a"), controls=controls)).news)
    assert news == [True, False, True, True, True]


def test_an_order_that_takes_the_place_of_one_that_waits_is_news() -> None:
    """A person who was told a number is told the next."""
    wants = Wants(up("a"))
    core = core_of(wants, APPROVE)
    said = []
    for replicas in (3, 3, 1):
        wants.actions = [up("a", replicas)]
        decision = core.step(seen_at(float(len(said)), deployment("a")))
        said.append((decision.news, [each.number for each in decision.awaiting]))
    assert said == [(True, [20]), (False, [20]), (True, [21])]


def test_what_is_begun_at_one_moment_counts_towards_the_orders_of_the_minute() -> None:
    """Two are allowed: the third of one decision waits, with those two counted."""
    core = core_of(Wants(up("a"), up("b"), up("c")), budget=BudgetSettings(orders_per_minute=2))
    reason = "as many orders as allowed in the last minute"
    third = Proposal(action=up("c"), because=WHY, policy="p")
    assert core.step(seen_at(7.0, *all_of(*"abc"))) == Decision(
        at_s=7.0,
        orders=(new(20, up("a"), 7.0), new(21, up("b"), 7.0)),
        vetoes=(Veto(proposal=third, rule="orders_per_minute", reason=reason, value=2, threshold=2),),
        news=True,
    )


def test_a_cool_down_lasts_over_the_looks_in_between() -> None:
    """Thirty seconds by the settings, though the world was looked at meanwhile."""
    core = core_of(Wants(up("a")), guards=GuardSettings(cool_down_s={"scale": 30.0}))
    given = []
    for at_s, replicas in ((0.0, 2), (5.0, 3), (10.0, 3), (29.9, 3), (30.0, 3)):
        core._policies[0][1].actions = [up("a", 3 if at_s == 0.0 else 4)]  # type: ignore[attr-defined]
        given += [(at_s, each.action) for each in core.step(seen_at(at_s, deployment("a", replicas=replicas))).orders]
    assert given == [(0.0, up("a", 3)), (30.0, up("a", 4))]


class Fails:
    """Raises other words at every look."""

    def __init__(self) -> None:
        self.looks = 0

    def propose(self, seen: Observation) -> list[Proposal]:
        self.looks += 1
        raise RuntimeError(f"look {self.looks}")


def test_a_fault_of_a_policy_is_handed_on_at_every_look_though_it_is_told_once() -> None:
    """With what stays the same of it; the words are those of the look."""
    core = core_of(Fails())
    first, second = (core.step(seen_at(at_s)) for at_s in (0.0, 10.0))
    told = [
        Alert(subject="p", text=f"policy p raised RuntimeError: look {look}", severity="critical") for look in (1, 2)
    ]
    ((mark, said),), ((same, again),) = first.faults, second.faults
    assert (said, again, same) == (told[0], told[1], mark)
    assert mark[:2] == ("p", "RuntimeError")  # type: ignore[index]
    assert (first.alerts, second.alerts) == ((told[0],), ())


def test_of_all_that_is_suggested_each_target_has_its_own() -> None:
    """The first wish for it; what may not be done is not suggested."""
    wants = Wants(up("a"), up("b"), up("a", 4), up("c", 0))
    first = tuple(
        Suggestion(proposal=Proposal(action=action, because=WHY, policy="p"), autonomy=Autonomy.SUGGEST)
        for action in wants.actions[:2]
    )
    core = core_of(wants, AutonomySettings())
    assert core.step(seen_at(7.0, *all_of(*"abc"))) == Decision(at_s=7.0, suggestions=first, news=True)


def test_what_waits_for_a_rollback_keeps_nothing_else() -> None:
    """The next step of its rollout is not taken while it waits; another deployment gets its replicas."""
    step = SetTraffic(model="m", version="2", share=1.0)
    waiting = order(1, RollBack(model="m", version="2", to="1", to_digest="sha-1"))
    autonomy = AutonomySettings(default=Autonomy.ACT, roll_back=Autonomy.APPROVE)
    core = core_of(Wants(step, up("a"), Hold(subject="m")), autonomy, awaiting=[waiting])
    canary = model(candidates=(version("2"),), rollout=rollout("2", share=0.1))
    decision = core.step(seen_at(7.0, deployment("a"), canary))
    assert decision.orders == (new(20, up("a"), 7.0),)
    assert decision.awaiting == (waiting,)


def test_what_an_earlier_life_was_told_of_a_fault_is_not_told_anew() -> None:
    """The words change at every look, the fault does not: an hour later it is told with the number of times in between."""
    core = core_of(Fails())
    for at_s in (0.0, 10.0):
        core.relive(seen_at(at_s))
    said = [core.step(seen_at(at_s)).alerts for at_s in (20.0, 3599.9, 3600.0)]
    text = "policy p raised RuntimeError: look 5 (3 times more since it was told last)"
    assert said == [(), (), (Alert(subject="p", text=text, severity="critical"),)]
