"""What must always hold, looked at after every event. A run that breaks a rule stops, with the events that led there.

Each rule is one class with one sentence. Deeds (what an order did to the world, at the moment it took effect) are told to all of them;
after every event they look at the world; at the end they look back.
"""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from agent.codec import from_json
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.settings import Settings
from policies.action import Action, Promote, Restart, Retrain, RollBack, Scale, SetTraffic, StartRollout, target
from policies.observation import JobState
from simulators.deployment import SimDeployment
from simulators.engine import Event
from simulators.world import Deed, SimulatedWorld

TRAIL = 40
"""So many events are told before the one that broke a rule."""
EPSILON = 1e-6


class BrokenRule(AssertionError):
    """A rule was broken: which, how, when, from which seed, and what happened before."""

    def __init__(self, rule: str, told: str, *, at_s: float, seed: int, trail: Iterable[str]) -> None:
        self.rule, self.told, self.at_s, self.seed, self.trail = rule, told, at_s, seed, tuple(trail)
        events = "\n  ".join(self.trail)
        super().__init__(f"{rule}: {told}\nat {at_s:.3f} s, seed {seed}; the last events were\n  {events}")


class Look(Protocol):
    """What a rule may look at."""

    world: SimulatedWorld
    journal: MemoryJournal
    settings: Settings


class Rule:
    """Nothing to say about anything; each rule overrides what it looks at. A returned text says how it is broken."""

    def __init__(self, look: Look) -> None:
        self.look = look

    def deed(self, deed: Deed) -> str | None:
        """An order has just begun to take effect; the world is as it was before."""
        return None

    def event(self, event: Event) -> str | None:
        """Something has happened."""
        return None

    def end(self, at_s: float) -> str | None:
        """The run is over."""
        return None


class NeverUnderTheMinimum(Rule):
    """No order of ours leaves a deployment under its minimum of healthy replicas."""

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if isinstance(action, Scale):
            return self._scaled(action)
        if isinstance(action, Restart):
            return self._restarted(action)
        return None

    def _minimum(self, name: str) -> int:
        return next((s.spec.min_replicas for s in self.look.world.served.values() if s.champion.name == name), 0)

    def _scaled(self, action: Scale) -> str | None:
        least = self._minimum(action.deployment)
        return f"{action.deployment} goes to {action.replicas}, under {least}" if action.replicas < least else None

    def _restarted(self, action: Restart) -> str | None:
        running = self.look.world.deployments[action.deployment].running
        if all(each.id != action.replica for each in running):
            return None
        left = len(running) - 1
        least = self._minimum(action.deployment)
        return f"{action.deployment} keeps {left} replicas, under {least}" if left < least else None


class NeverOverTheBudget(Rule):
    """What all deployments want together stays within the budget, unless it was over it before our order."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._before = self._wanted()

    def _wanted(self) -> int:
        return sum(each.wanted for each in self.look.world.deployments.values())

    def event(self, event: Event) -> str | None:
        before, self._before = self._before, self._wanted()
        limit = self.look.settings.budget.replicas
        over = limit is not None and self._before > limit and self._before > before
        foreign = event.name.startswith("fault")
        return f"{self._before} replicas are wanted, {limit} are allowed" if over and not foreign else None


class NeverTooManyAtOnce(Rule):
    """Our restarts touch at most the allowed share of a deployment's replicas at one time (one is always allowed)."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._away: dict[str, set[str]] = {}

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Restart):
            return None
        deployment = self.look.world.deployments[action.deployment]
        away = self._away.setdefault(action.deployment, set())
        away &= deployment.replicas.keys()
        away.add(action.replica)
        allowed = max(1.0, self.look.settings.guards.blast_radius * max(deployment.wanted, 1))
        return f"{len(away)} replicas of {action.deployment} are replaced at once" if len(away) > allowed else None


class NeverPromotedWithoutEvidence(Rule):
    """A promotion has as many labelled rows behind it as the guards ask for."""

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Promote):
            return None
        model = self.look.world.served[action.model].model
        comparison = model.rollout.comparison if model is not None and model.rollout is not None else None
        rows = max(comparison.paired_loss.n, comparison.challenger.loss.n) if comparison is not None else 0
        least = self.look.settings.guards.promotion_min_rows
        return f"version {action.version} of {action.model} is promoted on {rows} rows" if rows < least else None


class NeverTrainedOnQuarantine(Rule):
    """No training begins on rows all of which are set aside."""

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Retrain) or action.since_s is None:
            return None
        model = self.look.world.served[action.model].model
        spoilt = model is not None and any(
            q.since_s <= action.since_s and q.until_s >= deed.at_s for q in model.quarantined
        )
        return f"{action.model} is trained on quarantined rows only" if spoilt else None


class IntentBeforeEffect(Rule):
    """Every effect has an intent in the journal before it; no effect is done twice."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._done: set[str] = set()

    def deed(self, deed: Deed) -> str | None:
        if deed.order.key in self._done:
            return f"order {deed.order.number} is done a second time"
        self._done.add(deed.order.key)
        known = any(
            entry.kind == Kind.INTENT and entry.payload["key"] == deed.order.key
            for entry in reversed(self.look.journal.kept)
        )
        return None if known else f"order {deed.order.number} takes effect and is in no intent"


class OneOrderPerTarget(Rule):
    """At most one order is in flight per target, as the journal tells."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._read = 0
        self._open: dict[int, tuple[str, str]] = {}

    def event(self, event: Event) -> str | None:
        kept = self.look.journal.kept
        for entry in kept[self._read :]:
            self._read += 1
            if entry.kind == Kind.OUTCOME:
                self._open.pop(entry.payload["number"], None)
            elif entry.kind == Kind.INTENT:
                told = self._begin(entry.payload["number"], _target(entry.payload["action"]))
                if told is not None:
                    return told
        return None

    def _begin(self, number: int, aim: tuple[str, str]) -> str | None:
        others = [each for each, theirs in self._open.items() if theirs == aim and each != number]
        self._open[number] = aim
        return f"order {number} and order {others[0]} are both in flight for {' '.join(aim)}" if others else None


class OutcomeForEveryOrder(Rule):
    """Every order has an outcome, but for those that may still come true when the run ends."""

    def end(self, at_s: float) -> str | None:
        ended = {each["number"] for each in self.look.journal.of_kind(Kind.OUTCOME)}
        slack_s = 2 * self.look.settings.tick_s
        late = [
            each["number"]
            for each in self.look.journal.of_kind(Kind.INTENT)
            if each["number"] not in ended and each["deadline_s"] + slack_s < at_s
        ]
        return f"orders {late} have no outcome after their deadline" if late and not self.look.journal.away else None


class NothingLostByUs(Rule):
    """No request is lost by a scale-down, a shift of weights, a promotion or a rollback."""

    def deed(self, deed: Deed) -> str | None:
        if isinstance(deed.order.action, Scale | Restart | SetTraffic | StartRollout | Promote | RollBack):
            self._lost = {name: self._failed(each) for name, each in self.look.world.deployments.items()}
        return None

    def event(self, event: Event) -> str | None:
        before, self._lost = getattr(self, "_lost", {}), {}
        if event.name.startswith(("fault", "order")) or "preempted" in event.name:
            return None
        for name, lost in before.items():
            deployment = self.look.world.deployments.get(name)
            if deployment is not None and self._failed(deployment) > lost:
                return f"{name} lost {self._failed(deployment) - lost} requests to an order"
        return None

    @staticmethod
    def _failed(deployment: SimDeployment) -> int:
        return deployment.kernel.snapshot().failed


class NeverWhileFrozen(Rule):
    """Nothing is begun while people have frozen or stopped the agent."""

    def deed(self, deed: Deed) -> str | None:
        controls = self.look.world.controls(deed.at_s)
        late = deed.order.issued_at_s < deed.at_s
        stopped = controls.frozen or controls.killed
        return f"order {deed.order.number} takes effect while changes are stopped" if stopped and not late else None


class NoOldEpoch(Rule):
    """An order of an earlier life of the agent does nothing once a later one has acted."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._highest = 0

    def deed(self, deed: Deed) -> str | None:
        old = deed.order.epoch < self._highest and self.look.world.slow_s == 0
        self._highest = max(self._highest, deed.order.epoch)
        return f"order {deed.order.number} is of epoch {deed.order.epoch}, {self._highest} acts" if old else None


class CapacityIsReal(Rule):
    """What runs and trains fits on the nodes that there are."""

    def event(self, event: Event) -> str | None:
        for node in self.look.world.cluster.nodes.values():
            if node.used_cpus > node.cpus + EPSILON or node.used_gpus > node.gpus + EPSILON:
                return f"{node.name} carries {node.used_cpus:g} CPUs and {node.used_gpus:g} GPUs, more than it has"
        return None


class TimeDoesNotGoBack(Rule):
    """Events come in order of time, and no kernel runs ahead of them."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._last_s = 0.0

    def event(self, event: Event) -> str | None:
        before_s, self._last_s = self._last_s, event.at_s
        ahead = any(each.kernel.now_s > event.at_s + EPSILON for each in self.look.world.deployments.values())
        return "time went back" if event.at_s < before_s or ahead else None


class Converges(Rule):
    """After the last fault, and long enough before the end, every deployment runs what it wants."""

    SETTLED_S = 900.0

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._last_s = 0.0

    def event(self, event: Event) -> str | None:
        if event.name.startswith("fault") or event.name.endswith(("is over", "preempted", "is back")):
            self._last_s = event.at_s
        return None

    def deed(self, deed: Deed) -> str | None:
        self._last_s = deed.at_s
        return None

    def end(self, at_s: float) -> str | None:
        world = self.look.world
        if at_s - self._last_s < self.SETTLED_S:
            return None
        short = [
            f"{name} runs {len(each.running)} of {each.wanted}"
            for name, each in world.deployments.items()
            if each.controlled and len(each.running) != each.wanted
        ]
        room = world.cluster.capacity().free
        stuck = short and (room is None or room.cpus >= min(s.spec.resources.cpus for s in world.served.values()))
        return f"long after the last fault {'; '.join(short)}" if stuck else None


class TrainingHoldsOneJob(Rule):
    """A model has at most one training, and it is charged while it runs."""

    def event(self, event: Event) -> str | None:
        world = self.look.world
        for name, served in world.served.items():
            job = served.model.job if served.model is not None else None
            runs = job is not None and job.state is JobState.RUNNING
            if runs != (name in world.training_nodes):
                return f"the training of {name} {'runs' if runs else 'does not run'} and its place says otherwise"
        return None


RULES: tuple[type[Rule], ...] = (
    NeverUnderTheMinimum,
    NeverOverTheBudget,
    NeverTooManyAtOnce,
    NeverPromotedWithoutEvidence,
    NeverTrainedOnQuarantine,
    IntentBeforeEffect,
    OneOrderPerTarget,
    OutcomeForEveryOrder,
    NothingLostByUs,
    NeverWhileFrozen,
    NoOldEpoch,
    CapacityIsReal,
    TimeDoesNotGoBack,
    TrainingHoldsOneJob,
    Converges,
)


class Checkers:
    """All rules over one run."""

    def __init__(self, world: SimulatedWorld, journal: MemoryJournal, settings: Settings, *, seed: int) -> None:
        self.world, self.journal, self.settings = world, journal, settings
        self._seed = seed
        self._trail: deque[str] = deque(maxlen=TRAIL)
        self._rules = [rule(self) for rule in RULES]
        world.watchers.append(self._deed)

    def look(self, event: Event) -> None:
        """After an event. Raises BrokenRule."""
        self._trail.append(f"{event.at_s:.3f} s  {event.name}")
        for rule in self._rules:
            self._judge(rule, rule.event(event))

    def at_the_end(self, at_s: float) -> None:
        """Raises BrokenRule."""
        for rule in self._rules:
            self._judge(rule, rule.end(at_s))

    def _deed(self, deed: Deed) -> None:
        self._trail.append(f"{deed.at_s:.3f} s  order {deed.order.number}: {deed.effect}")
        for rule in self._rules:
            self._judge(rule, rule.deed(deed))

    def _judge(self, rule: Rule, told: str | None) -> None:
        if told is not None:
            at_s = self.world.engine.now_s
            raise BrokenRule(type(rule).__name__, told, at_s=at_s, seed=self._seed, trail=self._trail)


def _target(action: dict[str, object]) -> tuple[str, str]:
    """See `policies.action.target`, on an action as it stands in a journal."""
    return target(from_json(Action, action))  # type: ignore[arg-type]
