"""Counters of a kernel as a test wants them."""

import numpy as np

from simulators.request_counters import Counters, ReplicaCounters
from simulators.sketch import FINE, sketch_of

_NONE = np.empty(0, dtype=np.int64)
_TEN_MS = sketch_of(np.array([0.01]), FINE)
_REPLICAS = ReplicaCounters(
    ids=_NONE,
    completed=_NONE,
    errors=_NONE,
    latency_sum_s=np.empty(0),
    ongoing=_NONE,
    ongoing_integral=np.empty(0),
    sketches=np.empty((0, 0), dtype=np.int32),
)


def counters(at_s: float, completed: int, *, failed: int = 0, latencies_s: np.ndarray | None = None) -> Counters:
    """`completed` answers and `failed` failures until `at_s`; with `latencies_s` they took those, else 10 ms each."""
    sketch = _TEN_MS * completed if latencies_s is None else sketch_of(latencies_s, FINE)
    taken_s = 0.01 * completed if latencies_s is None else float(latencies_s.sum())
    return Counters(
        at_s=at_s, arrived=completed + failed, sent=completed + failed, completed=completed, dropped=0, failed=failed,
        timed_out=0, late=0, latency_sum_s=taken_s, lost_latency_sum_s=0.0, queued=0, ongoing=0,
        queued_integral=0.0, ongoing_integral=0.0, sketch=sketch.astype(np.int32), replicas=_REPLICAS,
    )  # fmt: skip
