"""Whoever waits for code to be compiled is told so, once, and only where it was not found on disk."""

import io
from pathlib import Path

import numba
import pytest

from agent.terminal import Terminal
from simulators import batch as batches
from simulators.batch import Batch, Board, Outcome, crashed
from simulators.compilation import heard
from simulators.plan import Task, plan
from simulators.progress import Bars

HOUR = """\
name: an hour
duration_s: 3600
cluster: {nodes: [{count: 1, cpus: 8}]}
models:
  shop:
    traffic: [{kind: steady, rate_rps: 1}]
    service: {kind: exponential, mean_s: 0.01}
    replicas: 1
    slo_latency_s: 0.5
expect: [slo_violation_rate < 0.5]
"""


def code_of_this_machine(number: int) -> int:
    return number + 1


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    (tmp_path / "run.scenario.yaml").write_text(HOUR)
    return plan([tmp_path / "run.scenario.yaml"], [], ["1", "2"])


def test_what_is_compiled_is_heard_once() -> None:
    """However much is compiled; what is there already is used in silence."""
    told: list[str] = []
    function = numba.njit(code_of_this_machine)
    with heard(lambda: told.append("compiled")):
        assert (function(1), function(1), function(1.0)) == (2, 2, 2.0)
    assert told == ["compiled"]
    with heard(lambda: told.append("again")):
        function(2)
    assert told == ["compiled"]


def test_a_batch_says_at_once_that_its_runs_wait_for_compiled_code(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def played(task: Task, tell: object, drawn: bool) -> Outcome:
        numba.njit(code_of_this_machine)(task.seed)
        return crashed(task, f"said by now: {said}")

    monkeypatch.setattr(batches, "play", played)
    outcomes = Batch(tasks, compiling=lambda: said.append("it compiles")).play()
    assert [each.told["error"] for each in outcomes] == ["said by now: ['it compiles']"] * 2


def test_of_runs_in_processes_one_word_is_enough(tasks: list[Task]) -> None:
    """Each process says on the board that it compiles."""
    said: list[str] = []
    batch = Batch(tasks, compiling=lambda: said.append("it compiles"))
    flags = [batches._Here(), batches._Here()]
    board = Board([0.0, 0.0], *flags)
    for _ in range(3):
        flags[1].value = 1
        batch._tell_compiling(board)
    assert said == ["it compiles"]


def test_the_word_goes_to_where_progress_is_shown(tasks: list[Task]) -> None:
    written = io.StringIO()
    with Bars(tasks, Terminal(file=written)) as bars:
        bars.compiling()
    assert written.getvalue() == (
        "compiling the simulator for this machine; it is kept on disk, so the next run begins at once\n"
    )
