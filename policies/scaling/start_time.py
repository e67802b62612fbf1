"""How long replicas take to start, learned by watching them."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.observation import Deployment, Replica, ReplicaState
from policies.parameters import positive


@dataclass(slots=True)
class _Birth:
    """Since when a replica starts, and since when it has a node to start on; None while it looks for one."""

    born_s: float
    placed_s: float | None


@dataclass(kw_only=True)
class StartTime:
    """One deployment's start times, over its last `window` starts.

    A start has two parts: waiting for a place, while another replica has yet to leave, and coming up once it has a node. Orders follow
    looks, so a new replica was begun at the look before; what else changed between two looks is taken to have changed halfway.
    """

    window: int = 20
    _starting: dict[str, _Birth] = field(default_factory=dict, init=False, repr=False)
    _up_s: deque[float] = field(init=False, repr=False)
    _wait_s: deque[float] = field(init=False, repr=False)
    _looked_s: float | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(window=self.window)
        self._up_s, self._wait_s = deque(maxlen=self.window), deque(maxlen=self.window)

    def see(self, deployment: Deployment, at_s: float) -> None:
        """Take in the replicas of one look."""
        before_s = self._looked_s if self._looked_s is not None else at_s
        halfway_s = (before_s + at_s) / 2
        self._looked_s = at_s
        still: dict[str, _Birth] = {}
        for replica in deployment.replicas:
            birth = self._starting.get(replica.id)
            if replica.state is ReplicaState.STARTING:
                still[replica.id] = self._follow(birth, replica, before_s, halfway_s)
            elif replica.state is ReplicaState.RUNNING and birth is not None:
                placed_s = birth.placed_s if birth.placed_s is not None else birth.born_s
                self._up_s.append(halfway_s - placed_s)
        self._starting = still

    def _follow(self, birth: _Birth | None, replica: Replica, before_s: float, halfway_s: float) -> _Birth:
        if birth is None:
            return _Birth(before_s, before_s if replica.node is not None else None)
        if birth.placed_s is None and replica.node is not None:
            birth.placed_s = halfway_s
            self._wait_s.append(halfway_s - birth.born_s)
        return birth

    def remaining_s(self, at_s: float, up_s: float, wait_s: float) -> list[float]:
        """Seconds until each starting replica runs, soonest first, where coming up takes `up_s` and finding a place `wait_s`.

        What is overdue is believed to take as much longer as it already is late: nobody knows, and to say "now" again and again is wrong.
        """
        return sorted(_remaining(birth, at_s, up_s, wait_s) for birth in self._starting.values())

    def slowest_so_far_s(self, at_s: float) -> float:
        """How long the slowest that comes up now has taken so far; 0 where none does. Who comes next will hardly be faster."""
        return max((at_s - each.placed_s for each in self._starting.values() if each.placed_s is not None), default=0.0)

    @property
    def up_s(self) -> float | None:
        """Seconds from having a node to running, the median; None before the first start."""
        return _median(self._up_s)

    @property
    def wait_s(self) -> float | None:
        """Seconds of looking for a place, the median over those that had to; None where none had to."""
        return _median(self._wait_s)


def _remaining(birth: _Birth, at_s: float, up_s: float, wait_s: float) -> float:
    if birth.placed_s is None:
        return abs(wait_s - (at_s - birth.born_s)) + up_s
    return abs(up_s - (at_s - birth.placed_s))


def _median(values: Iterable[float]) -> float | None:
    found = sorted(values)
    return found[len(found) // 2] if found else None
