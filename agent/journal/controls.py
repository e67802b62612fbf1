"""What people said, folded from the journal: freeze, kill switch, approvals, rollbacks by hand."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import structlog

from agent.journal.record import Entry, Kind
from policies.observation import Controls

log = structlog.get_logger()

Word = Literal["freeze", "unfreeze", "kill", "resume", "run", "stop", "approve", "deny", "rollback", "accept"]
ROLLBACK_ASKED_FOR_S = 600.0
"""A rollback asked for by hand that could not be done for so long is forgotten."""
KINDS = (Kind.CONTROL, Kind.INTENT, Kind.OUTCOME)


def said(
    word: Word,
    *,
    by: str,
    number: int | None = None,
    model: str | None = None,
    reason: str = "",
    digests: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The payload of a control entry; `digests` are those of the versions of `model` that a person accepts."""
    told = {"word": word, "by": by, "number": number, "model": model, "reason": reason}
    return told if digests is None else {**told, "digests": dict(digests)}


def accepted(payload: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(model, version, digest) of the files that a person accepts with a control entry."""
    if payload["word"] != "accept":
        return []
    return [(payload["model"], version, digest) for version, digest in sorted(payload["digests"].items())]


class ControlFold:
    """Follows the journal, entry by entry, and says how the controls stand."""

    def __init__(self) -> None:
        self.seq = 0
        self._looked = False
        self._frozen = False
        self._killed = False
        self._approved: set[int] = set()
        self._denied: set[int] = set()
        self._rollback_asked_s: dict[str, float] = {}
        self._rolls_back: dict[int, str] = {}
        self._accepted: dict[tuple[str, str], str] = {}

    def follow(self, entries: Iterable[Entry], at_s: float) -> None:
        """Take in entries of `KINDS`, in order, each once.

        What is new at a later look was said just before `at_s`, whatever the clock of the machine showed on which it was said.
        """
        for entry in entries:
            self.seq = entry.seq
            try:
                self._follow(entry, at_s if self._looked else min(entry.at_s, at_s))
            except (KeyError, TypeError, AttributeError) as error:  # of another version of the agent
                log.warning("entry_not_followed", entry=entry.seq, kind=entry.kind, reason=repr(error))
        self._looked = True

    def _follow(self, entry: Entry, said_s: float) -> None:
        if entry.kind == Kind.CONTROL:
            self._hear(entry, said_s)
        elif entry.kind == Kind.INTENT and entry.payload["action"]["kind"] == "roll_back":
            self._rolls_back[entry.payload["number"]] = entry.payload["action"]["model"]
        elif entry.kind == Kind.OUTCOME:
            self._end(entry.payload["number"], entry.payload["status"])

    def controls(self, at_s: float) -> Controls:
        # A clock that was set back since must not make a wish last longer.
        self._rollback_asked_s = {model: min(said_s, at_s) for model, said_s in self._rollback_asked_s.items()}
        asked = {m: s for m, s in self._rollback_asked_s.items() if at_s - s < ROLLBACK_ASKED_FOR_S}
        return Controls(
            frozen=self._frozen,
            killed=self._killed,
            approved=tuple(sorted(self._approved)),
            denied=tuple(sorted(self._denied)),
            rollbacks=tuple(sorted(asked)),
            accepted=tuple((*key, digest) for key, digest in sorted(self._accepted.items())),
        )

    def _hear(self, entry: Entry, said_s: float) -> None:
        payload = entry.payload
        match payload["word"]:
            case "freeze":
                self._frozen = True
            case "unfreeze":
                self._frozen = False
            case "kill":
                self._killed = True
            # In journals of earlier versions `run` wrote "start", and that took the switch back.
            case "resume" | "start":
                self._killed = False
            case "approve":
                self._approved.add(payload["number"])
            case "deny":
                self._denied.add(payload["number"])
            case "rollback":
                self._rollback_asked_s[payload["model"]] = said_s
            case "accept":
                self._accepted |= {(model, version): digest for model, version, digest in accepted(payload)}

    def _end(self, number: int, status: str) -> None:
        self._approved.discard(number)
        self._denied.discard(number)
        model = self._rolls_back.pop(number, None)
        if model is not None and status == "succeeded":
            self._rollback_asked_s.pop(model, None)
