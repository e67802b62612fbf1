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
    said = {"awaiting": [], "vetoes": [{"rule": "budget"}, {"rule": "freeze"}]}
    for at_s in (DAY_S * 0.5, DAY_S * 1.5, DAY_S * 1.9):
        journal.append([(Kind.INTENT, at_s, {"action": {"kind": "scale"}}), (Kind.DECIDED, at_s, said)])
        journal.append([(Kind.OUTCOME, at_s, {"status": "succeeded"})])
    page = write_daily_report(journal, DAY_S * 2.0, str(tmp_path / "reports"))
    assert page.name == "1970-01-03.md"
    assert json.loads(page.with_suffix(".json").read_text()) == {
        "day": "1970-01-03", "actions": {"scale": 2}, "outcomes": {"succeeded": 2}, "vetoes": {"budget": 2, "freeze": 2},
    }  # fmt: skip
    assert "- scale: 2" in page.read_text()
