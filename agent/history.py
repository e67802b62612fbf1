"""History: what became of every order, and what people were alerted to, from a journal's entries. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Protocol

from agent.journal.forms import all_formed
from agent.journal.record import Entry, Kind
from agent.units import DAY_S
from agent.words import order_words, reasons

ORDER_KINDS = (Kind.DECIDED, Kind.INTENT, Kind.REFUSED, Kind.OUTCOME)
ALERT_KINDS = (Kind.DECIDED, Kind.NOTE)
WAITS, UNDER_WAY, WITHDRAWN = "waits for approval", "under way", "withdrawn"


class Readable(Protocol):
    """A journal, as it is read here."""

    def entries(self, *, since_s: float | None = None, kinds: Sequence[Kind] | None = None) -> Iterable[Entry]: ...


@dataclass(kw_only=True)
class Story:
    """One order, from when it was asked for or given. `steps` are (moment, what happened, detail)."""

    order: Mapping[str, Any]
    at_s: float
    seq: int
    waited: bool = False
    """Whether it had to wait for a person before it was given."""
    state: str = WAITS
    steps: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def number(self) -> int:
        return int(self.order["number"])

    @property
    def ended_s(self) -> float | None:
        """When it came to its end; None while it has not."""
        return None if self.state in {WAITS, UNDER_WAY} or not self.steps else self.steps[-1][0]

    def plain(self) -> dict[str, Any]:
        """For a machine, with the words that a person gets beside what they are made of."""
        return {
            "number": self.number,
            "at_s": self.at_s,
            "what": order_words(self.order),
            "why": reasons(self.order),
            "state": self.state,
            "ended_s": self.ended_s,
            "detail": self.steps[-1][2] if self.steps else "",
            "policy": self.order.get("policy", ""),
            "action": self.order["action"],
            "because": self.order.get("because", []),
        }


def orders(entries: Iterable[Entry]) -> list[Story]:
    """Every order that `entries` (of `ORDER_KINDS`, in order) give or let wait, by number. Raises UnreadableEntry."""
    found: dict[int, Story] = {}
    for entry in all_formed(entries):
        match entry.kind:
            case Kind.DECIDED:
                _wait(found, entry)
            case Kind.INTENT:
                _give(found, entry)
            case Kind.REFUSED | Kind.OUTCOME if entry.payload.get("number") in found:
                _end(found[entry.payload["number"]], entry)
    return [found[number] for number in sorted(found)]


def story(journal: Readable, number: int) -> Story | None:
    """Order `number`; None where there is none. For one that was given, only the decisions of the day before are read.

    Raises UnreadableEntry for an entry of another form, and JournalUnavailable.
    """
    ends = all_formed(journal.entries(kinds=(Kind.INTENT, Kind.REFUSED, Kind.OUTCOME)))
    kept = [entry for entry in ends if entry.payload["number"] == number]
    since_s = kept[0].at_s - DAY_S if kept else None
    decided = journal.entries(since_s=since_s, kinds=(Kind.DECIDED,))
    if kept:
        decided = takewhile(lambda entry: entry.seq < kept[-1].seq, decided)
    found = orders(sorted([*decided, *kept], key=lambda entry: entry.seq))
    return next((each for each in found if each.number == number), None)


def alerts(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Every alert in `entries` (of `ALERT_KINDS`): at_s, severity, subject, text. Raises UnreadableEntry."""
    return [
        {"at_s": entry.at_s, **{name: alert.get(name, "") for name in ("severity", "subject", "text")}}
        for entry in all_formed(entries)
        for alert in _alerts_of(entry)
    ]


def _alerts_of(entry: Entry) -> Iterable[Mapping[str, Any]]:
    if entry.kind == Kind.NOTE:
        alert = entry.payload.get("alert")
        return [alert] if alert else []
    found: list[Mapping[str, Any]] = entry.payload.get("alerts") or []
    return found


def _wait(found: dict[int, Story], entry: Entry) -> None:
    waiting = {order["number"]: order for order in entry.payload.get("awaiting") or ()}
    for number, order in waiting.items():
        found.setdefault(number, Story(order=order, at_s=entry.at_s, seq=entry.seq, waited=True))
    for number, story in found.items():
        if story.state in {WAITS, WITHDRAWN}:
            story.state = WAITS if number in waiting else WITHDRAWN


def _give(found: dict[int, Story], entry: Entry) -> None:
    number = entry.payload["number"]
    story = found.get(number)
    if story is None:
        found[number] = Story(order=entry.payload, at_s=entry.at_s, seq=entry.seq, state=UNDER_WAY)
        return
    story.steps.append((entry.at_s, "sent again" if story.state == UNDER_WAY else "approved and given", ""))
    story.order, story.state = entry.payload, UNDER_WAY


def _end(story: Story, entry: Entry) -> None:
    if entry.kind == Kind.REFUSED:
        story.steps.append((entry.at_s, "refused", entry.payload.get("reason", "")))
    else:
        story.state = entry.payload["status"]
        story.steps.append((entry.at_s, story.state, entry.payload.get("detail", "")))
