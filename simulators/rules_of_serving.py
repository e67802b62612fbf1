"""Rules of serving: enough replicas, not too many, on nodes that carry them, and no request lost by our own hand."""

from collections import defaultdict

from policies.action import Restart, Scale
from policies.observation import Resources
from simulators.deployment import SimDeployment
from simulators.engine import Event, Priority
from simulators.rule import Look, Rule
from simulators.served import Deed

EPSILON = 1e-6


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
        served = self.look.world.served.values()
        return next((s.spec.min_replicas for s in served if any(d.name == name for d in s.slots())), 0)

    def _scaled(self, action: Scale) -> str | None:
        least = self._minimum(action.deployment)
        return f"{action.deployment} goes to {action.replicas}, under {least}" if action.replicas < least else None

    def _restarted(self, action: Restart) -> str | None:
        """Taking away what does not serve makes nothing worse."""
        running = self.look.world.deployments[action.deployment].running
        healthy = [each.id for each in running if each.healthy is not False]
        if action.replica not in healthy:
            return None
        left = len(healthy) - 1
        least = self._minimum(action.deployment)
        return f"{action.deployment} keeps {left} replicas, under {least}" if left < least else None


class NeverOverTheBudget(Rule):
    """What serving and training want together stays within the budget, unless it was over it before our order."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        budget = look.settings.budget
        limits = {"replicas": budget.replicas, "cpus": budget.cpus, "gpus": budget.gpus}
        self._limits = {name: float(limit) for name, limit in limits.items() if limit is not None}
        self._before = {name: self._wanted(name) for name in self._limits}

    def _wanted(self, name: str) -> float:
        deployments = self.look.world.deployments.values()
        if name == "replicas":
            return sum(each.wanted for each in deployments)
        return sum(each.wanted * getattr(each.resources, name) for each in deployments) + self._trained(name)

    def _trained(self, name: str) -> float:
        models = (self.look.world.served[each].model for each in self.look.world.training_nodes)
        jobs = (model.job for model in models if model is not None)
        return sum(getattr(job.resources, name) for job in jobs if job is not None)

    def event(self, event: Event) -> str | None:
        for name, limit in self._limits.items():
            before, now = self._before[name], self._wanted(name)
            self._before[name] = now
            if now > limit + EPSILON and now > before + EPSILON and event.priority != Priority.FAULT:
                return f"{now:g} {name} are wanted, {limit:g} are allowed"
        return None


class NeverTooManyAtOnce(Rule):
    """Our restarts touch at most the allowed share of a deployment's replicas at one time (one is always allowed).

    A restart is over when the deployment runs as many replicas as it wants.
    """

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._away: dict[str, set[str]] = defaultdict(set)

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Restart):
            return None
        deployment = self.look.world.deployments[action.deployment]
        away = self._away[action.deployment]
        if len(deployment.running) >= deployment.wanted:
            away.clear()
        away.add(action.replica)
        allowed = max(1.0, self.look.settings.guards.blast_radius * max(deployment.wanted, 1))
        return f"{len(away)} replicas of {action.deployment} are replaced at once" if len(away) > allowed else None


class NothingLostByUs(Rule):
    """Requests fail only with replicas that died, or that drained for as long as they may.

    Looked at when a minute is over and when the run is: a scale-down loses its requests some time after the order.
    """

    def event(self, event: Event) -> str | None:
        return self._lost() if event.priority == Priority.END else None

    def end(self, at_s: float) -> str | None:
        return self._lost()

    def _lost(self) -> str | None:
        for deployment in self.look.world.everything():
            lost = deployment.kernel.snapshot().failed - deployment.crashed_requests
            if lost > 0:
                return f"{deployment.name} lost {lost} requests, and no replica died with them"
        return None


class EveryRequestIsSomewhere(Rule):
    """What callers sent, and the shadow's copies, reached a deployment, each of them one: shares of traffic lose and double nothing.

    Looked at when a minute is over and when the run is.
    """

    def event(self, event: Event) -> str | None:
        return self._wrong() if event.priority == Priority.END else None

    def end(self, at_s: float) -> str | None:
        return self._wrong()

    def _wrong(self) -> str | None:
        for name, served in self.look.world.served.items():
            reached = served.challengers_arrived + sum(each.kernel.snapshot().arrived for each in served.slots())
            sent = served.offered + served.copied
            if reached != sent:
                return f"{sent} requests and copies were sent to {name}, {reached} reached a deployment"
        return None


class CapacityIsReal(Rule):
    """What runs and trains fits on the nodes that there are and is granted, and what nobody holds is free."""

    def event(self, event: Event) -> str | None:
        for node in self.look.world.cluster.nodes.values():
            if node.used_cpus > node.cpus + EPSILON or node.used_gpus > node.gpus + EPSILON:
                return f"{node.name} carries {node.used_cpus:g} CPUs and {node.used_gpus:g} GPUs, more than it has"
        return self._added_up() or self._granted() if event.priority == Priority.END else None

    def _granted(self) -> str | None:
        cluster = self.look.world.cluster
        for quota in cluster.quotas:
            held = cluster.held_under(quota)
            if not quota.allows(held):
                return (
                    f"{', '.join(quota.models)} hold {held.cpus:g} CPUs and {held.gpus:g} GPUs, more than their quota"
                )
        return None

    def _added_up(self) -> str | None:
        held = self._held()
        for node in self.look.world.cluster.nodes.values():
            cpus, gpus = held[node.name]
            if abs(node.used_cpus - cpus) > EPSILON or abs(node.used_gpus - gpus) > EPSILON:
                used = f"{node.used_cpus:g} CPUs and {node.used_gpus:g} GPUs of {node.name} are taken"
                return f"{used}, what is on it takes {cpus:g} and {gpus:g}"
        return None

    def _held(self) -> dict[str, tuple[float, float]]:
        world = self.look.world
        held: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

        def hold(node: str | None, need: Resources) -> None:
            if node is not None:
                held[node] = (held[node][0] + need.cpus, held[node][1] + need.gpus)

        for deployment in world.everything():
            for replica in deployment.replicas.values():
                hold(replica.node, deployment.resources)
            for kept in deployment.warm:
                hold(kept.node, deployment.resources)
        for name, nodes in world.training_nodes.items():
            model = world.served[name].model
            for node in nodes if model is not None else ():
                hold(node, model.learning.trial_resources)
        return held


class CanaryEndsWithTheAgent(Rule):
    """Where no agent renews the traffic table, challengers get nothing once it has run out. Looked at when a minute is over."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._expired: dict[str, tuple[float, int]] = {}
        """Model -> (when its table was last renewed, what had gone to challengers), where it had run out by then."""

    def event(self, event: Event) -> str | None:
        if event.priority != Priority.END:
            return None
        world = self.look.world
        for name, served in world.served.items():
            gone = served.beside + served.copied
            renewed_s, before = self._expired.get(name, (-1.0, gone))
            if renewed_s == world.renewed_s and gone > before:
                return f"{gone - before} requests of {name} went to a challenger, and nobody has renewed its table"
            self._expired.pop(name, None)
            if event.at_s >= world.renewed_s + world.table_life_s:
                self._expired[name] = (world.renewed_s, gone)
        return None


class TimeDoesNotGoBack(Rule):
    """Events come in order of time, and no kernel runs ahead of them."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._last_s = 0.0

    def event(self, event: Event) -> str | None:
        before_s, self._last_s = self._last_s, event.at_s
        if event.at_s < before_s:
            return f"{event.at_s:.3f} s came after {before_s:.3f} s"
        for each in self.look.world.deployments.values():
            if each.kernel.now_s > event.at_s + EPSILON:
                return f"the requests of {each.name} are at {each.kernel.now_s:.3f} s already"
        return None


class Converges(Rule):
    """After the last fault and the last order, and long enough before the end, every deployment runs what it wants."""

    SETTLED_S = 900.0

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._last_s = 0.0

    def event(self, event: Event) -> str | None:
        if event.priority == Priority.FAULT:
            self._last_s = event.at_s
        return None

    def deed(self, deed: Deed) -> str | None:
        self._last_s = deed.at_s
        return None

    def end(self, at_s: float) -> str | None:
        if at_s - self._last_s < self.SETTLED_S:
            return None
        stuck = [
            f"{each.name} runs {len(each.running)} of {each.wanted}"
            for each in self.look.world.everything()
            if self._stuck(each)
        ]
        return f"long after the last fault {'; '.join(stuck)}" if stuck else None

    def _stuck(self, deployment: SimDeployment) -> bool:
        """Too few where there is room for one more, or too many; where the controller is away nothing can be asked of it."""
        missing = deployment.wanted - len(deployment.running)
        room = self.look.world.cluster.fits(deployment.resources, deployment.owner)
        placed = any(each.node is not None and each not in deployment.running for each in deployment.live)
        return deployment.controlled and (missing < 0 or (missing > 0 and (room or placed)))


RULES_OF_SERVING: tuple[type[Rule], ...] = (
    NeverUnderTheMinimum,
    NeverOverTheBudget,
    NeverTooManyAtOnce,
    NothingLostByUs,
    EveryRequestIsSomewhere,
    CanaryEndsWithTheAgent,
    CapacityIsReal,
    TimeDoesNotGoBack,
    Converges,
)
