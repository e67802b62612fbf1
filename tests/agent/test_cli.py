"""The command line: what it prints, and exit codes 0 (well), 1 (a check failed), 2 (bad input)."""

import json
import sqlite3
from importlib.metadata import version as version_of
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.assembly import assemble
from agent.cli import app
from agent.codec import to_json
from agent.journal.life import Beginning, started
from agent.journal.record import Kind
from agent.journal.store import SqlJournal
from agent.ports import JournalUnavailable
from agent.settings import Settings
from agent.testing import RecordingNotifier, ScriptedWorld
from policies.testing import model, observation, version

CONFIG = """\
name: shop
autonomy: {default: act}
policies:
  - use: target_utilization
    target: 0.5
    up_window_s: 0
    down_window_s: 0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOMEOSTAT_JOURNAL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def journal(folder: Path) -> SqlJournal:
    """The record of ten ticks, in which order 1 scaled a deployment from 2 replicas to 4."""
    (folder / "homeostat.yaml").write_text(CONFIG)
    settings = Settings.model_validate(
        {
            "name": "shop",
            "autonomy": {"default": "act"},
            "policies": [{"use": "target_utilization", "target": 0.5, "up_window_s": 0, "down_window_s": 0}],
        }
    )
    kept = SqlJournal(f"sqlite:///{folder}/homeostat.db")
    kept.append([("started", 0.0, started(Beginning(epoch=1, next_number=1, open_orders=()), settings))])
    world = ScriptedWorld.with_deployment("app/model", 2)
    agent = assemble(
        settings, sensor=world, actuator=world, trainer=world, notifier=RecordingNotifier(), journal=kept
    )  # fmt: skip
    for at_s in range(1, 10):
        world.give_traffic("app/model", ongoing=2.0, latency_mean_s=0.2, measured_at_s=float(at_s))
        agent.tick(float(at_s))
    return kept


def said(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_a_valid_configuration_is_counted(folder: Path) -> None:
    """And exit 0."""
    (folder / "homeostat.yaml").write_text(CONFIG)
    result = said("config", "validate", "homeostat.yaml")
    assert (result.exit_code, result.stdout) == (
        0, "homeostat.yaml: valid (0 deployments, 0 models, 1 policies)\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tick: 5\n", ["bad.yaml:1", "tick", "did you mean 'tick_s'"]),
        ("tick_s: soon\n", ["bad.yaml:1", "tick_s"]),
        ("budget: {replicas: -1}\n", ["bad.yaml:1", "budget.replicas"]),
        ("policies:\n  - use: no_such_policy\n", ["bad.yaml:2", "no_such_policy"]),
        ("name: a\nname: b\n", ["bad.yaml:2", "name"]),
        ("name: [\n", ["bad.yaml"]),
    ],
)
def test_a_bad_configuration_names_file_line_and_key(folder: Path, text: str, parts: list[str]) -> None:
    """Exit 2, nothing on standard output."""
    (folder / "bad.yaml").write_text(text)
    result = said("config", "validate", "bad.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert [part for part in parts if part not in result.stderr] == []


def test_a_configuration_that_is_not_there_is_named(folder: Path) -> None:
    """Exit 2."""
    result = said("config", "validate", "nowhere.yaml")
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.stderr


def test_the_schema_is_one_of_json_and_describes_its_keys() -> None:
    """An editor completes from it, and nobody guesses what a key means."""
    schema = json.loads(said("config", "schema").stdout)
    assert schema["additionalProperties"] is False
    sections = {"Settings": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, s in sections.items()
        for key, row in s.get("properties", {}).items()
        if not row.get("description")
    ]
    assert bare == []


def test_an_unbroken_journal_verifies_and_replays(journal: SqlJournal) -> None:
    """For a person and for a machine."""
    verified = json.loads(said("journal", "verify", "--json").stdout)
    assert (verified["ok"], verified["entries"]) == (True, len(list(journal.entries())))
    assert said("replay", "homeostat.db").stdout == "9 ticks, decided identically\n"
    assert json.loads(said("replay", "homeostat.db", "--json").stdout)["identical"] is True


def test_a_journal_without_its_beginning_is_bad_input(journal: SqlJournal, folder: Path) -> None:
    """Exit 2, and what it lacks."""
    with sqlite3.connect(folder / "homeostat.db") as database:
        database.execute("delete from entries where seq = 1")
    result = said("replay", "homeostat.db")
    expected = "homeostat.db can not be replayed: entry 2 is an observation before any agent has started\n"
    assert (result.exit_code, result.stderr) == (2, expected)


def test_a_journal_that_was_tampered_with_is_found_out(journal: SqlJournal, folder: Path) -> None:
    """Exit 1, and which entry."""
    with sqlite3.connect(folder / "homeostat.db") as database:
        database.execute("update entries set at_s = at_s + 1 where seq = 4")
    result = said("journal", "verify")
    assert result.exit_code == 1
    assert result.stderr.startswith("entry 4: ")
    assert "(3 entries before it are good)" in result.stderr


ODD_PAYLOADS = {
    "is cut off": "substr(payload, 1, length(payload) - 2)",
    "is noise": "x'00ff00ff'",
    "is no JSON": "cast('{\"a\":' as blob)",
    "is a list": "cast('[1]' as blob)",
    "is text": "'no bytes at all'",
    "is nothing": "x''",
    "holds no number": "cast('{\"a\":NaN}' as blob)",
    "is deep": "cast('{\"a\":' || replace(hex(zeroblob(50000)), '0', '[') as blob)",
}


@pytest.mark.parametrize("change", ODD_PAYLOADS.values(), ids=ODD_PAYLOADS.keys())
def test_an_entry_that_can_not_be_read_is_named(journal: SqlJournal, folder: Path, change: str) -> None:
    """Exit 1, which entry and why; whatever else reads the journal says so as well, without a traceback."""
    with sqlite3.connect(folder / "homeostat.db") as database:
        database.execute(f"update entries set payload = {change} where seq = 2")  # noqa: S608 - ours
    result = said("journal", "verify")
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert result.stderr.startswith("entry 2: its content ")
    assert "(1 entries before it are good)" in result.stderr
    as_json = json.loads(said("journal", "verify", "--json").stdout)
    assert (as_json["ok"], as_json["entries"]) == (False, 1)
    if change != ODD_PAYLOADS["holds no number"]:
        with pytest.raises(JournalUnavailable, match="entry 2: its content can not be read"):
            list(SqlJournal(f"sqlite:///{folder}/homeostat.db").entries())


def test_a_journal_of_a_later_version_is_told_so(journal: SqlJournal, folder: Path) -> None:
    """Exit 1 of the check, 2 of whatever else needs it; nothing is changed in it."""
    with sqlite3.connect(folder / "homeostat.db") as database:
        database.execute("update alembic_version set version_num = '0099'")
    result = said("journal", "verify")
    assert result.exit_code == 1
    assert "its tables are of version '0099', and this homeostat knows none after '0001'" in result.stderr
    with pytest.raises(JournalUnavailable, match="version '0099'"):
        SqlJournal(f"sqlite:///{folder}/homeostat.db")


def test_why_tells_the_evidence_the_inverse_and_the_end(journal: SqlJournal) -> None:
    """An SRE at night reads this first."""
    told = said("why", "1").stdout
    parts = [
        "Order 1",
        "scale app/model from 2 to 4 replicas",
        "target_utilization",
        "utilization",
        "undone by",
        "succeeded",
    ]
    assert [part for part in parts if part not in told] == []


def test_an_order_that_was_never_given_is_bad_input(journal: SqlJournal) -> None:
    """Exit 2."""
    result = said("why", "99")
    told = "there is no order 99 in this journal; the last that was given is 1 (`homeostat orders`)\n"
    assert (result.exit_code, result.stderr) == (2, told)


def test_orders_are_listed_a_line_each(journal: SqlJournal) -> None:
    """Number, when, what, why, and what became of it; none before the time that is asked for, and JSON beside it."""
    lines = said("orders", "--since", "1970-01-01").stdout.splitlines()
    (row,) = [line for line in lines if "1970-01-01 00:00" in line and "UTC" not in line]
    assert row.split()[0] == "1"
    parts = ["scale app/model from 2 to 4 replicas", "utilization 100 % against 50 %", "succeeded"]
    assert [part for part in parts if part not in row] == []
    (plain,) = json.loads(said("orders", "--since", "1970-01-01", "--json").stdout)
    assert (plain["number"], plain["what"], plain["state"]) == (1, parts[0], "succeeded")
    assert said("orders").stdout.startswith("no order since ")
    assert json.loads(said("orders", "--json").stdout) == []


def test_alerts_are_listed_with_what_they_are_about(journal: SqlJournal) -> None:
    """And JSON beside it; none since yesterday is said in words."""
    alert = {"subject": "drift of m", "text": "12 features drift", "severity": "warning", "kind": "alert"}
    journal.append([("decided", 50.0, {"alerts": [alert], "awaiting": []})])
    (row,) = [line for line in said("alerts", "--since", "1970-01-01").stdout.splitlines() if "00:00:50" in line]
    assert [part for part in ("warning", "drift of m", "12 features drift") if part not in row] == []
    (plain,) = json.loads(said("alerts", "--since", "1970-01-01", "--json").stdout)
    assert plain == {"at_s": 50.0, "severity": "warning", "subject": "drift of m", "text": "12 features drift"}
    assert said("alerts").stdout.startswith("no alert since ")


@pytest.mark.parametrize("command", ["orders", "alerts"])
def test_a_time_that_nobody_understands_is_bad_input(journal: SqlJournal, command: str) -> None:
    """Exit 2, and what was expected."""
    result = said(command, "--since", "yesterday")
    told = "--since: 'yesterday' is neither a time span such as 30min, 2h or 3d nor a date such as 2026-02-12\n"
    assert (result.exit_code, result.stderr) == (2, told)


def test_why_tells_an_order_that_waits(journal: SqlJournal) -> None:
    """Why it is asked for, and the words that answer it."""
    waiting = next(journal.entries(kinds=(Kind.INTENT,))).payload | {"number": 7}
    journal.append([(Kind.DECIDED, 50.0, {"awaiting": [waiting]})])
    told = said("why", "7").stdout
    parts = [
        "Order 7: scale app/model from 2 to 4 replicas",
        "asked for 1970-01-01 00:00:50 UTC",
        "utilization",
        "approve 7",
    ]
    assert [part for part in parts if part not in told] == []


def test_a_journal_that_is_not_there_is_not_made(folder: Path) -> None:
    """A typing error must not leave an empty database behind that verifies."""
    result = said("journal", "verify", "--journal", "nowhere.db")
    assert result.exit_code == 2
    assert "nowhere.db: there is no such journal" in result.stderr
    assert list(folder.iterdir()) == []


def test_an_export_can_be_read_line_by_line(journal: SqlJournal, folder: Path) -> None:
    """One JSON object an entry, in order."""
    assert said("journal", "export", "out.jsonl").exit_code == 0
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == [entry.seq for entry in journal.entries()]


@pytest.mark.parametrize(
    ("words", "control"),
    [
        (("freeze", "--reason", "peak"), ("freeze", None, "peak")),
        (("unfreeze",), ("unfreeze", None, "")),
        (("kill",), ("kill", None, "")),
        (("approve", "3"), ("approve", 3, "")),
        (("deny", "3"), ("deny", 3, "")),
        (("rollback", "m", "--reason", "odd"), ("rollback", None, "odd")),
    ],
)
def test_what_people_say_is_an_entry_of_the_journal(
    journal: SqlJournal, words: tuple[str, ...], control: tuple[str, int | None, str]
) -> None:
    """The agent reads it there, and so does everybody after."""
    journal.append([(Kind.DECIDED, 50.0, {"awaiting": [{"number": 3}]})])
    started = next(journal.entries(kinds=(Kind.STARTED,))).payload
    journal.append([(Kind.STARTED, 50.0, {**started, "settings": {"models": {"m": {}}}})])
    assert said(*words).exit_code == 0
    payload = list(journal.entries())[-1].payload
    assert (payload["word"], payload["number"], payload["reason"]) == control


@pytest.fixture
def anew(journal: SqlJournal) -> SqlJournal:
    """A journal whose agent has seen versions of the model m."""
    seen = observation(50.0, model(champion=version("2", digest="two"), candidates=(version("3", digest="three"),)))
    started = next(journal.entries(kinds=(Kind.STARTED,))).payload
    journal.append([(Kind.STARTED, 49.0, {**started, "settings": {"models": {"m": {}, "n": {}}}})])
    journal.append([(Kind.OBSERVED, 50.0, to_json(seen))])
    return journal


def test_files_are_accepted_as_they_were_last_seen(anew: SqlJournal) -> None:
    """All versions that were seen, by their digests, which are shown before anything is asked."""
    result = said("accept", "m", "--reason", "new registry", "--yes")
    assert (result.exit_code, result.stdout) == (
        0,
        "version 2  digest two\nversion 3  digest three\nwritten down: accept m; counts from the agent's next tick\n",
    )
    payload = list(anew.entries())[-1].payload
    assert (payload["word"], payload["model"], payload["reason"]) == ("accept", "m", "new registry")
    assert anew.controls(60.0).accepted == (("m", "2", "two"), ("m", "3", "three"))


def test_files_are_accepted_by_a_person_only(anew: SqlJournal) -> None:
    """Without a yes nothing is written, and of a model that was not seen there is nothing to accept."""
    before = anew.head()
    assert said("accept", "m").exit_code == 1
    unseen = said("accept", "n", "--yes")
    assert (unseen.exit_code, unseen.stderr) == (2, "the agent has seen no version of n\n")
    assert anew.head() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("approve", "7"), "order 7 does not wait for approval; those that do: none does\n"),
        (("deny", "7"), "order 7 does not wait for approval; those that do: none does\n"),
        (("rollback", "flight"), "the agent manages no model 'flight'; it manages none\n"),
        (("accept", "flight", "--yes"), "the agent manages no model 'flight'; it manages none\n"),
    ],
)
def test_a_word_that_nobody_would_hear_is_bad_input(journal: SqlJournal, words: tuple[str, ...], told: str) -> None:
    """A slip of the finger at night is told at once, and is no entry."""
    before = journal.head()
    result = said(*words)
    assert (result.exit_code, result.stderr) == (2, told)
    assert journal.head() == before


@pytest.mark.parametrize("words", [("kill",), ("freeze",), ("unfreeze",), ("rollback", "m")])
def test_what_is_written_down_says_from_when_it_counts(journal: SqlJournal, words: tuple[str, ...]) -> None:
    """From the next tick of the agent, by its own pace."""
    settings = Settings.model_validate({"tick_s": 7.0, "models": {}}).model_dump(mode="json") | {"models": {"m": {}}}
    journal.append([(Kind.STARTED, 49.0, {"settings": settings})])
    told = said(*words)
    assert (told.exit_code, told.stdout) == (
        0,
        f"written down: {' '.join(words)}; counts from the agent's next tick, within 7 s\n",
    )


def test_the_version_is_told() -> None:
    """That of the installed package."""
    assert said("--version").stdout == f"homeostat {version_of('homeostat')}\n"


def test_a_configuration_that_is_not_there_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is looked for, and where to read what it holds."""
    monkeypatch.chdir(tmp_path)
    told = said("config", "validate", "homeostat.yaml")
    assert (told.exit_code, told.stderr) == (
        2,
        "homeostat.yaml: can not be read: there is no such file; expected the configuration, as FILE or as homeostat.yaml where you "
        "are. The least that one holds is `name: shop`; `homeostat config schema` says what else\n",
    )
