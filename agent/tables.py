"""What the commands show, as tables for a terminal. They look nothing up: everything is handed in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.history import UNDER_WAY, WAITS, Story
from agent.terminal import styled
from agent.units import UNKNOWN, duration, moment, number, share
from agent.words import (
    action_words,
    evidence_term,
    listed,
    one_line,
    order_words,
    plain_name,
    reasons,
    sample,
    symptom_words,
    told_value,
    veto_words,
)

Row = Mapping[str, Any]
WHY_MIN, GAPS = 30, 14
"""Columns that the reasons of an order need to be told on one line, and what stands between the columns of that table."""
COLUMNS = ("because", "value", "against", "over", "note")
"""Of evidence."""
STYLES = {
    WAITS: "yellow", UNDER_WAY: "cyan", "succeeded": "green", "failed": "red", "expired": "red", "warning": "yellow", "critical": "red",
}  # fmt: skip


def evidence_table(order: Row) -> Table:
    """The evidence of an order, a row for each piece. A column in which nothing would stand is left out."""
    rows = [_evidence_cells(each) for each in order.get("because") or ()]
    kept = [name for name in COLUMNS if name == COLUMNS[0] or any(row[name] for row in rows)]
    table = Table(*kept)
    for row in rows:
        table.add_row(*(row[name] for name in kept))
    return table


def _evidence_cells(evidence: Row) -> dict[str, str]:
    told = (
        evidence_term(evidence),
        told_value(evidence, "value"),
        told_value(evidence, "threshold"),
        sample(evidence).removeprefix(", "),
        one_line(str(evidence.get("note") or "")),
    )
    return dict(zip(COLUMNS, told, strict=True))


def orders_table(stories: Sequence[Story], title: str, width: int) -> Table:
    """Orders on one line each: number, when, what, why, and what became of it. In fewer columns (`width`) what and why are folded."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    heads = ("order", "when (UTC)", "what", "why", "state")
    for name in heads:
        table.add_column(name, no_wrap=name not in {"what", "why"})
    rows = [
        (str(each.number), moment(each.at_s)[:-3], order_words(each.order), reasons(each.order), each.state)
        for each in stories
    ]
    columns = list(zip(heads, *rows, strict=True))
    room = width - sum(max(map(len, columns[place])) for place in (0, 1, 2, 4)) - GAPS
    for number_, when, what, why, state in rows:
        shown = why if room < WHY_MIN or len(why) <= room else f"{why[: room - 1]}…"
        table.add_row(number_, when, what, shown, styled(state, STYLES.get(state, "")))
    return table


def alerts_table(alerts: Sequence[Row], title: str = "") -> Table:
    """Alerts, oldest first."""
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("when (UTC)", "severity", "about"):
        table.add_column(name, no_wrap=name != "about")
    table.add_column("alert")
    for each in alerts:
        severity = styled(each["severity"], STYLES.get(each["severity"], ""))
        table.add_row(moment(each["at_s"]), severity, one_line(each["subject"]), one_line(each["text"]))
    return table


def standing_page(standing: Row, now_s: float) -> Group:
    """How things stand, for a person: controls, deployments, models, budget, orders, and what can not be seen."""
    parts: list[RenderableType] = [*_controls(standing["controls"], now_s)]
    parts += [
        _control(f"written down, and not yet seen by the agent: {said['word']}", said, now_s)
        for said in standing.get("unseen") or ()
    ]
    if standing["deployments"]:
        parts.append(_deployments(standing["deployments"]))
    if standing["models"]:
        parts.append(_models(standing["models"]))
    parts.append(styled(f"budget: {'; '.join(_budgets(standing['budget'])) or 'nothing is used or limited'}", ""))
    parts += [_orders("under way", standing["open_orders"]), _orders("waiting for approval", standing["awaiting"])]
    parts += [
        styled(f"answer with `homeostat approve {row['number']}` or `deny`", "yellow")
        for row in standing["awaiting"][:1]
    ]
    parts += [styled(f"can not be seen: {one_line(problem)}", "yellow") for problem in standing["problems"]]
    return Group(*parts)


def _controls(controls: Row, now_s: float) -> Iterator[Text]:
    for name, said in controls.items():
        if said is not None:
            yield _control(name, said, now_s)


def _control(what: str, said: Row, now_s: float) -> Text:
    since = f" since {moment(said['since_s'])} UTC ({duration(now_s - said['since_s'])})" if said["since_s"] else ""
    by = f" by {said['by']}" if said["by"] else ""
    return styled(one_line(f"{what}{since}{by}{': ' + said['reason'] if said['reason'] else ''}"), "bold red")


def _deployments(rows: Sequence[Row]) -> Table:
    table = Table(
        "deployment", "replicas", "latency (SLO)", "rate", "errors", "status", box=SIMPLE_HEAD, pad_edge=False
    )
    for row in rows:
        counts = f"{row['replicas_running']} of {_or_unknown(row['replicas_wanted'])}"
        healthy = row["replicas_running"] == row["replicas_wanted"]
        table.add_row(
            row["name"],
            styled(counts, "" if healthy else "yellow"),
            _latency(row),
            f"{number(row['rate_rps'])} requests/s" if row["rate_rps"] is not None else UNKNOWN,
            share(row["error_rate"]) or UNKNOWN,
            ": ".join(filter(None, [row["status"] or UNKNOWN, one_line(row["message"])])),
        )
    return table


def _latency(row: Row) -> Text:
    name, latency_s = (
        ("p95", row["latency_p95_s"]) if row["latency_p95_s"] is not None else ("mean", row["latency_mean_s"])
    )
    slo_s = row["slo_latency_s"]
    told = f"{name} {duration(latency_s)}" if latency_s is not None else UNKNOWN
    late = latency_s is not None and slo_s is not None and latency_s > slo_s
    return styled(f"{told} ({duration(slo_s) or 'none'})", "red" if late else "")


def _models(rows: Sequence[Row]) -> Table:
    heads = ("model", "champion", "rows", "loss (reference)", "drift", "not taken", "training", "rollout")
    table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        loss = f"{row['loss_name'] or ''} {number(row['loss']) or UNKNOWN} ({number(row['loss_reference']) or UNKNOWN})"
        table.add_row(
            row["name"],
            f"version {row['champion']}" if row["champion"] else "none" if row["managed"] else "",
            _rows(row),
            loss.strip() if row["rows"] is not None else "",
            _symptoms(row["symptoms"]),
            "; ".join(f"{count:,} {one_line(reason)}" for reason, count in row["refused"].items()) or "",
            _training(row["training"]),
            _rollout(row["rollout"]),
        )
    return table


def _rows(row: Row) -> str:
    if row["rows"] is None:
        return "no report"
    return f"{row['rows']:,} ({row['labelled_rows'] or 0:,} labelled)"


def _symptoms(symptoms: Sequence[Row]) -> str:
    return listed(list(dict.fromkeys(map(symptom_words, symptoms))), most=3)


def _training(job: Row | None) -> str:
    if not job:
        return ""
    tried = f", {job.get('trials_done', 0)} of {job['trials_wanted']} trials" if job.get("trials_wanted") else ""
    return f"{job.get('state', '')}{tried}"


def _rollout(rollout: Row | None) -> str:
    if not rollout:
        return ""
    return f"version {rollout.get('version')}: {share(rollout.get('share'))} of the keys, {share(rollout.get('shadow'))} in shadow"


def _budgets(budget: Row) -> Iterator[str]:
    for name, row in budget.items():
        if row["limit"] is not None:
            yield f"{name} {_or_unknown(row['used'])} of {number(row['limit'])} used, {_or_unknown(row['left'])} left"
        elif row["used"]:
            yield f"{name} {number(row['used'])} used, no limit"


def _or_unknown(value: float | None) -> str:
    return UNKNOWN if value is None else number(value)


def _orders(what: str, orders: Sequence[Row]) -> RenderableType:
    if not orders:
        return styled(f"orders {what}: none", "")
    table = Table("order", "what", "why", title=f"orders {what}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for order in orders:
        table.add_row(str(order["number"]), order_words(order), reasons(order))
    return table


def plan_table(decided: Row, at_s: float) -> Table:
    """What a decision asks for, would do, keeps back and holds."""
    table = Table("what", "action", "policy", "why", title=f"as of {moment(at_s)} UTC")
    for cells in _planned(decided):
        table.add_row(*cells)
    return table


def _planned(decided: Row) -> Iterator[tuple[str, str, str, str]]:
    for row in decided.get("awaiting") or ():
        yield f"waits for `homeostat approve {row['number']}`", order_words(row), row.get("policy", ""), reasons(row)
    for row in decided.get("suggestions") or ():
        wish = row["proposal"]
        yield f"would do ({row['autonomy']})", action_words(wish["action"]), wish.get("policy", ""), reasons(wish)
    for row in decided.get("vetoes") or ():
        wish = row["proposal"]
        yield (
            f"kept back ({plain_name(row['rule'])})",
            action_words(wish["action"]),
            wish.get("policy", ""),
            veto_words(row),
        )
    for row in decided.get("holds") or ():
        yield "holds", action_words(row["action"]), row.get("policy", ""), reasons(row)
