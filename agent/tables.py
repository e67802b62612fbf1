"""What the commands show, as tables for a terminal. They look nothing up: everything is handed in."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

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


def evidence_table(order: Row) -> Table:
    """The evidence of an order, a row for each piece."""
    table = Table("because", "value", "against", "over", "note")
    for each in order["because"]:
        over, note = sample(each).removeprefix(", "), one_line(str(each.get("note") or ""))
        table.add_row(evidence_term(each), told_value(each, "value"), told_value(each, "threshold"), over, note)
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
