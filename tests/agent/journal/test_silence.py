"""A database that falls silent, is locked, or whose answer is lost: a tick waits for no longer than it must, and nothing is there twice."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.codec import to_json
from agent.journal import store
from agent.journal.patience import StillWaiting, Turns
from agent.journal.record import verify
from agent.journal.replay import replay
from agent.journal.store import SqlJournal
from agent.loop import Agent
from agent.ports import JournalUnavailable
from agent.testing import RecordingNotifier, ScriptedWorld
from tests.agent.test_loop import agent_over  # the loop's own agent, over a journal of a database

SHORT_S = 3.0
"""What is asked of a database that answers must be done within it, also while the machine has other work."""
PATIENCE_S = 30.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on. A journal on a server is opened before it, for that makes the tables, which takes a busy machine its time."""
    for name in ("LOCK_TIMEOUT_S", "ANSWER_TIMEOUT_S"):
        monkeypatch.setattr(store, name, SHORT_S)
    monkeypatch.setattr(store, "CONNECT_TIMEOUT_S", 2)  # libpq knows no less


def took_s(act: Any) -> float:
    """How long `act` took to find the journal away."""
    began_s = time.monotonic()
    with pytest.raises(JournalUnavailable):
        act()
    return time.monotonic() - began_s


def test_a_server_that_takes_the_connection_and_says_nothing_is_away(impatient: None) -> None:
    """Behind a dead network, or stopped: it would never be found out by waiting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert took_s(lambda: SqlJournal(f"postgresql://homeostat@127.0.0.1:{port}/none")) < PATIENCE_S


def test_a_lock_that_somebody_else_holds_is_waited_for_so_long_only(impatient: None, tmp_path: Path) -> None:
    """SQLite: a backup tool, or a person at a prompt, that holds the write lock. Reading goes on, and so does writing afterwards."""
    file = tmp_path / "journal.db"
    journal = SqlJournal(f"sqlite:///{file}")
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert took_s(lambda: journal.append([("note", 1.0, {"n": 1})])) < PATIENCE_S
    assert list(journal.entries()) == []
    holder.execute("ROLLBACK")
    journal.append([("note", 1.0, {"n": 1})])
    assert [entry.payload for entry in journal.entries()] == [{"n": 1}]


class Wire:
    """A way to a server that can fall silent, or lose the answer to the next commit after the server has done it."""

    def __init__(self, direct: sa.URL) -> None:
        assert direct.port is not None
        self._server = direct.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = direct.set(port=self._listener.getsockname()[1])
        self.silent = self.loses_commits = False
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._server))
                self._ends += [client, server]
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while heard := source.recv(65536):
                if self.silent:
                    continue
                target.sendall(heard)
                if asks and self.loses_commits and b"COMMIT" in heard:
                    self.loses_commits = False
                    time.sleep(SHORT_S / 2)  # the server does it meanwhile
                    source.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in (self._listener, *self._ends):
            with suppress(OSError):
                each.close()


@pytest.fixture
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Wire, SqlJournal]]:
    """A wire to a new database of a real server, and a journal at its near end."""
    direct = sa.make_url(new_database(request.getfixturevalue("postgres_server"), tmp_path.name))
    made = Wire(direct)
    journal = SqlJournal(made.url.render_as_string(hide_password=False))
    request.getfixturevalue("impatient")
    yield made, journal
    made.close()


def new_database(server: str, name: str) -> str:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    engine.dispose()
    return sa.make_url(server).set(database=name).render_as_string()


@pytest.mark.postgres
def test_a_server_that_falls_silent_lets_go_whoever_asked(wire: tuple[Wire, SqlJournal]) -> None:
    """Reading and writing, and when it is back the journal goes on as before."""
    way, journal = wire
    journal.append([("note", 1.0, {"n": 1})])
    way.silent = True
    assert took_s(lambda: journal.append([("note", 2.0, {"n": 2})])) < PATIENCE_S
    assert took_s(lambda: list(journal.entries())) < PATIENCE_S
    way.silent = False
    journal.append([("note", 2.0, {"n": 2})])
    assert [entry.payload for entry in journal.entries()] == [{"n": 1}, {"n": 2}]


@pytest.mark.postgres
def test_a_lock_that_a_hanging_writer_holds_is_waited_for_so_long_only(wire: tuple[Wire, SqlJournal]) -> None:
    """PostgreSQL: it ends for the one who waits, and for the one who has left its transaction open."""
    way, journal = wire
    hanging = sa.create_engine(way.url.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    left = hanging.connect()
    left.execute(sa.select(sa.func.pg_advisory_xact_lock(store.ADVISORY_LOCK)))
    assert took_s(lambda: journal.append([("note", 1.0, {"n": 1})])) < PATIENCE_S
    left.close()
    journal.append([("note", 1.0, {"n": 1})])
    assert [entry.payload for entry in journal.entries()] == [{"n": 1}]


@pytest.mark.postgres
def test_a_tick_whose_commit_was_not_answered_is_in_the_journal_once(wire: tuple[Wire, SqlJournal]) -> None:
    """The agent halts and writes it again with what came since; what is there verifies and replays."""
    way, journal = wire

    def lose() -> None:
        way.loses_commits = True

    tick_three_times(journal, lose)


@pytest.fixture
def loses_answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """SQLite does what it is told, and says that it failed: as many times as the number in the list."""
    left, commit = [0], sa.engine.default.DefaultDialect.do_commit

    def lost(dialect: Any, connection: Any) -> None:
        commit(dialect, connection)
        if left[0]:
            left[0] -= 1
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sa.engine.default.DefaultDialect, "do_commit", lost)
    return left


def test_a_tick_whose_commit_failed_after_all_is_in_the_journal_once(loses_answers: list[int], tmp_path: Path) -> None:
    """On SQLite, where the answer is lost twice: the second time to what came since."""
    tick_three_times(SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}"), lambda: loses_answers.__setitem__(0, 2))


def tick_three_times(journal: SqlJournal, lose: Any) -> None:
    """Six ticks, in the second of which an order's intent is written and the answer lost."""
    world = ScriptedWorld.with_deployment("app/model", 2)
    agent: Agent = agent_over(world, journal, RecordingNotifier())  # type: ignore[arg-type]
    for at_s, ongoing in ((1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (4.0, 2.0), (5.0, 2.0), (6.0, 2.0)):
        if at_s == 2.0:
            lose()
        world.give_traffic("app/model", ongoing=ongoing, latency_mean_s=0.2, measured_at_s=at_s)
        agent.tick(at_s)
    entries = list(journal.entries())
    observed = [entry.at_s for entry in entries if entry.kind == "observed"]
    assert observed == sorted(set(observed))
    assert 2.0 in observed
    assert [entry.payload["number"] for entry in entries if entry.kind == "intent"] == [1, 2]
    assert [entry.payload["number"] for entry in entries if entry.kind == "refused"] == [1]
    assert len(world.effects) == 1
    assert verify(entries).ok
    assert replay(entries).identical


def test_what_somebody_else_wrote_in_between_stands_between(loses_answers: list[int], tmp_path: Path) -> None:
    """A kill between the lost answer and the second try: both are there, in the order in which they came."""
    journal, other = (SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") for _ in range(2))
    first, more = ("note", 1.0, {"n": 1}), ("note", 2.0, {"n": 2})
    loses_answers[0] = 1
    with pytest.raises(JournalUnavailable):
        journal.append([first])
    other.append([("control", 1.5, {"word": "kill"})])
    journal.append([first, more])
    journal.append([first])  # the same again, but not because an answer was lost
    assert [to_json(entry)["payload"] for entry in journal.entries()] == [
        {"n": 1},
        {"word": "kill"},
        {"n": 2},
        {"n": 1},
    ]
    assert verify(journal.entries()).ok


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A disk that can be gone: whatever is read or committed while it is does not return before it is back, and is done then."""
    state: dict[str, Any] = {"commit": None, "read": None}
    dialect = sa.engine.default.DefaultDialect
    commit, execute = dialect.do_commit, dialect.do_execute

    def committed(self: Any, connection: Any) -> None:
        if state["commit"] is not None:
            state["commit"].wait()
        commit(self, connection)

    def executed(self: Any, cursor: Any, statement: str, *more: Any) -> None:
        if state["read"] is not None and statement.startswith("SELECT entries"):
            state["read"].wait()
        execute(self, cursor, statement, *more)

    monkeypatch.setattr(dialect, "do_commit", committed)
    monkeypatch.setattr(dialect, "do_execute", executed)
    yield state
    for back in filter(None, state.values()):
        back.set()


def test_a_disk_that_is_gone_keeps_no_tick_and_nothing_is_there_twice(
    impatient: None, disk: dict[str, Any], tmp_path: Path
) -> None:
    """The write comes through when the disk is back, after the agent had given it up: it is found, and not written again."""
    journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    notifier = RecordingNotifier()
    world = ScriptedWorld.with_deployment("app/model", 2)
    agent: Agent = agent_over(world, journal, notifier)  # type: ignore[arg-type]
    back = threading.Event()

    def tick(at_s: float) -> float:
        world.give_traffic("app/model", ongoing=2.0, latency_mean_s=0.2, measured_at_s=at_s)
        began_s = time.monotonic()
        agent.tick(at_s)
        return time.monotonic() - began_s

    disk["commit"] = back
    took = [tick(at_s) for at_s in (1.0, 2.0, 3.0)]
    assert max(took) < PATIENCE_S
    assert max(took[1:]) < SHORT_S, "while it hangs nobody waits again"
    assert (world.effects, agent.halted is not None) == ([], True)
    assert agent.halted is not None
    assert "an earlier attempt still hangs" in agent.halted
    disk["commit"] = None
    back.set()
    deadline_s = time.monotonic() + PATIENCE_S
    at_s = 4.0
    while agent.halted is not None and time.monotonic() < deadline_s:
        tick(at_s)
        at_s += 1.0
    tick(at_s)
    entries = list(journal.entries())
    observed = [entry.at_s for entry in entries if entry.kind == "observed"]
    assert observed == sorted(set(observed))
    assert observed[0] == 1.0
    numbers = [entry.payload["number"] for entry in entries if entry.kind == "intent"]
    assert numbers == sorted(set(numbers))
    assert verify(entries).ok
    assert replay(entries).identical
    assert [alert.subject for alert in notifier.alerts][:2] == ["journal", "journal"]


def test_a_disk_that_is_gone_keeps_nobody_who_reads(impatient: None, disk: dict[str, Any], tmp_path: Path) -> None:
    """Nor whoever writes meanwhile; when it is back everything is as it was."""
    journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    journal.append([("note", 1.0, {"n": 1})])
    disk["read"] = back = threading.Event()
    assert took_s(lambda: list(journal.entries())) < PATIENCE_S
    assert took_s(journal.head) < SHORT_S
    assert took_s(lambda: journal.append([("note", 2.0, {"n": 2})])) < SHORT_S
    disk["read"] = None
    back.set()
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with suppress(JournalUnavailable):
            journal.append([("note", 2.0, {"n": 2})])
            break
    assert [entry.payload for entry in journal.entries()] == [{"n": 1}, {"n": 2}]


def test_whoever_waits_for_a_turn_waits_no_longer_than_for_an_answer() -> None:
    """A call that is slow and ends is no call that hangs: the next one has its turn."""
    turns, slow = Turns(), threading.Event()
    first = threading.Thread(target=lambda: turns.take(slow.wait, PATIENCE_S))
    first.start()
    with pytest.raises(StillWaiting, match="no answer in"):
        turns.take(lambda: 1, 0.05)
    slow.set()
    first.join()
    assert turns.take(lambda: 2, PATIENCE_S) == 2
    with pytest.raises(ValueError, match="its own"):
        turns.take(lambda: (_ for _ in ()).throw(ValueError("its own")), PATIENCE_S)
