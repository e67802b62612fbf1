"""Tables hold what there is to tell."""

from agent.tables import evidence_table

MEASURED = {"name": "latency_p95_s", "value": 0.35, "threshold": 0.2, "window_s": 30.0, "n": 120, "note": ""}
COUNTED = {"name": "one_more", "value": 3.0, "threshold": 2.0, "window_s": None, "n": None, "note": ""}


def test_a_column_of_evidence_in_which_nothing_would_stand_is_left_out() -> None:
    """Without a window, a count and a note there is nothing over which it was measured."""
    assert [each.header for each in evidence_table({"because": [COUNTED]}).columns] == ["because", "value", "against"]
    headers = [each.header for each in evidence_table({"because": [COUNTED, MEASURED]}).columns]
    assert headers == ["because", "value", "against", "over"]
