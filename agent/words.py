"""Actions, evidence and orders, as the journal keeps them, in the words of a person on one line. Pure.

What is told may come from a stranger's journal: whatever a field holds, and whichever fields are missing, there is an answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.units import day, duration, number, share

When = Callable[[float], str]
"""How a moment is told: as a date, or where a play has a clock of its own, by that."""
Row = Mapping[str, Any]

TERMS = {
    "asked_by_hand": "asked for by hand",
    "blocked": "kept back",
    "candidate": "score of the candidate",
    "candidates": "candidates that wait",
    "challengers": "replicas of the challenger",
    "champion_age_s": "age of the champion",
    "comparison_age_s": "age of the comparison",
    "cool_down_s": "since the last order",
    "crashing_s": "without most of its replicas for",
    "error_rate": "error rate",
    "fewer_trials_at_once": "trials at a time",
    "flapping": "changes of direction",
    "labelled_rows": "labelled rows",
    "lateness": "latency as a multiple of its SLO",
    "latency_mean_s": "mean latency",
    "latency_p50_s": "p50 latency",
    "latency_p95_s": "p95 latency",
    "latency_p99_s": "p99 latency",
    "latency_predicted_s": "predicted latency",
    "loss": "mean loss",
    "loss_over_constant": "loss above that of a constant",
    "odd_for_s": "worse than its peers for",
    "one_fewer": "utility with one replica fewer",
    "one_more": "utility with one replica more",
    "ongoing": "ongoing requests",
    "ongoing_per_replica": "ongoing requests per replica",
    "paired_loss": "loss difference on the same rows",
    "promoted_s_ago": "since the promotion",
    "rate_forecast_rps": "forecast arrival rate",
    "rate_predicted_rps": "predicted arrival rate",
    "rate_rps": "request rate",
    "replicas_under_way": "replicas under way",
    "replicas_with_evidence": "replicas with enough requests",
    "report_age_s": "age of the monitors' report",
    "service_s": "service time",
    "short_for_s": "short of replicas for",
    "since_broken_rows_s": "since the last broken rows",
    "since_last_training_s": "since the last training",
    "slo_latency_s": "latency SLO",
    "slow_on_node": "replicas that were slow on the node",
    "stage_s": "length of the stage",
    "stage_timeout_s": "length of the stage",
    "starting_s": "replicas starting for",
    "target_ongoing_requests": "target of ongoing requests",
    "traffic_age_s": "age of the traffic's figures",
    "trimmed_to_budget": "replicas, trimmed to the budget",
    "unhealthy_for_s": "unhealthy for",
    "value": "utility",
}
"""The field's standard term for what a piece of evidence is named in the journal; other names are told with blanks for underscores."""
SHARES = {"error_rate", "utilization"}
DRIFT = {
    "error_drift": "error drift",
    "prediction_drift": "prediction drift",
    "feature_drift": "feature drift in",
    "data_quality": "broken values in",
    "performance": "performance loss",
}
"""What a symptom's kind is called; evidence of one is named "kind:detector" and notes the signal."""
DRIFTED = ("error_drift:", "performance:", "prediction_drift:", "feature_drift:")


def action_words(action: Row, *, when: When = day) -> str:
    """An action as one would ask a colleague for it: "retrain fraud on rows since 12 February 2026 08:33 UTC"."""
    kind = str(action.get("kind", "action"))
    try:
        return one_line(SENTENCES[kind](action, when))
    except (KeyError, TypeError, ValueError, OverflowError):
        return one_line(" ".join([kind, *(f"{k} {v}" for k, v in action.items() if k != "kind" and v is not None)]))


def order_words(order: Row, *, when: When = day) -> str:
    """An order's action, with what else the order knows of it: from how many replicas, and whether a drift began where its rows do."""
    action, before = order["action"], order.get("inverse") or {}
    if action.get("kind") == before.get("kind") == "scale" and {"deployment", "replicas"} <= action.keys():
        return one_line(
            f"scale {action['deployment']} from {before.get('replicas')} to {_told(_replicas, action['replicas'])}"
        )
    if action.get("kind") == "retrain" and any(_name(each).startswith(DRIFTED) for each in order.get("because") or ()):
        return action_words(action, when=lambda at_s: f"{when(at_s)} (drift began)")
    return action_words(action, when=when)


def reasons(proposal: Row) -> str:
    """The evidence of a proposal on one line."""
    return "; ".join(map(evidence_words, proposal.get("because") or ()))


def evidence_words(evidence: Row) -> str:
    """One piece of evidence: "p95 latency 350 ms against 200 ms, over 30 s, n=120"; its note alone where nothing was measured."""
    note = one_line(str(evidence.get("note") or ""))
    term, about = _term(_name(evidence), note)
    if evidence.get("value") is None and evidence.get("threshold") is None:
        return about if about != note else note or term
    said = " ".join(filter(None, [term, told_value(evidence, "value"), against(evidence)]))
    return said + sample(evidence) + (f" ({note})" if note and not _is_symptom(evidence) else "")


def against(evidence: Row) -> str:
    """What the value was held against, where something was given."""
    limit = told_value(evidence, "threshold")
    return f"against {limit}" if limit else ""


def sample(evidence: Row) -> str:
    """Over how long, and of how many, where that is known."""
    over, n = evidence.get("window_s"), evidence.get("n")
    return (f", over {_told(duration, over)}" if over else "") + (f", n={_told('{:,}'.format, n)}" if n else "")


def evidence_term(evidence: Row) -> str:
    """What was measured, without its value."""
    return _term(_name(evidence), one_line(str(evidence.get("note") or "")))[0]


def told_value(evidence: Row, field: str) -> str:
    """The value or the threshold of a piece of evidence, in the unit that its name ends with."""
    value, name = evidence.get(field), _name(evidence)
    if value is None:
        return ""
    if name.endswith(("_s", "_s_ago")) or name.startswith("schedule:"):
        return _told(duration, value)
    if name.endswith("_rps"):
        return f"{_told(number, value)} requests/s"
    return _told(share if name in SHARES else number, value)


def veto_words(veto: Row) -> str:
    """Why something was kept back."""
    measured = {"name": veto.get("rule", ""), "value": veto.get("value"), "threshold": veto.get("threshold")}
    timed = measured["name"] in {"back_off", "cool_down", "foreign_change"}
    figures = {**measured, "name": f"{measured['name']}_s"} if timed else measured
    told = " ".join(filter(None, [told_value(figures, "value"), against(figures)]))
    return one_line(f"{veto.get('reason', '')}{f' ({told})' if told else ''}")


def symptom_words(symptom: Row) -> str:
    """What one monitor says, without its figures."""
    return _symptom(str(symptom.get("kind", "")), one_line(str(symptom.get("signal", ""))))


def plain_name(name: str) -> str:
    """A rule's, a kind's or a state's name as a word of a sentence."""
    return one_line(name.replace("_", " "))


def one_line(text: str) -> str:
    """`text` without the line breaks by which a note could pass for a line of its own."""
    return " ".join(text.split())


def counted(count: int, noun: str) -> str:
    """`count` of what `noun` names in the singular."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Sequence[str], most: int = 2) -> str:
    """Names as a sentence lists them, `most` at most: "a", "a and b", "a, b and 3 more"."""
    named, left = list(names[:most]), len(names) - most
    if left > 0:
        return f"{', '.join(named)} and {left} more"
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


def _name(evidence: Row) -> str:
    return str(evidence.get("name", ""))


def _replicas(count: int) -> str:
    return counted(count, "replica")


def _is_symptom(evidence: Row) -> bool:
    """Whether its name is a monitor's, and its note the signal."""
    kind, _, detector = _name(evidence).partition(":")
    return kind in DRIFT and bool(detector)


def _told(words: Callable[[Any], str], value: Any) -> str:
    """`value` in `words`; as it stands where it is none of the numbers that they are for."""
    try:
        return words(value)
    except (TypeError, ValueError, OverflowError):
        return one_line(str(value))


def _term(name: str, note: str) -> tuple[str, str]:
    """What is measured, and all that is to be told of it where it has no value."""
    kind, _, detector = name.partition(":")
    if kind == "schedule" and detector:
        return f"schedule {detector} fell due, since then", f"schedule {detector} fell due"
    if kind in DRIFT and detector:
        told = f"{_symptom(kind, note)} ({detector})"
        return told, told
    if name.startswith("latency_") and name not in TERMS:
        return f"{plain_name(name.removesuffix('_s'))}", note
    return TERMS.get(name, plain_name(name.removesuffix("_s").removesuffix("_rps"))), note


def _symptom(kind: str, signal: str) -> str:
    if kind in {"feature_drift", "data_quality"}:
        return f"{DRIFT[kind]} {signal}"
    return DRIFT.get(kind, f"{plain_name(kind)} of {signal}")


def _retrain(action: Row, when: When) -> str:
    most, since_s = action.get("rows_max"), action.get("since_s")
    rows = f"at most {most:,} rows" if most is not None else "rows" if since_s is not None else "all rows"
    trials = action.get("concurrent_trials")
    return (
        f"retrain {action['model']} on {rows}"
        + (f" since {when(since_s)}" if since_s is not None else "")
        + (f", {counted(trials, 'trial')} at a time" if trials is not None else "")
    )


def _traffic(action: Row, _: When) -> str:
    shadow = f" and be shown {share(action['shadow'])} of the other rows" if action.get("shadow") else ""
    return f"let version {action['version']} of {action['model']} answer {share(action['share'])} of the keys{shadow}"


SENTENCES: Mapping[str, Callable[[Row, When], str]] = {
    "scale": lambda a, _: f"scale {a['deployment']} to {counted(a['replicas'], 'replica')}",
    "restart": lambda a, _: f"replace replica {a['replica']} of {a['deployment']}",
    "retrain": _retrain,
    "stop_training": lambda a, _: f"stop the training of {a['model']}",
    "start_rollout": lambda a, _: (
        f"run version {a['version']} of {a['model']} in shadow, shown {share(a['shadow'])} of the rows"
    ),
    "set_traffic": _traffic,
    "promote": lambda a, _: f"promote version {a['version']} of {a['model']} to champion",
    "roll_back": lambda a, _: f"roll version {a['version']} of {a['model']} back to version {a['to']}",
    "quarantine": lambda a, when: (
        f"keep the rows of {a['model']} from {when(a['since_s'])} to {when(a['until_s'])} out of training"
    ),
    "alert": lambda a, _: f"tell people about {a['subject']}: {a['text']}",
    "hold": lambda a, _: f"leave {a['subject']} as it is",
}
