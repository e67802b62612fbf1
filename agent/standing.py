"""Standing: how things are with an agent and what it watches, from what it saw last and what it has under way. Plain JSON; pure.

The agent tells it of itself, and a journal tells it of an agent that can not be asked. What is not known is None.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from agent.codec import to_json
from agent.journal.controls import ControlFold
from agent.journal.forms import all_formed, newest
from agent.journal.record import Entry, Kind
from policies.observation import Controls, ReplicaState

Row = Mapping[str, Any]
RESOURCES = ("replicas", "cpus", "gpus")
WORDS = {"frozen": "freeze", "killed": "kill"}
"""The word by which a person brought each about."""
TAKEN_BACK = {"freeze": "unfreeze", "kill": "resume"}


class Readable(Protocol):
    """A journal that can be asked for its newest."""

    def last(self, kind: Kind) -> Entry | None: ...

    def entries(
        self, *, since_seq: int = 0, since_s: float | None = None, kinds: Sequence[Kind] | None = None
    ) -> Iterable[Entry]: ...

    def controls(self, at_s: float) -> Controls: ...


def standing(
    settings: Row,
    seen: Row,
    *,
    open_orders: Sequence[Row],
    awaiting: Sequence[Row],
    controls: Row,
    said: Iterable[Entry] | None,
) -> dict[str, Any]:
    """All of it, from settings, an observation and orders as JSON.

    `said` are the control entries, of which the newest of a word counts; None where they can not be read.
    """
    budget = settings.get("budget") or {}
    entries = None if said is None else list(said)
    return {
        "name": settings.get("name", ""),
        "seen_at_s": seen["at_s"] - (seen.get("clock_ahead_s") or 0.0) if "at_s" in seen else None,
        "controls": _controls(controls, entries or ()),
        "unseen": [] if entries is None else list(_unseen(seen.get("controls") or {}, entries)),
        "deployments": [_deployment(row) for _, row in sorted((seen.get("deployments") or {}).items())],
        "models": [_model(row) for _, row in sorted((seen.get("models") or {}).items())],
        "budget": {name: _budget(name, seen, budget.get(name)) for name in RESOURCES},
        "problems": list(seen.get("problems") or ()),
        "open_orders": list(open_orders),
        "awaiting": list(awaiting),
    }


def from_journal(journal: Readable, at_s: float) -> dict[str, Any] | None:
    """How things stood when the journal was last written; None where no agent has begun with it.

    Raises UnreadableEntry for an entry of another form, and JournalUnavailable.
    """
    started, seen, decided = (newest(journal, kind) for kind in (Kind.STARTED, Kind.OBSERVED, Kind.DECIDED))
    if started is None:
        return None
    given = {order["number"]: order for order in started.payload.get("open_orders") or ()}
    asked = {order["number"]: order for order in (decided.payload.get("awaiting") if decided else None) or ()}
    for entry in all_formed(journal.entries(since_seq=started.seq, kinds=(Kind.INTENT, Kind.OUTCOME))):
        number = entry.payload["number"]
        if decided and entry.seq > decided.seq:
            asked.pop(number, None)
        if entry.kind == Kind.INTENT:
            given[number] = entry.payload
        else:
            given.pop(number, None)
    return standing(
        started.payload.get("settings") or {},
        seen.payload if seen else {},
        open_orders=list(given.values()),
        awaiting=list(asked.values()),
        controls=to_json(journal.controls(at_s)),
        said=all_formed(journal.entries(kinds=(Kind.CONTROL,))),
    )


def used(resource: str, seen: Row) -> float | None:
    """What deployments want and running trainings take of a resource together; None where a part of it is not known."""
    rows = (seen.get("deployments") or {}).values()
    taken: list[float | None] = [
        _taken(resource, row.get("replicas_wanted"), row.get("resources") or {}) for row in rows
    ]
    if resource != "replicas":
        jobs = [row.get("training") or {} for row in (seen.get("models") or {}).values()]
        taken += [_taken(resource, 1, job.get("resources") or {}) for job in jobs if job.get("state") == "running"]
    return None if None in taken else float(sum(each for each in taken if each is not None))


def _taken(resource: str, replicas: int | None, each: Row) -> float | None:
    amount = 1.0 if resource == "replicas" else each.get(resource)
    return None if replicas is None or amount is None else replicas * amount


def _budget(resource: str, seen: Row, limit: float | None) -> dict[str, float | None]:
    taken = used(resource, seen)
    return {"used": taken, "limit": limit, "left": None if taken is None or limit is None else limit - taken}


def _controls(controls: Row, said: Iterable[Entry]) -> dict[str, Any]:
    newest = {entry.payload.get("word"): entry for entry in said}
    return {name: _said(newest.get(word)) if controls.get(name) else None for name, word in WORDS.items()}


def _unseen(seen: Row, said: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """What is written down and was not yet so when the agent looked last: it counts from its next tick."""
    fold = ControlFold()
    fold.follow(said, 0.0)
    now = to_json(fold.controls(0.0))
    newest = {entry.payload.get("word"): entry for entry in said}
    for name, word in WORDS.items():
        if now[name] != bool(seen.get(name)):
            told = word if now[name] else TAKEN_BACK[word]
            yield {"word": told, **_said(newest.get(told))}


def _said(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"since_s": None, "by": "", "reason": ""}
    return {"since_s": entry.at_s, "by": entry.payload.get("by", ""), "reason": entry.payload.get("reason", "")}


def _deployment(row: Row) -> dict[str, Any]:
    traffic = row.get("traffic") or {}
    requests, window_s = traffic.get("requests"), traffic.get("window_s")
    replicas = row.get("replicas") or ()
    return {
        "name": row.get("name", ""),
        "status": row.get("status"),
        "replicas_wanted": row.get("replicas_wanted"),
        "replicas_running": sum(each.get("state") == ReplicaState.RUNNING for each in replicas),
        "latency_mean_s": traffic.get("latency_mean_s"),
        "latency_p95_s": traffic.get("latency_p95_s"),
        "slo_latency_s": row.get("slo_latency_s"),
        "rate_rps": requests / window_s if requests is not None and window_s else None,
        "error_rate": traffic.get("errors", 0) / requests if requests else None,
        "model": row.get("model"),
        "slot": row.get("slot"),
        "message": row.get("message", ""),
    }


def _model(row: Row) -> dict[str, Any]:
    report = row.get("report") or {}
    return {
        "name": row.get("name", ""),
        "managed": row.get("managed", False),
        "champion": (row.get("champion") or {}).get("number"),
        "loss_name": report.get("loss_name"),
        "loss": report.get("loss"),
        "loss_reference": report.get("loss_reference"),
        "rows": report.get("rows"),
        "labelled_rows": report.get("labelled_rows"),
        "symptoms": list(report.get("symptoms") or ()),
        "refused": _refused(report),
        "rollout": row.get("rollout"),
        "training": row.get("training"),
        "unread": list(row.get("unread") or ()),
    }


def _refused(report: Row) -> dict[str, int]:
    """Rows and labels that were not taken as they came, by reason."""
    counted = {
        "rows with values that are missing or no numbers": report.get("rejected_rows") or 0,
        "rows that the probe could not send": report.get("dropped_rows") or 0,
        "labels of rows that are not known": report.get("unknown_labels") or 0,
        **(report.get("refused") or {}),
    }
    return {reason: count for reason, count in counted.items() if count}
