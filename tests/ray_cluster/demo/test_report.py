"""The demo's page: complete, true to the run, and without any need of a network."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agent.journal.record import Entry, Kind
from ray_cluster.demo.drawing import drawing_of
from ray_cluster.demo.report import write_report
from ray_cluster.demo.standing import CHAMPION, MODEL

FIRST_OF_MARCH_S, DAY_S = 1362096000.0, 86_400.0
RESULT = {
    "stream": "flights", "quick": False, "rows": 1000, "wall_s": 75.0,
    "requests": {"sent": 90, "failed": 0, "lost_by_agent": 0},
    "promises": [{"text": "it holds </script><b>", "held": True}, {"text": "it does not", "held": False}],
    "missing": ["it does not"],
    "drift": [{"at_s": 1003.0, "detector": "adwin",
               "evidence": {"kind": "error_drift", "signal": "loss", "value": 0.25, "n": 40}}],
    "retrainings": [{"version": "2", "best_recipe": "logistic", "rows": 900, "trials": 6, "wall_s": 12.0}],
    "rollouts": [{"version": "2", "stages": ["shadow", "canary 0.1"], "verdict": "promoted"},
                 {"version": "3", "stages": ["shadow"], "verdict": "rolled back"}],
    "healing": [{"at_s": 1001.0, "replica": "r1", "fault": "killed", "noticed_after_s": 1.0, "healed_after_s": None}],
    "quality": {"metric": "brier", "agent": 0.15, "frozen": 0.16, "rows": 800,
                "by_week": [{"week": 0, "agent": 0.1, "frozen": 0.1}, {"week": 1, "agent": 0.2, "frozen": 0.24}]},
    "journal": {"entries": 4, "verified": True, "replayed_identically": True},
}  # fmt: skip


def line(second: int, versions: dict[str, int]) -> dict[str, Any]:
    return {
        "at_s": 1000.0 + second, "stream_at_s": FIRST_OF_MARCH_S + 10 * second * DAY_S, "row": 100 * second,
        "rate_rps": 8, "p50_s": 0.02, "p95_s": None if second == 0 else 0.05, "versions": versions,
    }  # fmt: skip


LINES = [line(0, {}), line(1, {"1": 90}), line(2, {"1": 45, "2": 45}), line(3, {"2": 90})]


def seen(running: int, wanted: int, *kinds: str) -> dict[str, Any]:
    return {
        "deployments": {CHAMPION: {"replicas": [{"state": "running"}] * running, "replicas_wanted": wanted}},
        "models": {MODEL: {"report": {"symptoms": [{"kind": kind} for kind in kinds]}}},
    }


ENTRIES = [
    Entry(seq=n, at_s=at_s, kind=Kind.OBSERVED, payload=payload, previous_hash="", hash="")
    for n, (at_s, payload) in enumerate(
        [(990.0, seen(9, 9)), (1000.5, seen(2, 2)), (1002.0, seen(2, 3, "error_drift", "feature_drift"))]
    )
]
EVENTS = [(1001.0, "demo", "kills replica r1"), (1002.0, "agent", "order 1"), (990.0, "demo", "sets the stage")]


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    return drawing_of(RESULT, LINES, EVENTS, ENTRIES, slo_s=0.5)


def panel(drawing: dict[str, Any], title: str) -> dict[str, Any]:
    return next(each for each in drawing["panels"] if each["title"] == title)


def test_every_panel_has_the_seconds_of_the_play(drawing: dict[str, Any]) -> None:
    """What was not measured is not drawn as zero; what was before the play is not drawn at all."""
    latency, replicas = panel(drawing, "latency, ms"), panel(drawing, "replicas of the champion")
    assert [(each["name"], each["at_s"], each["y"]) for each in latency["series"]] == [
        ("p50", [0.0, 1.0, 2.0, 3.0], [20.0] * 4), ("p95", [0.0, 1.0, 2.0, 3.0], [None, 50.0, 50.0, 50.0])
    ]  # fmt: skip
    assert latency["limit"] == [500.0, "SLO"]
    assert [(each["name"], each["at_s"], each["y"]) for each in replicas["series"]] == [
        ("running", [0.5, 2.0], [2, 2]), ("wanted", [0.5, 2.0], [2, 3])
    ]  # fmt: skip


def test_each_version_has_a_line_and_harm_is_told_from_other_drift(drawing: dict[str, Any]) -> None:
    versions, symptoms = panel(drawing, "rows answered, 1/s, by version"), panel(drawing, "symptoms of drift")
    assert [(each["name"], each["y"]) for each in versions["series"]] == [
        ("version 1", [0, 90, 45, 0]), ("version 2", [0, 0, 45, 90])
    ]  # fmt: skip
    assert [each["y"] for each in symptoms["series"]] == [[0, 1], [0, 1]]


def test_what_the_demo_did_is_marked(drawing: dict[str, Any]) -> None:
    assert drawing["faults"] == [[1.0, "kills replica r1"]]


def test_the_loss_is_drawn_by_week_with_its_difference(drawing: dict[str, Any]) -> None:
    """In the stream's own time; a bar below zero is a week in which the agent was better."""
    losses, difference = drawing["weeks"]["panels"]
    assert {each["name"]: each["y"] for each in losses["series"]} == {
        "first model, frozen": [0.1, 0.24], "with the agent": [0.1, 0.2]
    }  # fmt: skip
    assert difference["series"][0]["y"] == pytest.approx([0.0, -0.04])
    assert difference["series"][0]["said"] == ["week from 1 March 2013 on", "week from 8 March 2013 on"]


def test_a_stream_without_dates_is_told_by_its_days() -> None:
    undated = [each | {"stream_at_s": 0.5 * DAY_S + 10 * n * DAY_S} for n, each in enumerate(LINES)]
    drawn = drawing_of(RESULT, undated, EVENTS, ENTRIES, slo_s=0.5)
    stream = panel(drawn, "where the stream is")
    assert stream["series"][0]["said"] == ["day 1", "day 11", "day 21", "day 31"]
    assert stream["dates"][1] == ["day 2", "day 12", "day 22"]


class Links(HTMLParser):
    """Everything that a page would fetch or lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_one_file_that_fetches_nothing_and_holds_the_whole_run(
    tmp_path: Path, drawing: dict[str, Any]
) -> None:
    """Promises with what became of them, versions, healing; and nothing in them can end a script or be a tag."""
    write_report(tmp_path / "report.html", RESULT | {"began_s": 1000.0}, drawing, LINES)
    text = (tmp_path / "report.html").read_text()
    assert Links(text).found == []
    assert "plotly.js v" in text
    assert re.findall(r'<li class="(\w+)"><span>(.*?)</span><b>(\w+)</b>', text) == [
        ("held", "it holds &lt;/script&gt;&lt;b&gt;", "yes"), ("missed", "it does not", "no")
    ]  # fmt: skip
    embedded = re.search(r'RUNS\["demo"\] = (.*);\n', text)
    assert embedded is not None
    assert json.loads(embedded[1])["drawing"] == json.loads(json.dumps(drawing))
    assert "A year of flights under the agent" in text
    assert "1 March 2013 to 31 March 2013" in text
    assert re.search(
        r"<td>1 s</td><td>r1</td><td>it was killed</td>\s*<td class=\"n\">1 s</td>\s*<td class=\"n\">never</td>", text
    )
