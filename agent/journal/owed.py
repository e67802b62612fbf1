"""Schedules that were taken and not done: a retraining that fell due, was kept back, and is older than what a new life is shown again.

What fell due is named in one observation. Policies remember it until the training has begun, or for as long as they like; a life that
begins later than `journal.warm_start_s` would never hear of it. It is shown that observation, without the models that were trained since.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from agent import schedules
from agent.codec import from_json
from agent.journal.record import Entry, Kind
from agent.journal.warm_start import Readable
from agent.order import Status
from agent.units import DAY_S
from policies.observation import Model, Observation

OWED_S = 7 * DAY_S
"""What fell due longer ago is nobody's wish any more: the next one of its kind has come, or it was not meant for that week."""
READ = (Kind.NOTE, Kind.INTENT, Kind.REFUSED, Kind.OUTCOME)
OWED_MAX = 20
"""So many observations are kept, the newest."""


def owed(journal: Readable, at_s: float, before_seq: int | None) -> tuple[Observation, ...]:
    """What was seen when schedules were taken that are not done at `at_s`, oldest first, before entry `before_seq`.

    Raises JournalUnavailable.
    """
    past = _Past()
    for entry in journal.entries(since_s=at_s - OWED_S, kinds=READ):
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # of another version of the agent
            past.take(entry)
    found = (_without(journal, note, past) for note in past.taken if before_seq is None or note < before_seq)
    return tuple(each for each in found if each is not None)[-OWED_MAX:]


@dataclass
class _Past:
    taken: list[int] = field(default_factory=list)
    """Entries that say which schedules were taken."""
    trained: dict[Any, tuple[str, int]] = field(default_factory=dict)
    """(model, entry) of retrainings that were ordered and not refused, by number."""

    def take(self, entry: Entry) -> None:
        payload = entry.payload
        if entry.kind == Kind.NOTE and payload.get("note") == schedules.NOTE:
            self.taken.append(entry.seq)
        elif entry.kind == Kind.INTENT and payload["action"]["kind"] == "retrain":
            self.trained[payload["number"]] = (payload["action"]["model"], entry.seq)
        elif entry.kind == Kind.REFUSED or (entry.kind == Kind.OUTCOME and payload["status"] == Status.SUPERSEDED):
            self.trained.pop(payload["number"], None)

    def still(self, models: Mapping[str, Model], note: int) -> dict[str, Model]:
        """Those of `models` that no training was ordered for after entry `note`."""
        done = {model for model, seq in self.trained.values() if seq > note}
        return {name: each for name, each in models.items() if name not in done}


def _without(journal: Readable, note: int, past: _Past) -> Observation | None:
    """What was seen when `note` was written, without the models that were trained since; None where all of them were."""
    for seen in _seen(journal, note):
        models = past.still(seen.models, note)
        return replace(seen, models=models) if any(each.managed for each in models.values()) else None
    return None


def _seen(journal: Readable, note: int) -> Iterator[Observation]:
    """The observation that was written right before entry `note`, where it is kept and can be read."""
    entry = next(iter(journal.entries(since_seq=note - 2, kinds=(Kind.OBSERVED,))), None)
    if entry is not None and entry.seq == note - 1:
        with suppress(ValidationError):
            yield from_json(Observation, entry.payload)
