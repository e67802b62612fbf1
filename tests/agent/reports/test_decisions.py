"""What a page tells of a journal's decisions, and which trainings and rollouts it draws as bands."""

from typing import Any

from agent.journal.record import Entry, Kind
from agent.reports.decisions import DECISIONS, decisions, most_telling, spans


def entries(*rows: tuple[str, float, dict[str, Any]]) -> list[Entry]:
    return [
        Entry(seq=n, at_s=at_s, kind=kind, payload=payload, previous_hash="", hash="")
        for n, (kind, at_s, payload) in enumerate(rows, 1)
    ]


def intent(number: int, **action: Any) -> dict[str, Any]:
    because = [{"name": "utilization", "value": 0.9, "threshold": 0.7, "note": ""}]
    return {"number": number, "action": action, "because": because, "inverse": None, "policy": "tester"}


def ended(number: int, status: str = "succeeded") -> dict[str, Any]:
    return {"number": number, "status": status, "detail": "as wanted", "at_s": 130.0}


def test_times_are_counted_from_the_beginning_of_the_play() -> None:
    """And the moments that a sentence names are told in the words that were asked for."""
    record = entries(
        (Kind.INTENT, 110.0, intent(1, kind="retrain", model="fraud", since_s=50.0)),
        (Kind.OUTCOME, 130.0, ended(1)),
    )
    (told,) = decisions(record, when=lambda at_s: f"[{at_s:g}]", began_s=100.0)
    assert told == {
        "at_s": 10.0,
        "kind": "retrain",
        "model": "fraud",
        "what": "order 1: retrain fraud on rows since [50]",
        "why": "utilization 90 % against 70 %",
        "policy": "tester",
        "outcome": "succeeded after 20 s: as wanted",
        "to": None,
    }


def test_of_too_many_decisions_holds_and_vetoes_are_left_out_first() -> None:
    many = [{"at_s": float(n), "kind": "hold" if n % 2 else "scale"} for n in range(2 * DECISIONS)]
    assert most_telling(many) == [each for each in many if each["kind"] == "scale"]
    assert most_telling(many[:10]) == many[:10]


def test_a_training_and_a_rollout_last_from_their_order_to_what_ended_them() -> None:
    """A rollout ends when its verdict has come to pass; what is open lasts to the end of the picture."""
    record = entries(
        (Kind.INTENT, 110.0, intent(1, kind="retrain", model="fraud")),
        (Kind.OUTCOME, 130.0, ended(1)),
        (Kind.INTENT, 131.0, intent(2, kind="start_rollout", model="fraud", version="2")),
        (Kind.OUTCOME, 135.0, ended(2)),
        (Kind.INTENT, 140.0, intent(3, kind="promote", model="fraud", version="2")),
        (Kind.OUTCOME, 142.0, ended(3)),
        (Kind.INTENT, 150.0, intent(4, kind="start_rollout", model="fraud", version="3")),
    )
    assert spans(record, began_s=100.0, ended_s=160.0) == [
        [10.0, 30.0, "training", "training of fraud"],
        [31.0, 42.0, "rollout", "rollout of version 2: promoted"],
        [50.0, 60.0, "rollout", "rollout of version 3"],
    ]
