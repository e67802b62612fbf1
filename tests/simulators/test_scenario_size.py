"""A scenario that would take days, or all memory, is refused before it begins, and says which number is too large."""

from pathlib import Path

import pytest

from simulators.data_files import ScenarioError
from simulators.run import Simulation
from simulators.scenario import parse_scenario

SCENARIO = """\
name: large
duration_s: {duration_s}
tick_s: {tick_s}
cluster: {{nodes: [{{count: {nodes}, cpus: {cpus}}}]}}
models:
  shop:
    traffic: [{traffic}]
    service: {{kind: constant, seconds: 0.05}}
    replicas: {replicas}
    cpus: 0.001
    slo_latency_s: {slo_latency_s}
"""
PLAIN = {
    "duration_s": 3600, "tick_s": 10, "nodes": 2, "cpus": 8, "replicas": 1, "slo_latency_s": 0.5,
    "traffic": "{kind: steady, rate_rps: 5}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"nodes": "1e9"},
            "f:4: cluster.nodes[0].count: found 1000000000.0; expected at most 10,000",
        ),
        ({"nodes": 1.5}, "f:4: cluster.nodes[0].count: found 1.5"),
        ({"cpus": ".inf"}, "f:4: cluster.nodes[0].cpus: found inf"),
        (
            {"replicas": "1e9"},
            "f:9: models.shop.replicas: found 1000000000.0; expected at most 100,000",
        ),
        (
            {"replicas": 50_000, "cpus": 1000},
            "f:5: models: found 50,000 replicas to begin with; expected at most 20,000",
        ),
        (
            {"duration_s": "1e12"},
            "f:2: duration_s: found 1000000000000.0; expected at most 1,000,000,000",
        ),
        ({"duration_s": "5e8"}, "f:2: duration_s: found 50,000,000 ticks of 10 s; expected at most 10,000,000"),
        ({"tick_s": "1e-9"}, "f:3: tick_s: found 1e-09; expected at least 0.01 s"),
        (
            {"traffic": "{kind: steady, rate_rps: 1e12}"},
            "rate_rps: found 1000000000000.0; expected at most 1,000,000",
        ),
        (
            {"traffic": "{kind: steady, rate_rps: 1e6}", "duration_s": 1e6},
            "found up to 1e+12 requests; expected at most 5e+09",
        ),
        (
            {"traffic": "{kind: diurnal, mean_rps: 1000, swing: 1, weekdays: [1, 1000]}", "duration_s": 1e6},
            "found up to 2e+12 requests",
        ),
        (
            {"traffic": "{kind: bursts, rates_rps: [1, 2], stays_s: [1e-9, 1]}"},
            "stays_s[0]: found 1e-09; expected at least 0.001",
        ),
        (
            {"traffic": "{kind: flash_crowd, base_rps: 1, peak_rps: 1e6, at_s: 1}", "duration_s": 1e6},
            "requests; expected",
        ),
        ({"slo_latency_s": 500}, "f:11: models.shop.slo_latency_s: found 500; expected seconds, at most 300 (0.5?)"),
    ],
)
def test_a_number_that_is_too_large_is_named(changed: dict, told: str) -> None:
    """By file, line and key, with what is enough for anybody."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario(SCENARIO.format(**(PLAIN | changed)), "f", Path())
    assert told in str(error.value)


def test_no_model_is_called_like_the_challenger_of_another() -> None:
    """It would be deployed over it, and taken away with it."""
    text = SCENARIO.format(**PLAIN)
    model = text[text.index("  shop:") :].removeprefix("  shop:")
    both = f"{text}    learning: {{base_loss: 0.1}}\n  shop-challenger:{model}"
    with pytest.raises(
        ScenarioError, match=r"f:13: models.shop-challenger: found 'shop-challenger', as the challenger of"
    ):
        parse_scenario(both, "f", Path())
    assert parse_scenario(f"{text}  shop-challenger:{model}", "f", Path()).name == "large"


def test_what_people_play_is_not_too_large() -> None:
    """A year of ticks every ten seconds, a thousand requests a second for a month."""
    year = {"duration_s": 366 * 86_400, "traffic": "{kind: steady, rate_rps: 100}"}
    month = {"duration_s": 30 * 86_400, "traffic": "{kind: steady, rate_rps: 1000}"}
    for changed in (year, month, {"nodes": 5000, "replicas": 5000}):
        assert parse_scenario(SCENARIO.format(**(PLAIN | changed)), "f", Path()).name == "large"


def test_a_start_that_takes_no_time_and_always_fails_comes_to_the_end_of_the_run() -> None:
    """It is tried again a moment later, not at the same instant for ever."""
    lifecycle = "    lifecycle: {cold_start: {kind: constant, seconds: 0}, start_failure_p: 1.0, restart_after_s: 0}\n"
    text = SCENARIO.format(**(PLAIN | {"duration_s": 60})) + lifecycle
    result = Simulation(parse_scenario(text, "f", Path()), 1, checked=False).run()
    assert result.interrupted is False
