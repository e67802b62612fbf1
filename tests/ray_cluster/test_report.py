"""The daily report: what was done in the last day, from the journal alone."""

import json
from pathlib import Path

from agent.journal.record import Kind
from agent.journal.store import SqlJournal
from ray_cluster.report import write_daily_report

DAY_S = 86_400.0


def test_the_report_counts_what_was_done_in_the_last_day_and_nothing_before(tmp_path: Path) -> None:
    """Orders by kind, outcomes by status, vetoes by rule; a page for people and a file for machines."""
    journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    wish = {"action": {"kind": "scale"}}
    said = {"awaiting": [], "vetoes": [{"proposal": wish, "rule": "budget"}, {"proposal": wish, "rule": "freeze"}]}
    for at_s in (DAY_S * 0.5, DAY_S * 1.5, DAY_S * 1.9):
        journal.append([(Kind.INTENT, at_s, {"number": 1, **wish}), (Kind.DECIDED, at_s, said)])
        journal.append([(Kind.OUTCOME, at_s, {"number": 1, "status": "succeeded"})])
    page = write_daily_report(journal, DAY_S * 2.0, str(tmp_path / "reports"))
    assert page.name == "1970-01-03.md"
    assert json.loads(page.with_suffix(".json").read_text()) == {
        "day": "1970-01-03", "actions": {"scale": 2}, "outcomes": {"succeeded": 2}, "vetoes": {"budget": 2, "freeze": 2},
    }  # fmt: skip
    assert "- scale: 2" in page.read_text()


def test_the_page_tells_each_order_and_alert_in_words(tmp_path: Path) -> None:
    """When, what, why and what became of it; what others wrote is no markup of the page, and no line of its own."""
    because = {
        "name": "latency_p95_s",
        "value": 0.35,
        "threshold": 0.2,
        "window_s": None,
        "n": None,
        "note": "a\n# b <i>",
    }
    action = {"kind": "scale", "deployment": "a/m", "replicas": 4}
    order = {"number": 7, "action": action, "because": [because], "inverse": {**action, "replicas": 2}, "policy": "p"}
    alert = {"subject": "drift of m", "text": "12 features drift", "severity": "warning"}
    journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    journal.append(
        [(Kind.INTENT, 60.0, order), (Kind.OUTCOME, 90.0, {"number": 7, "status": "succeeded", "detail": ""})]
    )
    journal.append([(Kind.DECIDED, 120.0, {"awaiting": [], "vetoes": [], "alerts": [alert]})])
    lines = write_daily_report(journal, DAY_S, str(tmp_path / "reports")).read_text().splitlines()
    told = "scale a/m from 2 to 4 replicas, because of p95 latency 350 ms against 200 ms (a \\# b \\<i\\>) (succeeded)"
    assert lines[2:8] == [
        "## Orders", "", f"- 1970-01-01 00:01:00 UTC, order 7: {told}", "",
        "## Alerts", "",
    ]  # fmt: skip
    assert lines[8] == "- 1970-01-01 00:02:00 UTC, warning: drift of m: 12 features drift"
