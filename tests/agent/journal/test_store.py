"""The journal in a database: all or none, one chain whoever writes, and a clear word when it is away. Over SQLite and PostgreSQL."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.codec import to_json
from agent.journal.controls import said
from agent.journal.life import begin
from agent.journal.record import Kind, verify
from agent.journal.store import PASSWORD_VARIABLE, SqlJournal
from agent.order import Order, Outcome, Status
from agent.ports import JournalUnavailable
from agent.settings import Settings
from policies.action import RollBack, Scale

WRITER = """
import sys
from agent.journal.store import SqlJournal
journal = SqlJournal(sys.argv[1])
for n in range(40):
    journal.append([("note", float(n), {"by": sys.argv[2], "n": n}), ("note", float(n), {"second": n})])
"""


def order(number: int, action=None) -> Order:
    return Order(
        number=number,
        epoch=1,
        key=f"{number}-k",
        action=action or Scale(deployment="a/b", replicas=2),
        because=(),
        policy="p",
        issued_at_s=1.0,
        deadline_s=9.0,
    )


def test_entries_come_back_as_they_were_written(journal: SqlJournal) -> None:
    """Small ones and compressed ones, in order, chained."""
    lines = [("note", 1.25, {"text": "ä" * 2000, "none": None}), ("observed", 2.0, {"x": [1, 2.5]})]
    journal.append(lines)
    journal.append([], durable=True)
    entries = list(journal.entries())
    assert [(e.kind, e.at_s, e.payload) for e in entries] == lines
    assert verify(entries).ok
    assert journal.head() == entries[-1]
    assert journal.last(Kind.NOTE) == entries[0]


def test_an_append_is_all_or_nothing(journal: SqlJournal) -> None:
    """A line that can not be written takes the whole batch back."""
    with pytest.raises(ValueError, match="JSON"):
        journal.append([("note", 1.0, {"good": 1}), ("note", 2.0, {"bad": float("nan")})])
    assert list(journal.entries()) == []


def test_two_processes_write_one_chain(url: str, journal: SqlJournal) -> None:
    """Nothing lost, nothing twice, no fork."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, url, name]) for name in ("a", "b")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    result = verify(journal.entries())
    assert (result.ok, result.entries) == (True, 160)


def test_an_agent_of_an_earlier_epoch_writes_no_more(url: str, journal: SqlJournal) -> None:
    """Once a later one has begun."""
    assert journal.begin(1.0) == 1
    later = SqlJournal(url)
    assert later.begin(2.0) == 2
    with pytest.raises(JournalUnavailable, match="epoch 2 has begun"):
        journal.append([("note", 3.0, {})])
    later.append([("note", 3.0, {})])
    later.close()


def test_an_agent_that_has_lost_its_journal_says_to_whom_and_what_to_do(url: str, journal: SqlJournal) -> None:
    """The agent that began the newest epoch is named; while it has not said its name yet, none is, least of all the one before."""
    begin(journal, Settings.model_validate({"name": "one"}), 0.0)
    later = SqlJournal(url)
    later.begin(2.0)
    with pytest.raises(JournalUnavailable, match=r"epoch 2 has begun; this agent is of epoch 1 and writes no more\. "):
        journal.append([("note", 3.0, {})])
    begin(later, Settings.model_validate({"name": "two"}), 3.0)
    with pytest.raises(JournalUnavailable, match=r"epoch 3 has begun, that of the agent 'two'; .*`journal\.url`"):
        journal.append([("note", 4.0, {})])
    later.close()


def test_a_new_life_finds_the_orders_that_were_left_open(journal: SqlJournal) -> None:
    """And goes on counting where the last one stopped, past orders that only waited for approval."""
    begin(journal, Settings(), 0.0)
    journal.append([(Kind.INTENT, 1.0, to_json(order(1))), (Kind.INTENT, 1.0, to_json(order(2)))])
    journal.append([(Kind.OUTCOME, 2.0, to_json(Outcome(number=1, status=Status.SUCCEEDED, at_s=2.0)))])
    waiting = {"vetoes": [], "suggestions": [], "holds": [], "alerts": [], "awaiting": [to_json(order(5))]}
    journal.append([(Kind.DECIDED, 3.0, waiting)])
    beginning = begin(journal, Settings(), 4.0)
    assert (beginning.epoch, beginning.next_number, beginning.open_orders) == (2, 6, (order(2),))


def test_controls_are_what_people_said_last(journal: SqlJournal) -> None:
    """Freeze and kill hold until they are taken back; a rollback holds until it was done."""
    for word, extra in (("freeze", {}), ("kill", {}), ("approve", {"number": 3}), ("rollback", {"model": "m"})):
        journal.append([(Kind.CONTROL, 1.0, said(word, by="test", **extra))])
    controls = journal.controls(2.0)
    assert (controls.frozen, controls.killed, controls.approved, controls.rollbacks) == (True, True, (3,), ("m",))
    back = RollBack(model="m", version="2", to="1", to_digest="d")
    journal.append([(Kind.INTENT, 3.0, to_json(order(9, back)))])
    journal.append([(Kind.OUTCOME, 4.0, to_json(Outcome(number=9, status=Status.SUCCEEDED, at_s=4.0)))])
    journal.append([(Kind.CONTROL, 5.0, said("unfreeze", by="test")), (Kind.CONTROL, 5.0, said("start", by="test"))])
    controls = journal.controls(6.0)
    assert (controls.frozen, controls.killed, controls.rollbacks) == (False, False, ())
    for word, killed in (("kill", True), ("run", True), ("stop", True), ("resume", False)):
        journal.append([(Kind.CONTROL, 7.0, said(word, by="test"))])
        assert journal.controls(8.0).killed is killed


def test_a_wish_counts_from_when_it_was_heard_whatever_the_clock_shows_where_it_was_said(journal: SqlJournal) -> None:
    """A laptop whose clock is a day behind or ahead; and a clock that is set back makes no wish last longer."""
    journal.controls(100_000.0)
    for said_s in (13_600.0, 186_400.0):
        journal.append([(Kind.CONTROL, said_s, said("rollback", by="test", model=f"m{said_s:g}"))])
    assert journal.controls(100_001.0).rollbacks == ("m13600", "m186400")
    assert journal.controls(96_400.0).rollbacks == ("m13600", "m186400")
    assert journal.controls(97_001.0).rollbacks == ()


def test_a_database_that_is_away_says_where_and_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is JournalUnavailable."""
    monkeypatch.setenv(PASSWORD_VARIABLE, "very-secret")
    with pytest.raises(JournalUnavailable) as caught:
        SqlJournal("postgresql://homeostat@127.0.0.1:1/none")
    assert "127.0.0.1" in str(caught.value)
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/no/such/journal.db"])
def test_an_impossible_place_is_named(url: str) -> None:
    """With what was expected, or what the system said."""
    with pytest.raises(JournalUnavailable, match=r"nonsense|/proc/no"):
        SqlJournal(url)


FULL = """
import resource, sys
from agent.journal.store import SqlJournal
from agent.ports import JournalUnavailable
journal = SqlJournal(sys.argv[1])
journal.append([("note", 1.0, {"n": 0})], durable=True)
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
import random
noise = random.Random(0)
written = 1
try:
    for n in range(1, 200):
        journal.append([("note", 1.0, {"n": n, "fill": [noise.random() for _ in range(500)]})], durable=True)
        written += 1
except JournalUnavailable as error:
    print(written, error)
    sys.exit(7)
"""


def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    """The write that does not fit fails as a whole, and the chain up to it verifies."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    child = subprocess.run([sys.executable, "-c", FULL, url], capture_output=True, text=True, check=False)
    assert child.returncode == 7, child.stderr
    result = verify(SqlJournal(url).entries())
    assert (result.ok, result.entries) == (True, int(child.stdout.split()[0]))


def test_a_journal_whose_file_was_deleted_is_begun_anew(tmp_path: Path) -> None:
    """A killed agent leaves its log of writes; whoever deletes the file beside it begins an empty journal, and none is away."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    before = SqlJournal(url)
    before.append([("note", 1.0, {"n": 0})])
    assert (tmp_path / "journal.db-wal").exists()
    (tmp_path / "journal.db").unlink()
    assert list(SqlJournal(url).entries()) == []
