"""One simulated deployment: its replicas from start to end, as Serve's controller keeps them, around a request kernel.

Starting takes a place on a node and a cold start; stopping drains first and then takes `stop_s`. What was released stays warm for
`warm_s`, keeps its place, and is started again quickly. A dead replica is replaced once the controller has noticed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from policies.observation import ReplicaState, Resources
from simulators.cluster import Cluster
from simulators.engine import Engine, Event
from simulators.requests import RequestKernel

DRAIN_LOOK_S = 0.5
"""How often a draining replica is looked at."""

FAILED_START_LEAST_S = 0.1
"""To fail takes a moment: a start of no duration that always fails would be tried again at the same instant for ever."""


class Duration(Protocol):
    """Seconds that something takes, drawn from a stream."""

    def draw(self, stream: np.random.Generator) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """How long the steps of a replica's life take."""

    cold_start: Duration
    warm_start_s: float = 0.0
    warm_s: float = 0.0
    """How long a stopped replica stays warm and keeps its place; 0: not at all."""
    warm_look_s: float = 5.0
    stop_s: float = 0.0
    drains_in_place: bool = True
    """Whether a replica keeps its place until it has drained; else its place is free, or warm, from the moment it is told to stop."""
    drain_max_s: float = float("inf")
    capacity_retry_s: float = 5.0
    """A replica without a place looks for one so often."""
    restart_after_s: float = 1.0
    """Until the controller has noticed that a replica is dead."""
    start_failure_p: float = 0.0
    """Probability that a start fails at its end and is tried again."""


@dataclass(frozen=True)
class Slower:
    """A duration, times a factor."""

    inner: Duration
    factor: float

    def draw(self, stream: np.random.Generator) -> float:
        return self.factor * self.inner.draw(stream)


def slowed(lifecycle: Lifecycle, factor: float) -> Lifecycle:
    """`lifecycle` with cold starts that take `factor` times as long."""
    return lifecycle if factor == 1.0 else replace(lifecycle, cold_start=Slower(lifecycle.cold_start, factor))


@dataclass(kw_only=True)
class SimReplica:
    number: int
    id: str
    born_s: float
    version: str | None = None
    state: ReplicaState = ReplicaState.STARTING
    healthy: bool | None = True
    node: str | None = None
    since_s: float | None = None
    """Since when it runs."""
    pending: Event | None = None
    slowness: float = 1.0
    """How much longer it works on a request, by its own fault; infinite: it hangs."""


@dataclass(kw_only=True)
class Warm:
    """A stopped replica that keeps its place."""

    node: str
    until_s: float


@dataclass
class SimDeployment:
    """`name` is "application/deployment"."""

    name: str
    kernel: RequestKernel
    engine: Engine
    cluster: Cluster
    resources: Resources
    lifecycle: Lifecycle
    stream: np.random.Generator
    owner: str = ""
    """The model that it serves, for quotas."""
    version: str | None = None
    wanted: int = 0
    controlled: bool = True
    """False while the controller is away: nothing is started, stopped or replaced."""
    removed: bool = False
    fails_to_start: Callable[[SimReplica], bool] = lambda replica: False
    message: str = ""
    replicas: dict[str, SimReplica] = field(default_factory=dict)
    warm: list[Warm] = field(default_factory=list)
    emptied: Callable[[], None] = lambda: None
    """Told whenever no replica is left."""
    crashed_requests: int = 0
    """Requests that were held by a replica when it died, or was cut off after draining for as long as it may."""
    restarts: int = 0
    failed_starts: int = 0
    """Starts that failed since the last that did not."""
    born: int = 0
    """Replicas that were ever begun; the number of the last."""
    _looking: bool = False
    _replica_s: float = 0.0
    _counted_s: float = 0.0

    # -- what is wanted ------------------------------------------------------------------------------------------

    def scale(self, replicas: int) -> None:
        """Want `replicas`; what follows takes its time."""
        self.wanted = replicas
        self.reconcile()

    def reconcile(self) -> None:
        """Start what is missing, stop what is too much."""
        if not self.controlled:
            return
        live = self.live
        for _ in range(self.wanted - len(live)):
            self._begin()
        for replica in self._victims(len(live) - self.wanted):
            self.stop(replica)

    def restart(self, id: str) -> None:  # noqa: A002 - the word of the domain
        """Replace one replica: it takes no new request, and another is started in its place."""
        if self.move(id):
            self.restarts += 1

    def move(self, id: str) -> bool:  # noqa: A002
        """As `restart`, but not counted: its node will be gone. False where there is no such replica to stop."""
        replica = self.replicas.get(id)
        if replica is None or replica.state is ReplicaState.STOPPING:
            return False
        self.stop(replica)
        self.reconcile()
        return True

    def hold_no_warm(self, node: str | None = None) -> None:
        """Give the warm places back at once: those on `node`, or all."""
        for kept in [kept for kept in self.warm if node in (None, kept.node)]:
            self._cool(kept)

    @property
    def live(self) -> list[SimReplica]:
        """Replicas that start or run."""
        return [r for r in self.replicas.values() if r.state is not ReplicaState.STOPPING]

    @property
    def running(self) -> list[SimReplica]:
        return [r for r in self.replicas.values() if r.state is ReplicaState.RUNNING]

    def replica_s(self) -> float:
        """Replica-seconds that were wanted and held a place, until now."""
        self.count()
        return self._replica_s

    def count(self) -> None:
        """Add up what was held since the last change."""
        now_s = self.engine.now_s
        held = sum(1 for r in self.replicas.values() if r.node is not None)
        self._replica_s += held * (now_s - self._counted_s)
        self._counted_s = now_s

    # -- a replica's life ----------------------------------------------------------------------------------------

    def _victims(self, count: int) -> list[SimReplica]:
        """Whom to stop: those that do not run yet first, then the youngest."""
        order = sorted(self.live, key=lambda r: (r.state is ReplicaState.RUNNING, -r.number))
        return order[: max(0, count)]

    def _begin(self) -> SimReplica:
        self.count()
        replica = self._made()
        if self.warm:
            replica.node = self.warm.pop().node
            self._ready_after(replica, self.lifecycle.warm_start_s)
        else:
            self._find_place(replica)
        return replica

    def begin_running(self) -> None:
        """A replica that runs already, with its place; where none is free it starts as any other."""
        self.count()
        node = self.cluster.take(self.resources, self.owner)
        replica = self._begin() if node is None else self._made()
        if node is not None:
            replica.node = node
            self._ready(replica)

    def _made(self) -> SimReplica:
        self.born += 1
        replica = SimReplica(
            number=self.born, id=f"{self.name}#{self.born}", born_s=self.engine.now_s, version=self.version
        )
        self.replicas[replica.id] = replica
        return replica

    def _find_place(self, replica: SimReplica) -> None:
        self.count()
        replica.node = self.cluster.take(self.resources, self.owner)
        if replica.node is None:
            retry_s = self.lifecycle.capacity_retry_s
            name = f"{replica.id} looks for a place"
            replica.pending = self.engine.after(retry_s, name, lambda: self._find_place(replica))
        else:
            self._ready_after(replica, self.lifecycle.cold_start.draw(self.stream))

    def _ready_after(self, replica: SimReplica, seconds: float) -> None:
        replica.pending = self.engine.after(seconds, f"{replica.id} is ready", lambda: self._ready(replica))

    def _ready(self, replica: SimReplica) -> None:
        failed = self.fails_to_start(replica)
        if failed or (self.lifecycle.start_failure_p and self.stream.random() < self.lifecycle.start_failure_p):
            self.message = f"{replica.id} failed to start"
            self.failed_starts += 1
            self._ready_after(replica, max(FAILED_START_LEAST_S, self.lifecycle.cold_start.draw(self.stream)))
            return
        self.catch_up()
        self.message, self.failed_starts = "", 0
        replica.pending = None
        replica.state = ReplicaState.RUNNING
        replica.since_s = self.engine.now_s
        self.kernel.add_replica(replica.number)
        if replica.node is not None and self.cluster.nodes[replica.node].slowness != 1.0:
            self._set_pace(replica)

    def stop(self, replica: SimReplica) -> None:
        """Take its requests away gently; a replica that does not run yet is dropped at once."""
        if replica.pending is not None:
            replica.pending.cancelled = True
        if replica.state is ReplicaState.STARTING:
            self._drop(replica)
            return
        self.catch_up()
        replica.state = ReplicaState.STOPPING
        self.kernel.drain_replica(replica.number)
        if not self.lifecycle.drains_in_place:
            self.count()
            self._leave(replica, warm=True)
        if self.lifecycle.drain_max_s != float("inf"):
            self.engine.after(
                self.lifecycle.drain_max_s, f"{replica.id} has drained long enough", lambda: self._cut(replica)
            )
        self._look_later()

    def crash(self, replica: SimReplica) -> None:
        """It dies with all that it holds. The controller replaces it once it has noticed."""
        if replica.id not in self.replicas:
            return
        if replica.pending is not None:
            replica.pending.cancelled = True
        self.catch_up()
        if replica.state is not ReplicaState.STARTING:
            self._kill(replica)
        self._release(replica, warm=False)
        self.engine.after(
            self.lifecycle.restart_after_s, f"the controller sees that {replica.id} is dead", self.reconcile
        )

    def _kill(self, replica: SimReplica) -> None:
        """What it holds fails with it, at once or when its caller hears of it; nothing happens where it has drained already."""
        if replica.number in self.kernel.replicas():
            held = self.kernel.snapshot().replicas
            row = held.index(replica.number)
            self.crashed_requests += int(held.ongoing[row]) if row is not None else 0
            self.kernel.remove_replica(replica.number, lose=True)

    def slow(self, replica: SimReplica, slowness: float) -> None:
        """It works `slowness` times as long on each request from now on; infinite: it hangs."""
        self.catch_up()
        replica.slowness = slowness
        self._set_pace(replica)

    def set_pace(self) -> None:
        """Let every replica work as fast as it and its node can."""
        for replica in self.replicas.values():
            self._set_pace(replica)

    def _set_pace(self, replica: SimReplica) -> None:
        if replica.number in self.kernel.replicas():
            node = self.cluster.nodes[replica.node].slowness if replica.node is not None else 1.0
            self.kernel.set_speed(replica.number, replica.slowness * node)

    def catch_up(self) -> None:
        """Let the requests come up to now. Replaced by the world, which knows the arrivals."""

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            self.engine.after(DRAIN_LOOK_S, f"{self.name} looks at what drains", self._look)

    def _look(self) -> None:
        self._looking = False
        self.catch_up()
        done = set(self.kernel.drained())
        for replica in list(self.replicas.values()):
            if replica.state is ReplicaState.STOPPING and replica.number in done:
                name = f"{replica.id} is stopped"
                self.engine.after(self.lifecycle.stop_s, name, lambda r=replica: self._release(r, warm=True))  # type: ignore[misc]
        if any(r.state is ReplicaState.STOPPING and r.number in self.kernel.replicas() for r in self.replicas.values()):
            self._look_later()

    def _cut(self, replica: SimReplica) -> None:
        """It has drained for as long as it may; what it still holds fails, as with Serve's graceful shutdown time-out."""
        if replica.id in self.replicas:
            self.catch_up()
            if replica.number in self.kernel.replicas():
                self._kill(replica)
                self._release(replica, warm=False)

    def _drop(self, replica: SimReplica) -> None:
        self._release(replica, warm=False)

    def _release(self, replica: SimReplica, *, warm: bool) -> None:
        if self.replicas.pop(replica.id, None) is None:
            return
        self._account(replica)
        self._leave(replica, warm=warm)
        if not self.replicas:
            self.emptied()

    def _leave(self, replica: SimReplica, *, warm: bool) -> None:
        """Its place is no longer its own."""
        node, replica.node = replica.node, None
        if node is None:
            return
        # Nothing stays warm where nothing is wanted any more, or on a node that is to go.
        stays = warm and self.lifecycle.warm_s > 0 and not self.removed
        if stays and not self.cluster.nodes[node].draining:
            self._keep_warm(node)
        else:
            self.cluster.give_back(node, self.resources, self.owner)

    def _account(self, replica: SimReplica) -> None:
        self.replicas[replica.id] = replica
        self.count()
        del self.replicas[replica.id]

    def _keep_warm(self, node: str) -> None:
        kept = Warm(node=node, until_s=self.engine.now_s + self.lifecycle.warm_s)
        self.warm.append(kept)
        # Looked at every so often, so that a place is free a little after its time.
        look_s = self.lifecycle.warm_look_s
        due_s = np.ceil(kept.until_s / look_s) * look_s
        self.engine.at(float(due_s), f"{self.name} lets a warm place go", lambda: self._cool(kept))

    def _cool(self, kept: Warm) -> None:
        if kept in self.warm:
            self.warm.remove(kept)
            self.cluster.give_back(kept.node, self.resources, self.owner)
