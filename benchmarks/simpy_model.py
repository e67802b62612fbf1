"""One job of the public protocol in SimPy, written as its manual teaches: a process for each request, replica and dispatcher.

It is what the request kernel is measured against, in speed and in what it says. Mechanics are those of `benchmarks.faro_protocol`: a
router that handles one thing at a time, once each way; a queue that drops what finds more than `QUEUED` waiting; a dispatcher that
holds one more and goes round the replicas that hold fewer than `HELD`; replicas that serve one request at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy

from benchmarks.faro_protocol import ROUTER, SERVICE

QUEUED, HELD = 50, 4

Steps = Iterator[simpy.Event]


@dataclass
class Job:
    """`latencies_s` of all requests that have ended, by moment of their end; infinite: it was dropped."""

    env: simpy.Environment
    replicas: int
    random: np.random.Generator
    latencies_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.router = simpy.Resource(self.env, capacity=1)
        self.queue: simpy.Store = simpy.Store(self.env)
        self.stores = [simpy.Store(self.env) for _ in range(self.replicas)]
        self.held = [0] * self.replicas
        self.next = 0
        self.freed = self.env.event()
        self.env.process(self.dispatch())
        for number in range(self.replicas):
            self.env.process(self.serve(number))

    def arrive(self, arrivals_s: Sequence[float]) -> Steps:
        for at_s in arrivals_s:
            yield self.env.timeout(at_s - self.env.now)
            self.env.process(self.request())

    def request(self) -> Steps:
        arrived_s = self.env.now
        yield from self.route()
        if len(self.queue.items) > QUEUED:
            self.latencies_s.append(float("inf"))
            return
        served = self.env.event()
        self.queue.put(served)
        yield served
        yield from self.route()
        self.latencies_s.append(self.env.now - arrived_s)

    def route(self) -> Steps:
        with self.router.request() as turn:
            yield turn
            yield self.env.timeout(self.lognormal_s(ROUTER))

    def dispatch(self) -> Steps:
        while True:
            served = yield self.queue.get()
            while (number := self.free()) is None:
                self.freed = self.env.event()
                yield self.freed
            self.held[number] += 1
            self.stores[number].put(served)

    def free(self) -> int | None:
        for step in range(self.replicas):
            number = (self.next + step) % self.replicas
            if self.held[number] < HELD:
                self.next = number + 1
                return number
        return None

    def serve(self, number: int) -> Steps:
        while True:
            served = yield self.stores[number].get()
            yield self.env.timeout(self.lognormal_s(SERVICE))
            self.held[number] -= 1
            served.succeed()
            if not self.freed.triggered:
                self.freed.succeed()

    def lognormal_s(self, law: dict[str, object]) -> float:
        return float(law["shift_s"] + law["scale_s"] * np.exp(law["shape"] * self.random.standard_normal()))  # type: ignore[operator]


def play(arrivals_s: Sequence[Sequence[float]], replicas: int, until_s: float, seed: int = 1) -> list[Job]:
    """Every job of `arrivals_s` with `replicas` replicas each, in one environment, until `until_s`."""
    env = simpy.Environment()
    streams = np.random.default_rng(seed).spawn(len(arrivals_s))
    jobs = [Job(env, replicas, stream) for stream in streams]
    for job, each in zip(jobs, arrivals_s, strict=True):
        env.process(job.arrive(each))
    env.run(until=until_s)
    return jobs
