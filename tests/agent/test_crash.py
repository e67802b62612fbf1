"""An agent that is killed at any moment: nothing without an intent, nothing twice, and a record that holds.

Orders take a while to be seen, so most lives begin with one that is under way; the world would begin another beside it (`crash_child`).
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.journal.record import Kind, verify
from agent.journal.replay import replay
from agent.journal.store import SqlJournal

KILLS = 50
PLANTED_KILLS = 12
CHILD = Path(__file__).parent / "crash_child.py"
FORK = """
import os, runpy, sys
sys.argv = sys.argv[1:]
# Loaded once; each life is a fork of this process.
import agent.assembly, agent.journal.life, agent.journal.store, agent.testing, alembic.command, policies.scaling.target_utilization
for line in sys.stdin:
    arguments = line.split()
    pid = os.fork()
    if pid == 0:
        sys.argv = [sys.argv[0], *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""
HANGS_S = 60.0
"""A life that has not come to its end after so long never will."""


def test_fifty_kills_leave_no_effect_without_an_intent_and_none_done_twice(tmp_path: Path) -> None:
    """With SIGKILL at seeded moments, the worst among them, on a real SQLite file; every life goes on from the journal.

    At least half of the lives go on with an order that the one before has left under way.
    """
    lived(tmp_path, KILLS, fault="none")
    entries = list(SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}").entries())
    begun = [entry.payload for entry in entries if entry.kind == Kind.STARTED]
    resumed = {line["epoch"] for line in lines(tmp_path / "told.jsonl") if told_before(tmp_path, line)}
    assert len(begun) == KILLS
    assert len(resumed) >= KILLS / 2
    assert len(lines(tmp_path / "effects.jsonl")) > KILLS / 2, "the lives were too short to prove anything"
    assert list(faults_of(tmp_path)) == []
    assert verify(entries).ok
    assert replay(entries).identical


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("keys_are_changed", {"done twice"}),
        ("open_orders_are_forgotten", {"done twice"}),
        ("intents_come_late", {"without an intent", "done twice"}),
    ],
)
def test_a_loop_that_is_wrong_is_found_out(tmp_path: Path, fault: str, found: set[str]) -> None:
    """A test that can not fail says nothing: planted, each of these faults shows in a few lives."""
    lived(tmp_path, PLANTED_KILLS, fault=fault)
    assert set(faults_of(tmp_path)) == found


def faults_of(folder: Path) -> Iterator[str]:
    """What must never be, as the world and the journal tell it."""
    entries = SqlJournal(f"sqlite:///{folder / 'journal.db'}").entries(kinds=(Kind.INTENT,))
    intended = {entry.payload["key"] for entry in entries}
    keys = set()
    for effect in lines(folder / "effects.jsonl"):
        if effect["key"] not in intended:
            yield "without an intent"
        if effect["doubled"] or effect["key"] in keys:
            yield "done twice"
        keys.add(effect["key"])


def told_before(folder: Path, line: dict) -> bool:
    """Whether an earlier life has told the world of the same order."""
    return any(each["key"] == line["key"] and each["epoch"] < line["epoch"] for each in lines(folder / "told.jsonl"))


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def lived(folder: Path, kills: int, *, fault: str) -> None:
    """So many lives of an agent, one after the other, each ended by SIGKILL: at any moment of a tick, or at the worst one of an order."""
    dice = random.Random(20)  # noqa: S311 - dice, not secrets
    with mother() as process:
        assert process.stdin is not None
        for _ in range(kills):
            moment = f"tick:{dice.randint(1, 12)}:{dice.random():.3f}"
            dies = dice.choice([moment, moment, "told:1", "done:1", "told:2", "done:2"])
            process.stdin.write(f"sqlite:///{folder / 'journal.db'} {folder} {dies} {fault}\n".encode())
            pid = int((heard(process) - {"ready"}).pop())
            _end(process, pid)


def heard(process: subprocess.Popen[bytes]) -> set[str]:
    """The two lines that begin a life: its number, and that it is ready, unless it is dead already."""
    return {_line(process), _line(process)}


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def _end(process: subprocess.Popen[bytes], pid: int) -> None:
    """Wait until the life is dead."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], HANGS_S)[0]:
        os.kill(pid, signal.SIGKILL)
        raise AssertionError("a life did not come to its end")
    assert _line(process) == "dead"


@contextmanager
def mother() -> Iterator[subprocess.Popen[bytes]]:
    """The process that every life is a fork of."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORK, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=20)
