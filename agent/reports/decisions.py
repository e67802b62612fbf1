"""From a journal to what a page tells of its decisions: orders with what became of them, and what was refused, kept back, held or told.

Plain lists and strings, ready for JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.journal.forms import all_formed
from agent.journal.record import Entry, Kind
from agent.words import When, order_words, plain_name, reasons, veto_words

DECISIONS = 4000
"""So many decisions are kept at most; orders go before what was held back."""


def decisions(entries: Sequence[Entry], *, when: When, began_s: float = 0.0) -> list[dict[str, Any]]:
    """Each with `at_s`, in seconds since `began_s`; `when` tells the moments that a sentence names."""
    return [each | {"at_s": each["at_s"] - began_s} for each in _decisions(entries, when)]


def spans(entries: Sequence[Entry], *, began_s: float = 0.0, ended_s: float) -> list[list[Any]]:
    """[from, until, what, words] of every training and rollout, in seconds since `began_s`; one that is open ends at `ended_s`."""
    found: list[list[Any]] = []
    open_ones: dict[int | str, list[Any]] = {}
    ends: dict[int, list[Any]] = {}
    for entry in all_formed(entries):
        payload = entry.payload
        if entry.kind == Kind.INTENT:
            action, number = payload["action"], payload["number"]
            if action["kind"] == "retrain":
                open_ones[number] = ends[number] = [
                    entry.at_s - began_s,
                    None,
                    "training",
                    f"training of {action.get('model', '')}",
                ]
                found.append(ends[number])
            elif action["kind"] == "start_rollout":
                version = action.get("version", "")
                words = f"rollout of version {version}"
                open_ones[version] = [entry.at_s - began_s, None, "rollout", words]
                found.append(open_ones[version])
            elif action["kind"] in {"promote", "roll_back"} and action.get("version", "") in open_ones:
                verdict = "promoted" if action["kind"] == "promote" else "rolled back"
                ends[number] = open_ones.pop(action.get("version", ""))
                ends[number][3] += f": {verdict}"
        elif entry.kind == Kind.OUTCOME and payload["number"] in ends:
            ends.pop(payload["number"])[1] = entry.at_s - began_s
    return [[since, ended_s - began_s if until is None else until, *rest] for since, until, *rest in found]


def most_telling(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most DECISIONS of them, in order."""
    if len(found) <= DECISIONS:
        return found
    ranked = sorted(found, key=lambda each: each["kind"] in ("hold", "veto"))
    return sorted(ranked[:DECISIONS], key=lambda each: each["at_s"])


def _decisions(entries: Sequence[Entry], when: When) -> Iterator[dict[str, Any]]:
    """Orders with what became of them, refusals, and what was vetoed, held or told where that is news."""
    entries = list(all_formed(entries))
    outcomes = {e.payload["number"]: e for e in entries if e.kind == Kind.OUTCOME}
    said: dict[str, str] = {}
    lives = 0
    for entry in entries:
        payload = entry.payload
        match entry.kind:
            case Kind.INTENT:
                came = outcomes.get(payload["number"])
                outcome = _outcome(came, entry.at_s) if came else "under way at the end"
                yield _decision(entry.at_s, payload["action"]["kind"], payload, when, outcome)
            case Kind.REFUSED:
                text = payload.get("reason", "")
                yield _plain(entry.at_s, "refused", f"order {payload['number']} was refused", text)
            case Kind.DECIDED:
                yield from _beside_orders(entry.at_s, payload, said, when)
            case Kind.STARTED:
                lives += 1
                if lives > 1:
                    yield _plain(entry.at_s, "agent", "the agent lives again", f"epoch {payload.get('epoch', '')}")


def _outcome(came: Entry, given_s: float) -> str:
    ended_s = came.payload.get("at_s", came.at_s)
    return f"{came.payload['status']} after {ended_s - given_s:.0f} s: {came.payload.get('detail', '')}"


def _beside_orders(
    at_s: float, payload: Mapping[str, Any], said: dict[str, str], when: When
) -> Iterator[dict[str, Any]]:
    now: dict[str, str] = {}
    for hold in payload.get("holds") or ():
        key = f"hold {hold.get('policy', '')} {hold['action'].get('subject', '')}"
        now[key] = " ".join(str(each.get("name", "")) for each in hold.get("because") or ())
        if said.get(key) != now[key]:
            yield _decision(at_s, "hold", hold, when, "")
    for veto in payload.get("vetoes") or ():
        key = f"veto {veto['rule']} {veto['proposal']['action']}"
        now[key] = veto["rule"]
        if key not in said:
            why = f"kept back by {plain_name(veto['rule'])}: {veto_words(veto)}"
            yield _decision(at_s, "veto", veto["proposal"], when, why)
    for row in payload.get("suggestions") or ():
        key = f"suggestion {row['proposal']['action']}"
        now[key] = row["autonomy"]
        if key not in said:
            yield _decision(at_s, "suggestion", row["proposal"], when, f"not done: autonomy is {row['autonomy']}")
    for alert in payload.get("alerts") or ():
        subject, text = alert.get("subject", ""), alert.get("text", "")
        key = f"alert {subject}"
        now[key] = text
        if said.get(key) != now[key]:
            yield _plain(at_s, "alert", text, "", subject)
    said.clear()
    said.update(now)


def _decision(at_s: float, kind: str, proposal: Mapping[str, Any], when: When, outcome: str) -> dict[str, Any]:
    action = proposal["action"]
    about = (
        action.get("model") or str(action.get("deployment", "")).rpartition("/")[0] or _model(action.get("subject", ""))
    )
    order = f"order {proposal['number']}: " if "number" in proposal else ""
    return {
        "at_s": at_s,
        "kind": kind,
        "model": about,
        "what": f"{order}{order_words(proposal, when=when)}",
        "why": reasons(proposal),
        "policy": proposal.get("policy", ""),
        "outcome": outcome,
        "to": action.get("replicas"),
    }


def _plain(at_s: float, kind: str, what: str, why: str, subject: str = "") -> dict[str, Any]:
    return {
        "at_s": at_s, "kind": kind, "model": _model(subject), "what": what, "why": why, "policy": "", "outcome": "", "to": None
    }  # fmt: skip


def _model(subject: object) -> str:
    """The model or the application of a subject, which may be a deployment's name."""
    return str(subject).split("/", maxsplit=1)[0]
