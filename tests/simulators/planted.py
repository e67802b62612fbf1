"""Faults planted in policies, guards, arbiter, core, loop and world: each a small mutation, and the rule that must find it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent import arbiter, core, guards, ledger, loop
from agent.clock import AgentClock
from agent.codec import to_json
from agent.core import Decision
from agent.journal.controls import ControlFold
from agent.ledger import Charge, Ledger
from agent.loop import Agent, lines_of
from agent.order import Outcome, Status
from policies.action import (
    Action,
    Evidence,
    Promote,
    Proposal,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
)
from policies.idle import Idle
from policies.observation import Observation, ReplicaState
from simulators.cluster import Cluster, Node
from simulators.deployment import SimDeployment
from simulators.learning import SimModel
from simulators.requests import RequestKernel
from simulators.run import Simulation
from simulators.scenario import Scenario, parse_scenario
from simulators.serving import Serving
from simulators.settings import ScenarioSettings
from simulators.world import SimulatedWorld
from simulators.writing import to_yaml

D = "fraud/ModelServer"
WHY = (Evidence(name="planted"),)
Wish = Callable[[Observation], Iterable[Action]]
Patch = pytest.MonkeyPatch


@dataclass(frozen=True, kw_only=True)
class Planted:
    """`plant` mutates the code; `wants` is what the policy proposes in the scenario that `changes` makes of the plain one.

    Without the mutation, and with the very same wishes, no rule is broken.
    """

    name: str
    rule: str
    plant: Callable[[Patch], None]
    wants: Wish = lambda seen: ()
    changes: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)

    def scenario(self) -> Scenario:
        plain = {
            "name": self.name,
            "duration_s": 900,
            "tick_s": 10,
            "cluster": {"nodes": [{"count": 2, "cpus": 8}]},
            "lifecycle": {"cold_start": {"kind": "constant", "seconds": 5}},
            "policies": [{"use": "idle"}],
        }
        model = {
            "traffic": [{"kind": "steady", "rate_rps": 30}],
            "service": {"kind": "constant", "seconds": 0.1},
            "replicas": 4,
            "slo_latency_s": 1,
            "max_ongoing_requests": 4,
        }
        settings = ScenarioSettings.model_validate({**plain, "models": {"fraud": model | self.model}} | self.changes)
        return parse_scenario(to_yaml(settings), self.name, Path())

    def wish(self, patch: Patch) -> None:
        """Let the idle policy want something."""
        patch.setattr(Idle, "propose", lambda _, seen: [Proposal(action=a, because=WHY) for a in self.wants(seen)])


# -- what policies want ------------------------------------------------------------------------------------------


def scale(replicas: int, from_s: float = 0.0, deployment: str = D) -> Wish:
    return lambda seen: [Scale(deployment=deployment, replicas=replicas)] if seen.at_s >= from_s else []


def once(wish: Wish, at_s: float) -> Wish:
    """What `wish` wants, at one tick only."""
    return lambda seen: wish(seen) if at_s <= seen.at_s < at_s + 10.0 else []


def both_models(replicas: int) -> Wish:
    return lambda seen: [*scale(replicas)(seen), *scale(replicas, deployment="spam/ModelServer")(seen)]


def restart_all(seen: Observation) -> Iterable[Action]:
    """Every replica that was there from the beginning, the next one as soon as it may."""
    first = [each for each in seen.deployments[D].running if int(each.id.split("#")[1]) <= 4]
    return [Restart(deployment=D, replica=each.id) for each in first[:1]]


def hasty(share: float = 0.0, *, promote: bool = True, give_up: bool = False) -> Wish:
    """Train once, show the version to `share` of the callers, then promote it or take it back, on no evidence at all."""

    def wants(seen: Observation) -> Iterable[Action]:
        model = seen.models["fraud"]
        rollout, champion = model.rollout, model.champion
        if champion is None or seen.at_s < 100:
            return
        if model.training is None:
            yield Retrain(model="fraud")
        elif rollout is None:
            yield from (StartRollout(model="fraud", version=c.number, digest=c.digest) for c in model.candidates)
        elif rollout.ready and rollout.share < share:
            yield SetTraffic(model="fraud", version=rollout.version, share=share)
        elif rollout.ready and give_up and seen.at_s > 400:
            yield RollBack(model="fraud", version=rollout.version, to=champion.number, to_digest=champion.digest)
        elif rollout.ready and promote:
            yield from (Promote(model="fraud", version=c.number, digest=c.digest) for c in model.candidates)

    return wants


def regret(from_s: float) -> Wish:
    """Train and promote, and later want the version before again."""
    promote = hasty()

    def wants(seen: Observation) -> Iterable[Action]:
        model = seen.models["fraud"]
        champion, before = model.champion, model.previous
        if seen.at_s < from_s:
            yield from promote(seen)
        elif champion is not None and before is not None and champion.number != before.number:
            yield RollBack(model="fraud", version=champion.number, to=before.number, to_digest=before.digest)

    return wants


def train_again(seen: Observation) -> Iterable[Action]:
    """As soon as no training runs."""
    job = seen.models["fraud"].training
    return [Retrain(model="fraud")] if seen.at_s >= 200 and (job is None or job.finished_at_s is not None) else []


def quarantine_and_train(seen: Observation) -> Iterable[Action]:
    model = seen.models["fraud"]
    if not model.quarantined:
        return [Quarantine(model="fraud", since_s=0.0, until_s=200.0)] if seen.at_s >= 300 else []
    return [Retrain(model="fraud")] if model.training is None else []


def up_and_down(seen: Observation) -> Iterable[Action]:
    return [Scale(deployment=D, replicas=4 if seen.deployments[D].replicas_wanted == 5 else 5)]


# -- how it goes wrong -------------------------------------------------------------------------------------------


def no_guard(guard: str) -> Callable[[Patch], None]:
    kept = tuple(each for each in guards.GUARDS if each.__name__ != guard)
    assert len(kept) == len(guards.GUARDS) - 1, guard
    return lambda patch: patch.setattr(guards, "GUARDS", kept)


def instead(owner: Any, name: str, other: Any) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(owner, name, other)


def both(*plants: Callable[[Patch], None]) -> Callable[[Patch], None]:
    def plant(patch: Patch) -> None:
        for each in plants:
            each(patch)

    return plant


def act_before_writing(self: Agent, at_s: float) -> Decision:
    seen = self._sensor.observe(at_s)
    decision = self.core.step(seen)
    for order in decision.orders:
        self._start(order, at_s)
    self._journal.append(lines_of(decision, seen))
    return decision


def done_at_once(order, seen):
    """Whatever was ordered is said to be done as soon as somebody asks."""
    return Outcome(number=order.number, status=Status.SUCCEEDED, at_s=seen.at_s)


def unheard(word: str) -> Callable[[Patch], None]:
    """The agent is never told that `word` holds."""
    controls = ControlFold.controls
    return instead(ControlFold, "controls", lambda self, at_s: replace(controls(self, at_s), **{word: False}))


def one_approval_for_all(patch: Patch) -> None:
    controls = ControlFold.controls

    def all_of_them(self, at_s):
        told = controls(self, at_s)
        return replace(told, approved=tuple(range(1, 100)) if told.approved else ())

    patch.setattr(ControlFold, "controls", all_of_them)


def no_means_yes(patch: Patch) -> None:
    controls = ControlFold.controls

    def turned(self, at_s):
        told = controls(self, at_s)
        return replace(told, approved=told.denied, denied=())

    patch.setattr(ControlFold, "controls", turned)


def written_again(*, once_ended: bool) -> Callable[[Patch], None]:
    """An order's intent stands in the journal a second time: beside its outcome, or at the tick after it was begun."""

    def plant(patch: Patch) -> None:
        lines, issued = loop.lines_of, {}

        def again(decision, seen, plain=None):
            numbers = [each.number for each in decision.outcomes] if once_ended else list(issued)
            repeated = [issued.pop(number) for number in numbers if number in issued]
            issued.update({order.number: order for order in decision.orders})
            return [*lines(decision, seen, plain), *(("intent", decision.at_s, to_json(order)) for order in repeated)]

        patch.setattr(loop, "lines_of", again)

    return plant


def lose_what_it_holds(self: SimDeployment, replica) -> None:
    self.catch_up()
    if replica.state is ReplicaState.RUNNING:
        self.kernel.remove_replica(replica.number, lose=True)
    self._release(replica, warm=False)


def forget_keys(patch: Patch) -> None:
    start = SimulatedWorld.start

    def again(self, order):
        self._done.clear()
        start(self, order)

    patch.setattr(SimulatedWorld, "start", again)


def two_lives_at_once(patch: Patch) -> None:
    """The killed agent was only out of sight, and the world takes orders of any epoch."""
    kill, tick = Simulation._kill_agent, Simulation._tick

    def hide(self, for_s):
        self.hidden = self.agent
        self.hidden.core._next_number += 100
        kill(self, for_s)

    def tick_both(self):
        hidden = getattr(self, "hidden", None)
        if hidden is not None and self.engine.now_s > 360:
            hidden.tick(self.engine.now_s)
        else:
            tick(self)

    patch.setattr(Simulation, "_kill_agent", hide)
    patch.setattr(Simulation, "_tick", tick_both)
    patch.setattr(SimulatedWorld, "_epoch", property(lambda self: 0, lambda self, epoch: None), raising=False)


def lose_some_on_the_way(patch: Patch) -> None:
    """A share of the traffic goes to nobody."""
    advance = RequestKernel.advance

    def some(self, arrivals, until_s, marks=None):
        advance(self, arrivals[::2] if until_s > 300 else arrivals, until_s, marks)

    patch.setattr(RequestKernel, "advance", some)


def keep_the_place(patch: Patch) -> None:
    """A training that is over goes on holding its place."""
    end = SimulatedWorld._end_training

    def held(self, served, job, state, message=""):
        places = self.training_nodes.get(served.spec.name, ())
        end(self, served, job, state, message)
        self.training_nodes[served.spec.name] = places

    patch.setattr(SimulatedWorld, "_end_training", held)


def replace_nothing(patch: Patch) -> None:
    """What died stays dead; only a new order starts anything."""
    patch.setattr(SimDeployment, "reconcile", lambda self: None)


def into_the_past(patch: Patch) -> None:
    """The queue gives what was put in first, not what is due first."""
    patch.setattr("simulators.engine.heapq.heappop", lambda queue: queue.pop(len(queue) // 2))


LEARNING = {"learning": {"label_delay_s": 60, "window_rows": 200, "trial_s": 10}}
LATE = {"learning": {"label_delay_s": 800, "window_rows": 200, "trial_s": 10}}
TWO = {
    name: {
        "traffic": [{"kind": "steady", "rate_rps": 5}],
        "service": {"kind": "constant", "seconds": 0.1},
        "slo_latency_s": 1,
    }
    for name in ("fraud", "spam")
}
ENDLESS = {"kind": "agent_killed", "at_s": 305, "for_s": 2000}

PLANTED = (
    Planted(
        name="a guard never vetoes fewer than the minimum",
        rule="NeverUnderTheMinimum",
        plant=no_guard("_scale_bounds"),
        wants=scale(1),
        model={"min_replicas": 2},
    ),
    Planted(
        name="a guard lets the last healthy replicas be restarted",
        rule="NeverUnderTheMinimum",
        plant=no_guard("_restart_safely"),
        wants=restart_all,
        model={"min_replicas": 4},
    ),
    Planted(
        name="restarts count as done before they are",
        rule="NeverTooManyAtOnce",
        plant=both(no_guard("_restart_safely"), instead(core, "outcome", done_at_once)),
        wants=restart_all,
        changes={"lifecycle": {"cold_start": {"kind": "constant", "seconds": 60}}},
    ),
    Planted(
        name="the ledger finds room for everything",
        rule="NeverOverTheBudget",
        plant=instead(Ledger, "fits", lambda self, each, wanted: wanted),
        wants=scale(8),
        changes={"budget": {"replicas": 6}},
    ),
    Planted(
        name="the ledger forgets the orders in flight",
        rule="NeverOverTheBudget",
        plant=instead(ledger, "still_to_come", lambda order, seen, cost: (Charge(), Charge())),
        wants=lambda seen: [*scale(6)(seen), *scale(6, 20.0, "spam/ModelServer")(seen)],
        changes={
            "budget": {"replicas": 7},
            "faults": [{"kind": "actuator_slow", "at_s": 0, "for_s": 800, "seconds": 60}],
            "models": TWO,
        },
    ),
    Planted(
        name="the arbiter lets two orders through for one target",
        rule="OneOrderPerTarget",
        plant=instead(
            arbiter, "_queues", lambda proposals, taken: ({n: [each] for n, each in enumerate(proposals)}, [])
        ),
        wants=lambda seen: [*scale(5)(seen), *scale(6)(seen)] if seen.at_s < 15 else [],
    ),
    Planted(
        name="a promotion needs no evidence",
        rule="NeverPromotedWithoutEvidence",
        plant=no_guard("_enough_evidence"),
        wants=hasty(),
        model={"learning": {"label_delay_s": 30, "window_rows": 200, "trial_s": 10, "label_share": 0.3}},
    ),
    Planted(
        name="a training takes the rows that were set aside",
        rule="NeverTrainedOnQuarantine",
        plant=instead(SimModel, "_kept", lambda self, since_s, until_s: [(since_s, until_s)]),
        wants=quarantine_and_train,
        model=LEARNING,
    ),
    Planted(
        name="the agent acts before it writes",
        rule="IntentBeforeEffect",
        plant=instead(Agent, "tick", act_before_writing),
        wants=scale(5),
    ),
    Planted(
        name="the world does again what it has done",
        rule="IntentBeforeEffect",
        plant=forget_keys,
        wants=scale(8, 300.0),
        changes={
            "lifecycle": {"cold_start": {"kind": "constant", "seconds": 50}},
            # The next life sends again what the world, which is slow, does not show yet.
            "faults": [
                {"kind": "agent_killed", "at_s": 315, "for_s": 10},
                {"kind": "actuator_slow", "at_s": 290, "for_s": 20, "seconds": 60},
            ],
        },
    ),
    Planted(
        name="an order is never judged",
        rule="OutcomeForEveryOrder",
        plant=instead(core, "outcome", lambda order, seen: None),
        wants=scale(5),
    ),
    Planted(
        name="a freeze is not heeded",
        rule="NeverWhileFrozen",
        plant=no_guard("_frozen"),
        wants=scale(5),
        changes={"guards": {"freeze_windows": [{"start": "0 0 * * *", "duration_s": 600}]}},
    ),
    Planted(
        name="a freeze is not heeded by what an earlier life has begun",
        rule="NeverWhileFrozen",
        plant=no_guard("_frozen"),
        wants=once(scale(8), 300.0),
        changes={
            "lifecycle": {"cold_start": {"kind": "constant", "seconds": 60}},
            "faults": [
                {"kind": "agent_killed", "at_s": 315, "for_s": 10},
                {"kind": "actuator_slow", "at_s": 290, "for_s": 20, "seconds": 60},
            ],
            "people": [{"at_s": 320, "says": "freeze"}],
        },
    ),
    Planted(
        name="a freeze is not heeded by a rollback of the champion",
        rule="NeverWhileFrozen",
        plant=instead(guards, "_takes_a_canary_back", lambda action, seen: isinstance(action, RollBack)),
        wants=regret(700.0),
        changes={"people": [{"at_s": 690, "says": "freeze"}]},
        model={"learning": {"label_delay_s": 10, "window_rows": 200, "trial_s": 10}},
    ),
    Planted(
        name="a freeze is not heeded by what was approved before it",
        rule="NeverWhileFrozen",
        plant=no_guard("_frozen"),
        wants=scale(8, 300.0),
        changes={
            "autonomy": {"default": "act", "scale": "approve"},
            "people": [{"at_s": 305, "says": "approve"}, {"at_s": 306, "says": "freeze"}],
        },
    ),
    Planted(
        name="the kill switch is connected to nothing",
        rule="NeverWhileKilled",
        plant=unheard("killed"),
        wants=scale(8, 300.0),
        changes={"people": [{"at_s": 250, "says": "kill"}]},
    ),
    Planted(
        name="a new life begins although the agent was killed",
        rule="NeverWhileKilled",
        plant=unheard("killed"),
        wants=once(scale(8), 300.0),
        changes={
            "lifecycle": {"cold_start": {"kind": "constant", "seconds": 60}},
            "faults": [
                {"kind": "agent_killed", "at_s": 315, "for_s": 10},
                {"kind": "actuator_slow", "at_s": 290, "for_s": 20, "seconds": 60},
            ],
            "people": [{"at_s": 320, "says": "kill"}],
        },
    ),
    Planted(
        name="an order that has ended is written down once more",
        rule="NoIntentAfterItsOutcome",
        plant=written_again(once_ended=True),
        wants=once(scale(5), 20.0),
    ),
    Planted(
        name="the approval of one order lets all go that wait",
        rule="ApprovalsAreHonouredOnce",
        plant=one_approval_for_all,
        wants=both_models(6),
        changes={
            "autonomy": {"default": "act", "scale": "approve"},
            "people": [{"at_s": 305, "says": "approve", "model": "spam"}],
            "models": TWO,
        },
    ),
    Planted(
        name="an approval is good for two beginnings",
        rule="ApprovalsAreHonouredOnce",
        plant=written_again(once_ended=False),
        wants=scale(8, 300.0),
        changes={
            "autonomy": {"default": "act", "scale": "approve"},
            "people": [{"at_s": 305, "says": "approve"}],
            "lifecycle": {"cold_start": {"kind": "constant", "seconds": 60}},
        },
    ),
    Planted(
        name="a denial is taken for an approval",
        rule="ApprovalsAreHonouredOnce",
        plant=no_means_yes,
        wants=scale(8, 300.0),
        changes={
            "autonomy": {"default": "act", "scale": "approve"},
            "people": [{"at_s": 305, "says": "deny"}],
        },
    ),
    Planted(
        name="two approvals at once find room for everything",
        rule="NeverOverTheBudget",
        plant=instead(Ledger, "fits", lambda self, each, wanted: wanted),
        wants=both_models(3),
        changes={
            "autonomy": {"default": "act", "scale": "approve"},
            "budget": {"replicas": 4},
            "people": [{"at_s": 305, "says": "approve"}],
            "models": TWO,
        },
    ),
    Planted(
        name="nobody counts the orders of a minute",
        rule="NeverTooManyOrders",
        plant=no_guard("_orders_per_minute"),
        wants=up_and_down,
        changes={"budget": {"orders_per_minute": 2}},
    ),
    Planted(
        name="the agent goes by the civil clock, which somebody sets a day forward",
        rule="NeverTooManyTrainings",
        plant=instead(AgentClock, "now", lambda self: self._wall()),
        wants=train_again,
        changes={
            "budget": {"retrainings_per_day": 1},
            "faults": [{"kind": "clock_set_forward", "at_s": 600, "seconds": 86400}],
        },
        model=LEARNING,
    ),
    Planted(
        name="a guard forgets the trainings of the day",
        rule="NeverTooManyTrainings",
        plant=no_guard("_retraining_allowed"),
        wants=train_again,
        changes={"budget": {"retrainings_per_day": 1}},
        model=LEARNING,
    ),
    Planted(
        name="a killed agent lives on beside its successor",
        rule="NoOldEpoch",
        plant=two_lives_at_once,
        wants=up_and_down,
        changes={
            "faults": [{"kind": "agent_killed", "at_s": 305, "for_s": 10}],
            "guards": {"foreign_change_respected_s": 0},
        },
    ),
    Planted(
        name="a foreign hand is overruled at once",
        rule="ForeignChangesAreRespected",
        plant=no_guard("_somebody_else_set_it"),
        wants=lambda seen: scale(5)(seen) if seen.deployments[D].replicas_wanted != 5 else [],
        changes={"faults": [{"kind": "foreign_scale", "at_s": 305, "replicas": 8}]},
    ),
    Planted(
        name="a stopped replica takes its requests with it",
        rule="NothingLostByUs",
        plant=instead(SimDeployment, "stop", lose_what_it_holds),
        wants=scale(3, 300.0),
    ),
    Planted(
        name="half of the requests reach nobody",
        rule="EveryRequestIsSomewhere",
        plant=lose_some_on_the_way,
    ),
    Planted(
        name="a canary stays open without an agent",
        rule="CanaryEndsWithTheAgent",
        plant=instead(Serving, "_in_the_table", lambda self, served, arrivals: np.full(len(arrivals), True)),
        wants=hasty(0.3, promote=False),
        changes={"faults": [ENDLESS]},
        model=LEARNING,
    ),
    Planted(
        name="a node takes more than it has",
        rule="CapacityIsReal",
        plant=instead(Node, "fits", lambda self, need: True),
        wants=scale(20),
    ),
    Planted(
        name="a stopped replica keeps its place",
        rule="CapacityIsReal",
        plant=instead(Cluster, "give_back", lambda self, name, need, owner="": None),
        wants=scale(3),
    ),
    Planted(
        name="a quota is not asked for",
        rule="CapacityIsReal",
        plant=instead(Cluster, "granted", lambda self, need, owner: True),
        wants=scale(7),
        changes={"cluster": {"nodes": [{"count": 2, "cpus": 8}], "quotas": [{"models": ["fr*"], "cpus": 5}]}},
    ),
    Planted(
        name="replicas go on with the version before",
        rule="ChampionServes",
        plant=instead(SimulatedWorld, "_serve", lambda self, served, version: None),
        wants=hasty(),
        model={"learning": {"label_delay_s": 10, "window_rows": 200, "trial_s": 10}},
    ),
    Planted(
        name="a training that is over keeps its place",
        rule="TrainingHoldsOneJob",
        plant=keep_the_place,
        wants=hasty(promote=False),
        model=LEARNING,
    ),
    Planted(
        name="what died is not replaced",
        rule="Converges",
        plant=replace_nothing,
        changes={"duration_s": 1500, "faults": [{"kind": "replica_crash", "at_s": 300}]},
    ),
    Planted(
        name="time goes back",
        rule="TimeDoesNotGoBack",
        plant=into_the_past,
        wants=scale(6),
    ),
)
