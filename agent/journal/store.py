"""The journal in a database: SQLite by default, PostgreSQL by URL. Every fault of the database is JournalUnavailable.

A database that is silent is away, too: connecting, locks, statements and their answers have time-outs, so no tick waits for longer. An
SQLite file on a disk that is gone has none of its own; it is asked in a thread that can be left alone.
Where the answer to a commit is lost it is not known whether the entries are there; the same entries given again are looked for first,
so that they are there once.

Appending is serialised between processes (the agent and the command line write to one chain): SQLite takes the write lock when the
transaction begins, PostgreSQL an advisory lock. An agent of an earlier epoch can not append any more once a later one has begun.
"""

import json
import os
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from agent.codec import canonical
from agent.database_urls import DATABASES, database_fault, with_driver
from agent.journal import sqlite_file
from agent.journal.controls import KINDS, ControlFold
from agent.journal.patience import Turns
from agent.journal.record import GENESIS, Entry, Kind, UnreadableEntry, body, chained, check
from agent.journal.schema import NewerTables, NoJournal, NothingThere, entries, epochs, revision, upgrade
from agent.journal.sqlite_file import Use
from agent.ports import JournalUnavailable
from agent.redaction import redacted, redacted_url
from policies.observation import Controls

PASSWORD_VARIABLE = "HOMEOSTAT_JOURNAL_PASSWORD"  # noqa: S105 - the name of a variable, not a password
COMPRESSED_FROM_BYTES = 512
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 5.0
"""For the write lock: the command line and the agent write to one chain."""
ANSWER_TIMEOUT_S = 10.0
"""For one use of the database from its beginning to its end, a page read or a tick written; of an SQLite file, once it has the lock."""
ADVISORY_LOCK = 0x686F6D656F
"""Names our lock among all advisory locks of a PostgreSQL server."""
OPEN_TIMEOUT_S = 60.0
"""For opening it, with all that has to be imported and made for it."""
PAGE_ROWS = 500
PAYLOAD_MAX_BYTES = 256_000_000
"""Of one entry: some hundred times what an agent of a thousand models writes in one."""

T = TypeVar("T")
Line = tuple[str, float, Mapping[str, Any]]


class SqlJournal:
    """The journal behind `url`. Raises JournalUnavailable.

    To "make" it is to create it, or to bring its tables to this version, where that is needed. To "write" or to "read" is to expect one
    that is there: nothing is created, and what is no journal is NoJournal and stays as it is, byte for byte.
    """

    def __init__(self, url: str, use: Use = "make") -> None:
        self._given = url
        self._url = _with_password(url)
        self.name = journal_name(url)
        self._epoch: int | None = None
        self._fold = ControlFold()
        self._sent: list[dict[str, Any]] = []
        """Rows whose commit was not answered, as they would be in the database."""
        # A server cuts its connections itself; a disk that is gone cuts nothing.
        self._turns = Turns() if sqlite_file.on_disk(self._url) else None
        self._ask(lambda: self._open(use), OPEN_TIMEOUT_S)

    def close(self) -> None:
        self._engine.dispose()

    def _open(self, use: Use) -> None:
        self._look(use)
        self._engine = _engine(self._url, use)
        if use == "make":
            upgrade(self._engine)

    def _ask(self, call: Callable[[], T], limit_s: float | None = None) -> T:
        """What `call` gives of the database. Raises JournalUnavailable, also where it takes too long."""
        with self._faults():
            return (
                call() if self._turns is None else self._turns.take(call, limit_s or LOCK_TIMEOUT_S + ANSWER_TIMEOUT_S)
            )

    def _look(self, use: Use) -> None:
        """Raises NoJournal for what can not be used so; changes nothing. A server's database may hold tables of others, too."""
        sqlite = self._url.get_backend_name() == "sqlite"
        try:
            engine = sqlite_file.looking(self._url, LOCK_TIMEOUT_S) if sqlite else _engine(self._url, use)
            with engine.connect() as connection:
                revision(connection)
            engine.dispose()
        except NoJournal as error:
            if use != "make" or (sqlite and not isinstance(error, NothingThere)):
                raise

    def begin(self, at_s: float, *, above: int = 0) -> int:
        """A new epoch, higher than any before and than `above`; from now on this journal writes in it and no earlier one can."""
        self._epoch = self._ask(lambda: self._next_epoch(at_s, above))
        return self._epoch

    def _next_epoch(self, at_s: float, above: int) -> int:
        with self._writing(durable=True) as connection:
            last = max(above, connection.execute(sa.select(sa.func.max(epochs.c.epoch))).scalar() or 0)
            connection.execute(sa.insert(epochs).values(epoch=last + 1, at_s=at_s))
        return last + 1

    def append(self, lines: Iterable[Line], *, durable: bool = False) -> None:
        """Chain and write `lines`, all or none. Raises JournalUnavailable, also where a later epoch has begun.

        Then it may be that they were written and the answer was lost: given again, perhaps with more behind them, they are there once.
        """
        wanted = list(lines)
        self._ask(lambda: self._write_down(wanted, durable))
        self._sent = []  # whoever did not hear the answer gives the same again, and it may have been written in the meantime

    def _write_down(self, wanted: Sequence[Line], durable: bool) -> None:
        with self._writing(durable=durable) as connection:
            self._fence(connection)
            there = self._already_there(connection, wanted)
            head = connection.execute(
                sa.select(entries.c.seq, entries.c.hash).order_by(entries.c.seq.desc()).limit(1)
            ).first()
            rows = _chain(wanted[len(there) :], *(head or (0, GENESIS)))
            self._sent = [*there, *rows]
            if rows:
                connection.execute(sa.insert(entries), rows)

    def _already_there(self, connection: sa.Connection, wanted: Sequence[Line]) -> list[dict[str, Any]]:
        """The rows of the first of `wanted` that an append wrote whose answer was lost."""
        if not self._sent:
            return []
        query = sa.select(entries.c.seq, entries.c.hash).where(entries.c.seq.in_([row["seq"] for row in self._sent]))
        hashes = {row.seq: row.hash for row in connection.execute(query)}
        there = []
        for row, line in zip(self._sent, wanted, strict=False):
            if hashes.get(row["seq"]) != row["hash"] or _chain([line], row["seq"] - 1, row["previous_hash"]) != [row]:
                break
            there.append(row)
        return there

    def entries(
        self, *, since_seq: int = 0, since_s: float | None = None, kinds: Sequence[Kind] | None = None
    ) -> Iterator[Entry]:
        """Entries after `since_seq` and not before `since_s`, in order, of the given kinds or all; read in pages, so any number of them."""
        while True:
            page = self._page(since_seq, since_s, kinds)
            yield from map(_entry, page)  # unpacked one by one: who looks for the first of many needs no other
            if len(page) < PAGE_ROWS:
                return
            since_seq = page[-1].seq

    def head(self) -> Entry | None:
        """The last entry."""
        query = sa.select(entries).order_by(entries.c.seq.desc()).limit(1)
        return self._first(query)

    def last(self, kind: Kind) -> Entry | None:
        """The last entry of `kind`."""
        query = sa.select(entries).where(entries.c.kind == kind.value).order_by(entries.c.seq.desc()).limit(1)
        return self._first(query)

    def _first(self, query: sa.Select[Any]) -> Entry | None:
        def look() -> sa.Row[Any] | None:
            with self._reading() as connection:
                return connection.execute(query).first()

        row = self._ask(look)
        return _entry(row) if row else None

    def controls(self, at_s: float) -> Controls:
        """How the controls stand at `at_s`. Reads only what is new since the last call."""
        self._fold.follow(self.entries(since_seq=self._fold.seq, kinds=KINDS), at_s)
        return self._fold.controls(at_s)

    def _page(self, since_seq: int, since_s: float | None, kinds: Sequence[Kind] | None) -> Sequence[sa.Row[Any]]:
        query = sa.select(entries).where(entries.c.seq > since_seq).order_by(entries.c.seq).limit(PAGE_ROWS)
        if since_s is not None:
            query = query.where(entries.c.at_s >= since_s)
        if kinds is not None:
            query = query.where(entries.c.kind.in_([kind.value for kind in kinds]))

        def look() -> Sequence[sa.Row[Any]]:
            with self._reading() as connection:
                return connection.execute(query).all()

        return self._ask(look)

    def _fence(self, connection: sa.Connection) -> None:
        if self._epoch is None:
            return
        newest = connection.execute(sa.select(sa.func.max(epochs.c.epoch))).scalar()
        if newest != self._epoch:
            query = (
                sa.select(entries).where(entries.c.kind == Kind.STARTED.value).order_by(entries.c.seq.desc()).limit(1)
            )
            raise JournalUnavailable(
                f"epoch {newest} has begun{_of_whom(connection.execute(query).first(), newest)}; this agent is of epoch {self._epoch} "
                "and writes no more. `homeostat stop` one of the two, or give it a journal of its own (`journal.url`); then "
                "`homeostat run --replace` begins the other anew"
            )

    @contextmanager
    def _writing(self, *, durable: bool) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # The write-ahead log survives a crash of the process at NORMAL; a power cut only at FULL.
                level = "FULL" if durable else "NORMAL"
                connection.connection.driver_connection.execute(f"PRAGMA synchronous={level}")  # type: ignore[union-attr]
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
                yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection.execution_options(read_only=True)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (NoJournal, NewerTables) as error:
            raise type(error)(error.reason, self.name) from None
        except (
            SQLAlchemyError,
            OSError,
            ImportError,
        ) as error:  # ImportError: the driver of a database is not installed
            cause = getattr(error, "orig", None) or error
            reason = redacted(str(cause), self._given, self._url.render_as_string(hide_password=False))
            raise JournalUnavailable(f"{self.name}: {reason}") from None


def _of_whom(newest_start: sa.Row[Any] | None, epoch: int | None) -> str:
    """The agent that began `epoch`, where it has written that down; it takes the epoch first."""
    payload: Mapping[str, Any] = {}
    with suppress(UnreadableEntry):  # what it says is wanted here for a message only
        payload = _entry(newest_start).payload if newest_start is not None else {}
    name = (payload.get("settings") or {}).get("name")
    return f", that of the agent {name!r}" if name and payload.get("epoch") == epoch else ""


def same_journal(one: str, other: str) -> bool:
    """Whether two names that `journal_name` gave are of one journal: one file by whatever path, one database by whatever user."""
    return _where(one) == _where(other)


def _where(name: str) -> tuple[str | int | None, ...]:
    url = sa.make_url(name)
    if url.get_backend_name() == "sqlite":
        return (os.path.realpath(url.database or ""),)
    return (url.host, url.port or 5432, url.database)


def journal_name(url: str) -> str:
    """The journal behind `url` as it is shown to people, without secrets. Raises JournalUnavailable for what is no URL."""
    return redacted_url(_with_password(url).render_as_string(hide_password=True))


def _with_password(url: str) -> sa.URL:
    if (told := database_fault(url)) is not None:
        raise JournalUnavailable(f"{redacted_url(url)!r}: {told}")
    try:
        parsed = sa.make_url(with_driver(url))
    except (SQLAlchemyError, ValueError):  # ValueError: a port that is no number
        raise JournalUnavailable(f"{redacted_url(url)!r} is no database URL; expected {DATABASES}") from None
    password = os.environ.get(PASSWORD_VARIABLE)
    return parsed.set(password=password) if password and parsed.drivername.startswith("postgresql") else parsed


def _engine(url: sa.URL, use: Use) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        return sqlite_file.engine(url, use, lock_timeout_s=LOCK_TIMEOUT_S)
    # A connection for each use: one that is kept can fall silent between two, and to ask whether it has takes as long.
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
    sa.event.listen(engine, "connect", _prepare_postgres, insert=True)
    sa.event.listen(engine, "close", _unwatch)
    return engine


def _prepare_postgres(connection: Any, record: Any) -> None:
    """Whoever waits for a server that has fallen silent is let go: the connection is cut under it.

    The server's own part: a statement or a lock that takes too long ends, and so does a transaction that its client has left.
    """
    record.info["watch"] = watch = threading.Timer(ANSWER_TIMEOUT_S, _cut, [connection])
    watch.daemon = True
    watch.start()
    limits = {
        "statement_timeout": ANSWER_TIMEOUT_S,
        "lock_timeout": LOCK_TIMEOUT_S,
        "idle_in_transaction_session_timeout": ANSWER_TIMEOUT_S,
    }
    with connection.cursor() as cursor:
        for name, seconds in limits.items():
            cursor.execute(f"SET {name} = {round(seconds * 1000)}")
    connection.commit()


def _cut(connection: Any) -> None:
    # Where it has just been closed there is nothing to cut.
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as under:
        under.shutdown(socket.SHUT_RDWR)


def _unwatch(_: Any, record: Any) -> None:
    watch = record.info.pop("watch", None)
    if watch is not None:
        watch.cancel()


def _chain(lines: Iterable[Line], seq: int, previous_hash: str) -> list[dict[str, Any]]:
    rows = []
    for kind, at_s, plain in lines:
        seq += 1
        payload = canonical(plain)
        entry_hash = chained(previous_hash, body(seq, float(at_s), kind, payload))
        rows.append(
            {
                "seq": seq,
                "at_s": float(at_s),
                "kind": str(kind),
                "payload": zlib.compress(payload, 1) if len(payload) >= COMPRESSED_FROM_BYTES else payload,
                "previous_hash": previous_hash,
                "hash": entry_hash,
            }
        )
        previous_hash = entry_hash
    return rows


def _entry(row: sa.Row[Any]) -> Entry:
    """Raises UnreadableEntry where it holds what no agent wrote."""
    try:
        payload = _payload(row.payload)
    except (TypeError, ValueError, RecursionError, zlib.error) as error:
        raise UnreadableEntry(row.seq, f"its content can not be read: {error}") from None
    entry = Entry(
        seq=row.seq,
        at_s=row.at_s,
        kind=row.kind,
        payload=payload,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )
    try:
        check(entry)
    except ValueError as error:
        raise UnreadableEntry(row.seq, str(error)) from None
    return entry


def _payload(stored: bytes) -> dict[str, Any]:
    # Canonical JSON of an object begins with a brace, compressed bytes never do.
    plain = stored if stored[:1] == b"{" else _unpacked(stored)
    payload = json.loads(plain)
    if not isinstance(payload, dict):
        raise ValueError("it is no JSON object")
    return payload


def _unpacked(stored: bytes) -> bytes:
    """Raises ValueError for more than any entry holds: a file from a stranger must not fill the memory."""
    unpack = zlib.decompressobj()
    plain = unpack.decompress(stored, PAYLOAD_MAX_BYTES)
    if unpack.unconsumed_tail:
        raise ValueError(f"it holds more than {PAYLOAD_MAX_BYTES:,} bytes")
    if not unpack.eof:
        raise ValueError("it ends too early")
    return plain
