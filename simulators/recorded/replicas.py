"""The lives of replicas, as ticks saw them: how long they took to start and to stop, and which died.

Everything is seen at ticks only, so a moment between two of them is taken to be in the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from policies.observation import Deployment, ReplicaState

Rows = Sequence[tuple[float, Deployment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """So many running replicas were gone at `at_s`, and nobody had asked for it."""

    at_s: float
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Lives:
    """Of one deployment. Seconds are sorted."""

    starts_s: tuple[float, ...]
    stops_s: tuple[float, ...]
    deaths: tuple[Death, ...]


@dataclass
class _Life:
    born_s: float | None
    """None: before anybody looked."""
    state: ReplicaState
    stopping_s: float | None = None


@dataclass
class _Watch:
    starts_s: list[float] = field(default_factory=list)
    stops_s: list[float] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    lives: dict[str, _Life] = field(default_factory=dict)


def lives(rows: Rows, *, replaced: frozenset[str] = frozenset(), gap_s: float = float("inf")) -> Lives:
    """`replaced` are replicas that an order took away. What happened in gaps longer than `gap_s` is not known."""
    watch = _Watch()
    if rows:
        at_s, first = rows[0]
        watch.lives = {each.id: _Life(None, each.state) for each in first.replicas}
    for (before_s, before), (at_s, now) in pairwise(rows):
        if at_s - before_s > gap_s:
            watch.lives = {each.id: _Life(None, each.state) for each in now.replicas}
            continue
        _see(watch, (before_s, before), (at_s, now), replaced)
    return Lives(
        starts_s=tuple(sorted(watch.starts_s)), stops_s=tuple(sorted(watch.stops_s)), deaths=tuple(watch.deaths)
    )


def _see(
    watch: _Watch, last: tuple[float, Deployment], this: tuple[float, Deployment], replaced: frozenset[str]
) -> None:
    (before_s, before), (at_s, now) = last, this
    middle_s = (before_s + at_s) / 2
    # What is there because somebody asked for more began when the order was given: at the tick before.
    asked = now.replicas_wanted > before.replicas_wanted
    for each in now.replicas:
        life = watch.lives.get(each.id)
        if life is None:
            life = watch.lives[each.id] = _Life(before_s if asked else middle_s, ReplicaState.STARTING)
        _change(watch, life, each.state, middle_s)
    gone = watch.lives.keys() - {each.id for each in now.replicas}
    died = 0
    for replica in gone:
        life = watch.lives.pop(replica)
        if life.stopping_s is not None:
            watch.stops_s.append(middle_s - life.stopping_s)
        elif life.state is ReplicaState.RUNNING and replica not in replaced:
            died += 1
    # Some of those that are gone were wanted gone: a scale-down may begin and end between two ticks.
    died -= max(0, before.replicas_wanted - now.replicas_wanted)
    if died > 0:
        watch.deaths.append(Death(at_s=middle_s, replicas=died))


def _change(watch: _Watch, life: _Life, state: ReplicaState, middle_s: float) -> None:
    if state is life.state:
        return
    if life.state is ReplicaState.STARTING and state is ReplicaState.RUNNING and life.born_s is not None:
        watch.starts_s.append(max(0.0, middle_s - life.born_s))
    if state is ReplicaState.STOPPING:
        life.stopping_s = middle_s
    life.state = state
