"""Entries of another form: a chain can be whole while a payload is not what its kind holds, and whoever shows it says which and where."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent import history
from agent.cli import whole
from agent.journal.export import export
from agent.journal.memory import MemoryJournal
from agent.journal.record import Entry, UnreadableEntry, verify
from agent.reports.decisions import decisions, spans
from agent.standing import from_journal
from agent.units import day

EVIDENCE = {"name": "rate_rps", "value": 3.0, "threshold": 2.0}
ACTION = {"kind": "scale", "deployment": "shop/Model", "replicas": 3}
INVERSE = {**ACTION, "replicas": 2}
WISH = {"action": ACTION, "because": [EVIDENCE], "policy": "target_utilization"}
ORDER = {**WISH, "number": 1, "inverse": INVERSE}
LINES: list[tuple[str, dict[str, Any]]] = [
    ("started", {"epoch": 1, "open_orders": [], "settings": {"name": "shop", "budget": {"replicas": 9.0}, "models": {}}}),
    ("observed", {"at_s": 1.0}),
    ("control", {"word": "freeze", "by": "sre", "reason": "a sale"}),
    ("note", {"alert": {"subject": "shop", "text": "it is slow", "severity": "warning"}}),
    ("decided", {
        "awaiting": [{**ORDER, "number": 2}], "suggestions": [{"proposal": WISH, "autonomy": "suggest"}],
        "vetoes": [{"proposal": WISH, "rule": "budget", "reason": "no room", "value": 3.0, "threshold": 2.0}],
        "holds": [{**WISH, "action": {"kind": "hold", "subject": "shop"}}],
        "alerts": [{"subject": "shop", "text": "it is slow", "severity": "warning"}],
    }),
    ("intent", ORDER),
    ("refused", {"number": 3, "reason": "no"}),
    ("outcome", {"number": 1, "status": "succeeded", "detail": "", "at_s": 9.0}),
]  # fmt: skip
COMMANDS = (
    ["status"],
    ["why", "1"],
    ["why", "2"],
    ["plan"],
    ["orders", "--since", "1970-01-01"],
    ["alerts", "--since", "1970-01-01"],
)
SPOILT: list[tuple[str, tuple[str | int, ...], Any]] = [
    ("intent", ("number",), None), ("outcome", ("number",), None), ("refused", ("number",), []), ("decided", ("suggestions",), "x"),
    ("decided", ("vetoes",), [[[]]]), ("decided", ("awaiting", 0, "because"), "x"), ("decided", ("awaiting",), "[/x]"),
    ("intent", ("inverse",), 2**63), ("outcome", ("status",), []), ("intent", ("action",), []), ("intent", ("action", "kind"), {}),
    ("intent", ("because", 0), 3), ("decided", ("alerts", 0, "text"), 5), ("note", ("alert",), "x"), ("control", ("word",), []),
    ("started", ("settings",), "x"), ("started", ("settings", "budget"), {"replicas": "x"}), ("observed", ("deployments",), []),
    ("decided", ("vetoes", 0, "proposal"), None), ("decided", ("holds", 0, "action"), "x"), ("decided", ("suggestions", 0, "autonomy"), 1),
]  # fmt: skip


def journal_of(lines: list[tuple[str, dict[str, Any]]]) -> MemoryJournal:
    journal = MemoryJournal()
    for at_s, (kind, payload) in enumerate(lines, 1):
        journal.append([(kind, float(at_s), payload)])
    return journal


def spoilt(kind: str, keys: tuple[str | int, ...], value: Any) -> MemoryJournal:
    lines = json.loads(json.dumps(LINES))  # nothing in them is shared
    place: Any = next(payload for name, payload in lines if name == kind)
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return journal_of(lines)


def read_all(entries: list[Entry]) -> None:
    """Every way in which a journal is shown, but for the commands."""
    from_journal(journal_of([(str(each.kind), dict(each.payload)) for each in entries]), 10.0)
    history.orders(entries)
    history.alerts(entries)
    decisions(entries, when=day)
    spans(entries, ended_s=10.0)


def ran(file: Path, command: list[str]) -> tuple[int, str]:
    place = [*command, str(file)] if command != ["status"] else [*command, "--journal", str(file)]
    result = CliRunner().invoke(whole(), place)
    assert isinstance(result.exception, SystemExit | UnreadableEntry | None), result.exception
    return result.exit_code, str(result.exception if isinstance(result.exception, UnreadableEntry) else result.output)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_whole_journal_is_shown(command: list[str], tmp_path: Path) -> None:
    """What the tests below spoil is read by every command before."""
    export(journal_of(LINES).entries(), tmp_path / "journal.jsonl")
    assert ran(tmp_path / "journal.jsonl", command)[0] == 0


@pytest.mark.parametrize(("kind", "keys", "value"), SPOILT)
def test_an_entry_of_another_form_is_told_by_its_number_and_key(
    kind: str, keys: tuple[str | int, ...], value: Any
) -> None:
    """Its chain is whole, since it was written so; the readers of orders, alerts and standing say where it stands."""
    journal = spoilt(kind, keys, value)
    entries = list(journal.entries())
    assert verify(entries).ok
    seq = [name for name, _ in LINES].index(kind) + 1
    with pytest.raises(UnreadableEntry, match=rf"entry {seq}: .*\b{'.'.join(map(str, keys))}") as caught:
        read_all(entries)
    assert caught.value.seq == seq


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("kind", "keys", "value"), SPOILT)
def test_no_command_ends_in_a_traceback(
    kind: str, keys: tuple[str | int, ...], value: Any, command: list[str], tmp_path: Path
) -> None:
    """It shows what it can, or ends with the error that `main` tells in a sentence."""
    export(spoilt(kind, keys, value).entries(), tmp_path / "journal.jsonl")
    code, told = ran(tmp_path / "journal.jsonl", command)
    assert code == 0 or "entry " in told or "there is no order" in told, json.dumps([code, told])
