"""Quantiles of what was counted between two sketches, compiled: they are read for every deployment at every tick and every minute."""

import math

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import cached, fingerprint
from simulators.sketch import FINE, lower_edges

_VERSION = fingerprint("windows", "sketch")
_EDGES = lower_edges(FINE)
_EMPTY = np.zeros(FINE, np.int64)


@cached
def _at_ranks(new, old, infinite, edges, wanted, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917 - compiled code takes no keywords
    """Fill `out` with the quantiles `wanted` (ascending) of new - old, interpolated within a bucket; NaN where nothing was counted.

    `infinite` more count as later than all others.
    """
    _ = _VERSION
    total = infinite
    for place in range(len(new)):
        total += new[place] - old[place]
    out[:] = math.inf if total > 0 else math.nan
    if total == 0:
        return
    seen, asked = 0, 0
    for place in range(len(new)):
        count = new[place] - old[place]
        if count == 0:
            continue
        while asked < len(wanted) and wanted[asked] * total <= seen + count:
            share = (wanted[asked] * total - seen) / count
            out[asked] = edges[place] + share * (edges[place + 1] - edges[place])
            asked += 1
        seen += count


def window_quantiles(
    new: NDArray[np.integer], old: NDArray[np.integer], wanted: tuple[float, ...]
) -> tuple[float, ...]:
    """Quantiles in seconds of the requests counted in `new` and not yet in `old`, two fine sketches of one deployment."""
    out = np.empty(len(wanted))
    _at_ranks(new, old, 0, _EDGES, np.array(wanted), out)
    return tuple(out.tolist())


def fine_quantiles(counts: NDArray[np.integer], wanted: tuple[float, ...], *, infinite: int = 0) -> tuple[float, ...]:
    """As `simulators.sketch.quantiles`, for a fine sketch and `wanted` above 0, ascending: a tenth of the time."""
    out = np.empty(len(wanted))
    _at_ranks(counts.astype(np.int64, copy=False), _EMPTY, infinite, _EDGES, np.array(wanted), out)
    return tuple(out.tolist())
