"""Ray's Prometheus endpoints: one that does not answer is named, and what it would have said is not known."""

import httpx
import pytest

from agent.clock import AgentClock, Border
from policies.observation import Observation, Traffic
from policies.testing import deployment, observation
from ray_cluster.prometheus import MetricsAway, ServeMetrics, gap_s

REPLICA = '{application="shop",deployment="Model",replica="%s"}'


class Nodes:
    """Two nodes with a replica each, 10 requests/s and one request in it; `away` do not answer, `broken` answer nonsense."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.away: set[str] = set()
        self.broken: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        node = request.url.host
        if node in self.away:
            raise httpx.ConnectTimeout("timed out", request=request)
        if node in self.broken:
            return httpx.Response(200, text="ray_serve_deployment_replica_starts_total{ 1 1 1")
        replica = REPLICA % f"r-{node}"
        lines = [
            f"ray_serve_deployment_request_counter_total{replica} {10 * self.at_s}",
            f"ray_serve_deployment_processing_latency_ms_sum{replica} {1000 * self.at_s}",
            f"ray_serve_replica_processing_queries{replica} 1.0",
            "ray_something_else 1.0",
        ]
        return httpx.Response(200, text="\n".join(lines))


def metrics(nodes: Nodes) -> ServeMetrics:
    made = ServeMetrics(lambda: ("one:80", "two:80"))
    made._client = httpx.Client(transport=httpx.MockTransport(nodes))
    return made


def read(made: ServeMetrics, nodes: Nodes, at_s: float) -> dict[str, Traffic]:
    nodes.at_s = at_s
    return {replica: row for (_, replica), row in made.read(at_s)[0].items()}


def steady(at_s: float, window_s: float = 10.0) -> Traffic:
    return Traffic(
        measured_at_s=at_s, window_s=window_s, requests=round(10 * window_s), ongoing=1.0, latency_mean_s=0.1
    )


@pytest.mark.parametrize(
    ("fault", "why"), [("away", "two:80: timed out"), ("broken", "two:80: ")], ids=["no answer", "no metrics"]
)
def test_an_endpoint_that_can_not_be_read_is_named_and_its_replicas_grow_old(fault: str, why: str) -> None:
    """They are not said to be idle, nor to have answered a burst when it is back."""
    nodes = Nodes()
    made = metrics(nodes)
    assert read(made, nodes, 0.0) == {}
    assert read(made, nodes, 10.0) == {"r-one": steady(10.0), "r-two": steady(10.0)}
    assert made.away == ()
    getattr(nodes, fault).add("two")
    found = read(made, nodes, 15.0)
    assert found["r-one"] == steady(15.0, window_s=15.0)
    assert (found["r-two"].measured_at_s, found["r-two"].requests, found["r-two"].ongoing) == (10.0, 100, None)
    assert [each.startswith(why) for each in made.away] == [True]
    assert read(made, nodes, 25.0) == {"r-one": steady(25.0, window_s=10.0)}
    getattr(nodes, fault).clear()
    assert read(made, nodes, 35.0) == {"r-one": steady(35.0)}
    assert made.away == ()
    assert read(made, nodes, 45.0) == {"r-one": steady(45.0), "r-two": steady(45.0)}


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_changes_neither_the_window_nor_what_was_counted_in_it(step_s: float) -> None:
    """Ten seconds are ten seconds: the load is what it is, measured now, before the step, over it and after it."""
    nodes, wall_s = Nodes(), [1000.0]
    clock = AgentClock(lambda: wall_s[0], lambda: nodes.at_s)
    made = ServeMetrics(lambda: ("one:80", "two:80"), own_s=clock.own_s, civil_s=clock.civil_s)
    made._client = httpx.Client(transport=httpx.MockTransport(nodes))
    border = Border(clock, sensor=_Sensed(made), actuator=None, trainer=None)  # type: ignore[arg-type]
    found = []
    for passed_s in (0.0, 10.0, 20.0, 30.0):
        wall_s[0] = 1000.0 + passed_s + (step_s if passed_s >= 20.0 else 0.0)
        nodes.at_s = passed_s
        seen = border.observe(clock.now())
        rows = [each.traffic for each in seen.deployments.values() if each.traffic is not None]
        found.append([(row.requests, row.window_s, round(seen.at_s - row.measured_at_s, 3)) for row in rows])
    assert found[0] == []
    assert [[(n, round(w, 1), age) for n, w, age in each] for each in found[1:]] == [[(100, 10.0, 0.0)] * 2] * 3


class _Sensed:
    """Metrics as a sensor shows them."""

    def __init__(self, made: ServeMetrics) -> None:
        self._made = made

    def observe(self, at_s: float) -> Observation:
        rows = self._made.read(at_s)[0]
        return observation(at_s, *(deployment(f"shop/{replica}", traffic=row) for (_, replica), row in rows.items()))


def test_a_look_after_a_long_gap_begins_anew() -> None:
    """A long sleep does not look like little load: when what was counted meanwhile came, nobody knows."""
    nodes = Nodes()
    made = metrics(nodes)
    read(made, nodes, 0.0)
    read(made, nodes, 10.0)
    assert read(made, nodes, 71.0) == {}
    assert read(made, nodes, 76.0)["r-one"] == steady(76.0, window_s=5.0)


@pytest.mark.parametrize(("tick_s", "expected_s"), [(1.0, 60.0), (300.0, 900.0)])
def test_a_gap_is_longer_than_a_few_ticks(tick_s: float, expected_s: float) -> None:
    """An agent that looks rarely still has rates."""
    assert gap_s(tick_s) == expected_s


def test_where_no_endpoint_answers_nothing_is_read() -> None:
    """Each is named with its reason."""
    nodes = Nodes()
    nodes.away = {"one", "two"}
    with pytest.raises(MetricsAway, match="one:80: timed out; two:80: timed out"):
        metrics(nodes).read(0.0)


def test_a_cluster_without_nodes_exports_nothing() -> None:
    """Which is not the same as being away."""
    assert ServeMetrics(tuple).read(0.0) == ({}, {})
