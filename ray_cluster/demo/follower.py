"""Follower: reads the agent's journal while it grows, tells what is new in words, and keeps what the demo needs to know of it."""

from collections.abc import Iterator

from agent.journal.record import Entry, Kind
from agent.journal.warm_start import Readable
from agent.words import When, order_words, reasons
from ray_cluster.demo.live import first_of
from ray_cluster.demo.standing import Standing

Event = tuple[float, str, str]
"""POSIX seconds, who, what."""


class Follower:
    """`standing` is of the newest look of the agent; `treated` are the replicas that it has ordered to be replaced.

    `when` tells a moment of the agent's time in that of the stream.
    """

    def __init__(self, journal: Readable, when: When) -> None:
        self._journal = journal
        self._when = when
        self._seq = 0
        self.standing: Standing | None = None
        self.treated: set[str] = set()

    def news(self) -> list[Event]:
        """What has been written since the last call, as far as it is worth telling."""
        return [event for entry in self._journal.entries(since_seq=self._seq) for event in self._read(entry)]

    def _read(self, entry: Entry) -> Iterator[Event]:
        self._seq, payload = entry.seq, entry.payload
        match entry.kind:
            case Kind.OBSERVED:
                self.standing = Standing.of(payload)
            case Kind.INTENT:
                action = payload["action"]
                if action["kind"] == "restart":
                    self.treated.add(action["replica"])
                told = f"order {payload['number']}: {order_words(payload, when=self._when)}, because of {first_of(reasons(payload))}"
                yield entry.at_s, "agent", told
            case Kind.OUTCOME:
                yield entry.at_s, "agent", f"order {payload['number']}: {payload['status']}, {payload['detail']}"
            case Kind.DECIDED:
                for alert in payload["alerts"]:
                    yield entry.at_s, "agent", f"alert: {alert['text']}"
