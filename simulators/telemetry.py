"""What can be measured of a simulated deployment: windows of its kernel's counters, as late and as broken as the scenario wants.

A window is the later of two snapshots minus the earlier one. Snapshots are kept for as long as a window may reach back.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from policies.observation import Traffic, known
from simulators.request_counters import Counters
from simulators.windows import window_quantiles

ASKED = (0.5, 0.95, 0.99)
LATENCIES = ("latency_mean_s", "latency_p50_s", "latency_p95_s", "latency_p99_s")


Answer = tuple[Traffic | None, Mapping[int, Traffic]]
"""Traffic of a deployment, and by number of its replicas."""


@dataclass(kw_only=True)
class Telemetry:
    """`window_s` is how much is averaged over, `lag_s` how old the newest that can be seen is.

    `lost` gives nothing new, `nan` gives numbers that are none, `duplicated` repeats the last answer; faults switch them. So they do with
    `latency_nan` and `gauges_nan`, for those numbers only, with `stick`, after which gauges say what they last said, and with `silent`, the
    nodes whose metrics nobody can read.
    """

    window_s: float = 30.0
    lag_s: float = 0.0
    counts_lost_latencies: bool = False
    """Whether dropped, failed and timed-out requests count in the mean latency, as where a proxy measures."""
    by_replica: bool = True
    lost: bool = False
    nan: bool = False
    duplicated: bool = False
    latency_nan: bool = False
    gauges_nan: bool = False
    silent: set[str] = field(default_factory=set)
    _stuck: Mapping[str, Answer] = field(default_factory=dict)
    _history: dict[str, deque[Counters]] = field(default_factory=dict)
    _shown_s: dict[str, float] = field(default_factory=dict)
    """How new the newest was that was ever shown: nothing that was known is unknown again."""
    _last: dict[str, Answer] = field(default_factory=dict)

    def see(self, name: str, counters: Counters) -> None:
        """Keep a snapshot of a deployment, taken now."""
        history = self._history.setdefault(name, deque())
        if history and history[-1].at_s == counters.at_s:
            history.pop()
        history.append(counters)
        # What was shown last is kept until something newer may be shown, however late that is.
        newest_s = min(counters.at_s - self.lag_s, self._shown_s.get(name, counters.at_s))
        oldest_s = newest_s - self.window_s
        while len(history) > 2 and history[1].at_s <= oldest_s:
            history.popleft()

    def stick(self) -> None:
        """From now on nobody moves the gauges."""
        self._stuck = dict(self._last)

    def let_go(self) -> None:
        self._stuck = {}

    def read(self, name: str, at_s: float) -> Answer:
        """(traffic of the deployment, traffic by number of its replicas) as it can be seen at `at_s`."""
        if (self.lost or self.duplicated) and name in self._last:
            return self._last[name]
        answer = self._spoilt(name, self._measure(name, at_s))
        if not self.lost:
            self._last[name] = answer
        return (None, {}) if self.lost else answer

    def _spoilt(self, name: str, answer: Answer) -> Answer:
        """`answer`, with the numbers that the faults of now leave of it."""
        if not (self.latency_nan or self.gauges_nan or name in self._stuck):
            return answer
        traffic, replicas = answer
        held, held_replicas = self._stuck.get(name, (None, {}))
        spoilt = {number: self._one(each, held_replicas.get(number)) for number, each in replicas.items()}
        return (None if traffic is None else self._one(traffic, held)), spoilt

    def _one(self, traffic: Traffic, held: Traffic | None) -> Traffic:
        if held is not None:
            traffic = replace(traffic, ongoing=held.ongoing, queued=held.queued)
        if self.gauges_nan:
            traffic = replace(traffic, ongoing=known(math.nan), queued=known(math.nan))
        if self.latency_nan:
            unknown = dict.fromkeys(LATENCIES, known(math.nan))
            traffic = replace(traffic, **unknown)
        return traffic

    def before(self, name: str) -> Counters | None:
        """The snapshot before the newest."""
        history = self._history.get(name)
        return history[-2] if history is not None and len(history) > 1 else None

    def forget(self, name: str) -> None:
        self._history.pop(name, None)
        self._last.pop(name, None)
        self._shown_s.pop(name, None)

    def _measure(self, name: str, at_s: float) -> Answer:
        history = self._history.get(name)
        if not history:
            return None, {}
        until_s = max(at_s - self.lag_s, self._shown_s.get(name, 0.0))
        visible = [each for each in history if each.at_s <= until_s] if self.lag_s else history
        if len(visible) < 2:
            return None, {}
        newest = visible[-1]
        self._shown_s[name] = newest.at_s
        oldest = next(each for each in visible if each.at_s >= newest.at_s - self.window_s)
        if oldest is newest:
            oldest = visible[-2]
        replicas = self._replicas(oldest, newest) if self.by_replica else {}
        return self._traffic(oldest, newest), replicas

    def _traffic(self, old: Counters, new: Counters) -> Traffic:
        window_s = new.at_s - old.at_s
        completed, ended = new.completed - old.completed, new.ended - old.ended
        latency_s, measured = new.latency_sum_s - old.latency_sum_s, completed
        if self.counts_lost_latencies:
            latency_s += new.lost_latency_sum_s - old.lost_latency_sum_s
            measured = ended
        p50, p95, p99 = window_quantiles(new.sketch, old.sketch, ASKED)
        queued = (new.queued_integral - old.queued_integral) / window_s
        ongoing = (new.ongoing_integral - old.ongoing_integral) / window_s
        return Traffic(
            measured_at_s=new.at_s,
            window_s=window_s,
            requests=ended,
            errors=ended - completed,
            arrived=new.arrived - old.arrived,
            ongoing=self._number(ongoing + queued),
            queued=self._number(queued),
            latency_mean_s=self._number(latency_s / measured if measured else math.nan),
            latency_p50_s=self._number(p50),
            latency_p95_s=self._number(p95),
            latency_p99_s=self._number(p99),
        )

    def _replicas(self, old: Counters, new: Counters) -> dict[int, Traffic]:
        before = {int(number): row for row, number in enumerate(old.replicas.ids)}
        found: dict[int, Traffic] = {}
        window_s = new.at_s - old.at_s
        now = new.replicas
        for row, number in enumerate(now.ids.tolist()):
            was = before.get(number)
            completed = int(now.completed[row]) - (int(old.replicas.completed[was]) if was is not None else 0)
            errors = int(now.errors[row]) - (int(old.replicas.errors[was]) if was is not None else 0)
            latency_s = float(now.latency_sum_s[row]) - (
                float(old.replicas.latency_sum_s[was]) if was is not None else 0.0
            )
            ongoing = float(now.ongoing_integral[row]) - (
                float(old.replicas.ongoing_integral[was]) if was is not None else 0.0
            )
            found[number] = Traffic(
                measured_at_s=new.at_s,
                window_s=window_s,
                requests=completed,
                errors=errors,
                ongoing=self._number(ongoing / window_s),
                latency_mean_s=self._number(latency_s / completed if completed else math.nan),
            )
        return found

    def _number(self, value: float) -> float | None:
        """What the sensor makes of a raw number: one that is none is unknown."""
        return known(float(np.nan) if self.nan else value)
