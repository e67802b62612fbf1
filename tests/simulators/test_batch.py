"""Batches: several runs in processes, ended early by Ctrl-C or by the death of a process, and what they keep then."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from junitparser import JUnitXml, Skipped

from agent.codec import canonical
from simulators.batch import Batch, Outcome
from simulators.plan import Task, plan
from simulators.progress import Bars
from simulators.run_command import Files, perform

YEAR = """\
name: a year
duration_s: 31536000
cluster: {nodes: [{count: 1, cpus: 8}]}
models:
  shop:
    traffic: [{kind: steady, rate_rps: 100}]
    service: {kind: exponential, mean_s: 0.01}
    replicas: 3
    slo_latency_s: 0.5
expect: [slo_violation_rate < 0.5]
"""
HOUR = YEAR.replace("31536000", "3600").replace("a year", "an hour")
Watch = Callable[[Sequence[float]], None]


def tasks(folder: Path, text: str, seeds: Sequence[str]) -> list[Task]:
    (folder / "run.scenario.yaml").write_text(text)
    return plan([folder / "run.scenario.yaml"], [], seeds)


def once_all_play(act: Callable[[], None], runs: int) -> Watch:
    """A watch that acts one time, when so many runs have simulated a minute."""
    acted = False

    def watch(reached_s: Sequence[float]) -> None:
        nonlocal acted
        if not acted and sum(at_s > 0 for at_s in reached_s) >= runs:
            acted = True
            act()

    return watch


def press_ctrl_c() -> None:
    """As a terminal does: every process of the foreground hears it."""
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_every_run_at_its_next_minute_and_keeps_what_there_is(tmp_path: Path, jobs: int) -> None:
    """Runs that had not begun are not there; the handler that was there before is there again."""
    before = signal.getsignal(signal.SIGINT)
    batch = Batch(tasks(tmp_path, YEAR, "123"), jobs=jobs, watch=once_all_play(press_ctrl_c, jobs))
    outcomes = batch.play()
    assert batch.interrupted
    assert [(each.task.seed, each.state, each.told["interrupted"]) for each in outcomes] == [
        (seed, "interrupted", True) for seed in range(1, jobs + 1)
    ]
    for each in outcomes:
        assert 0 < each.told["requests"] < 100 * 31536000
        assert each.told["totals"]["requests"] > 0
        canonical(each.told)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_command_writes_json_junit_and_pages_says_so_and_exits_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was measured of the run until then is in all of them."""
    tasks(tmp_path, YEAR, ())
    watch = once_all_play(press_ctrl_c, 1)
    monkeypatch.setattr(Bars, "watch", lambda self, reached_s: watch(reached_s))
    files = Files(json=tmp_path / "r.json", junit=tmp_path / "r.xml", report=tmp_path / "pages")
    code = perform([tmp_path / "run.scenario.yaml"], [], ["4", "5"], jobs=1, files=files, shrunk=True)
    told = json.loads((tmp_path / "r.json").read_text())
    suites = list(JUnitXml.fromfile(str(tmp_path / "r.xml")))
    assert code == 130
    assert "interrupted: of 2 runs 0 were played and 1 in part" in capsys.readouterr().err
    assert (told["planned"], told["held"], told["interrupted"]) == (2, False, True)
    assert [(each["seed"], each["interrupted"]) for each in told["runs"]] == [(4, True)]
    assert [[type(result) for result in case.result] for case in suites[0]] == [[Skipped], [Skipped]]
    assert "interrupted" in (tmp_path / "pages/index.html").read_text()


def test_runs_of_a_process_that_died_are_told_as_crashed(tmp_path: Path) -> None:
    """The batch goes on to its end, and is not taken for an interrupted one."""

    def kill_one() -> None:
        child = multiprocessing.active_children()[0]
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)

    done: list[Outcome] = []
    batch = Batch(
        tasks(tmp_path, YEAR, "12"),
        jobs=2,
        watch=once_all_play(kill_one, 2),
        done=lambda place, each: done.append(each),
    )
    outcomes = batch.play()
    assert [(each.task.seed, each.state) for each in outcomes] == [(1, "crashed"), (2, "crashed")]
    assert all("ended from outside" in each.told["error"] for each in outcomes)
    assert len(done) == 2
    assert not batch.interrupted


def test_a_batch_tells_how_far_its_runs_are(tmp_path: Path) -> None:
    """Simulated time only goes on, and each run is told of once."""
    seen: list[list[float]] = []
    places: list[int] = []
    batch = Batch(
        tasks(tmp_path, HOUR, "12"),
        jobs=1,
        watch=lambda reached_s: seen.append(list(reached_s)),
        done=lambda place, outcome: places.append(place),
    )
    assert [each.state for each in batch.play()] == ["held", "held"]
    assert places == [0, 1]
    assert seen == sorted(seen)
