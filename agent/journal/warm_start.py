"""Warm starts: the policies of a new life are shown again what the life before it saw last, so that a restart makes none of them forget.

What a policy remembers follows from what it has seen, so the journal holds it already, whoever wrote the policy: no state is saved apart.
"""

import json
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from agent.codec import canonical, from_json
from agent.journal.record import Entry, Kind
from agent.settings import WARM_START_MAX_S
from policies.observation import Observation

log = structlog.get_logger()


class BeginsTooLate(ValueError):
    """A journal lacks what its lives began with; says what."""


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
        for entry in journal.entries(since_seq=from_seq - 1, kinds=(Kind.OBSERVED,)):
            yield from _read(entry.seq, entry.payload)


class Lately:
    """The observations of the last day of a journal that is read in order, for the lives that begin with them. Packed, as they are many."""

    def __init__(self) -> None:
        self._packed: deque[tuple[int, float, bytes]] = deque()

    def take(self, observed: Entry) -> None:
        """One more entry of kind `observed`."""
        self._packed.append((observed.seq, observed.at_s, zlib.compress(canonical(observed.payload), 1)))
        while self._packed[0][1] < observed.at_s - WARM_START_MAX_S:
            self._packed.popleft()

    def seen_again(self, from_seq: int | None) -> Iterator[Observation]:
        """As `seen_again` of the journal. Raises BeginsTooLate where that does not reach back to entry `from_seq`."""
        if from_seq is None:
            return
        kept = [(seq, packed) for seq, _, packed in self._packed if seq >= from_seq]
        if not kept or kept[0][0] != from_seq:
            raise BeginsTooLate(
                f"a life of the agent began with the observations from entry {from_seq} on, which this journal lacks; "
                "it must begin earlier"
            )
        for seq, packed in kept:
            yield from _read(seq, json.loads(zlib.decompress(packed)))


def _read(seq: int, payload: Mapping[str, Any]) -> Iterator[Observation]:
    """The observation, where it can be read: another version of the agent may have written it, and this one must begin all the same."""
    try:
        yield from_json(Observation, payload)
    except ValidationError as error:
        log.warning("observation_not_seen_again", entry=seq, reason=str(error).splitlines()[0])
