"""Quantiles of what was counted between two sketches, compiled: they are read for every deployment at every tick."""

import math

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import cached, fingerprint
from simulators.sketch import FINE, lower_edges

_VERSION = fingerprint("windows", "sketch")
_EDGES = lower_edges(FINE)


@cached
def _at_ranks(new, old, edges, wanted, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the quantiles `wanted` (ascending) of new - old, interpolated within a bucket; NaN where nothing was counted."""
    _ = _VERSION
    total = 0
    for place in range(len(new)):
        total += new[place] - old[place]
    if total == 0:
        out[:] = math.nan
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
    _at_ranks(new, old, _EDGES, np.array(wanted), out)
    return tuple(out.tolist())
