"""History: each order from when it was asked for to its end, and every alert, from the journal alone."""

import io
from pathlib import Path
from typing import Any

import pytest

from agent.codec import to_json
from agent.history import ALERT_KINDS, ORDER_KINDS, alerts, orders, story
from agent.journal.store import SqlJournal
from agent.order import Order
from agent.tables import orders_table
from agent.terminal import Terminal
from agent.testing import MemoryJournal
from policies.action import Evidence, Restart

NOTHING: dict[str, Any] = {"vetoes": [], "suggestions": [], "holds": [], "alerts": [], "awaiting": []}


def order(number: int) -> dict[str, Any]:
    return to_json(
        Order(
            number=number, epoch=1, key=str(number), action=Restart(deployment="a/m", replica="r1"),
            because=(Evidence(name="odd_for_s", value=90.0, threshold=30.0),), policy="heal", issued_at_s=1.0, deadline_s=61.0,
        )
    )  # fmt: skip


def awaiting(*numbers: int) -> dict[str, Any]:
    return NOTHING | {"awaiting": [order(number) for number in numbers]}


def ended(number: int, status: str, detail: str = "") -> dict[str, Any]:
    return {"number": number, "status": status, "at_s": 0.0, "detail": detail}


def history(*lines: tuple[str, float, dict[str, Any]]) -> list[tuple[Any, ...]]:
    """(number, when, state, ended, steps) of each order."""
    kept = MemoryJournal()
    kept.append(lines)
    kinds = {kind.value for kind in ORDER_KINDS}
    found = orders(entry for entry in kept.kept if entry.kind in kinds)
    return [(each.number, each.at_s, each.state, each.ended_s, [step[1:] for step in each.steps]) for each in found]


@pytest.mark.parametrize(
    ("lines", "state", "ended_s", "steps"),
    [
        ([("intent", 1.0, order(3))], "under way", None, []),
        (
            [("intent", 1.0, order(3)), ("outcome", 9.0, ended(3, "succeeded"))],
            "succeeded", 9.0, [("succeeded", "")],
        ),
        (
            [("intent", 1.0, order(3)), ("refused", 1.0, {"number": 3, "reason": "no"}), ("outcome", 2.0, ended(3, "failed", "late"))],
            "failed", 2.0, [("refused", "no"), ("failed", "late")],
        ),
        ([("decided", 1.0, awaiting(3))], "waits for approval", None, []),
        ([("decided", 1.0, awaiting(3)), ("decided", 2.0, awaiting(3, 4)), ("intent", 3.0, order(4))], "waits for approval", None, []),
        (
            [("decided", 1.0, awaiting(3)), ("intent", 5.0, order(3)), ("decided", 5.0, awaiting()), ("outcome", 9.0, ended(3, "expired"))],
            "expired", 9.0, [("approved and given", ""), ("expired", "")],
        ),
        (
            [("decided", 1.0, awaiting(3)), ("outcome", 9.0, ended(3, "denied", "a person said no")), ("decided", 9.0, awaiting())],
            "denied", 9.0, [("denied", "a person said no")],
        ),
        ([("decided", 1.0, awaiting(3)), ("decided", 9.0, awaiting())], "withdrawn", None, []),
        ([("intent", 1.0, order(3)), ("intent", 5.0, order(3))], "under way", None, [("sent again", "")]),
    ],
)  # fmt: skip
def test_an_order_is_told_from_the_asking_to_the_end(
    lines: list[Any], state: str, ended_s: float | None, steps: list[Any]
) -> None:
    """Whether it waits, was approved, was sent again by a new life of the agent, or came to an end, and when."""
    assert history(*lines)[0] == (3, 1.0, state, ended_s, steps)


def test_one_order_is_found_with_all_that_became_of_it(tmp_path: Path) -> None:
    """Whether it waits, was approved, or was given at once; an order of another number is none of its story."""
    journal = SqlJournal(f"sqlite:///{tmp_path}/j.db")
    journal.append(
        [
            ("decided", 1.0, awaiting(3)), ("intent", 2.0, order(1)), ("intent", 5.0, order(3)), ("decided", 5.0, awaiting(4)),
            ("outcome", 9.0, ended(3, "expired")), ("decided", 9.0, awaiting(4)),
        ]
    )  # fmt: skip
    told = {number: story(journal, number) for number in (1, 3, 4, 5)}
    assert {n: each and (each.at_s, each.state, each.waited) for n, each in told.items()} == {
        1: (2.0, "under way", False),
        3: (1.0, "expired", True),
        4: (5.0, "waits for approval", True),
        5: None,
    }
    assert [step[1] for step in told[3].steps] == ["approved and given", "expired"]


def test_an_end_without_a_beginning_is_no_order() -> None:
    """It was given before the part of the journal that is looked at."""
    assert history(("outcome", 9.0, ended(1, "succeeded")), ("intent", 10.0, order(2))) == [
        (2, 10.0, "under way", None, [])
    ]


def test_alerts_are_those_of_decisions_and_of_notes() -> None:
    """What the policies said, and what the agent remarked itself; a note without one is none."""
    one = {"subject": "m", "text": "m drifts", "severity": "warning", "kind": "alert"}
    kept = MemoryJournal()
    kept.append(
        [
            ("decided", 1.0, NOTHING | {"alerts": [one]}),
            ("note", 2.0, {"note": "clock", "alert": one | {"text": "the clock stepped"}}),
            ("note", 3.0, {"note": "other"}),
            ("decided", 4.0, NOTHING),
        ]
    )
    found = alerts(entry for entry in kept.kept if entry.kind in {kind.value for kind in ALERT_KINDS})
    assert [(each["at_s"], each["severity"], each["subject"], each["text"]) for each in found] == [
        (1.0, "warning", "m", "m drifts"),
        (2.0, "warning", "m", "the clock stepped"),
    ]


@pytest.mark.parametrize(("width", "lines"), [(160, 1), (70, 4)])
def test_no_terminal_is_too_narrow_for_an_order(width: int, lines: int) -> None:
    """One line where there is room, its reasons cut short; else what and why are folded, and nothing goes missing."""
    kept = MemoryJournal()
    kept.append([("intent", 1.0, order(3)), ("outcome", 9.0, ended(3, "succeeded"))])
    out = Terminal(file=io.StringIO(), width=width)
    out.print(orders_table(orders(kept.kept), "title", width))
    rows = [line for line in out.file.getvalue().splitlines()[4:] if line.strip()]
    words = " ".join(rows).split()
    assert len(rows) == lines
    assert {"3", "1970-01-01", "00:00", "replace", "a/m", "worse", "succeeded"} <= set(words)
