"""From a journal to what happened: drift, retrainings, rollouts, healing, scaling. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agent.journal.record import Entry, Kind
from agent.units import day
from agent.words import When, order_words, reasons
from ray_cluster.demo.standing import CHAMPION, MODEL

FAULT_WINDOW_S = 15.0
"""A request that failed within so long after the demo killed a replica counts as taken down by it."""
BURST_WINDOW_S = 15.0
"""What is ordered so long after the end of the burst may still be its doing."""
RIVER = {"adwin", "page_hinkley", "kswin"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the demo did to a replica, and when."""

    fault: str
    replica: str
    at_s: float


def drift(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Each symptom of a River detector or window test when it was first seen, in order."""
    found: dict[tuple[str, str, str, float], dict[str, Any]] = {}
    for entry in entries:
        if entry.kind != Kind.OBSERVED:
            continue
        report = entry.payload["models"].get(MODEL, {}).get("report")
        for symptom in report["symptoms"] if report else ():
            key = (symptom["kind"], symptom["signal"], symptom["detector"], symptom["since_s"])
            found.setdefault(key, {"at_s": entry.at_s, "detector": symptom["detector"], "evidence": symptom})
    return list(found.values())


def rollouts(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Each version's way: its stages, the verdict that came to pass, and the evidence for it."""
    found: dict[str, dict[str, Any]] = {}
    verdicts: dict[int, tuple[dict[str, Any], str, list[Any]]] = {}
    for entry in entries:
        if (
            entry.kind == Kind.OUTCOME
            and entry.payload["status"] == "succeeded"
            and entry.payload["number"] in verdicts
        ):
            rollout, verdict, evidence = verdicts[entry.payload["number"]]
            rollout.update(verdict=verdict, evidence=evidence, ended_at_s=entry.at_s)
        if entry.kind != Kind.INTENT:
            continue
        action = entry.payload["action"]
        if action["kind"] == "start_rollout":
            found.setdefault(
                action["version"],
                {
                    "version": action["version"],
                    "stages": ["shadow"],
                    "verdict": "open",
                    "evidence": [],
                    "at_s": entry.at_s,
                },
            )
        if action.get("version") not in found:
            continue
        rollout = found[action["version"]]
        if action["kind"] == "set_traffic":
            rollout["stages"].append(f"canary {action['share']:g}")
        elif action["kind"] in {"promote", "roll_back"}:
            verdict = "promoted" if action["kind"] == "promote" else "rolled back"
            verdicts[entry.payload["number"]] = (rollout, verdict, entry.payload["because"])
    return list(found.values())


def scaling(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Each change of the champion's replica count that came to pass."""
    ordered: dict[int, dict[str, Any]] = {}
    done: list[dict[str, Any]] = []
    for entry in entries:
        payload = entry.payload
        if entry.kind == Kind.INTENT and payload["action"].get("deployment") == CHAMPION and payload["inverse"]:
            ordered[payload["number"]] = {
                "at_s": entry.at_s,
                "from": payload["inverse"]["replicas"],
                "to": payload["action"]["replicas"],
            }
        elif entry.kind == Kind.OUTCOME and payload["status"] == "succeeded" and payload["number"] in ordered:
            done.append(ordered[payload["number"]])
    return done


def decisions(entries: Iterable[Entry], *, when: When = day) -> list[dict[str, Any]]:
    """Each order: when, what, by which policy, why, and how it ended (None while it is under way)."""
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        payload = entry.payload
        if entry.kind == Kind.INTENT:
            found[payload["number"]] = {
                "number": payload["number"], "at_s": entry.at_s, "action": order_words(payload, when=when),
                "policy": payload["policy"], "because": reasons(payload), "ended": None,
            }  # fmt: skip
        elif entry.kind == Kind.OUTCOME and payload["number"] in found:
            found[payload["number"]]["ended"] = payload["status"]
    return list(found.values())


def healing(entries: Sequence[Entry], faults: Iterable[Fault]) -> list[dict[str, Any]]:
    """For each fault how long until the agent noticed (an order or an alert about it), and until all was well again."""
    return [_healed(entries, fault) for fault in faults]


def _healed(entries: Sequence[Entry], fault: Fault) -> dict[str, Any]:
    noticed_s = healed_s = None
    for entry in entries:
        if entry.at_s < fault.at_s:
            continue
        if noticed_s is None and _notices(entry, fault):
            noticed_s = entry.at_s - fault.at_s
        if healed_s is None and entry.kind == Kind.OBSERVED and _well(entry.payload, fault):
            healed_s = entry.at_s - fault.at_s
        if noticed_s is not None and healed_s is not None:
            break
    return {**asdict(fault), "noticed_after_s": noticed_s, "healed_after_s": healed_s}


def _notices(entry: Entry, fault: Fault) -> bool:
    if entry.kind == Kind.INTENT:
        action = entry.payload["action"]
        return bool(action["kind"] == "restart" and action["replica"] == fault.replica)
    if entry.kind == Kind.DECIDED and fault.fault == "killed":
        return any(CHAMPION in alert["subject"] or CHAMPION in alert["text"] for alert in entry.payload["alerts"])
    return False


def _well(seen: Mapping[str, Any], fault: Fault) -> bool:
    deployment = seen["deployments"].get(CHAMPION)
    if deployment is None or any(r["id"] == fault.replica for r in deployment["replicas"]):
        return False
    running = sum(r["state"] == "running" for r in deployment["replicas"])
    return running >= deployment["replicas_wanted"] > 0


def lost_by_agent(failures: Iterable[Mapping[str, Any]], faults: Iterable[Fault]) -> int:
    """Failed requests that no replica which the demo itself killed took with it."""
    kills = [fault.at_s for fault in faults if fault.fault == "killed"]
    return sum(not any(f["ended_s"] >= at_s and f["at_s"] <= at_s + FAULT_WINDOW_S for at_s in kills) for f in failures)


def promises(
    result: Mapping[str, Any], *, bad_version: str | None, burst: tuple[float, float] | None
) -> dict[str, bool]:
    """What should happen in a run, and whether it did. `burst` is from when to when it was.

    A retrained challenger that is kept out is no failure: its gates may well be right. But one has to be promoted before the end.
    """
    began_s, ended_s = burst or (math.inf, math.inf)
    verdicts = {rollout["version"]: rollout["verdict"] for rollout in result["rollouts"]}
    kinds = {found["evidence"]["kind"] for found in result["drift"]}
    moves = [(step["at_s"], step["from"], step["to"]) for step in result["scaling"] if step["from"] is not None]
    return {
        "drift was found on the labels": bool(kinds & {"error_drift", "performance"}),
        "drift was found on the features": any(
            f["evidence"]["kind"] == "feature_drift" and f["detector"] in RIVER for f in result["drift"]
        ),
        "a retraining was registered": any(r["version"] for r in result["retrainings"]),
        "a search tried scikit-learn and River recipes": any(
            _both_families(r["recipes_tried"]) for r in result["retrainings"]
        ),
        "a retrained challenger was promoted": any(v == "promoted" for v in verdicts.values()),
        "the bad challenger was rolled back": bad_version is not None and verdicts.get(bad_version) == "rolled back",
        "the burst added replicas": any(b > a and began_s <= at_s <= ended_s + BURST_WINDOW_S for at_s, a, b in moves),
        "the end of the burst removed them": any(b < a and at_s >= ended_s for at_s, a, b in moves),
        "the killed replica was noticed and replaced": _was_healed(result, "killed"),
        "the slow replica was noticed and replaced": _was_healed(result, "slow"),
        "no request was lost by the agent": result["requests"]["lost_by_agent"] == 0,
        "the agent's answers were better than the frozen model's": _better(result["quality"]),
        "the journal verifies": result["journal"]["verified"],
        "the journal replays identically": result["journal"]["replayed_identically"],
    }


def missing(result: Mapping[str, Any], *, bad_version: str | None, burst: tuple[float, float] | None) -> list[str]:
    """What should have happened and did not; empty where all of it did."""
    found = promises(result, bad_version=bad_version, burst=burst)
    return [claim for claim, held in found.items() if not held]


def _both_families(tried: Iterable[str]) -> bool:
    river = {"river_logistic", "hoeffding_tree"}
    return bool(set(tried) & river) and bool(set(tried) - river)


def _better(quality: Mapping[str, Any]) -> bool:
    return quality["agent"] is not None and bool(quality["agent"] < quality["frozen"])


def _was_healed(result: Mapping[str, Any], fault: str) -> bool:
    rows = [row for row in result["healing"] if row["fault"] == fault]
    return bool(rows) and all(r["noticed_after_s"] is not None and r["healed_after_s"] is not None for r in rows)
