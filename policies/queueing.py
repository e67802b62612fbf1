"""Latency of a queue with several servers: Erlang's formulas, two-moment approximations, and a gradient where all is late.

Pure functions on arrays that broadcast against each other: `servers` are whole numbers, rates are requests per second, service
times and waits are seconds. "scv" is the squared coefficient of variation, variance / mean². A wait is the time in the queue,
without the service. Nothing here knows replicas, models or what a request is worth.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LOAD_MAX = 0.95
"""The utilisation up to which `relaxed_latency` believes in a steady state; that of Faro (EuroSys 2025, section 4)."""


def erlang_b_table(servers_max: int, offered: ArrayLike) -> Array:
    """Blocking probabilities for 0 to `servers_max` servers, along a new first axis; `offered` in erlangs (rate * service).

    The recursion B(k) = a B(k-1) / (k + a B(k-1)), which neither overflows nor cancels: Jagerman, "Some properties of the
    Erlang loss function", Bell System Technical Journal 53 (1974).
    """
    load = np.asarray(offered, dtype=np.float64)
    table = np.empty((servers_max + 1, *load.shape))
    table[0] = 1.0
    for k in range(1, servers_max + 1):
        carried = load * table[k - 1]
        table[k] = carried / (k + carried)
    return table


def erlang_c_table(servers_max: int, offered: ArrayLike) -> Array:
    """Probabilities that a request has to wait, for 0 to `servers_max` servers, along a new first axis; 1 where overloaded.

    From Erlang B: C = B / (1 - rho (1 - B)); Cooper, "Introduction to Queueing Theory" (1981), section 3.4.
    """
    load = np.asarray(offered, dtype=np.float64)
    blocked = erlang_b_table(servers_max, load)
    servers = np.arange(servers_max + 1.0).reshape(-1, *(1,) * load.ndim)
    with np.errstate(divide="ignore", invalid="ignore"):
        busy = np.where(servers > 0, load / servers, np.inf)
        waits = blocked / (1.0 - busy * (1.0 - blocked))
    return np.where(busy < 1.0, waits, 1.0)


def erlang_c(servers: ArrayLike, offered: ArrayLike) -> Array:
    """The probability that a request has to wait (M/M/c); 1 where the load is as much as the servers or more."""
    count, load = np.broadcast_arrays(np.asarray(servers, dtype=np.int64), np.asarray(offered, dtype=np.float64))
    table = erlang_c_table(int(count.max(initial=0)), load)
    return np.asarray(np.take_along_axis(table, count[None], axis=0)[0])


def mmc_wait_mean(servers: ArrayLike, rate_rps: ArrayLike, service_s: ArrayLike) -> Array:
    """Mean wait of M/M/c, C(c, a) s / (c - a); infinite where the load is as much as the servers or more."""
    servers, rate, service = _arrays(servers, rate_rps, service_s)
    offered = rate * service
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = erlang_c(servers, offered) * service / (servers - offered)
    return np.where(offered < servers, wait, np.inf)


def mmc_wait_quantile(
    servers: ArrayLike, rate_rps: ArrayLike, service_s: ArrayLike, quantile: float, scale: ArrayLike = 1.0
) -> Array:
    """The wait that the part `quantile` of requests does not exceed.

    Those who wait, wait exponentially long with mean Wq / Pq, so that the quantile is Wq / Pq * ln(Pq / (1 - q)), at least 0;
    for q = 0.99, ln(100 Pq). `scale` multiplies it, as in `mdc_wait_quantile`.
    """
    servers, rate, service = _arrays(servers, rate_rps, service_s)
    offered = rate * service
    waits = erlang_c(servers, offered)
    with np.errstate(divide="ignore", invalid="ignore"):
        conditional = service / (servers - offered)
        wait = np.maximum(0.0, conditional * np.log(waits / (1.0 - quantile))) * scale
    return np.where(offered < servers, wait, np.inf)


def mdc_wait_quantile(servers: ArrayLike, rate_rps: ArrayLike, service_s: ArrayLike, quantile: float) -> Array:
    """The wait quantile of M/D/c, taken as half that of M/M/c: what a service without variance does to the mean of M/M/1.

    Faro (EuroSys 2025) decides with this; see `mgc_wait_mean` for what is exact at c = 1 for any variance.
    """
    return mmc_wait_quantile(servers, rate_rps, service_s, quantile, scale=0.5)


def mdc_wait_mean(servers: ArrayLike, rate_rps: ArrayLike, service_s: ArrayLike) -> Array:
    """Mean wait of M/D/c: half of M/M/c times Cosmetatos' correction, exact at c = 1 and in heavy traffic.

    Cosmetatos, "Approximate explicit formulae for the average queueing time in the processes (M/D/r) and (D/M/r)",
    INFOR 13 (1975): 1 + (1 - rho)(c - 1)(sqrt(4 + 5c) - 2) / (16 c rho).
    """
    servers, rate, service = _arrays(servers, rate_rps, service_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        busy = rate * service / servers
        factor = (1.0 - busy) * (servers - 1.0) * (np.sqrt(4.0 + 5.0 * servers) - 2.0) / (16.0 * servers * busy)
        wait = 0.5 * (1.0 + factor) * mmc_wait_mean(servers, rate, service)
    return np.where(rate * service > 0, wait, 0.0)


def mgc_wait_mean(servers: ArrayLike, rate_rps: ArrayLike, service_s: ArrayLike, service_scv: ArrayLike) -> Array:
    """Mean wait of M/G/c between M/D/c (scv 0) and M/M/c (scv 1), exact at c = 1.

    Kimura, "A two-moment approximation for the mean waiting time in the GI/G/s queue", Management Science 32 (1986):
    (1 + v) / (2 v / W(M/M/c) + (1 - v) / W(M/D/c)).
    """
    scv = np.asarray(service_scv, dtype=np.float64)
    exponential = mmc_wait_mean(servers, rate_rps, service_s)
    constant = mdc_wait_mean(servers, rate_rps, service_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = (1.0 + scv) / (2.0 * scv / exponential + (1.0 - scv) / constant)
    return np.where(np.isinf(exponential), np.inf, np.where(exponential > 0, wait, 0.0))


def ggc_wait_mean(
    servers: ArrayLike, rate_rps: ArrayLike, service_s: ArrayLike, arrival_scv: ArrayLike, service_scv: ArrayLike
) -> Array:
    """Mean wait of G/G/c: (ca² + cs²) / 2 times that of M/M/c; exact for M/G/1.

    Allen, "Probability, Statistics, and Queueing Theory" (1978), the Allen-Cunneen approximation.
    """
    spread = (np.asarray(arrival_scv, dtype=np.float64) + np.asarray(service_scv, dtype=np.float64)) / 2.0
    wait = mmc_wait_mean(servers, rate_rps, service_s)
    return np.where(np.isinf(wait), np.inf, spread * wait)


def relaxed_latency(
    servers: ArrayLike,
    rate_rps: ArrayLike,
    service_s: ArrayLike,
    *,
    quantile: float = 0.99,
    variability: float = 0.5,
    load_max: float = LOAD_MAX,
) -> Array:
    """Latency quantile that stays finite and goes on growing where the servers are overloaded, so that one more still counts.

    Up to the utilisation `load_max` it is the service time plus `variability` times the wait quantile of M/M/c; `variability`
    is (ca² + cs²) / 2, so 0.5 is M/D/c and 1 is M/M/c. Above, it is the latency at `load_max` times rate over the rate there.
    Faro (EuroSys 2025) calls this relaxation. Infinite for 0 servers, unless the rate is 0.
    """
    servers, rate, service = _arrays(servers, rate_rps, service_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        bearable = np.where(servers > 0, load_max * servers / service, 0.0)
        steady = np.minimum(rate, bearable)
        latency = service + mmc_wait_quantile(servers, steady, service, quantile, scale=variability)
        relaxed = np.where(rate > bearable, latency * rate / bearable, latency)
    return np.where(servers > 0, relaxed, np.where(rate > 0, np.inf, service))


def utilisation_within(latency_s: float, service_s: float, servers: int = 1, quantile: float = 0.99) -> float:
    """The highest utilisation at which `servers` keep the M/D/c latency quantile within `latency_s`; 0 where none does."""
    loads = np.linspace(0.0, 0.999, 1000)
    latency = service_s + mdc_wait_quantile(servers, loads * servers / service_s, service_s, quantile)
    within = np.flatnonzero(latency <= latency_s)
    return float(loads[within[-1]]) if within.size else 0.0


def _arrays(servers: ArrayLike, rate_rps: ArrayLike, service_s: ArrayLike) -> tuple[Array, Array, Array]:
    floats = (np.asarray(each, dtype=np.float64) for each in (servers, rate_rps, service_s))
    count, rate, service = np.broadcast_arrays(*floats)
    return count, rate, service
