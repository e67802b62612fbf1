"""The follower tells what is new in the journal, in words, and keeps what the demo waits for."""

from collections.abc import Iterator
from typing import Any

from agent.journal.record import Entry, Kind
from ray_cluster.demo.follower import Follower
from ray_cluster.demo.standing import CHAMPION, MODEL


class Growing:
    """A journal to which somebody else writes."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def write(self, kind: str, at_s: float, payload: dict[str, Any]) -> None:
        number = len(self._entries) + 1
        self._entries.append(Entry(seq=number, at_s=at_s, kind=kind, payload=payload, previous_hash="", hash=""))

    def entries(self, *, since_seq: int = 0, since_s: Any = None, kinds: Any = None) -> Iterator[Entry]:
        return (each for each in self._entries if each.seq > since_seq)


def seen(at_s: float, wanted: int) -> dict[str, Any]:
    replicas = [{"id": f"r{n}", "state": "running"} for n in range(wanted)]
    return {
        "at_s": at_s,
        "models": {MODEL: {"champion_since_s": 0.0}},
        "deployments": {CHAMPION: {"replicas": replicas, "replicas_wanted": wanted}},
    }


def order(number: int, **action: Any) -> dict[str, Any]:
    because = [{"name": "utilization", "value": 0.9, "threshold": 0.7, "note": ""}]
    return {"number": number, "action": action, "because": because, "inverse": None}


def test_each_entry_is_told_once_in_words() -> None:
    """With the moments of a sentence in the stream's time."""
    journal = Growing()
    follower = Follower(journal, lambda at_s: f"[{at_s:g}]")
    journal.write(Kind.INTENT, 5.0, order(1, kind="retrain", model="demo", since_s=3.0))
    journal.write(Kind.DECIDED, 5.5, {"alerts": [{"subject": "demo", "text": "somebody should look"}]})
    assert follower.news() == [
        (5.0, "agent", "order 1: retrain demo on rows since [3], because of utilization 90 % against 70 %"),
        (5.5, "agent", "alert: somebody should look"),
    ]
    journal.write(Kind.OUTCOME, 9.0, {"number": 1, "status": "succeeded", "detail": "version 2"})
    assert follower.news() == [(9.0, "agent", "order 1: succeeded, version 2")]
    assert follower.news() == []


def test_the_newest_look_is_kept_and_who_was_ordered_to_be_replaced() -> None:
    journal = Growing()
    follower = Follower(journal, str)
    assert follower.standing is None
    for at_s, wanted in ((1.0, 2), (2.0, 3)):
        journal.write(Kind.OBSERVED, at_s, seen(at_s, wanted))
    journal.write(Kind.INTENT, 2.5, order(1, kind="restart", deployment=CHAMPION, replica="r1"))
    follower.news()
    assert follower.standing is not None
    assert (follower.standing.at_s, follower.standing.wanted, follower.treated) == (2.0, 3, {"r1"})
