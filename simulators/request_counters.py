"""What a request kernel tells: cumulative counts of a deployment and of its replicas, and closed bins of its requests.

All counts run from the start. What happened between two moments is the later minus the earlier; the same holds for sketches.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.windows import fine_quantiles

_ASKED = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCounters:
    """Columns, one entry for each replica that is ready or draining; latencies are from being handed over to the answer.

    `completed` are all answers, `errors` those of them that were errors; `ongoing_integral` is in request-seconds since the replica
    was added; `sketches` has a coarse sketch in each row (see `simulators.sketch`).
    """

    ids: NDArray[np.int64]
    completed: NDArray[np.int64]
    errors: NDArray[np.int64]
    latency_sum_s: NDArray[np.float64]
    ongoing: NDArray[np.int64]
    ongoing_integral: NDArray[np.float64]
    sketches: NDArray[np.int64]

    def index(self, id: int) -> int | None:  # noqa: A002 - the word of the domain
        """Where a replica stands in the columns, None when it is not there."""
        found = np.flatnonzero(self.ids == id)
        return int(found[0]) if len(found) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """One deployment from its start until `at_s`.

    Each request is counted once in `arrived` and, at its end, in one of completed, dropped, failed, timed_out; `sent` counts attempts.
    `late` are the completed ones whose latency was over the SLO. Latencies run from the first arrival to the last outcome:
    `latency_sum_s` over the completed, `lost_latency_sum_s` over the others. `queued` wait for a replica, `ongoing` are held by one,
    both now; their integrals are in request-seconds. `sketch` holds the latencies of the completed.
    """

    at_s: float
    arrived: int
    sent: int
    completed: int
    dropped: int
    failed: int
    timed_out: int
    late: int
    latency_sum_s: float
    lost_latency_sum_s: float
    queued: int
    ongoing: int
    queued_integral: float
    ongoing_integral: float
    sketch: NDArray[np.int64]
    replicas: ReplicaCounters

    @property
    def ended(self) -> int:
        return self.completed + self.dropped + self.failed + self.timed_out

    @property
    def in_system(self) -> int:
        return self.arrived - self.ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The requests that first arrived in [begin_s, begin_s + width), with what became of them.

    Quantiles are over all of them, those that got no answer counting as infinitely late; NaN where none arrived. `unfinished` is 0 unless
    the bin was closed early. `sketch` (the completed ones) only where it was asked for.
    """

    begin_s: float
    arrived: int
    completed: int
    late: int
    dropped: int
    failed: int
    timed_out: int
    unfinished: int
    p50_s: float
    p95_s: float
    p99_s: float
    sketch: NDArray[np.int32] | None = None

    @property
    def violations(self) -> int:
        """Requests without an answer within the SLO."""
        return self.late + self.arrived - self.completed


def bin_of(begin_s: float, record: np.void, sketch: NDArray[np.int32], *, sketches: bool) -> Bin:
    """A bin from the kernel's record of it."""
    counts: dict[str, Any] = dict(zip(record.dtype.names or (), record.item(), strict=True))
    unfinished = counts.pop("open")
    p50_s, p95_s, p99_s = fine_quantiles(sketch, _ASKED, infinite=counts["arrived"] - counts["completed"])
    return Bin(
        begin_s=begin_s,
        unfinished=unfinished,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        sketch=sketch.copy() if sketches else None,
        **counts,
    )
