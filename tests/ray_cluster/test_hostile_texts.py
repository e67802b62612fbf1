"""Texts that others wrote go through every command as they are: markup, control characters, lone surrogates."""

import json
import sqlite3
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent import cli as agent_cli
from agent.journal.controls import said as control
from agent.journal.life import Beginning, started
from agent.journal.store import SqlJournal
from agent.settings import Settings
from tests.agent.test_standing import NOTHING, order, seen

MARKER = "HOSTILE"
TEXTS = {
    "a closing tag": ("[/x]", "[/x]"),
    "a style": ("[bold]b", "[bold]b"),
    "control characters": ("a\x1b[2J\x07\x9bb", "a\\x1b[2J\\x07\\x9bb"),
    "a lone surrogate": ("a\ud800b", "a\\ud800b"),
    "a turn of the direction": ("a\u202eb", "a\\u202eb"),
}
"""What stands in the journal, and what a person reads."""
SETTINGS = {"name": MARKER, "models": {MARKER: {}}}


def hostile_order(number: int) -> dict[str, Any]:
    because = {"name": "rollout_failed", "value": None, "threshold": None, "window_s": None, "n": None, "note": MARKER}
    action = {"kind": "restart", "deployment": MARKER, "replica": MARKER}
    return order(number) | {
        "action": action,
        "because": [because, {**because, "name": MARKER, "value": 1.0}],
        "policy": MARKER,
    }


def lines() -> list[tuple[str, float, dict[str, Any]]]:
    """A journal in which every text is the marker."""
    wish = {
        "action": {"kind": "promote", "model": MARKER, "version": MARKER},
        "because": hostile_order(1)["because"],
        "policy": MARKER,
    }
    alert = {"kind": "alert", "subject": MARKER, "text": MARKER, "severity": "critical"}
    decided = NOTHING | {
        "awaiting": [hostile_order(2)],
        "suggestions": [{"proposal": wish, "autonomy": "suggest"}],
        "vetoes": [{"proposal": wish, "rule": MARKER, "reason": MARKER, "value": 1.0, "threshold": None}],
        "holds": [wish | {"action": {"kind": "hold", "subject": MARKER}}],
        "alerts": [alert],
    }
    watched = seen()
    watched["deployments"]["fraud/Fraud"] |= {"name": MARKER, "message": MARKER}
    watched["models"]["fraud"] |= {"name": MARKER, "rollout": {"version": MARKER, "share": 0.1, "shadow": 0.0}}
    watched["models"]["fraud"]["report"]["symptoms"][0]["signal"] = MARKER
    watched["models"]["fraud"]["report"]["refused"] = {MARKER: 3}
    return [
        ("started", 1.0, started(Beginning(), Settings.model_validate(SETTINGS))),
        ("observed", 2.0, watched | {"problems": [MARKER]}),
        ("intent", 2.0, hostile_order(1)),
        ("refused", 2.0, {"number": 1, "reason": MARKER}),
        ("outcome", 3.0, {"number": 1, "status": "failed", "at_s": 3.0, "detail": MARKER}),
        ("decided", 4.0, decided),
        ("control", 5.0, control("freeze", by=MARKER, reason=MARKER)),
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.delenv("HOMEOSTAT_JOURNAL", raising=False)
    SqlJournal(f"sqlite:///{tmp_path}/homeostat.db").append(lines())
    return tmp_path


def poison(folder: Path, text: str) -> None:
    """Put `text` in the place of the marker, as somebody with a database client could, who need not care for encodings."""
    with sqlite3.connect(folder / "homeostat.db") as database:
        for seq, payload in database.execute("select seq, payload from entries").fetchall():
            plain = payload if payload[:1] == b"{" else zlib.decompress(payload)
            changed = plain.replace(MARKER.encode(), json.dumps(text)[1:-1].encode())
            database.execute("update entries set payload = ? where seq = ?", (changed, seq))


def said(*words: str) -> Result:
    """The command as `homeostat` runs it, with the commands of every world."""
    return CliRunner().invoke(agent_cli.whole(), list(words))


COMMANDS = [
    ("orders", "--since", "1970-01-01"),
    ("alerts", "--since", "1970-01-01"),
    ("why", "1"),
    ("why", "2"),
    ("plan",),
    ("status", "--journal", "homeostat.db"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", TEXTS)
def test_a_strangers_text_in_the_journal_is_printed_as_it_is(folder: Path, words: tuple[str, ...], name: str) -> None:
    """Exit 0; nothing is taken for markup, reaches the terminal as a control, or ends in a traceback."""
    text, shown = TEXTS[name]
    poison(folder, text)
    result = said(*words)
    assert (result.exit_code, result.exception) == (0, None)
    assert shown in result.stdout
    assert MARKER not in result.stdout
    assert [each for each in result.stdout if each != "\n" and not each.isprintable()] == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_strangers_text_is_json_for_a_machine(folder: Path, words: tuple[str, ...]) -> None:
    """The very text that stands there, a lone surrogate too."""
    text, _ = TEXTS["a lone surrogate"]
    poison(folder, text)
    result = said(*words, "--json")
    assert result.exit_code == 0
    assert json.dumps(text)[1:-1] in result.stdout
    json.loads(result.stdout)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("config", "validate", "[/x].yaml"), 2),
        (("journal", "verify", "--journal", "[/x].db"), 2),
        (("replay", "[/x].db"), 2),
        (("orders", "--since", "[/x]"), 2),
        (("rollback", "[/x]"), 2),
        (("freeze", "--reason", "[/x]"), 0),
        (("kill", "--reason", "[/x]"), 0),
        (("journal", "export", "[/x].jsonl"), 2),
        (("journal", "export", "[x].jsonl"), 0),
        (("run", "[/x].yaml"), 2),
        (("stop", "[/x].yaml"), 2),
        (("status", "[/x].yaml"), 2),
        (("doctor", "[/x].yaml"), 2),
        (("demo", "--stream", "[/x]"), 2),
        (("sim", "run", "[/x].scenario.yaml"), 2),
        (("sim", "tune", "[/x].yaml"), 2),
        (("sim", "record", "[/x].db"), 2),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_markup_on_the_command_line_is_text(folder: Path, words: tuple[str, ...], code: int) -> None:
    """Names of files and reasons are printed as they were typed, whatever becomes of the command."""
    result = said(*words)
    assert result.exit_code == code, result.output + repr(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    if code == 2:
        assert "[/x]" in result.stderr


@pytest.mark.parametrize("line", ['name: "[/x]"', 'tick_s: "[/x]"', 'policies: [{use: "[/x]"}]', '"[/x]": 1'])
def test_a_configuration_full_of_markup_is_refused_in_its_own_words(folder: Path, line: str) -> None:
    """What was found is shown as it stands in the file."""
    (folder / "homeostat.yaml").write_text(line + "\n")
    result = said("config", "validate", "homeostat.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "[/x]" in result.stderr


def test_the_doctors_table_holds_every_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds no Ray, and what an error says is no markup."""

    def raises(_: object) -> None:
        raise ValueError("[/x] [bold]b")

    monkeypatch.setattr("ray_cluster.notifier.build", raises)
    (folder / "homeostat.yaml").write_text("notify: [PAGER]\n")
    doctor = said("doctor")
    assert (doctor.exit_code, isinstance(doctor.exception, SystemExit)) == (1, True)
    assert "[/x] [bold]b" in doctor.stdout


def test_a_scenario_full_of_markup_is_played(folder: Path) -> None:
    """Its name and its expectations stand in the tables."""
    name = "[/x] [bold]b"
    text = f'''\
name: "{name}"
duration_s: 60
cluster: {{nodes: [{{name: cpu, count: 1, cpus: 8}}]}}
models:
  m:
    traffic: [{{kind: steady, rate_rps: 5}}]
    service: {{kind: lognormal, scale_s: 0.08, shape: 0.4}}
    replicas: 2
    slo_latency_s: 1
expect: ["requests > 1"]
'''
    (folder / "odd.scenario.yaml").write_text(text)
    result = said("sim", "run", "odd.scenario.yaml")
    assert result.exit_code == 0, result.output
    assert name in result.stdout


def test_a_stream_that_lacks_an_encoding_prints_escapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A terminal of ASCII gets no traceback."""
    from agent.terminal import Terminal, forgiving

    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        forgiving()
        Terminal(file=stream).print("naïve")
    assert (tmp_path / "out").read_text() == "na\\xefve\n"
