"""What counts of replicas would be worth to deployments over the coming minutes. Pure arrays: no clock, no state.

Between now and the horizon replicas come up and leave, a backlog grows or is worked off, and the arrival rate follows one of several
courses that are equally likely. Axes: step t, deployment j, candidate k (a plan), course l, stretch b (several steps).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TINY = 1e-9
REFUSED = 10.0
"""A refused request counts as one that waits so many times as long: worth next to nothing, and yet a slope to climb."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is known of all deployments at one moment."""

    serving: Array
    """[t, j, k] replicas that serve; a fraction where one comes up within the step."""
    rates_rps: Array
    """[t, j, l] arrivals."""
    wait_factors: Array
    """[l] how much longer or shorter than its estimate the wait is: the quantile of a short stretch is a matter of luck, too."""
    service_s: Array
    """[j] what a request takes of a replica's time."""
    tail_s: Array
    """[j] latency at the SLO's quantile where nobody waits."""
    slo_s: Array
    """[j]"""
    backlog: Array
    """[j] requests that wait now."""
    backlog_max: Array
    """[j] requests that may wait before further ones are refused; infinite where that is not known."""
    step_s: float
    stretch_steps: int
    """Steps of the stretch that an SLO is judged over, as a minute."""
    quantile: float
    variability: float
    """(ca² + cs²) / 2, the spread of gaps and services: 0.5 is M/D/c, 1 is M/M/c."""
    load_max: float
    """Utilisation up to which a steady state is believed in; above it the backlog tells."""
    spare: Array
    """[j] replicas that nobody has, so that a course which turns out to need them can still be answered."""
    react_steps: NDArray[np.int64]
    """[j] until such an answer runs, from the moment that shows the need."""
    react_load: float
    """How busy an answer leaves each replica."""

    def present(self) -> Array:
        """[t, j, k, l] replicas that serve, or [t, j, k, 1] where nothing is spare.

        A plan is not followed to the bitter end: where the rate of a course rises above the median course, spare replicas are given,
        late. What the median course needs is for the plan itself, which would else be put off again and again.
        """
        planned = self.serving[..., None]
        if not self.spare.any():
            return planned
        above = np.maximum(0.0, self.rates_rps - np.median(self.rates_rps, axis=2, keepdims=True))
        when = np.arange(len(above))[:, None] - self.react_steps
        shown = np.take_along_axis(above, np.maximum(when, 0)[:, :, None], axis=0) * (when >= 0)[:, :, None]
        given = np.minimum(shown * self.service_s[:, None] / self.react_load, self.spare[:, None])
        return np.asarray(planned + given[:, :, None, :])


def latencies(known: Outlook) -> Array:
    """[b, j, k, l] the worst latency (seconds, at the SLO's quantile) of each stretch.

    1. What is served and what is waited in a steady state are independent, so that their excess adds up as deviations do.
    2. A fluid queue carries the backlog from step to step; the time that it takes to be worked off comes on top.
    3. While requests are refused that time counts `REFUSED` times.
    """
    service_s = known.service_s[:, None, None]
    servers = np.maximum(known.present(), TINY)
    steady_s = service_s + np.hypot(known.tail_s[:, None, None] - service_s, _steady_wait(known, servers))
    per_s = servers / service_s
    backlog = np.broadcast_to(known.backlog[:, None, None], steady_s.shape[1:])
    worst = []
    for t in range(len(per_s)):
        waiting_s, backlog = _work_off(known, t, per_s[t], backlog)
        latency_s = waiting_s + steady_s[t]
        if t % known.stretch_steps == 0:
            worst.append(latency_s)
        else:
            worst[-1] = np.maximum(worst[-1], latency_s)
    return np.stack(worst)


def utilities(known: Outlook) -> Array:
    """[j, k] mean over courses and stretches of min(1, SLO / latency), the utility of Faro (EuroSys 2025).

    With everything late it still grows with every replica, so that there is a slope to climb.
    """
    each = np.minimum(1.0, known.slo_s[:, None, None] / latencies(known))
    return np.asarray(each.mean(axis=(0, 3)))


def asleep(rates_rps: Array, *, service_s: float, slo_s: float, wake_s: float, stretch_s: float) -> float:
    """What a deployment without replicas is worth that wakes up when it is asked, within `wake_s` of the first request.

    `rates_rps`, [t, l], are courses of its arrivals. Of stretches of `stretch_s` in which nobody asks (Poisson) nothing is lost; in the
    others the first request is as late as the wake-up. What one replica could not serve is worth nothing.
    """
    asked = -np.expm1(-rates_rps * stretch_s)
    woken = np.where(rates_rps * service_s < 1.0, min(1.0, slo_s / max(wake_s, TINY)), 0.0)
    return float(np.mean(1.0 - asked * (1.0 - woken)))


def wait_factors(courses: int, spread: float) -> Array:
    """[l] lognormal factors with standard deviation `spread` of their logarithm, out of step with courses that are in order.

    Every factor occurs once, and neighbouring courses get distant ones (a Latin square of stride 3 or, where 3 divides their number,
    of the golden ratio), so that luck and rate are as good as independent without more courses.
    """
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf((n + 0.5) / courses) for n in range(courses)])
    golden = np.argsort((np.arange(courses) * 0.618) % 1.0)
    order = (np.arange(courses) * 3 + courses // 2) % courses if courses % 3 else golden
    return np.asarray(np.exp(spread * quantiles[order]))


def _work_off(known: Outlook, t: int, per_s: Array, backlog: Array) -> tuple[Array, Array]:
    """(seconds that the backlog takes to be worked off, the backlog after the step)."""
    rate = known.rates_rps[t][:, None, :]
    grown = np.maximum(0.0, backlog + (rate - per_s) * known.step_s)
    kept = np.minimum(grown, known.backlog_max[:, None, None])
    waiting_s = np.maximum(backlog, kept) / per_s
    refused = (grown > kept) & (rate > 1.01 * per_s)
    return np.where(refused, waiting_s * REFUSED, waiting_s), kept


def _steady_wait(known: Outlook, servers: Array) -> Array:
    """[t, j, k, l] the wait at the quantile, with the probability of waiting after Sakasegawa.

    Sakasegawa, "An approximation formula L_q = a p^b / (1 - p)", Annals of the Institute of Statistical Mathematics 29 (1977): a request
    waits with probability p^(sqrt(2 (c + 1)) - 1), which needs no table and holds for any c. Those who wait, wait exponentially long.
    """
    service_s = known.service_s[:, None, None]
    busy = np.minimum(known.load_max, known.rates_rps[:, :, None, :] * service_s / servers)
    log_waits = np.log(np.maximum(busy, TINY)) * (np.sqrt(2.0 * (servers + 1.0)) - 1.0)
    above = np.maximum(0.0, log_waits - np.log(1.0 - known.quantile))
    return np.asarray(known.wait_factors * known.variability * service_s / (servers * (1.0 - busy)) * above)
