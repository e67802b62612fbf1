"""The agent's clock: it never runs back and never leaps, whatever is done to the clock of its machine.

Two clocks are meant in this house. The civil clock is what `time.time()` shows: people, cron, other machines, rows and files go by it, and
somebody may set it. The agent's own clock goes on by the steady clock of the machine; `at_s` of everything that decides is in it.

1. While nobody sets the civil clock, both show the same.
2. Where the civil clock moves otherwise than the steady one by `STEP_S` or more, it was set: a `Step`. The agent's clock goes on as if it
   had not been, and is ahead of the civil one by so much more (or less) from then on.
3. A moment that the world gives is civil. It is read as the clock stood when it was shown: one from before a step by the difference of
   that time, also one that was shown by a clock which was ahead for a while and lies in the future of the one that is right again.
   `Border` does that for everything that passes a port, both ways, without loss.
4. A moment that the clock has shown twice is what it was taken for when it was met first; a new one is of the last time.

Reads no clock itself: both are handed in.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from agent.order import Order
from agent.ports import Actuator, Sensor, Trainer
from policies.action import Alert
from policies.observation import Observation

STEP_S = 2.0
"""Less than this is a clock that is being disciplined, not one that was set."""
GRAIN = 1024.0
"""Differences are whole parts of this many to the second, so that adding one to a moment and taking it away again loses nothing."""
SLEW_MAX = 500e-6
"""Of the time that passes a clock is disciplined by this part at most (adjtime(2)); what it is off by after a life is no step."""
STEPS_KEPT = 50
MET_MAX = 10_000
"""So many moments of earlier times are remembered."""
MOMENTS = ("at_s", "since_s", "until_s", "deadline_s")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The civil clock was set from `before_s` to `after_s`, when the agent's own showed `at_s`."""

    at_s: float
    before_s: float
    after_s: float


@dataclass(frozen=True, slots=True)
class _Frame:
    """From `civil_s` of the civil clock, and `own_s` of the agent's, on the agent's clock is ahead by `ahead_s`, until the civil one is set
    at `until_s`."""

    civil_s: float
    own_s: float
    ahead_s: float
    until_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How an agent's clock stood when the steady one of a machine, since its start `boot`, showed `steady_s`."""

    boot: str
    steady_s: float
    own_s: float
    frames: tuple[tuple[float | None, float | None, float, float | None], ...]
    """`_Frame`s, with None for what is infinite."""


class AgentClock:
    """`wall` shows civil time in POSIX seconds, `steady` seconds that nobody can set. It begins at `not_before_s` or later.

    `boot` names the start of the machine from which `steady` counts. Where that is the one of `kept`, the clock of a life before goes on:
    what was done to the civil one in the meantime is a step, and no time that has passed.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        steady: Callable[[], float],
        *,
        not_before_s: float = -math.inf,
        boot: str = "",
        kept: Kept | None = None,
    ) -> None:
        self._boot = boot
        self._wall, self._steady = wall, steady
        self._wall_s, self._steady_s = wall(), steady()
        self._own_s = self._wall_s
        self._frames = [_Frame(-math.inf, -math.inf, 0.0)]
        self._steps: list[Step] = []
        self._met: dict[float, float] = {}
        """Moments that an earlier frame showed and the last may show again: civil ones, and what they are on the agent's clock."""
        self._given: dict[float, float] = {}
        """Moments of the agent's clock that were shown by another frame than theirs, as by another machine, and what was given."""
        if kept is not None and boot and kept.boot == boot and kept.steady_s <= self._steady_s:
            self._go_on(kept)
        if not_before_s - self._wall_s - self.ahead_s >= STEP_S:
            self._step(not_before_s - self.ahead_s, not_before_s)
        self._own_s = max(not_before_s, self._wall_s + self.ahead_s)

    def _go_on(self, kept: Kept) -> None:
        passed_s = self._steady_s - kept.steady_s
        own_s = kept.own_s + passed_s
        self._frames = [_frame(each) for each in kept.frames]
        shown_s = own_s - self.ahead_s
        if abs(self._wall_s - shown_s) >= STEP_S + SLEW_MAX * passed_s:
            self._step(shown_s, own_s)

    def _step(self, shown_s: float, own_s: float) -> None:
        """At `own_s` the civil clock, which showed `shown_s`, is found to have been set."""
        self._steps.append(Step(at_s=own_s, before_s=shown_s, after_s=self._wall_s))
        self._begin_frame(shown_s, self._wall_s, own_s, own_s - self._wall_s)

    def kept(self) -> Kept:
        """How it stands, for a life that begins later on this machine."""
        frames = tuple((_or_none(f.civil_s), _or_none(f.own_s), f.ahead_s, _or_none(f.until_s)) for f in self._frames)
        return Kept(boot=self._boot, steady_s=self._steady_s, own_s=self._own_s, frames=frames)

    @property
    def untouched(self) -> bool:
        """Whether nobody has set the civil clock: then both show the same, and always have."""
        return len(self._frames) == 1

    @property
    def ahead_s(self) -> float:
        """By how much the agent's clock is ahead of the civil one; below zero where it is behind."""
        return self._frames[-1].ahead_s

    def now(self) -> float:
        """The agent's time: never less than at the call before."""
        wall_s, steady_s = self._wall(), self._steady()
        passed_s = max(0.0, steady_s - self._steady_s)
        set_by_s = wall_s - self._wall_s - passed_s
        if abs(set_by_s) >= STEP_S:
            before_s = self._wall_s + passed_s
            self._steps.append(Step(at_s=self._own_s + passed_s, before_s=before_s, after_s=wall_s))
            self._begin_frame(before_s, wall_s - passed_s, self._own_s, self.ahead_s - set_by_s)
        self._wall_s, self._steady_s = wall_s, steady_s
        self._own_s = max(self._own_s, wall_s + self.ahead_s)
        return self._own_s

    def steps(self) -> tuple[Step, ...]:
        """The steps that were noticed since the last call, each once."""
        steps, self._steps = tuple(self._steps), []
        return steps

    def own_s(self, civil_s: float) -> float:
        """The agent's time of a moment that the civil clock showed, or that another machine's did."""
        known_s = self._met.get(civil_s)
        if known_s is not None:
            return known_s
        frame = self._frame_of(civil_s)
        own_s = civil_s + frame.ahead_s
        if frame is not self._frames[-1] and civil_s >= self._frames[-1].civil_s:
            _remember(self._met, civil_s, own_s)
        if self.civil_s(own_s) != civil_s:
            _remember(self._given, own_s, civil_s)
        return own_s

    def _frame_of(self, civil_s: float) -> _Frame:
        """The last that showed it; else, since what is shown is seldom yet to come, the last by which it has been; else that of now."""
        now_s = self._wall_s + STEP_S  # what lies after now was shown before the clock was set back
        for frame in reversed(self._frames):
            if frame.civil_s <= civil_s <= min(frame.until_s, now_s if frame is self._frames[-1] else math.inf):
                return frame
        for frame in reversed(self._frames):
            if frame.civil_s <= civil_s <= self._own_s + STEP_S - frame.ahead_s:
                return frame
        return self._frames[-1]

    def civil_s(self, own_s: float) -> float:
        """What the civil clock showed at a moment of the agent's time; of one that the world gave, what it gave."""
        given_s = self._given.get(own_s)
        if given_s is not None:
            return given_s
        frame = next((each for each in reversed(self._frames) if own_s >= each.own_s), self._frames[0])
        return own_s - frame.ahead_s

    def _begin_frame(self, until_s: float, civil_s: float, own_s: float, ahead_s: float) -> None:
        """The clock showed `until_s`, and from now on `civil_s`."""
        taken_back = abs(ahead_s) < STEP_S / 2
        self._frames[-1] = replace(self._frames[-1], until_s=until_s)
        self._frames.append(_Frame(civil_s, own_s, 0.0 if taken_back else math.ceil(ahead_s * GRAIN) / GRAIN))
        del self._frames[:-STEPS_KEPT]


def _frame(kept: tuple[float | None, float | None, float, float | None]) -> _Frame:
    civil_s, own_s, ahead_s, until_s = kept
    return _Frame(
        -math.inf if civil_s is None else civil_s,
        -math.inf if own_s is None else own_s,
        ahead_s,
        math.inf if until_s is None else until_s,
    )


def _or_none(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


def _remember(moments: dict[float, float], key_s: float, value_s: float) -> None:
    moments[key_s] = value_s
    if len(moments) > MET_MAX:
        del moments[next(iter(moments))]


def told(step: Step) -> Alert:
    """What people read of `step`."""
    seconds = step.after_s - step.before_s
    way = "back" if seconds < 0 else "forward"
    text = (
        f"the clock of the agent's machine was set {way} by {abs(seconds):.0f} s; the agent's own goes on as before, so "
        "deadlines, budgets and cool-downs are as they were, and schedules and freeze windows go by the new time"
    )
    return Alert(subject="clock", text=text, severity="warning")


class Border:
    """A world by the civil clock, seen from an agent that has its own: the ports of the one, as the other wants them."""

    def __init__(self, clock: AgentClock, *, sensor: Sensor, actuator: Actuator, trainer: Trainer) -> None:
        self._clock = clock
        self._sensor = sensor
        self.actuator = _Crossing(clock, actuator)
        self.trainer = _Crossing(clock, trainer)

    def observe(self, at_s: float) -> Observation:
        """See `agent.ports.Sensor.observe`; `at_s` is the agent's own time."""
        seen = self._sensor.observe(self._clock.civil_s(at_s))
        if self._clock.untouched:
            return seen
        return replace(moved(seen, self._clock.own_s), at_s=at_s, clock_ahead_s=self._clock.ahead_s)


@dataclass(frozen=True)
class _Crossing:
    clock: AgentClock
    port: Actuator | Trainer

    def start(self, order: Order) -> None:
        """See `agent.ports.Actuator.start`."""
        self.port.start(order if self.clock.untouched else moved(order, self.clock.civil_s))


def is_moment(name: str) -> bool:
    """Whether a field of that name holds a moment, and not a length of time."""
    return name in MOMENTS or name.endswith(("_at_s", "_since_s"))


def moved(value: T, change: Callable[[float], float]) -> T:
    """`value` with every moment in it put through `change`: in dataclasses, mappings and tuples, however deep."""
    if is_dataclass(value) and not isinstance(value, type):
        changed: T = _moved_fields(value, change)
        return changed
    if isinstance(value, Mapping):
        return {key: moved(each, change) for key, each in value.items()}  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(moved(each, change) for each in value)  # type: ignore[return-value]
    return value


def _moved_fields(value: Any, change: Callable[[float], float]) -> Any:
    changed: dict[str, Any] = {}
    for name in [each.name for each in fields(value)]:
        held = getattr(value, name)
        if isinstance(held, float) and is_moment(name):
            changed[name] = change(held)
        elif isinstance(held, Mapping | tuple) or is_dataclass(held):
            changed[name] = moved(held, change)
    return replace(value, **changed) if changed else value
