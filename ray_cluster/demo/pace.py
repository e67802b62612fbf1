"""Pace: which rows go out with the next request, when, and which labels are due by then. Pure.

Rows keep the order of the stream and requests come evenly; the stream's own clock is that of the last row that was sent. A label is due
when that clock has passed the moment at which the world knew it.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows [first, last) of the stream, to be sent `at_s` seconds after the start. `labels` are rows whose label is due then."""

    at_s: float
    first: int
    last: int
    labels: tuple[int, ...]


@dataclass
class Pace:
    """Gives the batches of a stream one by one; a burst changes what comes after it is asked for.

    `at_s` and `label_at_s` are the stream's times by row, the first in order; a label that is never known has NaN.
    """

    at_s: npt.NDArray[np.float64]
    label_at_s: npt.NDArray[np.float64]
    requests_per_s: float
    rows_per_request: float
    _clock_s: float = field(default=0.0, init=False)
    _position: float = field(default=0.0, init=False)
    _labelled: int = field(default=0, init=False)
    _burst: tuple[float, float, float] | None = field(default=None, init=False)
    """(until when, factor of requests, factor of rows in a request)"""

    def __post_init__(self) -> None:
        known = np.flatnonzero(np.isfinite(self.label_at_s))
        self._due = known[np.argsort(self.label_at_s[known], kind="stable")]
        self._due_s = self.label_at_s[self._due]

    def burst(self, *, seconds: float, factor: float, rows: float) -> None:
        """From now on, for `seconds`: `factor` times as many requests, each of the part `rows` of its usual rows."""
        self._burst = (self._clock_s + seconds, factor, rows)

    def next(self) -> Batch | None:
        """The next batch, or None where the stream is played."""
        first = int(self._position)
        if first >= len(self.at_s):
            return None
        factor, rows = self._now()
        at_s = self._clock_s
        self._position += max(1.0, self.rows_per_request * rows)
        last = min(int(self._position), len(self.at_s))
        self._clock_s += 1.0 / (self.requests_per_s * factor)
        return Batch(at_s, first, last, self._labels_until(float(self.at_s[last - 1])))

    def rest(self) -> tuple[int, ...]:
        """Labels that were not due by the last row."""
        left = tuple(int(row) for row in self._due[self._labelled :])
        self._labelled = len(self._due)
        return left

    def _now(self) -> tuple[float, float]:
        if self._burst is None or self._clock_s >= self._burst[0]:
            return 1.0, 1.0
        return self._burst[1], self._burst[2]

    def _labels_until(self, stream_s: float) -> tuple[int, ...]:
        end = int(np.searchsorted(self._due_s, stream_s, side="right"))
        due = tuple(int(row) for row in self._due[self._labelled : end])
        self._labelled = max(self._labelled, end)
        return due
