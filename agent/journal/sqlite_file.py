"""A journal in an SQLite file: how it is made, opened and looked at, without a trace where it is only looked at."""

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import sqlalchemy as sa

from agent.journal.schema import NoJournal, NothingThere

Use = Literal["make", "write", "read"]
BEGINS_WITH = b"SQLite format 3\0"
EXPECTED = "expected a journal of homeostat"


def file_of(url: sa.URL) -> Path | None:
    """The file behind `url`; None where it is no file, or not known which."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return None
    return Path(url.database)


def on_disk(url: sa.URL) -> bool:
    """Whether `url` is that of an SQLite file."""
    return url.get_backend_name() == "sqlite" and file_of(url) is not None


def engine(url: sa.URL, use: Use, *, lock_timeout_s: float) -> sa.Engine:
    """For all that a journal does. To "make" one is to create file and folder where they are missing."""
    file = file_of(url)
    if file is not None and use == "make":
        file.parent.mkdir(parents=True, exist_ok=True)
        _private(file)
    # A connection that is kept keeps its log of writes beside the file; whoever only reads goes without a trace.
    pool = sa.NullPool if use == "read" and file is not None else None
    opened = sa.create_engine(url, poolclass=pool, connect_args={"timeout": lock_timeout_s})
    sa.event.listen(opened, "connect", _prepare_reading if use == "read" else _prepare)
    sa.event.listen(opened, "begin", _begin)
    return opened


def looking(url: sa.URL, lock_timeout_s: float) -> sa.Engine:
    """For a look at what is there, which leaves nothing behind. Raises NoJournal for a file that shows at once that it is none."""
    file = file_of(url)
    if file is None:
        return engine(url, "read", lock_timeout_s=lock_timeout_s)
    # Whoever opens a file that has a log of writes makes that log. A file without one is used by nobody, and does not change meanwhile.
    # A log beside no file is left of one that was deleted: there is nothing to look at.
    logged = file.exists() and file.with_name(f"{file.name}-wal").exists()
    if not logged:
        _expect_database(file)
    place = f"file:{quote(str(file.absolute()))}?{'mode=ro' if logged else 'mode=ro&immutable=1'}"
    return sa.create_engine(
        "sqlite://", poolclass=sa.NullPool, creator=lambda: sqlite3.connect(place, uri=True, timeout=lock_timeout_s)
    )


def _expect_database(file: Path) -> None:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise NoJournal(f"it is no file; {EXPECTED}")
        with file.open("rb") as opened:
            begins_with = opened.read(len(BEGINS_WITH))
    except FileNotFoundError:
        raise NothingThere("there is no such journal") from None
    except OSError as error:
        raise NoJournal(f"it can not be read: {error.strerror}; {EXPECTED}") from None
    if not begins_with:
        raise NothingThere(f"the file is empty; {EXPECTED}")
    if begins_with != BEGINS_WITH:
        raise NoJournal(f"it is no SQLite database; {EXPECTED}")


def _private(file: Path) -> None:
    """Make `file` where there is none, for its owner only. SQLite gives its write-ahead log the same rights."""
    if not file.exists():
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver would say it too late
    connection.execute("PRAGMA journal_mode=WAL")


def _prepare_reading(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only=ON")  # a copy that is looked at stays the copy that it was


def _begin(connection: sa.Connection) -> None:
    """Take the write lock at once: a lock taken later can fail after the head of the chain was read."""
    if not connection.get_execution_options().get("read_only"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
