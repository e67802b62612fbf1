"""Latency quantiles in constant memory: a log-linear histogram, as HdrHistogram's, read off the bits of the float.

Each power of two between `LOWEST_S` and `HIGHEST_S` is cut into equal buckets: 256 in a fine sketch (a quantile is off by at most
0.4 %), 32 in a coarse one (3.2 %, for single replicas). A sketch is a plain array of counts: two of one length are merged by
adding, and the requests between two moments are the later minus the earlier. What is counted from the start of a run takes 64 bits, what is
counted for a minute 32. Shares beyond a limit (an SLO) are counted exactly
elsewhere, not read from here.
"""

import math

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import compiled

Counts = NDArray[np.int64]

FINE_BITS, COARSE_BITS = 8, 5
LOWEST_EXPONENT, HIGHEST_EXPONENT = -14, 12
LOWEST_S, HIGHEST_S = 2.0**LOWEST_EXPONENT, 2.0**HIGHEST_EXPONENT
OCTAVES = HIGHEST_EXPONENT - LOWEST_EXPONENT
FINE, COARSE = OCTAVES * 2**FINE_BITS + 2, OCTAVES * 2**COARSE_BITS + 2
"""Lengths: the first bucket takes what is below the range, the last what is above it."""

_MANTISSA_BITS = 52
_EXPONENT_BIAS = 1023


@compiled
def bucket(latency_s: float, precision: int) -> int:
    """Which bucket of a sketch with 2^precision buckets for each power of two."""
    if latency_s < LOWEST_S:
        return 0
    if latency_s >= HIGHEST_S:
        return OCTAVES * (1 << precision) + 1
    leading = np.float64(latency_s).view(np.int64) >> (_MANTISSA_BITS - precision)
    return leading - ((_EXPONENT_BIAS + LOWEST_EXPONENT) << precision) + 1


def lower_edges(length: int) -> NDArray[np.float64]:
    """Where each bucket begins, and after the last one where the range ends, twice."""
    per_octave = (length - 2) // OCTAVES
    within = 1.0 + np.arange(per_octave) / per_octave
    powers = 2.0 ** np.arange(LOWEST_EXPONENT, HIGHEST_EXPONENT)
    return np.concatenate([[0.0], (powers[:, None] * within).ravel(), [HIGHEST_S, HIGHEST_S]])


_EDGES = {length: lower_edges(length) for length in (FINE, COARSE)}


def quantiles(counts: NDArray[np.integer], wanted: tuple[float, ...], *, infinite: int = 0) -> tuple[float, ...]:
    """Quantiles in seconds, for `wanted` in 0..1; NaN when nothing was counted.

    `infinite` requests count as later than all others (dropped, failed): a quantile that falls among them is inf. Within a bucket
    the rank is interpolated, so the error is at most the width of one bucket.
    """
    edges = _EDGES.get(len(counts))
    if edges is None:
        raise ValueError(f"a sketch has {FINE} or {COARSE} buckets, not {len(counts)}")
    if any(not 0 <= q <= 1 for q in wanted):
        raise ValueError(f"quantiles must be in 0..1, not {wanted}")
    upto = np.cumsum(counts, dtype=np.int64)
    finite = int(upto[-1])
    if finite + infinite == 0:
        return (math.nan,) * len(wanted)
    ranks = [q * (finite + infinite) for q in wanted]
    return tuple(_at_rank(rank, upto, edges) if rank <= finite and finite else math.inf for rank in ranks)


def _at_rank(rank: float, upto: Counts, edges: NDArray[np.float64]) -> float:
    # rank 0 is the lower end of the first bucket that holds anything
    place = int(np.searchsorted(upto, rank)) if rank > 0 else int(np.searchsorted(upto, 0, side="right"))
    before = int(upto[place - 1]) if place else 0
    share = (rank - before) / (int(upto[place]) - before)
    low, high = float(edges[place]), float(edges[place + 1])
    return low + share * (high - low)


def sketch_of(latencies_s: NDArray[np.float64], length: int = FINE) -> Counts:
    """The sketch of an array of latencies, as the compiled insertion would have made it."""
    places = np.searchsorted(_EDGES[length], latencies_s, side="right") - 1
    return np.bincount(np.minimum(places, length - 1), minlength=length).astype(np.int64)
