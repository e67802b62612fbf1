"""Commands that read a journal: the same ways to name it, a clear word for what is none, and no trace of having looked."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.cli import app
from agent.codec import to_json
from agent.journal.export import export
from agent.journal.life import Beginning, started
from agent.journal.record import Kind
from agent.journal.schema import NoJournal
from agent.journal.store import SqlJournal
from agent.settings import Settings
from policies.testing import observation

READING = {
    "verify": ("journal", "verify"),
    "export": ("journal", "export", "out.jsonl"),
    "replay": ("replay",),
    "orders": ("orders", "--since", "1970-01-01"),
    "alerts": ("alerts", "--since", "1970-01-01"),
    "why": ("why", "1"),
    "plan": ("plan",),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOMEOSTAT_JOURNAL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def said(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def foreign(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("create table trials (number integer)")
    database.close()


def foreign_in_use(file: Path) -> None:
    """Its tables stand in its log of writes only."""
    database = sqlite3.connect(file)
    database.execute("pragma journal_mode=wal")
    database.execute("create table trials (number integer)")
    database.commit()
    OPEN.append(database)


OPEN: list[sqlite3.Connection] = []


def with_alembic(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('0001')")
    database.close()


NO_JOURNALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda file: None, "there is no such journal"),
    "an empty file": (lambda file: file.touch(), "the file is empty"),
    "a text": (lambda file: file.write_text("dear diary\n"), "it is no SQLite database"),
    "a folder": (lambda file: file.mkdir(), "it is no file"),
    "a pipe": (os.mkfifo, "it is no file"),
    "an empty database": (lambda file: sqlite3.connect(file).execute("vacuum").connection.close(), "empty"),
    "a foreign database": (foreign, "it is a database of something else, with the tables trials"),
    "a foreign database in use": (foreign_in_use, "it is a database of something else, with the tables trials"),
    "one with our revision only": (with_alembic, "it is a database of something else, with the tables alembic_version"),
    "a database cut off": (lambda file: file.write_bytes(b"SQLite format 3\0" + b"\1" * 900), ""),
}


def traces(folder: Path) -> dict[str, str]:
    """What lies in `folder`, by content."""
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else "" for each in folder.iterdir()
    }


@pytest.mark.parametrize("words", READING.values(), ids=READING.keys())
@pytest.mark.parametrize(("make", "reason"), NO_JOURNALS.values(), ids=NO_JOURNALS.keys())
def test_what_is_no_journal_is_named_and_stays_as_it_is(
    folder: Path, make: Callable[[Path], object], reason: str, words: tuple[str, ...]
) -> None:
    """Exit 2 with the place and what was expected, and not a byte is changed beside it: it may be somebody's."""
    make(folder / "odd.db")
    before = traces(folder)
    result = said(*words, "--journal", "odd.db")
    OPEN.clear()
    if reason:
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("odd.db: ")
        assert reason in result.stderr
    else:  # SQLite itself says what is wrong, and `main` prints it
        assert "odd.db" in str(result.exception)
    assert traces(folder).keys() - {"odd.db-shm", "odd.db-wal"} == before.keys() - {"odd.db-shm", "odd.db-wal"}
    assert {name: traces(folder).get(name) for name in before if name == "odd.db"} == {
        name: each for name, each in before.items() if name == "odd.db"
    }


@pytest.mark.parametrize("word", ["freeze", "kill", "unfreeze"])
def test_what_a_person_says_is_not_written_into_somebody_elses_database(folder: Path, word: str) -> None:
    """No agent would ever read it there."""
    foreign(folder / "odd.db")
    before = traces(folder)
    result = said(word, "--journal", "odd.db")
    assert (result.exit_code, traces(folder)) == (2, before)


def test_an_agent_makes_no_journal_of_somebody_elses_database(folder: Path) -> None:
    """Its tables would stand among those of a study or a registry, of which a mistyped path is no sign that anybody wants it."""
    foreign(folder / "odd.db")
    before = traces(folder)
    with pytest.raises(NoJournal, match="database of something else, with the tables trials"):
        SqlJournal(f"sqlite:///{folder}/odd.db")
    assert traces(folder) == before


@pytest.fixture
def kept(folder: Path) -> Path:
    """A journal in which an agent has begun and seen nothing."""
    journal = SqlJournal(f"sqlite:///{folder}/kept.db")
    journal.append([(Kind.STARTED, 1.0, started(Beginning(), Settings()))])
    export(journal.entries(), folder / "kept.jsonl")
    journal.close()
    return folder


@pytest.mark.parametrize(
    "place", [("kept.db",), ("--journal", "kept.db"), ("kept.jsonl",), ("--journal", "kept.jsonl"), ("kept.db", "--journal", "kept.db")],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("command", sorted(READING.keys() - {"why"}))
def test_every_reading_command_takes_a_journal_in_the_same_ways(
    kept: Path, command: str, place: tuple[str, ...]
) -> None:
    """By itself or as an option, as database or as export, with the same answer."""
    before = traces(kept)
    result = said(*READING[command], *place)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == said(*READING[command], "kept.db").stdout
    assert {name: each for name, each in traces(kept).items() if name != "out.jsonl"} == before


def test_of_two_journals_none_is_read(kept: Path) -> None:
    """Nobody can tell which was meant."""
    result = said("journal", "verify", "kept.db", "--journal", "kept.jsonl")
    assert (result.exit_code, result.stderr) == (2, "two journals are named, kept.db and kept.jsonl; expected one\n")


def test_a_copy_without_a_log_of_writes_is_read_as_it_is(kept: Path) -> None:
    """Whoever notes the digest of a backup finds it again after every look."""
    with sqlite3.connect(kept / "kept.db") as database:
        database.execute("vacuum into 'copy.db'")
    database.close()
    before = traces(kept)
    assert [said(*words, "copy.db").exit_code for words in (READING["verify"], READING["replay"], READING["plan"])] == [
        0,
        0,
        0,
    ]
    assert traces(kept) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (READING["verify"], "0 entries: the journal is empty: no agent has written to it yet\n"),
        (READING["replay"], "0 ticks: the journal is empty: no agent has written to it yet\n"),
        (READING["plan"], "nothing was decided yet\n"),
    ],
)
def test_a_journal_without_entries_is_told_to_be_empty(folder: Path, words: tuple[str, ...], told: str) -> None:
    """Nothing was checked, so nothing is called good; exit 0, since nothing is wrong either."""
    SqlJournal(f"sqlite:///{folder}/new.db").close()
    result = said(*words, "new.db")
    assert (result.exit_code, result.stdout) == (0, told)


def test_a_journal_in_which_nothing_was_seen_is_told_so(kept: Path) -> None:
    """No tick was decided, identically or not."""
    assert said("replay", "kept.db").stdout == "0 ticks: nothing was observed yet\n"


def test_a_replay_says_that_the_chain_is_broken(kept: Path) -> None:
    """What decides the same may have been made up all the same. Exit 1, for people and for machines."""
    with sqlite3.connect(kept / "kept.db") as database:
        database.execute("update entries set at_s = at_s + 1")
    told = "the chain is broken, so this is not what was written: entry 1: its content is not what was written\n"
    result = said("replay", "kept.db")
    assert (result.exit_code, result.stderr) == (1, told)
    as_json = said("replay", "kept.db", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["chain"]) == (
        1,
        "entry 1: its content is not what was written",
    )


@pytest.mark.parametrize("command", ["verify", "replay", "orders", "plan"])
def test_an_export_that_is_none_is_bad_input(folder: Path, command: str) -> None:
    """Exit 2 with file and line."""
    (folder / "odd.jsonl").write_text("dear diary\n")
    result = said(*READING[command], "odd.jsonl")
    assert isinstance(result.exception, NoJournal)
    assert "odd.jsonl:1: no journal entry" in str(result.exception)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("at_s = 'noon'", "entry 1: at_s: found 'noon'; expected POSIX seconds"),
        ("at_s = 1.79e12", "entry 1: at_s: found 1790000000000.0; expected POSIX seconds, not milliseconds"),
        ("kind = x'00'", "entry 1: kind: found b'\\x00'; expected str"),
        ("hash = 7.5", "entry 1: "),
    ],
)
def test_an_entry_of_another_form_is_named(kept: Path, change: str, told: str) -> None:
    """Whoever wrote it, it was no agent: by number and key, without a traceback."""
    with sqlite3.connect(kept / "kept.db") as database:
        database.execute(f"update entries set {change}")  # noqa: S608 - ours
    verified = said("journal", "verify", "kept.db")
    assert (verified.exit_code, told in verified.stderr) == (1, True)
    replayed = said("replay", "kept.db")
    assert type(replayed.exception) is SystemExit


HOLDS = "entry 2: it does not hold what a observed entry holds"


def test_an_observation_of_no_moment_is_named(kept: Path) -> None:
    """A replay says which entry and which key, instead of reading a text as a number."""
    journal = SqlJournal(f"sqlite:///{kept}/kept.db")
    journal.append([(Kind.OBSERVED, 5.0, {**to_json(observation(5.0)), "at_s": "5.0"})])
    journal.close()
    result = said("replay", "kept.db")
    told = f"kept.db can not be replayed: {HOLDS} (at_s: found '5.0'; expected POSIX seconds)\n"
    assert (result.exit_code, result.stderr) == (2, told)


def test_an_observation_of_another_form_names_the_key(kept: Path) -> None:
    """And what was found there."""
    journal = SqlJournal(f"sqlite:///{kept}/kept.db")
    journal.append([(Kind.OBSERVED, 5.0, {**to_json(observation(5.0)), "problems": 7})])
    journal.close()
    result = said("replay", "kept.db")
    told = f"{HOLDS} (problems: found 7; input should be a valid tuple)"
    assert (result.exit_code, told in result.stderr) == (2, True)
