"""Ray's Prometheus endpoints, one per node: Serve's traffic for deployments without a probe."""

from collections import deque
from collections.abc import Iterable, Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from policies.observation import Traffic
from ray_cluster.translate import Sample, Scrape, scrape, traffic

TIMEOUT_S = 2.0
WINDOW_S = 10.0


class MetricsAway(Exception):
    """No endpoint answered."""


class ServeMetrics:
    """Scrapes `addresses` (host:port) and compares with what was scraped about WINDOW_S seconds before."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses = tuple(addresses)
        self._client = httpx.Client(timeout=TIMEOUT_S)
        self._scrapes: deque[Scrape] = deque(maxlen=100)

    def read(self, at_s: float) -> tuple[Mapping[tuple[str, str], Traffic], Mapping[str, float]]:
        """Traffic by (deployment, replica) over the last seconds, and queued requests by deployment.

        Empty at the first call, since traffic is a difference. Raises MetricsAway.
        """
        samples: list[Sample] = []
        reasons: list[str] = []
        for address in self._addresses:
            try:
                answer = self._client.get(f"http://{address}/metrics")
                answer.raise_for_status()
            except httpx.HTTPError as error:
                reasons.append(f"{address}: {error}")
                continue
            samples += _serve_samples(answer.text)
        if reasons and len(reasons) == len(self._addresses):
            raise MetricsAway("; ".join(reasons))
        now = scrape(at_s, samples)
        while len(self._scrapes) > 1 and self._scrapes[1].at_s <= at_s - WINDOW_S:
            self._scrapes.popleft()
        before = self._scrapes[0] if self._scrapes else None
        self._scrapes.append(now)
        if before is None or before.at_s >= at_s:
            return {}, now.queued
        return traffic(before, now), now.queued


def _serve_samples(text: str) -> list[Sample]:
    """Parsing is the cost, and most of what Ray exports is not Serve's."""
    lines = [line for line in text.splitlines() if "ray_serve_" in line]
    return [
        Sample(sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families("\n".join(lines) + "\n")
        for sample in family.samples
    ]
