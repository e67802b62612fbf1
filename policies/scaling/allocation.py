"""How many replicas each model gets of what there is: a value per model and count in, counts out. It knows no queue and no clock."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

EPSILON = 1e-9
EXCHANGES_MAX = 200
CANDIDATES = 6
EXACT_MAX = 2_000_000
"""So many cells at most are filled to find the best counts of all; larger fleets are searched."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """`values[j][n]` is what `n` replicas of model j are worth, for n up to `upper[j]`; never less than `lower[j]` are given.

    `charges` is [models, resources], what one replica takes; `capacity` is [resources], infinite where nothing limits. A team's
    quota is a resource that only its models take. `gain_min` is the value that a further replica must at least add.
    """

    values: Sequence[Array]
    lower: Counts
    upper: Counts
    charges: Array
    capacity: Array
    gain_min: float = 1e-4

    def price(self) -> Array:
        """[models]: the largest share of what is there that one replica takes, so that scarce things are dear."""
        finite = np.isfinite(self.capacity)
        if not finite.any():
            return np.ones(len(self.values))
        share = self.charges[:, finite] / np.maximum(self.capacity[finite], EPSILON)
        return np.asarray(np.maximum(share.max(axis=1), EPSILON))


def best(problem: Problem) -> Counts:
    """The best counts of all where replicas are of one size and the fleet is small enough to try them; else those of `allocate`."""
    finite = np.isfinite(problem.capacity)
    charges = problem.charges[:, finite]
    alike = charges.shape[1] > 0 and bool((charges > 0).all()) and bool((charges == charges[0]).all())
    room = int(np.floor((problem.capacity[finite] + EPSILON) / charges[0]).min()) if alike else 0
    if not alike or room < problem.lower.sum() or len(charges) * (room + 1) ** 2 > EXACT_MAX:
        return allocate(problem)
    return _exact(problem, room)


def best_fairly(problem: Problem, utilities: Sequence[Array], weight: float, levels: int = 20) -> Counts:
    """As `allocate_fairly`, with `best` for every floor and without exchanges."""
    return _over_floors(problem, utilities, weight, levels, best)


def _over_floors(
    problem: Problem, utilities: Sequence[Array], weight: float, levels: int, solve: Callable[[Problem], Counts]
) -> Counts:
    """For floors from 0 to 1 everybody is first given what reaches the floor, as far as it fits; the fairest solution."""
    chosen, score = solve(problem), -np.inf
    for floor in np.linspace(0.0, 1.0, levels + 1):
        lower = _reaching(problem, utilities, float(floor))
        if lower is None:
            break
        counts = solve(replace(problem, lower=lower))
        found = _fair_score(problem, utilities, counts, weight)
        if found > score + EPSILON:
            chosen, score = counts, found
    return chosen


def _exact(problem: Problem, room: int) -> Counts:
    """Dynamic programming over models: the best total for each number of replicas, model by model (Bellman, 1957)."""
    total, places = np.zeros(room + 1), np.arange(room + 1)
    chosen = np.zeros((len(problem.values), room + 1), dtype=np.int64)
    for j, values in enumerate(problem.values):
        counts = np.arange(problem.lower[j], min(int(problem.upper[j]), room) + 1)
        left = places[:, None] - counts
        tried = np.where(left >= 0, total[np.maximum(left, 0)], -np.inf) + values[counts]
        pick = tried.argmax(axis=1)
        chosen[j], total = counts[pick], tried[places, pick]
    counts = np.zeros(len(problem.values), dtype=np.int64)
    left_over = int(total.argmax())
    for j in range(len(counts) - 1, -1, -1):
        counts[j] = chosen[j, left_over]
        left_over -= int(counts[j])
    return counts


def allocate(problem: Problem) -> Counts:
    """Counts of high total value: greedy on the concave envelope, then exchanges.

    1. Everyone has `lower`, also where that alone is more than there is.
    2. The step (one replica or several) of the highest value per price is taken, again and again, while it fits and adds
       `gain_min` per replica. On concave values of equal size that is the optimum (Fox, "Discrete optimization via marginal
       analysis", Management Science 13, 1966); steps of several replicas walk the envelope where values are not concave.
    3. Then replicas are exchanged between two models while that adds value.
    """
    counts = problem.lower.astype(np.int64).copy()
    left = problem.capacity - counts @ problem.charges
    _grow(problem, counts, left)
    _exchange(problem, counts, left)
    return counts


def allocate_fairly(problem: Problem, utilities: Sequence[Array], weight: float, levels: int = 24) -> Counts:
    """Counts of high value plus `weight` * (smallest - largest utility + 1), the "FairSum" of Faro with `weight` models.

    `utilities[j][n]` is in [0, 1]. For floors from 0 to 1 everybody is first given what reaches the floor, as far as it fits,
    and the rest goes by value; the best of these and of its single exchanges is taken.
    """
    return _exchange_fairly(problem, utilities, _over_floors(problem, utilities, weight, levels, allocate), weight)


def worth(problem: Problem, counts: Counts) -> float:
    """The total value of `counts`."""
    return float(sum(values[n] for values, n in zip(problem.values, counts.tolist(), strict=True)))


def _grow(problem: Problem, counts: Counts, left: Array) -> None:
    price = problem.price()
    heap: list[tuple[float, int, int, int]] = []

    def push(j: int, most: int) -> None:
        step = _best_step(problem.values[j], int(counts[j]), most, problem.gain_min)
        if step is not None:
            rate, to = step
            heapq.heappush(heap, (-rate / float(price[j]), j, int(counts[j]), to))

    for j in range(len(problem.values)):
        push(j, int(problem.upper[j]))
    while heap:
        _, j, now, to = heapq.heappop(heap)
        if counts[j] != now:
            continue
        fits = _fits(problem.charges[j], left, to - now)
        if fits == to - now:
            counts[j] = to
            left -= (to - now) * problem.charges[j]
            push(j, int(problem.upper[j]))
        elif fits > 0:
            push(j, now + fits)


def _best_step(values: Array, now: int, most: int, gain_min: float) -> tuple[float, int] | None:
    """(gain per replica, count) of the best step up from `now`; None where none adds enough."""
    if most <= now:
        return None
    rates = (values[now + 1 : most + 1] - values[now]) / np.arange(1, most - now + 1)
    best = int(np.argmax(rates))
    return (float(rates[best]), now + 1 + best) if rates[best] > gain_min else None


def _fits(charge: Array, left: Array, wanted: int) -> int:
    need = charge > 0
    if not need.any():
        return wanted
    return max(0, min(wanted, int(np.floor((left[need] + EPSILON) / charge[need]).min())))


def _exchange(problem: Problem, counts: Counts, left: Array) -> None:
    size = len(problem.values)
    gains, losses = np.empty((2, size)), np.empty((2, size))
    for j in range(size):
        _set_steps(problem, counts, j, gains, losses)
    for _ in range(EXCHANGES_MAX):
        move = _best_exchange(problem, _promising(gains), _promising(losses), left)
        if move is None:
            return
        (j, more), (i, fewer) = move
        counts[j] += more
        counts[i] -= fewer
        left += fewer * problem.charges[i] - more * problem.charges[j]
        _set_steps(problem, counts, j, gains, losses)
        _set_steps(problem, counts, i, gains, losses)


def _set_steps(problem: Problem, counts: Counts, j: int, gains: Array, losses: Array) -> None:
    """What one and two replicas more (`gains`) and fewer (`losses`) would change for model j; -inf outside its bounds."""
    values, now = problem.values[j], int(counts[j])
    low, high = int(problem.lower[j]), int(problem.upper[j])
    for step in (1, 2):
        gains[step - 1, j] = values[now + step] - values[now] if now + step <= high else -np.inf
        losses[step - 1, j] = values[now - step] - values[now] if now - step >= low else -np.inf


def _promising(changes: Array) -> list[tuple[float, int, int]]:
    """(change of value, model, replicas) of the best steps."""
    flat = changes.ravel()
    best = np.argpartition(-flat, CANDIDATES)[:CANDIDATES] if flat.size > CANDIDATES else np.arange(flat.size)
    found = [(float(flat[k]), int(k) % changes.shape[1], int(k) // changes.shape[1] + 1) for k in best]
    return [each for each in found if np.isfinite(each[0])]


def _best_exchange(
    problem: Problem, gains: list[tuple[float, int, int]], losses: list[tuple[float, int, int]], left: Array
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    best, best_gain = None, problem.gain_min
    for gain, j, more in gains:
        for loss, i, fewer in losses:
            if i == j or gain + loss <= best_gain:
                continue
            after = left + fewer * problem.charges[i] - more * problem.charges[j]
            if (after >= np.minimum(left, 0.0) - EPSILON).all():
                best, best_gain = ((j, more), (i, fewer)), gain + loss
    return best


def _reaching(problem: Problem, utilities: Sequence[Array], floor: float) -> Counts | None:
    """The smallest counts whose utility is at least `floor` (or as high as it gets); None where they do not fit."""
    lower = problem.lower.copy()
    for j, values in enumerate(utilities):
        upper = int(problem.upper[j])
        reach = min(floor, float(values[: upper + 1].max()))
        enough = np.flatnonzero(values[: upper + 1] >= reach - EPSILON)
        lower[j] = max(int(problem.lower[j]), int(enough[0]))
    used = lower @ problem.charges
    allowed = np.maximum(problem.capacity, problem.lower @ problem.charges)
    return lower if (used <= allowed + EPSILON).all() else None


def _fair_score(problem: Problem, utilities: Sequence[Array], counts: Counts, weight: float) -> float:
    each = [float(values[n]) for values, n in zip(utilities, counts.tolist(), strict=True)]
    return worth(problem, counts) + weight * (min(each, default=0.0) - max(each, default=0.0) + 1.0)


def _exchange_fairly(problem: Problem, utilities: Sequence[Array], counts: Counts, weight: float) -> Counts:
    """Single exchanges, and single replicas more or fewer, while they raise the fair score; for fleets small enough to try all."""
    size = len(counts)
    if size > 40:
        return counts
    best, score = counts.copy(), _fair_score(problem, utilities, counts, weight)
    for _ in range(EXCHANGES_MAX):
        found = None
        for i in range(-1, size):
            for j in range(-1, size):
                tried = best.copy()
                tried[i] -= i >= 0
                tried[j] += j >= 0
                if i == j or not _allowed(problem, tried, best):
                    continue
                value = _fair_score(problem, utilities, tried, weight)
                if value > score + problem.gain_min:
                    found, score = tried, value
        if found is None:
            return best
        best = found
    return best


def _allowed(problem: Problem, counts: Counts, before: Counts) -> bool:
    if (counts < problem.lower).any() or (counts > problem.upper).any():
        return False
    used, was = counts @ problem.charges, before @ problem.charges
    return bool((used <= np.maximum(problem.capacity, was) + EPSILON).all())
