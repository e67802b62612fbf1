"""What the commands show, as tables for a terminal. They look nothing up: everything is handed in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from agent.history import UNDER_WAY, WAITS, Story
from agent.terminal import styled
from agent.units import moment
from agent.words import (
    action_words,
    evidence_term,
    one_line,
    order_words,
    plain_name,
    reasons,
    sample,
    told_value,
    veto_words,
)

Row = Mapping[str, Any]
STYLES = {
    WAITS: "yellow", UNDER_WAY: "cyan", "succeeded": "green", "failed": "red", "expired": "red", "warning": "yellow", "critical": "red",
}  # fmt: skip


def evidence_table(order: Row) -> Table:
    """The evidence of an order, a row for each piece."""
    table = Table("because", "value", "against", "over", "note")
    for each in order["because"]:
        over, note = sample(each).removeprefix(", "), one_line(str(each.get("note") or ""))
        table.add_row(evidence_term(each), told_value(each, "value"), told_value(each, "threshold"), over, note)
    return table


def orders_table(stories: Sequence[Story], title: str = "") -> Table:
    """Orders on one line each: number, when, what, why, and what became of it."""
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("order", "when (UTC)", "what"):
        table.add_column(name, no_wrap=name != "what")
    table.add_column("why", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    for each in stories:
        why = reasons(each.order)
        state = styled(each.state, STYLES.get(each.state, ""))
        table.add_row(str(each.number), moment(each.at_s), order_words(each.order), why, state)
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


def plan_table(decided: Row, at_s: float) -> Table:
    """What a decision asks for, would do, keeps back and holds."""
    table = Table("what", "action", "policy", "why", title=f"as of {moment(at_s)} UTC")
    for cells in _planned(decided):
        table.add_row(*cells)
    return table


def _planned(decided: Row) -> Iterator[tuple[str, str, str, str]]:
    for row in decided.get("awaiting") or ():
        yield f"waits for `homeostat approve {row['number']}`", order_words(row), row["policy"], reasons(row)
    for row in decided.get("suggestions") or ():
        wish = row["proposal"]
        yield f"would do ({row['autonomy']})", action_words(wish["action"]), wish["policy"], reasons(wish)
    for row in decided.get("vetoes") or ():
        wish = row["proposal"]
        yield f"kept back ({plain_name(row['rule'])})", action_words(wish["action"]), wish["policy"], veto_words(row)
    for row in decided.get("holds") or ():
        yield "holds", action_words(row["action"]), row["policy"], reasons(row)
