"""Ray's Prometheus endpoints, one per node: Serve's traffic for deployments without a probe.

How fast this is: Ray's workers report every `metrics_report_interval_ms` (10 s by default; 1 s on a local Ray of ours), and what is
shown is a mean over the window. An agent that shall act within seconds needs both to be short.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import ray
from prometheus_client.parser import text_string_to_metric_families

from agent.clock import moved
from policies.observation import Traffic
from ray_cluster.translate import Sample, Scrape, averaged, scrape, traffic, unbroken
from ray_cluster.waiting import Waiting, waiting

TIMEOUT_S = 2.0
WINDOW_S = 10.0
KEEP_S = 3600.0
"""A replica that is gone is remembered for so long, so that what it counted meanwhile is not taken for new when it comes back."""
GAP_S = 60.0
"""A look that comes so long after the one before it is the first of new ones: when what was counted between them came, nobody knows."""
READERS_MAX = 16


def window_s(tick_s: float) -> float:
    """How much is averaged over by an agent that looks every `tick_s`: a few looks, between 3 and 10 seconds."""
    return min(WINDOW_S, max(3.0, 3.0 * tick_s))


def gap_s(tick_s: float) -> float:
    """How long an agent that looks every `tick_s` may have been away, and what it counts still be a rate: a few looks."""
    return max(GAP_S, 3.0 * tick_s)


def metrics_addresses() -> list[str]:
    """Where each node of this cluster exports its metrics."""
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in ray.nodes() if node["Alive"]]


class MetricsAway(Exception):
    """No endpoint answered."""


class ServeMetrics:
    """Scrapes what `addresses` gives (host:port) and compares with what was scraped about `window_s` seconds before.

    It is asked every time, since nodes come and go. `own_s` gives a civil moment on a clock that nobody can set, and `civil_s` takes it
    back: how long the window was must not depend on who has set the civil clock meanwhile.
    """

    def __init__(
        self,
        addresses: Callable[[], Iterable[str]],
        window_s: float = WINDOW_S,
        gap_s: float = GAP_S,
        *,
        own_s: Callable[[float], float] = float,
        civil_s: Callable[[float], float] = float,
    ) -> None:
        self._addresses = addresses
        self._own_s = own_s
        self._civil_s = civil_s
        self._window_s = window_s
        self._gap_s = gap_s
        self._client = httpx.Client(timeout=TIMEOUT_S)
        self._scrapes: deque[Scrape] = deque(maxlen=100)
        self.away: tuple[str, ...] = ()
        """Endpoints that did not answer when they were last asked, and why."""

    def read(self, at_s: float) -> tuple[Mapping[tuple[str, str], Traffic], Mapping[str, Waiting]]:
        """Traffic by (deployment, replica) over the last seconds, and what waits for a replica, by deployment.

        Empty at the first call, since traffic is a difference. `at_s` and all moments are civil. Raises MetricsAway.
        """
        return moved(self._read(self._own_s(at_s)), self._civil_s)

    def _read(self, at_s: float) -> tuple[Mapping[tuple[str, str], Traffic], Mapping[str, Waiting]]:
        if self._scrapes and at_s - self._scrapes[-1].at_s > self._gap_s:
            self._scrapes.clear()
        now = scrape(at_s, self._samples())
        now = replace(now, whole=not self.away)
        while len(self._scrapes) > 1 and self._scrapes[1].at_s <= at_s - self._window_s:
            self._scrapes.popleft()
        self._scrapes.append(unbroken(self._scrapes[-1], now, KEEP_S) if self._scrapes else now)
        if len(self._scrapes) < 2 or self._scrapes[0].at_s >= at_s:
            return {}, {}
        return averaged(traffic(self._scrapes[0], self._scrapes[-1]), self._scrapes), waiting(self._scrapes)

    def _samples(self) -> list[Sample]:
        """Of every endpoint that answers; `away` says of the others why not. Asked beside each other: one that is away takes TIMEOUT_S."""
        addresses = tuple(self._addresses())
        with ThreadPoolExecutor(max_workers=min(READERS_MAX, max(1, len(addresses)))) as readers:
            answers = list(readers.map(self._ask, addresses))
        self.away = tuple(each for each in answers if isinstance(each, str))
        if self.away and len(self.away) == len(addresses):
            raise MetricsAway("; ".join(self.away))
        return [sample for each in answers if not isinstance(each, str) for sample in each]

    def _ask(self, address: str) -> list[Sample] | str:
        """What the endpoint exports of Serve; a text that says why where it does not answer, or not with metrics."""
        try:
            answer = self._client.get(f"http://{address}/metrics")
            answer.raise_for_status()
            return _serve_samples(answer.text)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            return f"{address}: {str(error) or type(error).__name__}"


def _serve_samples(text: str) -> list[Sample]:
    """Parsing is the cost, and most of what Ray exports is not Serve's."""
    lines = [line for line in text.splitlines() if "ray_serve_" in line]
    return [
        Sample(sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families("\n".join(lines) + "\n")
        for sample in family.samples
    ]
