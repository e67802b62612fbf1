"""Entry, and the chain that holds entries together. Pure.

hash(n) = SHA-256( hash(n-1) || canonical([seq, at_s, kind, payload]) ), with 64 zeros before the first. Whoever changes, drops, adds or
reorders an entry has to change every hash after it; whoever cuts the end off is found by a hash noted elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from agent.codec import canonical, from_json
from agent.ports import JournalUnavailable
from policies.observation import Observation

GENESIS = "0" * 64
TIME_MAX_S = 253_402_300_800.0
"""The end of the year 9999."""


class Kind(StrEnum):
    STARTED = "started"
    """A life of the agent began: epoch, settings, and the orders that it goes on with."""
    OBSERVED = "observed"
    DECIDED = "decided"
    """Vetoes, suggestions, holds, alerts and waiting orders, where they differ from those of the tick before."""
    INTENT = "intent"
    """An order, written before it is started."""
    REFUSED = "refused"
    OUTCOME = "outcome"
    CONTROL = "control"
    """What a person said: freeze, kill, approve and the like."""
    NOTE = "note"
    """Anything else worth keeping, such as what a training found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    seq: int
    at_s: float
    kind: str
    payload: Mapping[str, Any]
    previous_hash: str
    hash: str


class UnreadableEntry(JournalUnavailable):
    """An entry of which a database gives nothing that could have been written: number `seq`, and why."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"entry {seq}: {reason}")
        self.seq = seq
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """`entries` were read; where `ok` is false, `bad_seq` is the first that does not fit, and `reason` says how."""

    entries: int
    ok: bool
    head: str = GENESIS
    bad_seq: int | None = None
    reason: str = ""


BROKEN = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What Python says of a payload that is not of the form that was expected."""


@contextmanager
def reading(entry: Entry) -> Iterator[None]:
    """What goes wrong in here is for the content of `entry`. Raises UnreadableEntry."""
    try:
        yield
    except BROKEN as error:
        raise _of_another_form(entry, _first(error)) from error


def _of_another_form(entry: Entry, told: str) -> UnreadableEntry:
    return UnreadableEntry(entry.seq, f"it does not hold what a {entry.kind!s:.40} entry holds ({told:.200})")


def _first(error: Exception) -> str:
    """The first thing that `error` tells, with the key that it is about where it tells of keys."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        return f"{key}: found {first['input']!r:.60}; {first['msg'][:1].lower()}{first['msg'][1:]}"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def observation(observed: Entry) -> Observation:
    """What was seen. Raises UnreadableEntry, naming the key, where `observed` tells something else, or of no moment that there is."""
    at_s = observed.payload.get("at_s")
    if not is_moment(at_s) or at_s < 0:  # type: ignore[operator]
        raise _of_another_form(observed, _no_moment(at_s))
    with reading(observed):
        return from_json(Observation, observed.payload)


def is_moment(value: Any) -> bool:
    """Whether `value` can be a moment in seconds: a number, before the end of the year 9999."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < TIME_MAX_S


def check(entry: Entry) -> None:
    """Raises ValueError where a field is of another type than was written; what is in the payload is not looked at."""
    for name, kind in (("seq", int), ("kind", str), ("payload", dict), ("previous_hash", str), ("hash", str)):
        found = getattr(entry, name)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise ValueError(f"{name}: found {found!r:.60}; expected {kind.__name__}")
    if not is_moment(entry.at_s):
        raise ValueError(_no_moment(entry.at_s))


def _no_moment(at_s: Any) -> str:
    number_ = isinstance(at_s, int | float) and not isinstance(at_s, bool)
    hint = ", not milliseconds" if number_ and TIME_MAX_S <= at_s < 1000 * TIME_MAX_S else ""
    return f"at_s: found {at_s!r:.60}; expected POSIX seconds{hint}"


def body(seq: int, at_s: float, kind: str, payload: bytes) -> bytes:
    """The bytes that are hashed. `payload` is canonical JSON."""
    return b"[%d,%s,%s,%s]" % (seq, json.dumps(at_s).encode(), json.dumps(kind).encode(), payload)


def chained(previous_hash: str, hashed: bytes) -> str:
    return hashlib.sha256(previous_hash.encode() + hashed).hexdigest()


@dataclass
class Chain:
    """Watches the entries that somebody reads, from the first one on and in order; after the first that does not fit it counts no more."""

    entries: int = 0
    """So many are good."""
    head: str = GENESIS
    bad_seq: int | None = None
    fault: str = ""

    @property
    def reason(self) -> str:
        """Where it is broken, and how; empty while it is not."""
        return f"entry {self.bad_seq}: {self.fault}" if self.fault else ""

    def through(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """`entries`, as they are. Raises what they raise."""
        try:
            for entry in entries:
                self._take(entry)
                yield entry
        except UnreadableEntry as error:
            self._break(error.seq, error.reason)
            raise

    def _take(self, entry: Entry) -> None:
        reason = "" if self.fault else _fault(entry, self.entries + 1, self.head)
        if reason:
            self._break(entry.seq, reason)
        elif not self.fault:
            self.entries, self.head = self.entries + 1, entry.hash

    def _break(self, seq: int, reason: str) -> None:
        if not self.fault:
            self.bad_seq, self.fault = seq, reason


def verify(entries: Iterable[Entry]) -> Verification:
    """Whether `entries`, from the first one on and in order, form an unbroken chain."""
    chain = Chain()
    with suppress(UnreadableEntry):
        for _ in chain.through(entries):
            if chain.fault:
                break
    return Verification(
        entries=chain.entries, ok=not chain.fault, head=chain.head, bad_seq=chain.bad_seq, reason=chain.fault
    )


def _fault(entry: Entry, expected_seq: int, previous: str) -> str:
    if entry.seq != expected_seq:
        return f"entry {expected_seq} is missing"
    if entry.previous_hash != previous:
        return "it does not follow the entry before it"
    try:
        written = chained(previous, body(entry.seq, entry.at_s, entry.kind, canonical(entry.payload)))
    except (TypeError, ValueError, OverflowError, RecursionError):  # nothing of that kind can have been written
        written = None
    return "" if entry.hash == written else "its content is not what was written"
