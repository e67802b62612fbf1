"""The tables of a new SQLite journal are those that the migrations would have made, and are made without Alembic."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.journal import schema
from agent.journal.store import SqlJournal


def tables(engine: sa.Engine) -> list[tuple[str, str, str]]:
    """What SQLite says of every table and index, in words that do not depend on line breaks."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master ORDER BY name").all()
    return [
        (kind, name, " ".join((sql or "").replace("(", " ( ").replace(",", " , ").split())) for kind, name, sql in rows
    ]


def test_a_new_journal_has_the_tables_of_the_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a later migration finds what it expects, however the journal was begun."""
    made, migrated = (sa.create_engine(f"sqlite:///{tmp_path}/{name}.db") for name in ("made", "migrated"))
    schema.upgrade(made)
    with monkeypatch.context() as slowly:
        slowly.setattr(schema, "_made", lambda engine: False)
        schema.upgrade(migrated)
    assert tables(made) == tables(migrated)
    for engine in (made, migrated):
        with engine.connect() as connection:
            assert schema.revision(connection) == schema.REVISION


def test_a_new_journal_needs_no_alembic(tmp_path: Path) -> None:
    """It keeps what it works on in globals, and the registry's library uses it in the same process."""
    script = "import sys; from agent.journal.store import SqlJournal; SqlJournal(sys.argv[1]); print('alembic' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{tmp_path}/new.db"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "False\n"


def test_two_who_make_a_journal_at_once_make_one(tmp_path: Path) -> None:
    """The second finds what the first has made."""
    first, second = (SqlJournal(f"sqlite:///{tmp_path}/one.db") for _ in range(2))
    first.append([("note", 1.0, {"n": 1})])
    second.append([("note", 2.0, {"n": 2})])
    assert [entry.payload for entry in first.entries()] == [{"n": 1}, {"n": 2}]
