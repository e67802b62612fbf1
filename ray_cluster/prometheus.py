"""Ray's Prometheus endpoints, one per node: Serve's traffic for deployments without a probe.

How fast this is: Ray's workers report every `metrics_report_interval_ms` (10 s by default; 1 s on a local Ray of ours), and what is
shown is a mean over the window. An agent that shall act within seconds needs both to be short.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

import httpx
import ray
from prometheus_client.parser import text_string_to_metric_families

from policies.observation import Traffic
from ray_cluster.translate import Sample, Scrape, averaged, scrape, traffic, unbroken
from ray_cluster.waiting import Waiting, waiting

TIMEOUT_S = 2.0
WINDOW_S = 10.0
KEEP_S = 60.0
"""A replica that is gone counts for so long: longer than any window, and not for ever."""


def window_s(tick_s: float) -> float:
    """How much is averaged over by an agent that looks every `tick_s`: a few looks, between 3 and 10 seconds."""
    return min(WINDOW_S, max(3.0, 3.0 * tick_s))


def metrics_addresses() -> list[str]:
    """Where each node of this cluster exports its metrics."""
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in ray.nodes() if node["Alive"]]


class MetricsAway(Exception):
    """No endpoint answered."""


class ServeMetrics:
    """Scrapes what `addresses` gives (host:port) and compares with what was scraped about `window_s` seconds before.

    It is asked every time, since nodes come and go.
    """

    def __init__(self, addresses: Callable[[], Iterable[str]], window_s: float = WINDOW_S) -> None:
        self._addresses = addresses
        self._window_s = window_s
        self._client = httpx.Client(timeout=TIMEOUT_S)
        self._scrapes: deque[Scrape] = deque(maxlen=100)

    def read(self, at_s: float) -> tuple[Mapping[tuple[str, str], Traffic], Mapping[str, Waiting]]:
        """Traffic by (deployment, replica) over the last seconds, and what waits for a replica, by deployment.

        Empty at the first call, since traffic is a difference. Raises MetricsAway.
        """
        now = scrape(at_s, self._samples())
        while len(self._scrapes) > 1 and self._scrapes[1].at_s <= at_s - self._window_s:
            self._scrapes.popleft()
        self._scrapes.append(unbroken(self._scrapes[-1], now, KEEP_S) if self._scrapes else now)
        if len(self._scrapes) < 2 or self._scrapes[0].at_s >= at_s:
            return {}, {}
        return averaged(traffic(self._scrapes[0], self._scrapes[-1]), self._scrapes), waiting(self._scrapes)

    def _samples(self) -> list[Sample]:
        samples: list[Sample] = []
        reasons: list[str] = []
        addresses = tuple(self._addresses())
        for address in addresses:
            try:
                answer = self._client.get(f"http://{address}/metrics")
                answer.raise_for_status()
            except httpx.HTTPError as error:
                reasons.append(f"{address}: {error}")
                continue
            samples += _serve_samples(answer.text)
        if reasons and len(reasons) == len(addresses):
            raise MetricsAway("; ".join(reasons))
        return samples


def _serve_samples(text: str) -> list[Sample]:
    """Parsing is the cost, and most of what Ray exports is not Serve's."""
    lines = [line for line in text.splitlines() if "ray_serve_" in line]
    return [
        Sample(sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families("\n".join(lines) + "\n")
        for sample in family.samples
    ]
