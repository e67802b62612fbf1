"""The core: what it decides from what it sees."""

import hashlib
import pickle
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assembly import build_core
from agent.calendar import FreezeCalendar
from agent.codec import canonical, to_json
from agent.core import Core, Decision, Rules, Suggestion
from agent.order import Autonomy, Order, Status
from agent.settings import AutonomySettings, BudgetSettings, DeadlineSettings, GuardSettings, PolicySettings, Settings
from policies.action import (
    Alert,
    Evidence,
    Hold,
    Promote,
    Proposal,
    Quarantine,
    Restart,
    Retrain,
    Scale,
    StartRollout,
    StopTraining,
    target,
)
from policies.observation import Capacity, Controls, JobState, Observation, Resources, TrainingJob
from policies.testing import comparison, deployment, model, observation, replica, rollout, version

ROOMY = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
WHY = (Evidence(name="test", value=1.0, threshold=0.5),)


@dataclass
class Wants:
    """Proposes what it was told, every time."""

    actions: list[Any] = field(default_factory=list)

    def propose(self, seen: Observation) -> list[Proposal]:
        return [Proposal(action=action, because=WHY) for action in self.actions]


class Raises:
    def propose(self, seen: Observation) -> list[Proposal]:
        raise RuntimeError("a policy's bad day")


def core_of(*policies: Any, **rules: Any) -> Core:
    acting = {"autonomy": AutonomySettings(default=Autonomy.ACT)}
    named = [(f"policy-{n}", policy) for n, policy in enumerate(policies)]
    return Core(named, Rules(**(acting | rules)), FreezeCalendar())


def seen_at(at_s: float, *things: Any, **fields: Any) -> Observation:
    return observation(at_s, *things, **({"capacity": ROOMY} | fields))


def test_an_order_carries_all_that_is_needed_to_judge_and_undo_it() -> None:
    """Number, epoch, key, evidence, deadline and inverse are there from the start."""
    decision = core_of(Wants([Scale(deployment="app/model", replicas=3)])).step(seen_at(10.0, deployment()))
    assert decision.orders == (
        Order(
            number=1,
            epoch=1,
            key=decision.orders[0].key,
            action=Scale(deployment="app/model", replicas=3),
            because=WHY,
            policy="policy-0",
            issued_at_s=10.0,
            deadline_s=130.0,
            inverse=Scale(deployment="app/model", replicas=2),
        ),
    )


def test_an_order_in_flight_is_not_given_again() -> None:
    """A policy that wants the same at every tick gets one order, not one a tick."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3)]))
    orders = [core.step(seen_at(float(t), deployment())).orders for t in range(5)]
    assert [len(each) for each in orders] == [1, 0, 0, 0, 0]


def test_an_order_ends_when_the_world_shows_it() -> None:
    """Its outcome comes from what is seen, and later the same want is a new order with a new key."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3)]))
    first = core.step(seen_at(0.0, deployment())).orders[0]
    reached = core.step(seen_at(5.0, deployment(replicas=3)))
    assert [(o.number, o.status, o.detail) for o in reached.outcomes] == [(1, Status.SUCCEEDED, "3 replicas run")]
    assert reached.orders == ()
    core.step(seen_at(10.0, deployment(replicas=2)))  # by a foreign hand, which is respected for a minute
    again = core.step(seen_at(70.0, deployment(replicas=2))).orders
    assert [(o.number, o.action) for o in again] == [(2, first.action)]
    assert (first.key, again[0].key) == (f"1-{first.key[2:]}", f"2-{first.key[2:]}")


def test_an_order_that_the_world_never_shows_expires() -> None:
    """At its deadline, not before."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3)]))
    core.step(seen_at(0.0, deployment()))
    assert core.step(seen_at(119.9, deployment())).outcomes == ()
    assert [o.status for o in core.step(seen_at(120.0, deployment())).outcomes] == [Status.EXPIRED]


def test_a_refused_order_fails_with_the_reason() -> None:
    """What a world refuses is an outcome of the next decision."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3)]))
    core.step(seen_at(0.0, deployment()))
    core.refused(1, "not today")
    outcome = core.step(seen_at(1.0, deployment())).outcomes[0]
    assert (outcome.number, outcome.status, outcome.detail) == (1, Status.FAILED, "refused: not today")


def test_a_scale_up_replaces_a_smaller_one_and_a_scale_down_waits() -> None:
    """Capacity that is needed does not wait for less of it to arrive."""
    wants = Wants([Scale(deployment="app/model", replicas=3)])
    core = core_of(wants)
    core.step(seen_at(0.0, deployment()))
    wants.actions = [Scale(deployment="app/model", replicas=5)]
    more = core.step(seen_at(1.0, deployment()))
    assert [o.action for o in more.orders] == [Scale(deployment="app/model", replicas=5)]
    assert [(o.number, o.status) for o in more.outcomes] == [(1, Status.SUPERSEDED)]
    wants.actions = [Scale(deployment="app/model", replicas=2)]
    less = core.step(seen_at(2.0, deployment()))
    assert less.orders == ()
    assert [v.rule for v in less.vetoes] == ["in_flight"]


def test_the_first_policy_in_the_list_is_heard() -> None:
    """Order of the list is priority; the other is told who was heard."""
    core = core_of(
        Wants([Scale(deployment="app/model", replicas=3)]), Wants([Scale(deployment="app/model", replicas=4)])
    )
    decision = core.step(seen_at(0.0, deployment()))
    assert [o.action for o in decision.orders] == [Scale(deployment="app/model", replicas=3)]
    assert [(v.rule, v.reason) for v in decision.vetoes] == [("one_per_target", "policy-0 was heard first")]


def test_a_policy_that_raises_loses_its_own_proposals_only() -> None:
    """People are told, and the others go on."""
    decision = core_of(Raises(), Wants([Scale(deployment="app/model", replicas=3)])).step(seen_at(0.0, deployment()))
    assert [a.text for a in decision.alerts] == ["policy policy-0 raised RuntimeError: a policy's bad day"]
    assert len(decision.orders) == 1


@pytest.mark.parametrize(
    ("level", "orders", "suggestions", "awaiting"),
    [
        (Autonomy.OFF, 0, 0, 0),
        (Autonomy.OBSERVE, 0, 1, 0),
        (Autonomy.SUGGEST, 0, 1, 0),
        (Autonomy.APPROVE, 0, 0, 1),
        (Autonomy.ACT, 1, 0, 0),
    ],
)
def test_autonomy_decides_how_far_a_proposal_goes(
    level: Autonomy, orders: int, suggestions: int, awaiting: int
) -> None:
    """From nothing to everything, by kind of action."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3)]), autonomy=AutonomySettings(scale=level))
    decision = core.step(seen_at(0.0, deployment()))
    assert (len(decision.orders), len(decision.suggestions), len(decision.awaiting)) == (orders, suggestions, awaiting)


def asked() -> Core:
    core = core_of(
        Wants([Scale(deployment="app/model", replicas=3)]),
        autonomy=AutonomySettings(scale=Autonomy.APPROVE, approval_expires_s=100.0),
    )
    core.step(seen_at(0.0, deployment()))
    return core


def test_an_approved_order_is_given_with_the_time_it_needs() -> None:
    """The wait for a person does not count against its deadline."""
    decision = asked().step(seen_at(50.0, deployment(), controls=Controls(approved=(1,))))
    assert [(o.number, o.issued_at_s, o.deadline_s) for o in decision.orders] == [(1, 50.0, 170.0)]


def test_a_denied_order_ends() -> None:
    """And is asked for again only as a new order."""
    decision = asked().step(seen_at(50.0, deployment(), controls=Controls(denied=(1,))))
    assert [(o.number, o.status, o.detail) for o in decision.outcomes] == [(1, Status.DENIED, "a person said no")]
    assert [o.number for o in decision.awaiting] == [2]


def test_nobody_approving_in_time_means_no() -> None:
    """Silence is not consent."""
    decision = asked().step(seen_at(100.0, deployment()))
    assert [(o.number, o.status) for o in decision.outcomes] == [(1, Status.DENIED)]


def test_the_kill_switch_ends_everything() -> None:
    """No order, no alert, and what was open is on record as given up."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3), Alert(subject="x", text="y")]))
    core.step(seen_at(0.0, deployment()))
    decision = core.step(seen_at(1.0, deployment(), controls=Controls(killed=True)))
    assert [(o.number, o.status) for o in decision.outcomes] == [(1, Status.SUPERSEDED)]
    assert decision.orders == ()
    assert decision.alerts == ()


def test_a_freeze_holds_everything_but_alerts() -> None:
    """Vetoes say that a person froze it."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3), Alert(subject="x", text="y")]))
    decision = core.step(seen_at(0.0, deployment(), controls=Controls(frozen=True)))
    assert decision.orders == ()
    assert [v.rule for v in decision.vetoes] == ["freeze"]
    assert decision.alerts == (Alert(subject="x", text="y"),)


def test_a_hold_is_on_record_and_changes_nothing() -> None:
    """It is news once, not at every tick."""
    core = core_of(Wants([Hold(subject="app/model")]))
    first, second = core.step(seen_at(0.0)), core.step(seen_at(1.0))
    assert [p.action for p in first.holds] == [Hold(subject="app/model")]
    assert (first.news, second.news) == (True, False)


def test_an_alert_is_sent_once_an_hour() -> None:
    """A policy may say it at every tick."""
    core = core_of(Wants([Alert(subject="x", text="y")]))
    sent = [len(core.step(seen_at(t)).alerts) for t in (0.0, 1.0, 3599.0, 3600.0)]
    assert sent == [1, 0, 0, 1]


def test_a_version_whose_files_have_changed_goes_no_further() -> None:
    """The digest that was seen first is the one that counts."""
    core = core_of(Wants([Promote(model="m", version="2", digest="other")]), guards=GuardSettings(promotion_min_rows=1))
    good = model(candidates=(version("2"),), rollout=rollout("2", comparison=comparison()))
    decision = core.step(seen_at(0.0, good))
    assert [v.rule for v in decision.vetoes] == ["digest"]


def test_no_promotion_on_too_few_rows() -> None:
    """The veto shows how many there were beside how many are needed."""
    wants = Wants([Promote(model="m", version="2", digest="sha-2")])
    challenged = model(candidates=(version("2"),), rollout=rollout("2", comparison=comparison(rows=150)))
    decision = core_of(wants).step(seen_at(0.0, challenged))
    assert [(v.rule, v.value, v.threshold) for v in decision.vetoes] == [("evidence", 150, 200)]


def test_a_restart_may_not_leave_too_few_healthy_replicas() -> None:
    """Unless the replica serves nobody anyway."""
    healthy = deployment(replicas=1)
    broken = deployment(replicas=(replica("r1", healthy=False),))
    wants = Wants([Restart(deployment="app/model", replica="r1")])
    assert [v.rule for v in core_of(wants).step(seen_at(0.0, healthy)).vetoes] == ["min_healthy"]
    assert len(core_of(wants).step(seen_at(0.0, broken)).orders) == 1


def test_an_order_that_does_not_fit_the_budget_is_trimmed_and_says_so() -> None:
    """Three wanted, two fit."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=5)]), budget=BudgetSettings(replicas=4))
    order = core.step(seen_at(0.0, deployment())).orders[0]
    assert order.action == Scale(deployment="app/model", replicas=4)
    assert order.because[-1] == Evidence(name="trimmed_to_budget", value=5.0, threshold=4.0)


def test_without_a_known_capacity_nothing_grows() -> None:
    """I do not know is not yes."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=5)]))
    assert [v.rule for v in core.step(observation(0.0, deployment())).vetoes] == ["capacity"]


def test_capacity_is_used_when_the_world_shows_that_it_was_given_back() -> None:
    """The one that takes waits for the one that gives: a scale-down that is refused leaves no scale-up over the budget."""
    wants = Wants([Scale(deployment="a/a", replicas=3), Scale(deployment="b/b", replicas=1)])
    core = core_of(wants, budget=BudgetSettings(replicas=4))
    gives = core.step(seen_at(0.0, deployment("a/a"), deployment("b/b")))
    assert [o.action for o in gives.orders] == [Scale(deployment="b/b", replicas=1)]
    assert [(v.rule, v.proposal.action) for v in gives.vetoes] == [("budget", Scale(deployment="a/a", replicas=3))]
    core.refused(1, "not today")
    assert [o.action for o in core.step(seen_at(5.0, deployment("a/a"), deployment("b/b"))).orders] == [
        Scale(deployment="b/b", replicas=1)
    ]
    takes = core.step(seen_at(10.0, deployment("a/a"), deployment("b/b", replicas=1)))
    assert [o.action for o in takes.orders] == [Scale(deployment="a/a", replicas=3)]


def next_life(*orders: Order, policy: Any = None, **rules: Any) -> Core:
    """A core that goes on with `orders`, which an earlier life left open."""
    acting = {"autonomy": AutonomySettings(default=Autonomy.ACT)}
    named = [("policy", policy)] if policy is not None else []
    return Core(named, Rules(**(acting | rules)), FreezeCalendar(), epoch=2, next_number=9, open_orders=orders)


def test_a_life_that_begins_goes_on_with_the_orders_of_the_last() -> None:
    """Same number, same key, the new epoch."""
    order = core_of(Wants([Scale(deployment="app/model", replicas=3)])).step(seen_at(0.0, deployment())).orders[0]
    core = next_life(order)
    assert core.step(seen_at(1.0, deployment())).orders == (replace(order, epoch=2),)
    assert core.step(seen_at(2.0, deployment())).orders == ()


ACTIONS = st.one_of(
    st.builds(Scale, deployment=st.sampled_from(["a/a", "b/b"]), replicas=st.integers(-1, 9)),
    st.builds(Restart, deployment=st.sampled_from(["a/a", "b/b"]), replica=st.sampled_from(["r1", "r2", "r9"])),
    st.builds(Retrain, model=st.just("m")),
    st.builds(Hold, subject=st.just("x")),
    st.builds(Promote, model=st.just("m"), version=st.just("2"), digest=st.sampled_from(["sha-2", "bad"])),
)
COUNTS = st.tuples(st.integers(0, 6), st.integers(0, 6))
DAYS = st.lists(st.tuples(st.lists(ACTIONS, max_size=5), COUNTS, st.booleans(), st.booleans()), max_size=12)
BUDGET = 8


class Told:
    """Wants what the day's script says."""

    def __init__(self) -> None:
        self.actions: list[Any] = []

    def propose(self, seen: Observation) -> list[Proposal]:
        return [Proposal(action=action, because=WHY) for action in self.actions]


def lived(days: Any, pickled: bool = False) -> list[tuple[Observation, Decision, Core]]:
    told = Told()
    core = core_of(told, budget=BudgetSettings(replicas=BUDGET))
    out = []
    for at_s, (actions, (a, b), frozen, killed) in enumerate(days):
        if pickled:
            core = pickle.loads(pickle.dumps(core))  # noqa: S301 - our own
            told = core._policies[0][1]  # type: ignore[assignment]
        told.actions = actions
        seen = seen_at(
            float(at_s * 20),
            deployment("a/a", replicas=a),
            deployment("b/b", replicas=b),
            model(candidates=(version("2"),)),
            controls=Controls(frozen=frozen, killed=killed),
        )
        out.append((seen, core.step(seen), core))
    return out


@settings(max_examples=150, deadline=None)
@given(DAYS)
def test_whatever_is_wanted_the_rules_hold(days: Any) -> None:
    """One order per target, never over the budget, never under the minimum, nothing while frozen or killed."""
    for seen, decision, core in lived(days):
        targets = [target(order.action) for order in core.open_orders]
        assert len(targets) == len(set(targets))
        if seen.controls.frozen or seen.controls.killed:
            assert decision.orders == ()
        wanted = {name: each.replicas_wanted for name, each in seen.deployments.items()}
        before = sum(wanted.values())
        for order in decision.orders:
            if isinstance(order.action, Scale):
                assert order.action.replicas >= seen.deployments[order.action.deployment].min_replicas
                wanted[order.action.deployment] = order.action.replicas
        assert sum(wanted.values()) <= max(BUDGET, before)


@settings(max_examples=60, deadline=None)
@given(DAYS)
def test_the_same_observations_give_the_same_decisions(days: Any) -> None:
    """In a fresh core, and in one that is pickled between any two steps."""
    plain = [canonical(to_json(decision)) for _, decision, _ in lived(days)]
    assert plain == [canonical(to_json(decision)) for _, decision, _ in lived(days)]
    assert plain == [canonical(to_json(decision)) for _, decision, _ in lived(days, pickled=True)]


def test_settings_make_a_core() -> None:
    """Policies by name, with parameters, in order."""
    chosen = Settings(policies=(PolicySettings(use="idle"), PolicySettings(use="target_utilization", target=0.5)))
    assert build_core(chosen).step(seen_at(0.0)).orders == ()


def test_capacity_that_a_guard_keeps_is_not_spent() -> None:
    """A scale-down that is vetoed frees nothing for the others."""
    wants = Wants([Scale(deployment="a/a", replicas=0), Scale(deployment="b/b", replicas=3)])
    core = core_of(wants, budget=BudgetSettings(replicas=8))
    decision = core.step(seen_at(0.0, deployment("a/a", replicas=6), deployment("b/b", replicas=1)))
    assert [order.action for order in decision.orders] == [Scale(deployment="b/b", replicas=2)]
    assert [veto.rule for veto in decision.vetoes] == ["bounds"]


def test_capacity_that_waits_for_approval_is_not_spent() -> None:
    """What a person may still refuse has not been given back."""
    approve = AutonomySettings(default=Autonomy.APPROVE)
    wants = Wants([Scale(deployment="a/a", replicas=2), Scale(deployment="b/b", replicas=3)])
    core = core_of(wants, budget=BudgetSettings(replicas=7), autonomy=approve)
    decision = core.step(seen_at(0.0, deployment("a/a", replicas=6), deployment("b/b", replicas=1)))
    assert [order.action for order in decision.awaiting] == [Scale(deployment="a/a", replicas=2)]
    assert [veto.rule for veto in decision.vetoes] == ["budget"]


def test_capacity_that_an_order_in_flight_will_take_is_not_spent_again() -> None:
    """The world shows an order late; the ledger knows it at once, and knows it when it is replaced by a larger one too."""
    wants = Wants([Scale(deployment="a/a", replicas=4)])
    core = core_of(wants, budget=BudgetSettings(replicas=6))
    here = (deployment("a/a", replicas=2), deployment("b/b", replicas=1))
    core.step(seen_at(0.0, *here))
    wants.actions = [Scale(deployment="b/b", replicas=4), Scale(deployment="a/a", replicas=9)]
    later = core.step(seen_at(1.0, *here))
    assert [order.action for order in later.orders] == [Scale(deployment="b/b", replicas=2)]
    assert [veto.rule for veto in later.vetoes] == ["budget"]


# -- what a decision says, and when it is news


@pytest.mark.parametrize(
    ("action", "allowed_s"),
    [
        (Scale(deployment="app/model", replicas=3), 11.0),
        (Restart(deployment="app/model", replica="r1"), 12.0),
        (Retrain(model="m"), 13.0),
        (StopTraining(model="m"), 14.0),
        (StartRollout(model="m", version="2", digest="sha-2"), 14.0),
        (Quarantine(model="m", since_s=0.0, until_s=1.0), 14.0),
    ],
    ids=repr,
)
def test_every_kind_of_order_has_its_time(action: Any, allowed_s: float) -> None:
    """By the settings, from the moment it is given."""
    deadlines = DeadlineSettings(scale_s=11.0, restart_s=12.0, retrain_s=13.0, rollout_s=14.0)
    training = TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0)
    runs = model(candidates=(version("2"),), training=training if isinstance(action, StopTraining) else None)
    core = core_of(Wants([action]), deadlines=deadlines)
    (order,) = core.step(seen_at(100.0, deployment(replicas=4), runs)).orders
    assert (order.action, order.issued_at_s, order.deadline_s) == (action, 100.0, 100.0 + allowed_s)


def test_orders_are_numbered_from_where_the_last_life_ended_and_keyed_by_what_they_want() -> None:
    """A key is the number and twelve signs of the digest of the action."""
    actions = [Scale(deployment="a/a", replicas=3), Scale(deployment="b/b", replicas=3)]
    core = Core(
        [("policy", Wants(actions))],
        Rules(autonomy=AutonomySettings(default=Autonomy.ACT)),
        FreezeCalendar(),
        epoch=4,
        next_number=17,
    )
    orders = core.step(seen_at(0.0, deployment("a/a"), deployment("b/b"))).orders
    digests = [hashlib.sha256(canonical(to_json(action))).hexdigest()[:12] for action in actions]
    assert [(o.number, o.epoch, o.key) for o in orders] == [
        (17, 4, f"17-{digests[0]}"),
        (18, 4, f"18-{digests[1]}"),
    ]
    assert core.open_orders == orders


def news_of(core: Core, wants: Wants, *days: tuple[list[Any], dict[str, Any]]) -> list[bool]:
    found = []
    for n, (actions, fields) in enumerate(days):
        wants.actions = actions
        found.append(core.step(seen_at(float(n), deployment(), **fields)).news)
    return found


def test_what_is_kept_back_is_news_when_it_changes() -> None:
    """A veto, another one, none; an order is no saying, and has an entry of its own."""
    wants = Wants()
    up, more = Scale(deployment="app/model", replicas=3), Scale(deployment="app/model", replicas=4)
    frozen = {"controls": Controls(frozen=True)}
    days = [([], {}), ([up], frozen), ([up], frozen), ([more], frozen), ([], {}), ([], {}), ([up], {})]
    assert news_of(core_of(wants), wants, *days) == [False, True, False, True, True, False, False]


def test_a_suggestion_is_news_when_it_changes_and_follows_the_guards() -> None:
    """What could not be done is not suggested; the first of a target is."""
    wants = Wants()
    up, more = Scale(deployment="app/model", replicas=3), Scale(deployment="app/model", replicas=4)
    core = core_of(wants, autonomy=AutonomySettings())
    days = [([up, more], {}), ([up], {}), ([more], {}), ([more], {"controls": Controls(frozen=True)})]
    assert news_of(core, wants, *days) == [True, False, True, True]
    wants.actions = [up, more, Scale(deployment="no/where", replicas=1)]
    decision = core.step(seen_at(9.0, deployment()))
    why = Proposal(action=up, because=WHY, policy="policy-0")
    assert decision.suggestions == (Suggestion(proposal=why, autonomy=Autonomy.SUGGEST),)
    assert (decision.orders, decision.vetoes, decision.awaiting) == ((), (), ())


def test_a_hold_is_news_when_its_reasons_change_and_an_alert_always() -> None:
    """Not when their numbers move on."""

    class Holds:
        def __init__(self) -> None:
            self.because: tuple[Evidence, ...] = ()

        def propose(self, seen: Observation) -> list[Proposal]:
            return [Proposal(action=Hold(subject="x"), because=self.because)]

    holds, alerts = Holds(), Wants()
    core = core_of(holds, alerts)
    found = []
    for name, value, said in (
        ("a", 1.0, []),
        ("a", 2.0, []),
        ("b", 2.0, []),
        ("b", 2.0, [Alert(subject="s", text="t")]),
    ):
        holds.because, alerts.actions = (Evidence(name=name, value=value),), said
        found.append(core.step(seen_at(float(len(found)))).news)
    assert found == [True, False, True, True]


def test_what_waits_is_news_when_it_begins_and_when_it_ends() -> None:
    """And not in between."""
    wants = Wants([Scale(deployment="app/model", replicas=3)])
    core = core_of(wants, autonomy=AutonomySettings(default=Autonomy.APPROVE))
    seen = [
        seen_at(0.0, deployment()),
        seen_at(1.0, deployment()),
        seen_at(2.0, deployment(), controls=Controls(approved=(1,))),
    ]
    assert [core.step(each).news for each in seen] == [True, False, True]


def test_while_the_agent_is_killed_policies_are_not_asked() -> None:
    """What others do to the world is told all the same; then decisions go on as if nothing had been."""
    wants = Wants([Alert(subject="x", text="y")])
    core = core_of(wants)
    core.step(seen_at(0.0, deployment(), controls=Controls(killed=True)))
    killed = core.step(seen_at(1.0, deployment(replicas=5), controls=Controls(killed=True)))
    assert [alert.subject for alert in killed.alerts] == ["app/model"]
    assert [alert.subject for alert in core.step(seen_at(2.0, deployment(replicas=5))).alerts] == ["x"]


def test_what_is_shown_again_is_not_heard_again() -> None:
    """An alert of then is not repeated within its hour; what was seen while killed is not shown."""
    looks: list[float] = []

    class Looks(Wants):
        def propose(self, seen: Observation) -> list[Proposal]:
            looks.append(seen.at_s)
            return super().propose(seen)

    core = core_of(Looks([Scale(deployment="app/model", replicas=3), Alert(subject="x", text="y")]))
    core.relive(seen_at(0.0, deployment()))
    core.relive(seen_at(1.0, deployment(), controls=Controls(killed=True)))
    assert (looks, core.open_orders) == ([0.0], ())
    decision = core.step(seen_at(2.0, deployment()))
    assert ([o.number for o in decision.orders], decision.alerts) == ([1], ())
    assert [a.text for a in core.step(seen_at(3600.0, deployment())).alerts] == ["y"]


def test_a_refusal_of_what_is_not_open_is_forgotten() -> None:
    """It is of a number that was never given, or has ended: no later order is taken for it."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3)]))
    core.refused(1, "who?")
    assert core.step(seen_at(0.0, deployment())).outcomes == ()
    assert core.step(seen_at(1.0, deployment())).outcomes == ()
    core.refused(1, "not today")
    refused = core.step(seen_at(2.0, deployment()))
    assert [(o.number, o.status, o.at_s) for o in refused.outcomes] == [(1, Status.FAILED, 2.0)]
    assert [o.number for o in refused.orders] == [2]
    assert core.step(seen_at(3.0, deployment())).outcomes == ()


def test_an_order_that_would_change_nothing_is_not_given() -> None:
    """Neither at this tick nor at any other, while its replicas start or run."""
    core = core_of(Wants([Scale(deployment="app/model", replicas=3)]))
    starting = deployment(replicas=2, replicas_wanted=3)
    decisions = [core.step(seen_at(float(n), starting if n < 5 else deployment(replicas=3))) for n in range(10)]
    assert [(d.orders, d.vetoes, d.news) for d in decisions] == [((), (), False)] * 10
