"""The pages of a batch: complete, true to the run, and without any need of a network."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from simulators.batch import Outcome, play
from simulators.measures import Minute
from simulators.plan import Task
from simulators.report.drawing import COLUMNS, drawing_of
from simulators.report.pages import write
from simulators.run import Result, run
from simulators.scenario import Scenario, parse_scenario

SCENARIO = """\
name: "a crowd </script><b>comes</b>"
why: It must be met.
duration_s: 900
tick_s: 5
cluster: {nodes: [{count: 2, cpus: 8}]}
lifecycle: {cold_start: {kind: constant, seconds: 5}}
models:
  shop:
    traffic: [{kind: step, before_rps: 10, after_rps: 60, at_s: 300}]
    service: {kind: constant, seconds: 0.1}
    replicas: 2
    max_replicas: 12
    slo_latency_s: 0.5
  bank:
    traffic: [{kind: steady, rate_rps: 5}]
    service: {kind: constant, seconds: 0.1}
    slo_latency_s: 0.5
faults: [{at_s: 600, kind: replica_crash, model: shop}]
policies: [{use: target_utilization, target: 0.6, up_window_s: 5, down_window_s: 60}]
expect: [requests > 1, requests < 1]
"""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return parse_scenario(SCENARIO, "crowd.scenario.yaml", Path())


@pytest.fixture(scope="module")
def result(scenario: Scenario) -> Result:
    return run(scenario, seed=1)


@pytest.fixture(scope="module")
def outcomes(scenario: Scenario) -> list[Outcome]:
    return [play(Task(scenario=scenario, seed=seed), lambda at_s: None, True) for seed in (1, 2)]


class Links(HTMLParser):
    """Everything that a page would fetch or lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def data_in(page: str) -> dict[str, Any]:
    """The run that a page or a script embeds."""
    found = re.search(r'RUNS\["[^"]+"\] = (\{.*\});', page)
    assert found is not None
    told: dict[str, Any] = json.loads(found.group(1))
    return told


# -- what is drawn -----------------------------------------------------------------------------------------------


def test_a_drawing_has_every_minute_of_every_model(result: Result, scenario: Scenario) -> None:
    """Rates, shares and latencies are those that the run was measured by."""
    drawing = drawing_of(result, scenario.settings)
    shop, rows = drawing["models"]["shop"], result.minutes["shop"]
    assert shop["begin_s"] == [each.begin_s for each in rows]
    assert shop["rate_rps"] == pytest.approx([each.arrived / 60 for each in rows], rel=1e-3)
    assert shop["violations"] == pytest.approx([each.violation_rate for each in rows], abs=1e-6)
    assert shop["p99_ms"] == pytest.approx([1000 * each.p99_s for each in rows], rel=1e-3)
    assert (drawing["minutes"], drawing["slo_ms"], drawing["faults"]) == (
        1, {"shop": 500.0, "bank": 500.0}, [[600.0, "replica_crash of shop"]],
    )  # fmt: skip
    assert shop["running"] == [each.running["shop"] for each in result.points]


def test_a_drawing_has_every_order_with_its_reason_and_its_end(result: Result, scenario: Scenario) -> None:
    orders = [each for each in drawing_of(result, scenario.settings)["decisions"] if each["kind"] == "scale"]
    intents = [each for each in result.entries if each.kind == "intent"]
    first = next(each for each in orders if each["model"] == "shop")
    assert [each["at_s"] for each in orders] == [each.at_s for each in intents]
    assert first["policy"] == "target_utilization"
    assert re.match(r"order \d+: scale shop/ModelServer from \d+ to \d+ replicas?$", first["what"])
    assert "against 60 %" in first["why"]
    assert first["outcome"].startswith("succeeded after")


def test_a_hold_is_drawn_when_it_begins_and_not_at_every_tick(result: Result, scenario: Scenario) -> None:
    """Its numbers change all the time; its reason does not."""
    held = next(e for e in result.entries if e.kind == "decided" and e.payload["holds"])
    many = [replace(held, at_s=float(at_s)) for at_s in range(50)]
    drawn = [
        each["at_s"]
        for each in drawing_of(replace(result, entries=many), scenario.settings)["decisions"]
        if each["kind"] == "hold"
    ]
    assert drawn == [0.0] * len(held.payload["holds"])


def test_what_happens_to_the_world_is_drawn(result: Result) -> None:
    """Faults with their place and length, changes of the rows, and what chance has taken away."""
    learning = "    learning: {changes: [{kind: harmful, at_s: 100, harm: 0.1}]}\nfaults:"
    text = SCENARIO.replace("faults:", learning).replace("model: shop}]", "model: shop, for_s: 30}]")
    scenario = parse_scenario(text, "crowd.scenario.yaml", Path())
    happened = [*result.faults, (450.0, "spot-1 is preempted")]
    assert drawing_of(replace(result, faults=happened), scenario.settings)["faults"] == [
        [100.0, "the rows of bank change: harmful"],
        [450.0, "spot-1 is preempted"],
        [600.0, "replica_crash of shop for 30 s"],
    ]


def test_more_minutes_than_columns_are_drawn_together(result: Result, scenario: Scenario) -> None:
    """Requests add up, and of latencies the worst counts; no answer at all can not be drawn."""

    def minute(n: int) -> Minute:
        p99_s = {0: 0.9, 3: float("inf")}.get(n, 0.1)
        return Minute(
            begin_s=60.0 * n, arrived=60, violations=6 * (n == 1), dropped=n == 2, failed=0, p50_s=0.1, p95_s=0.1, p99_s=p99_s
        )  # fmt: skip

    rows = [minute(n) for n in range(2 * COLUMNS)]
    drawing = drawing_of(replace(result, minutes={"shop": rows, "bank": rows}), scenario.settings)
    shop = drawing["models"]["shop"]
    assert (drawing["minutes"], len(shop["begin_s"]), shop["begin_s"][1]) == (2, COLUMNS, 120.0)
    assert shop["rate_rps"] == [1.0] * COLUMNS
    assert shop["violations"][:2] == [0.05, 0.0]
    assert shop["dropped"][:2] == [0, 1]
    assert shop["p99_ms"][:3] == [900.0, None, 100.0]


# -- pages -------------------------------------------------------------------------------------------------------


def test_one_run_is_one_page_that_fetches_nothing(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """The drawing library is in it, and the data of the run."""
    page = write(outcomes[:1], tmp_path)
    text = page.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["index.html"]
    assert Links(text).found == []
    assert "plotly.js v" in text
    assert data_in(text)["drawing"] == json.loads(json.dumps(outcomes[0].drawing))


def test_several_runs_have_an_index_a_page_each_and_one_to_compare(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """Every link leads to a file beside the pages; the library is there once."""
    write(outcomes, tmp_path)
    names = {each.name for each in tmp_path.iterdir()}
    pages = {each.name: each.read_text() for each in tmp_path.glob("*.html")}
    assert len(pages) == 4
    assert names - set(pages) == {"plotly.min.js", *(name.replace(".html", ".js") for name in pages if "seed" in name)}
    for text in pages.values():
        assert {link.split("#")[0] for link in Links(text).found} <= names
    assert all(name in pages["index.html"] for name in pages if "seed" in name)
    assert data_in((tmp_path / "a-crowd-script-b-comes-b-seed-2.js").read_text())["seed"] == 2


def test_what_a_scenario_says_can_not_break_out_of_the_page(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """Neither as text nor inside the embedded data."""
    text = write(outcomes[:1], tmp_path).read_text()
    assert "</script><b>comes" not in text
    assert "a crowd &lt;/script&gt;&lt;b&gt;comes" in text
    assert data_in(text)["scenario"] == "a crowd </script><b>comes</b>"


def test_a_page_shows_which_expectations_hold(tmp_path: Path, outcomes: list[Outcome]) -> None:
    text = write(outcomes[:1], tmp_path).read_text()
    assert re.findall(r'<li class="(\w+)"><code>(.*?)</code>', text) == [
        ("held", "requests &gt; 1"), ("missed", "requests &lt; 1"),
    ]  # fmt: skip
