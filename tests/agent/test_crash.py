"""An agent that is killed at any moment: nothing without an intent, nothing twice, and a record that holds."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from agent.journal.record import Kind, verify
from agent.journal.replay import replay
from agent.journal.store import SqlJournal

KILLS = 50
CHILD = Path(__file__).parent / "crash_child.py"
FORK = """
import os, runpy, sys
sys.argv = sys.argv[1:]
import agent.assembly, agent.journal.life, agent.testing, agent.journal.replay  # loaded once; each life is a fork of this process
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


def test_fifty_kills_leave_no_effect_without_an_intent_and_none_done_twice(tmp_path: Path) -> None:
    """Killed with SIGKILL at seeded random moments, on a real SQLite file; every life goes on from the journal."""
    url, dice = f"sqlite:///{tmp_path / 'journal.db'}", random.Random(20)  # noqa: S311 - dice, not secrets
    mother = subprocess.Popen(
        [sys.executable, "-c", FORK, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert mother.stdin is not None
    assert mother.stdout is not None
    try:
        for life in range(KILLS):
            mother.stdin.write(f"{url} {tmp_path} {life * 1000}\n")
            mother.stdin.flush()
            said = {mother.stdout.readline().strip(), mother.stdout.readline().strip()}
            assert "ready" in said
            pid = int((said - {"ready"}).pop())
            time.sleep(dice.uniform(0.0, 0.25))
            os.kill(pid, signal.SIGKILL)
            assert mother.stdout.readline().strip() == "dead"
    finally:
        mother.stdin.close()
        mother.wait(timeout=20)

    entries = list(SqlJournal(url).entries())
    intents = [entry.payload for entry in entries if entry.kind == Kind.INTENT]
    effects = [json.loads(line) for line in (tmp_path / "effects.jsonl").read_text().splitlines()]
    assert sum(entry.kind == Kind.STARTED for entry in entries) == KILLS
    assert len(effects) > KILLS, "the lives were too short to prove anything"
    assert {effect["key"] for effect in effects} <= {intent["key"] for intent in intents}
    assert set(Counter(effect["key"] for effect in effects).values()) == {1}
    assert verify(entries).ok
    assert replay(entries).identical
