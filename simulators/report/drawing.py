"""From a result to what a page draws of it: series by model, faults, and every decision with its reason; plain lists and numbers.

A long run has more minutes than a screen has columns; then several are drawn as one: requests add up, of latencies the worst counts.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.journal.record import Entry, Kind
from agent.words import order_words, plain_name, reasons, veto_words
from simulators.measures import Minute
from simulators.progress import clock
from simulators.run import Point, Result
from simulators.settings import ScenarioSettings

COLUMNS = 1440
"""So many moments are drawn at most: a day of minutes."""
DECISIONS = 4000
"""So many decisions are kept at most; orders go before what was held back."""


def drawing_of(result: Result, settings: ScenarioSettings) -> dict[str, Any]:
    """All that the page of a run of this scenario shows, ready for JSON. Latencies in milliseconds, times in simulated seconds."""
    models = result.measures["models"]
    width = max(1, math.ceil(max((len(rows) for rows in result.minutes.values()), default=0) / COLUMNS))
    points = result.points[:: max(1, math.ceil(len(result.points) / COLUMNS))]
    decisions = list(_decisions(result.entries))
    return {
        "minutes": width,
        "slo_ms": {name: 1000.0 * slo_s for name, slo_s in result.slos.items()},
        "models": {
            name: _requests(result.minutes[name], width) | _replicas(points, name) | {"measures": models[name]}
            for name in models
        },
        "faults": sorted(
            [*_faults(settings), *_people(settings), *_preemptions(result, settings), *_changes(settings)]
        ),
        "decisions": _kept(decisions),
        "left_out": max(0, len(decisions) - DECISIONS),
    }


# -- what happens to the world -----------------------------------------------------------------------------------


def _faults(settings: ScenarioSettings) -> Iterator[list[Any]]:
    for fault in settings.faults:
        where = fault.model or fault.node
        lasts = f" for {fault.for_s:g} s" if fault.for_s is not None else ""
        yield [fault.at_s, f"{fault.kind}{f' of {where}' if where else ''}{lasts}"]


def _people(settings: ScenarioSettings) -> Iterator[list[Any]]:
    for person in settings.people:
        what = person.model or person.action
        yield [person.at_s, f"somebody says {person.says}{f' to {what}' if what else ''}"]


def _preemptions(result: Result, settings: ScenarioSettings) -> Iterator[list[Any]]:
    """Faults that chance has made, beside those that the scenario lists."""
    listed = {(fault.at_s, fault.kind) for fault in settings.faults}
    return ([round(at_s, 3), kind] for at_s, kind in result.faults if (at_s, kind) not in listed)


def _changes(settings: ScenarioSettings) -> Iterator[list[Any]]:
    for name, model in settings.models.items():
        for change in model.learning.changes if model.learning is not None else ():
            lasts = f" until {change.until_s:g} s" if change.until_s is not None else ""
            yield [change.at_s, f"the rows of {name} change: {change.kind}{lasts}"]


# -- series ------------------------------------------------------------------------------------------------------


def _requests(rows: Sequence[Minute], width: int) -> dict[str, list[Any]]:
    groups = [rows[n : n + width] for n in range(0, len(rows), width)]
    return {
        "begin_s": [group[0].begin_s for group in groups],
        "rate_rps": [_rounded(sum(each.arrived for each in group) / (60.0 * len(group))) for group in groups],
        "violations": [_share(sum(e.violations for e in group), sum(e.arrived for e in group)) for group in groups],
        "dropped": [sum(each.dropped for each in group) for group in groups],
        "failed": [sum(each.failed for each in group) for group in groups],
        **{
            f"{name}_ms": [_worst_ms(getattr(each, f"{name}_s") for each in group) for group in groups]
            for name in ("p50", "p95", "p99")
        },
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _worst_ms(latencies_s: Iterable[float]) -> float | None:
    """None where nothing arrived, or where the worst got no answer at all, which no axis can show."""
    worst_s = max((each for each in latencies_s if not math.isnan(each)), default=math.nan)
    return _rounded(1000.0 * worst_s)


def _replicas(points: Sequence[Point], name: str) -> dict[str, list[Any]]:
    return {
        "at_s": [each.at_s for each in points],
        "running": [each.running[name] for each in points],
        "wanted": [each.wanted[name] for each in points],
        "queued": [each.queued[name] for each in points],
        "loss": [_rounded(each.loss[name]) for each in points],
        "version": [each.version[name] for each in points],
    }


def _rounded(value: float | None) -> float | None:
    """Four figures are more than a screen shows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


# -- decisions ---------------------------------------------------------------------------------------------------


def _decisions(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Orders with what became of them, refusals, and what was vetoed, held or told where that is news."""
    outcomes = {e.payload["number"]: e.payload for e in entries if e.kind == Kind.OUTCOME}
    said: dict[str, str] = {}
    lives = 0
    for entry in entries:
        payload = entry.payload
        match entry.kind:
            case Kind.INTENT:
                came = outcomes.get(payload["number"])
                outcome = f"{came['status']} after {came['at_s'] - entry.at_s:.0f} s: {came['detail']}" if came else ""
                yield _decision(entry.at_s, payload["action"]["kind"], payload, outcome or "under way at the end")
            case Kind.REFUSED:
                text = payload.get("reason", "")
                yield _plain(entry.at_s, "refused", f"order {payload['number']} was refused", text)
            case Kind.DECIDED:
                yield from _beside_orders(entry.at_s, payload, said)
            case Kind.STARTED:
                lives += 1
                if lives > 1:
                    yield _plain(entry.at_s, "agent", "the agent lives again", f"epoch {payload['epoch']}")


def _beside_orders(at_s: float, payload: Mapping[str, Any], said: dict[str, str]) -> Iterator[dict[str, Any]]:
    now: dict[str, str] = {}
    for hold in payload["holds"]:
        key = f"hold {hold['policy']} {hold['action']['subject']}"
        now[key] = " ".join(each["name"] for each in hold["because"])
        if said.get(key) != now[key]:
            yield _decision(at_s, "hold", hold, "")
    for veto in payload["vetoes"]:
        key = f"veto {veto['rule']} {veto['proposal']['action']}"
        now[key] = veto["rule"]
        if key not in said:
            yield _decision(
                at_s, "veto", veto["proposal"], f"kept back by {plain_name(veto['rule'])}: {veto_words(veto)}"
            )
    for row in payload["suggestions"]:
        key = f"suggestion {row['proposal']['action']}"
        now[key] = row["autonomy"]
        if key not in said:
            yield _decision(at_s, "suggestion", row["proposal"], f"not done: autonomy is {row['autonomy']}")
    for alert in payload["alerts"]:
        key = f"alert {alert['subject']}"
        now[key] = alert["text"]
        if said.get(key) != now[key]:
            yield _plain(at_s, "alert", alert["text"], "", alert["subject"])
    said.clear()
    said.update(now)


def _decision(at_s: float, kind: str, proposal: Mapping[str, Any], outcome: str) -> dict[str, Any]:
    action = proposal["action"]
    subject = action.get("model") or action.get("deployment") or action.get("subject", "")
    order = f"order {proposal['number']}: " if "number" in proposal else ""
    return {
        "at_s": at_s,
        "kind": kind,
        "model": str(subject).split("/")[0],
        "what": f"{order}{order_words(proposal, when=clock)}",
        "why": reasons(proposal),
        "policy": proposal["policy"],
        "outcome": outcome,
        "to": action.get("replicas"),
    }


def _plain(at_s: float, kind: str, what: str, why: str, subject: str = "") -> dict[str, Any]:
    model = subject.split("/", maxsplit=1)[0]
    return {
        "at_s": at_s, "kind": kind, "model": model, "what": what, "why": why, "policy": "", "outcome": "", "to": None
    }  # fmt: skip


def _kept(decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(decisions) <= DECISIONS:
        return decisions
    ranked = sorted(decisions, key=lambda each: each["kind"] in ("hold", "veto"))
    return sorted(ranked[:DECISIONS], key=lambda each: each["at_s"])
