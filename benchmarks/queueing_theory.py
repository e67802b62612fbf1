"""What theory says of M/M/c, M/D/c and M/G/1: the mean wait, and a quantile of the time in the system (wait and service).

Service times have mean 1 where nothing else is said. Sources stand at each function.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft, optimize, stats

from simulators.service import Lognormal


@dataclass(frozen=True, slots=True)
class Answer:
    mean_wait_s: float
    sojourn_s: float
    waiting_share: float
    """The chance of having to wait at all."""


def erlang_c(servers: int, load: float) -> float:
    """The chance of having to wait, by the recursion of Erlang B."""
    offered, blocked = servers * load, 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1 - load * (1 - blocked))


def markov(servers: int, load: float, share: float) -> Answer:
    """M/M/c (Gross and Harris, Fundamentals of Queueing Theory, 2.3): a wait, if any, is exponential with rate c - c * load."""
    waits, rate = erlang_c(servers, load), servers * (1 - load)

    def later(t: float) -> float:
        if math.isclose(rate, 1.0):
            return math.exp(-t) * (1 - waits + waits * (1 + t))
        both = (rate * math.exp(-t) - math.exp(-rate * t)) / (rate - 1)
        return (1 - waits) * math.exp(-t) + waits * both

    at_s = optimize.brentq(lambda t: later(t) - (1 - share), 0, 100 / min(rate, 1.0), xtol=1e-12)
    return Answer(waits / rate, float(at_s), waits)


def _in_system(servers: int, load: float) -> np.ndarray:
    """Probabilities of n in an M/D/c system: in one service time all in service leave, and a Poisson number comes (Crommelin, 1932)."""
    size = 20 * servers + 800
    comes = stats.poisson.pmf(np.arange(size), servers * load)
    chain = np.zeros((size, size))
    for n in range(size):
        left = max(n - servers, 0)
        chain[n, left:] = comes[: size - left]
        chain[n, -1] += 1 - chain[n].sum()
    equations = chain.T - np.eye(size)
    equations[-1] = 1.0
    return np.linalg.solve(equations, np.eye(size)[-1])


def steady_service(servers: int, load: float, share: float) -> Answer:
    """M/D/c, first come first served: the distribution of the wait by Franx (2001), Oper. Res. Lett. 29, 221-229."""
    present = _in_system(servers, load)
    rate = servers * load
    queue = np.arange(len(present)) - servers
    queued_at_most = np.cumsum(present)[servers:]

    def within(wait: float) -> float:
        k = math.floor(wait) + 1
        j = np.arange(k * servers)
        return float(stats.poisson.pmf(j, rate * (k - wait)) @ queued_at_most[k * servers - 1 - j])

    mean = float(queue[queue > 0] @ present[queue > 0]) / rate
    waiting = float(present[servers:].sum())
    if within(0.0) >= share:
        return Answer(mean, 1.0, waiting)
    longest = (len(queued_at_most) - 1) / servers - 1
    return Answer(mean, 1.0 + float(optimize.brentq(lambda t: within(t) - share, 0, longest, xtol=1e-10)), waiting)


def lognormal_single(service: Lognormal, load: float, share: float) -> Answer:
    """M/G/1: the mean by Pollaczek and Khinchine, the quantile by transform.

    A wait is a geometric number of residual service times (Asmussen, Applied Probability and Queues, VIII.5). Their law is put on a
    fine grid (cells of mean / 1000, by exact integrals) and the sum is taken in the Fourier domain, tilted against wrapping around.
    """
    law = stats.lognorm(s=service.shape, loc=service.shift_s, scale=service.scale_s)
    mean, step, size = service.mean_s, service.mean_s / 1000, 2**20
    rate = load / mean
    edges = np.maximum((np.arange(size + 1) - 0.5) * step, 0.0)
    residual = np.diff(_mean_of_least(service, edges)) / mean
    whole = np.diff(law.cdf(edges))
    tilt = np.exp(-np.arange(size) * (20.0 / size))
    changed = fft.rfft(residual * tilt)
    sojourn = fft.irfft((1 - load) / (1 - load * changed) * fft.rfft(whole * tilt), size) / tilt
    upto = np.cumsum(sojourn)
    place = int(np.searchsorted(upto, share))
    inside = (share - upto[place - 1]) / (upto[place] - upto[place - 1])
    second = float(law.var() + mean**2)
    return Answer(rate * second / (2 * (1 - load)), float(edges[place] + inside * step), load)


def _mean_of_least(service: Lognormal, x: np.ndarray) -> np.ndarray:
    """E[min(S, x)] of a shifted lognormal S."""
    above = np.maximum(x - service.shift_s, 1e-300)
    z = (np.log(above / service.scale_s)) / service.shape
    part = service.scale_s * math.exp(service.shape**2 / 2) * stats.norm.cdf(z - service.shape)
    return np.where(x <= service.shift_s, x, service.shift_s + part + above * stats.norm.sf(z))
