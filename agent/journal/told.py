"""What people were told before an agent began again: news to nobody, so that its new life tells only what is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from agent.codec import from_json
from agent.journal.record import BROKEN, Entry, Kind
from agent.journal.warm_start import Readable
from agent.order import Autonomy
from agent.repeats import REPEAT_S
from policies.action import Action, Alert

log = structlog.get_logger()
PROBLEM = "problem"
"""The note of an alert about a problem that lasts, or is over."""


class Told(Readable, Protocol):
    """A journal that can be asked for its newest."""

    def last(self, kind: Kind) -> Entry | None: ...


@dataclass(frozen=True, kw_only=True)
class ToldBefore:
    """What was told until `until_s`, the agent's time when it last looked."""

    until_s: float
    suggested: tuple[Action, ...] = ()
    """What it suggested then."""
    problems: tuple[tuple[float, Alert], ...] = ()
    """(moment, alert) of the last hour, oldest first."""


def told_before(journal: Told) -> ToldBefore | None:
    """None where no agent has looked yet. What another version wrote in another way counts as not told. Raises JournalUnavailable."""
    seen, decided = journal.last(Kind.OBSERVED), journal.last(Kind.DECIDED)
    if seen is None:
        return None
    notes = journal.entries(since_s=seen.at_s - REPEAT_S, kinds=(Kind.NOTE,))
    return ToldBefore(
        until_s=seen.at_s,
        suggested=tuple(_suggested(decided)) if decided is not None else (),
        problems=tuple(each for note in notes for each in _problem(note)),
    )


def _suggested(decided: Entry) -> Iterator[Action]:
    try:
        for each in decided.payload["suggestions"]:
            if each["autonomy"] == Autonomy.SUGGEST:
                yield from_json(Action, each["proposal"]["action"])  # type: ignore[arg-type]
    except BROKEN as error:
        log.warning("entry_not_followed", entry=decided.seq, kind=decided.kind, reason=str(error).splitlines()[0])


def _problem(note: Entry) -> Iterator[tuple[float, Alert]]:
    try:
        if note.payload.get("note") == PROBLEM:
            yield note.at_s, from_json(Alert, note.payload["alert"])
    except BROKEN as error:
        log.warning("entry_not_followed", entry=note.seq, kind=note.kind, reason=str(error).splitlines()[0])
