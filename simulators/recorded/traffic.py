"""Arrivals from traffic: a journal tells what was answered in windows that overlap; a trace wants what came in bins that do not.

1. The ends of all windows cut time into slots. Every window says what its slots hold together, and overlapping ones say more than any
   of them alone. What they leave open is settled by the smoothest course: least squares, with `SMOOTHNESS` times the change of the
   rate from slot to slot beside the misfit of each window, both in requests. Slots that no window covers get a straight line that way.
2. A queue that grew means that more came than was answered: arrivals = answered + the growth of what was in the system, whose
   averages over windows are parted among slots as well. Where that number is not known, what was answered counts.
3. Bins are cut out of the running total and rounded there, so that rounding loses no request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import spsolve

from policies.observation import Deployment, Traffic

TOUCHING_S = 0.5
"""Moments so near each other are one: ticks are never quite on time."""
SMOOTHNESS = 0.05
"""Small beside the misfit, so that a flash crowd is not ironed flat; not nothing, so that late ticks do not add up to noise."""
FINEST_S = 10.0
"""Serve's own counters are renewed every 10 s by default: below that, bins would show their rhythm and not that of requests."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """`counts[bin]` requests that came in bins of `bin_s`; `answered_only` where queues were not measured."""

    counts: NDArray[np.int64]
    bin_s: float
    answered_only: bool


def fresh(rows: Iterable[tuple[float, Deployment]]) -> list[tuple[Traffic, Deployment]]:
    """Every measurement once, in order: a sensor may show the same one at several ticks."""
    found: list[tuple[Traffic, Deployment]] = []
    for _, deployment in rows:
        seen = deployment.traffic
        if seen is None or seen.window_s <= 0 or (found and seen.measured_at_s <= found[-1][0].measured_at_s):
            continue
        found.append((seen, deployment))
    return found


def end_to_end(windows: Sequence[Traffic]) -> list[Traffic]:
    """Those of `windows` (in order) that do not overlap."""
    found: list[Traffic] = []
    for each in windows:
        if not found or each.measured_at_s - each.window_s >= found[-1].measured_at_s - TOUCHING_S:
            found.append(each)
    return found


def bin_of(windows: Sequence[Traffic]) -> float:
    """The width of bins, in whole seconds, that suits windows in order: theirs, or less where they overlap, down to `FINEST_S`."""
    if not windows:
        return 60.0
    width_s = median(each.window_s for each in windows)
    apart_s = [b.measured_at_s - a.measured_at_s for a, b in pairwise(windows)]
    if width_s > FINEST_S and apart_s:
        width_s = min(width_s, max(FINEST_S, median(apart_s)))
    return float(max(1, round(width_s)))


def arrivals(windows: Sequence[Traffic], *, origin_s: float, end_s: float, bin_s: float) -> Arrivals:
    """What came from `origin_s` to `end_s`, in bins from `origin_s` on; the last one may reach beyond the end."""
    bins = max(1, int(np.ceil((end_s - origin_s) / bin_s - 1e-9)))
    if not windows:
        return Arrivals(counts=np.zeros(bins, np.int64), bin_s=bin_s, answered_only=False)
    knots_s, came, answered_only = _came(windows)
    edges_s = np.minimum(origin_s + bin_s * np.arange(bins + 1), max(end_s, knots_s[-1]))
    total = np.rint(_running_total(knots_s, came, edges_s)).astype(np.int64)
    return Arrivals(counts=np.maximum(np.diff(total), 0), bin_s=bin_s, answered_only=answered_only)


def _came(windows: Sequence[Traffic]) -> tuple[Array, Array, bool]:
    """(the ends of slots, arrivals in each, whether only what was answered is known)."""
    ends_s = np.array([each.measured_at_s for each in windows])
    begins_s = ends_s - np.array([each.window_s for each in windows])
    knots_s = _filled(_apart(np.sort(np.concatenate([begins_s, ends_s]))))
    first, last = _nearest(knots_s, begins_s), _nearest(knots_s, ends_s)
    kept = last > first
    first, last, lengths_s = first[kept], last[kept], np.diff(knots_s)
    answered = _parted(first, last, np.array([each.requests for each in windows], np.float64)[kept], lengths_s)
    held = [each.ongoing for each in windows]
    if any(each is None for each in held):
        return knots_s, _not_negative(answered), True
    request_s = np.array(held, np.float64)[kept] * (knots_s[last] - knots_s[first])
    inside = _parted(first, last, request_s, lengths_s) / lengths_s
    borders = np.concatenate([inside[:1], (inside[1:] + inside[:-1]) / 2, inside[-1:]])
    return knots_s, _not_negative(answered + np.diff(borders)), False


def _not_negative(amounts: Array) -> Array:
    """Amounts whose running total never falls: halfway between the lowest that stays above the given one, and the highest below it.

    Cutting each amount off at nothing instead would add up, and most where little comes.
    """
    total = np.cumsum(amounts)
    above = np.maximum.accumulate(np.maximum(total, 0.0))
    below = np.maximum(np.minimum.accumulate(total[::-1])[::-1], 0.0)
    return np.diff((above + below) / 2, prepend=0.0)


def _apart(moments_s: Array) -> Array:
    """Without those that lie within `TOUCHING_S` of the one before."""
    kept = [float(moments_s[0])]
    for each in moments_s[1:]:
        if each - kept[-1] > TOUCHING_S:
            kept.append(float(each))
    return np.array(kept)


def _filled(knots_s: Array) -> Array:
    """With knots in long gaps as far from each other as elsewhere, so that a rate can run straight through them."""
    lengths_s = np.diff(knots_s)
    usual_s = float(np.median(lengths_s))
    pieces = np.maximum(np.rint(lengths_s / usual_s), 1).astype(np.intp)
    inner = [a + (b - a) * np.arange(count) / count for a, b, count in zip(knots_s, knots_s[1:], pieces, strict=False)]
    return np.concatenate([*inner, knots_s[-1:]])


def _nearest(knots_s: Array, moments_s: Array) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(knots_s, moments_s), 1, len(knots_s) - 1)
    return right - (moments_s - knots_s[right - 1] < knots_s[right] - moments_s)


def _parted(first: NDArray[np.intp], last: NDArray[np.intp], sums: Array, lengths_s: Array) -> Array:
    """Amounts of slots, of which window k holds those from `first[k]` to `last[k]` - 1, `sums[k]` together."""
    slots, spans = len(lengths_s), last - first
    rows = np.repeat(np.arange(len(first)), spans)
    columns = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    windows = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(first), slots))
    squares = (windows.T @ windows).tocsc()
    if slots > 1:
        level = lengths_s.mean() / lengths_s
        change = diags_array([-level[:-1], level[1:]], offsets=[0, 1], shape=(slots - 1, slots))
        squares = squares + SMOOTHNESS**2 * (change.T @ change).tocsc()
    return np.atleast_1d(np.asarray(spsolve(squares, windows.T @ sums)))


def _running_total(knots_s: Array, came: Array, at_s: Array) -> Array:
    """Requests up to each moment of `at_s`: straight within a slot, level rates outside all."""
    lengths_s = np.diff(knots_s)
    inner = np.interp(at_s, knots_s, np.concatenate([[0.0], np.cumsum(came)]))
    before = np.minimum(at_s - knots_s[0], 0.0) * came[0] / lengths_s[0]
    beyond = np.maximum(at_s - knots_s[-1], 0.0) * came[-1] / lengths_s[-1]
    return np.asarray(inner + before + beyond)
