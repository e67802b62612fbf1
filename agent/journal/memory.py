"""A journal in memory, chained as one in a database: for simulations and tests. The same lives, controls and entries.

Observations are most of a journal. Where only the newest are kept, the chain covers them all the same, so that the head still stands
for everything that was seen and done; `tell` is handed every entry, and may write them elsewhere.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.codec import canonical
from agent.journal.controls import KINDS, ControlFold
from agent.journal.record import GENESIS, Entry, Kind, body, chained
from agent.ports import JournalUnavailable
from policies.observation import Controls


class MemoryJournal:
    """While `away` it can neither be written nor read. Observations leave it once they are older than `observations_s`."""

    def __init__(self, *, observations_s: float = math.inf, tell: Callable[[Entry], None] | None = None) -> None:
        self.kept: list[Entry] = []
        """All entries, but for the observations where those are not all kept."""
        self.away = False
        self.seq = 0
        self.head = GENESIS
        self.epoch = 0
        self._observations_s = observations_s
        self._lately: deque[Entry] = deque()
        """The newest observations, where not all of them are kept."""
        self._tell = tell
        self._fold = ControlFold()

    def begin(self, at_s: float, *, above: int = 0) -> int:
        """A new epoch, higher than any before and than `above`."""
        self._available()
        self.epoch = max(self.epoch, above) + 1
        return self.epoch

    def append(self, entries: Iterable[tuple[str, float, Mapping[str, Any]]], *, durable: bool = False) -> None:
        """See `agent.ports.Journal.append`."""
        lines = list(entries)
        self._available()
        for kind, moment, payload in lines:
            self.seq += 1
            previous, at_s = self.head, float(moment)
            self.head = chained(previous, body(self.seq, at_s, kind, canonical(payload)))
            self._keep(Entry(
                seq=self.seq, at_s=at_s, kind=str(kind), payload=payload, previous_hash=previous, hash=self.head
            ))  # fmt: skip

    def _keep(self, entry: Entry) -> None:
        if self._tell is not None:
            self._tell(entry)
        if entry.kind != Kind.OBSERVED or self._observations_s == math.inf:
            self.kept.append(entry)
            return
        self._lately.append(entry)
        while self._lately[0].at_s < entry.at_s - self._observations_s:
            self._lately.popleft()

    def entries(
        self, *, since_seq: int = 0, since_s: float | None = None, kinds: Sequence[Kind] | None = None
    ) -> Iterator[Entry]:
        """Entries that were kept, after `since_seq` and not before `since_s`, in order."""
        self._available()
        first = next((n for n in range(len(self.kept), 0, -1) if self.kept[n - 1].seq <= since_seq), 0)
        found: Iterable[Entry] = self.kept[first:]
        if self._lately and (kinds is None or Kind.OBSERVED in kinds):
            lately = (entry for entry in self._lately if entry.seq > since_seq)
            found = heapq.merge(found, lately, key=lambda entry: entry.seq)
        return (
            entry
            for entry in found
            if (kinds is None or entry.kind in kinds) and (since_s is None or entry.at_s >= since_s)
        )

    def last(self, kind: Kind) -> Entry | None:
        """The last entry of `kind` that was kept."""
        self._available()
        lately = self._lately if kind == Kind.OBSERVED and self._lately else self.kept
        return next((entry for entry in reversed(lately) if entry.kind == kind), None)

    def controls(self, at_s: float) -> Controls:
        """How the controls stand at `at_s`."""
        self._fold.follow(self.entries(since_seq=self._fold.seq, kinds=KINDS), at_s)
        return self._fold.controls(at_s)

    def of_kind(self, kind: str) -> list[Mapping[str, Any]]:
        """Payloads of the entries of one kind."""
        return [entry.payload for entry in self.kept if entry.kind == kind]

    def _available(self) -> None:
        if self.away:
            raise JournalUnavailable("the journal is away")
