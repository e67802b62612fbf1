"""Warm starts: the policies of a new life are shown again what the life before it saw last, so that a restart makes none of them forget.

What a policy remembers follows from what it has seen, so the journal holds it already, whoever wrote the policy: no state is saved apart.
"""

import json
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import structlog
from pydantic import ValidationError

from agent.codec import canonical, from_json
from agent.journal.record import Entry, Kind
from policies.observation import Observation

log = structlog.get_logger()
WARM_START_MAX_S = 86_400.0


class Readable(Protocol):
    def entries(
        self, *, since_seq: int = 0, since_s: float | None = None, kinds: Sequence[Kind] | None = None
    ) -> Iterator[Entry]: ...


def first_seen_again(journal: Readable, since_s: float) -> int | None:
    """The number of the first observation at or after `since_s`; None where there is none."""
    found = journal.entries(since_s=since_s, kinds=(Kind.OBSERVED,))
    return next((entry.seq for entry in found), None)


def seen_again(journal: Readable, from_seq: int | None) -> Iterator[Observation]:
    """The observations from entry `from_seq` on, oldest first; none where it is None."""
    if from_seq is not None:
        yield from _observations(journal.entries(since_seq=from_seq - 1, kinds=(Kind.OBSERVED,)))


class Lately:
    """The observations of the last day of a journal that is read in order, for the lives that begin with them. Packed, as they are many."""

    def __init__(self) -> None:
        self._packed: deque[tuple[Entry, bytes]] = deque()

    def take(self, observed: Entry) -> None:
        """One more entry of kind `observed`."""
        packed = zlib.compress(canonical(observed.payload), 1)
        self._packed.append((replace(observed, payload={}), packed))
        while self._packed[0][0].at_s < observed.at_s - WARM_START_MAX_S:
            self._packed.popleft()

    def seen_again(self, from_seq: int | None) -> Iterator[Observation]:
        """As `seen_again` of the journal. Raises ValueError where that begins later than entry `from_seq`."""
        if from_seq is None:
            return
        kept = [(entry, packed) for entry, packed in self._packed if entry.seq >= from_seq]
        if not kept or kept[0][0].seq != from_seq:
            raise ValueError(
                f"a life of the agent began with the observations from entry {from_seq} on, which this journal lacks; "
                "it must begin earlier"
            )
        yield from _observations(replace(entry, payload=json.loads(zlib.decompress(packed))) for entry, packed in kept)


def _observations(entries: Iterable[Entry]) -> Iterator[Observation]:
    """Those that can be read: a version of the agent that saw other things may have written some, and a new one must begin all the same."""
    for entry in entries:
        try:
            yield from_json(Observation, entry.payload)
        except ValidationError as error:
            log.warning("observation_not_seen_again", entry=entry.seq, reason=str(error).splitlines()[0])
