"""Logs: lines of JSON for a machine, words for a person; a line about an order carries its number."""

import json
import os
import subprocess
import sys

SAY = """
import structlog
from agent.logs import configure
configure()
log = structlog.get_logger()
log.debug("not_said")
log.info("order_started", order=17)
try:
    raise ValueError("odd")
except ValueError:
    log.exception("tick_failed")
"""


def said(**environment: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", SAY], capture_output=True, text=True, env=os.environ | environment, check=True
    )
    assert run.stdout == "", "standard output belongs to the command"
    return run.stderr.splitlines()


def test_a_machine_reads_one_object_a_line() -> None:
    """Where nobody watches a terminal, without being asked."""
    started, failed = [json.loads(line) for line in said(HOMEOSTAT_LOG_FORMAT="")]
    assert (started["event"], started["order"], started["level"]) == ("order_started", 17, "info")
    assert started["timestamp"].endswith("Z")
    assert "ValueError: odd" in failed["exception"]


def test_a_person_reads_words_and_sees_less_when_asked() -> None:
    """The format and the level come from the environment."""
    lines = said(HOMEOSTAT_LOG_FORMAT="console", HOMEOSTAT_LOG_LEVEL="error")
    assert "tick_failed" in lines[0]
    assert not any("order_started" in line for line in lines)
    assert lines[-1] == "ValueError: odd"
