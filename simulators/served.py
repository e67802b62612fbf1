"""What a model is in the simulator: what its scenario says of it, its deployments, and who was sent where."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.order import Order
from policies.observation import Resources
from simulators.deployment import Lifecycle, SimDeployment
from simulators.learning import Learning, SimModel
from simulators.request_counters import Bin
from simulators.requests import RequestKernel

SERVER = "ModelServer"

Live = dict[float, tuple[int, int]]
"""Begin of a minute -> (requests that callers sent to a challenger, requests with the shadow's copies)."""


class Source(Protocol):
    """Arrivals of one stream: all that were not given yet and come before `until_s`, in seconds, ascending."""

    def until(self, until_s: float) -> NDArray[np.float64]: ...


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a scenario says of one model. `kernel` makes the request kernel of one slot from a seed."""

    name: str
    kernel: Callable[[np.random.SeedSequence], RequestKernel]
    source: Source
    lifecycle: Lifecycle
    replicas: int = 1
    min_replicas: int = 1
    max_replicas: int | None = None
    resources: Resources = field(default_factory=lambda: Resources(cpus=1.0))
    max_ongoing_requests: int = 5
    slo_latency_s: float | None = None
    learning: Learning | None = None
    marks: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None
    """Service seconds that come with each request, where the service takes them."""

    @property
    def deployment(self) -> str:
        return f"{self.name}/{SERVER}"


@dataclass(frozen=True, kw_only=True)
class Deed:
    """Something that an order did to the world, at the moment when it took effect."""

    at_s: float
    order: Order
    effect: str


@dataclass
class Served:
    """The parts of one model while the simulation runs."""

    spec: ModelSpec
    champion: SimDeployment
    stream: np.random.Generator
    challenger: SimDeployment | None = None
    model: SimModel | None = None
    share: float = 0.0
    shadow: float = 0.0
    lost_challenger_bins: list[Bin] = field(default_factory=list)
    live: Live = field(default_factory=dict)
    """Of the running challenger."""
    retiring: list[tuple[SimDeployment, Live]] = field(default_factory=list)
    """Challengers whose rollout is over and whose replicas still drain."""
    challengers_born: int = 0
    challengers_s: float = 0.0
    """Replica-seconds of the challengers that are gone."""
    offered: int = 0
    """Requests that callers have sent."""
    beside: int = 0
    """Of these, the ones that challengers were to answer."""
    copied: int = 0
    """Copies for the shadow."""
    challengers_arrived: int = 0
    """Requests and copies that reached challengers which are gone."""

    def slots(self) -> Iterator[SimDeployment]:
        """All deployments that there are, those that drain too."""
        yield self.champion
        if self.challenger is not None:
            yield self.challenger
        for each, _ in self.retiring:
            yield each

    def replica_s(self) -> float:
        return self.challengers_s + sum(each.replica_s() for each in self.slots())


def live_bins(challenger: SimDeployment, counted: Live, *, final: bool) -> list[Bin]:
    """A challenger's minutes without the shadow's copies, which are taken to fare as the others do."""
    found = []
    for each in challenger.kernel.closed_bins(final=final):
        live, sent = counted.get(each.begin_s, (0, 0))
        if live and sent:
            part = live / sent
            counts = {name: round(getattr(each, name) * part) for name in _COUNTS}
            found.append(replace(each, **counts))
    return found


_COUNTS = ("arrived", "completed", "late", "dropped", "failed", "timed_out", "unfinished")


def sums(live: Live) -> tuple[int, int]:
    return sum(a for a, _ in live.values()), sum(b for _, b in live.values())
