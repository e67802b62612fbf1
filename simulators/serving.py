"""Requests on their way: one kernel per deployment, a champion's and a challenger's where a rollout runs, and what faults switch."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from simulators.cluster import Cluster
from simulators.deployment import SimDeployment, slowed
from simulators.engine import Engine, Priority
from simulators.learning import LOOK_S
from simulators.mishaps import about
from simulators.request_counters import Bin
from simulators.served import ModelSpec, Served, live_bins, sums

TABLE_LIFE_S = 30.0
"""Challengers get traffic for so long after the agent last renewed it, as with the traffic tables of a real cluster."""
_NOTHING = np.empty(0)


class Serving:
    """The part of the world that serves. Traffic goes to challengers only for `table_life_s` after the last `renew`."""

    def __init__(
        self,
        *,
        engine: Engine,
        cluster: Cluster,
        models: Iterable[ModelSpec],
        seed: np.random.SeedSequence,
        table_life_s: float = TABLE_LIFE_S,
    ) -> None:
        self.engine = engine
        self.cluster = cluster
        self.network_delay_s = 0.0
        self.controlled = True
        self.slower_starts = 1.0
        self.renewed_s = 0.0
        self.table_life_s = table_life_s
        self.serves: list[Callable[[Served], None]] = []
        """Told whenever another version answers for a model."""
        self._seed = seed
        self._asked: Counter[tuple[str, ...]] = Counter()
        self.served: dict[str, Served] = {}
        self.deployments: dict[str, SimDeployment] = {}
        for spec in models:
            self._add(spec)

    # -- setting up ----------------------------------------------------------------------------------------------

    def _child(self, *names: str) -> np.random.SeedSequence:
        """A seed of its own for each cause, by its name: what one model does shifts the draws of no other."""
        self._asked[names] += 1
        key = (*map(_numbered, names), self._asked[names])
        return np.random.SeedSequence(entropy=self._seed.entropy, spawn_key=(*self._seed.spawn_key, *key))

    def _add(self, spec: ModelSpec) -> None:
        champion = self._deployment(spec, spec.deployment)
        served = Served(spec=spec, champion=champion, stream=np.random.default_rng(self._child("shares", spec.name)))
        if spec.learning is not None:
            served.model = spec.learning.model(spec.name, self._child("learning", spec.name))
            champion.version = "1"
        self.served[spec.name] = served
        champion.catch_up = lambda: self._advance(served)  # type: ignore[method-assign]
        self._run_at_once(champion, spec.replicas)
        if served.model is not None:
            name = f"what {spec.name} answered is looked at"
            self.engine.every(LOOK_S, name, lambda: self.look(served), Priority.WORLD, first_s=LOOK_S)

    def _deployment(self, spec: ModelSpec, name: str) -> SimDeployment:
        made = SimDeployment(
            name=name,
            owner=spec.name,
            kernel=spec.kernel(self._child("requests", name)),
            engine=self.engine,
            cluster=self.cluster,
            resources=spec.resources,
            lifecycle=slowed(spec.lifecycle, self.slower_starts),
            stream=np.random.default_rng(self._child("replicas", name)),
            controlled=self.controlled,
        )
        made.kernel.network_delay_s = self.network_delay_s
        self.deployments[name] = made
        return made

    @staticmethod
    def _run_at_once(deployment: SimDeployment, replicas: int) -> None:
        """The replicas with which a scenario begins run from its first moment."""
        deployment.wanted = replicas
        for _ in range(replicas):
            deployment.begin_running()

    def everything(self) -> Iterator[SimDeployment]:
        """All deployments, also those whose rollout is over and that drain."""
        for served in self.served.values():
            yield from served.slots()

    # -- what faults switch --------------------------------------------------------------------------------------

    def control(self, there: bool) -> None:
        """The controller goes away or comes back; it then does what was wanted meanwhile."""
        self.controlled = there
        for deployment in list(self.everything()):
            deployment.controlled = there
            deployment.reconcile()

    def delay(self, seconds: float) -> None:
        """Every answer takes so much longer from now on."""
        self.catch_up()
        self.network_delay_s = seconds
        for deployment in self.everything():
            deployment.kernel.network_delay_s = seconds

    def slow_starts(self, factor: float) -> None:
        """Cold starts take `factor` times as long from now on."""
        self.slower_starts = factor
        for served in self.served.values():
            for deployment in served.slots():
                deployment.lifecycle = slowed(served.spec.lifecycle, factor)

    def crowd(self, node: str, factor: float) -> None:
        """What runs on `node`, and what will, works `factor` times as long from now on: something else is busy there."""
        self.catch_up()
        self.cluster.nodes[node].slowness = factor
        for deployment in self.everything():
            deployment.set_pace()

    def renew(self, at_s: float) -> None:
        """The agent lives: challengers keep their traffic."""
        self.renewed_s = at_s

    # -- requests ------------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Let all requests come up to now."""
        for served in self.served.values():
            self._advance(served)

    def _advance(self, served: Served) -> None:
        now_s = self.engine.now_s
        if served.champion.kernel.now_s < now_s:
            with about("models", served.spec.name):
                self._play(served, now_s)

    def _play(self, served: Served, now_s: float) -> None:
        arrivals = served.spec.source.until(now_s)
        served.offered += len(arrivals)
        marks = served.spec.marks(arrivals) if served.spec.marks is not None else None
        for retiring, _ in served.retiring:
            retiring.kernel.advance(_NOTHING, now_s)
        if served.challenger is None:
            served.champion.kernel.advance(arrivals, now_s, marks)
            return
        # Two numbers for each request, whatever the pieces in which requests come: how a run is cut changes nothing.
        drawn = served.stream.random((len(arrivals), 2))
        fresh = self._in_the_table(served, arrivals)
        theirs = (drawn[:, 0] < served.share) & fresh
        copied = ~theirs & (drawn[:, 1] < served.shadow) & fresh
        beside = theirs | copied
        served.champion.kernel.advance(arrivals[~theirs], now_s, marks[~theirs] if marks is not None else None)
        served.challenger.kernel.advance(arrivals[beside], now_s, marks[beside] if marks is not None else None)
        served.beside += int(np.sum(theirs))
        served.copied += int(np.sum(copied))
        self._count_live(served, arrivals[theirs], arrivals[copied])

    def _in_the_table(self, served: Served, arrivals: NDArray[np.float64]) -> NDArray[np.bool_]:
        """When a challenger may get requests, as on a cluster: from when it can serve, until nobody renews the table any more."""
        rollout = served.model.rollout if served.model is not None else None
        ready = rollout is not None and rollout.ready
        return (arrivals <= self.renewed_s + self.table_life_s) & ready

    @staticmethod
    def _count_live(served: Served, live: NDArray[np.float64], copies: NDArray[np.float64]) -> None:
        for minute in np.unique(np.floor(np.concatenate([live, copies]) / 60.0) * 60.0):
            was = served.live.get(float(minute), (0, 0))
            sent = int(np.sum((live >= minute) & (live < minute + 60)))
            more = int(np.sum((copies >= minute) & (copies < minute + 60)))
            served.live[float(minute)] = (was[0] + sent, was[1] + sent + more)

    def look(self, served: Served) -> None:
        """Tell the model what was answered until now, whether or not an agent looks."""
        self._advance(served)
        if served.model is None:
            return
        beside = served.challenger
        served.model.counted(
            self.engine.now_s,
            served.champion.kernel.snapshot(),
            beside.kernel.snapshot() if beside is not None else None,
            sums(served.live),
        )

    # -- what became of the requests -----------------------------------------------------------------------------

    def closed_bins(self, name: str, *, final: bool = False) -> tuple[list[Bin], list[Bin]]:
        """(the champion's minutes, the challenger's with the callers' own requests only) that were closed since the last time."""
        served = self.served[name]
        champion = served.champion.kernel.closed_bins(final=final)
        theirs, served.lost_challenger_bins = served.lost_challenger_bins, []
        if served.challenger is not None:
            theirs += live_bins(served.challenger, served.live, final=final)
        for challenger, live in served.retiring if final else ():
            theirs += live_bins(challenger, live, final=final)
        return champion, theirs


def _numbered(name: str) -> int:
    return crc32(name.encode())
