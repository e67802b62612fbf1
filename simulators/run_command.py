"""`homeostat sim run`: what it does. Its words are in `simulators.cli`.

Exit codes: 0 all expectations hold, 1 one does not or a rule was broken, 2 bad input, 130 interrupted.
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.terminal import Terminal
from policies.imports import Packages
from simulators.batch import Batch, Outcome
from simulators.plan import BadInput, Task, importable, plan
from simulators.progress import Bars
from simulators.quiet import silenced
from simulators.verdict import show

LOG_WIDTH = 140
"""Columns of the tables where no terminal says how many it has, as in the log of a CI."""
HELD, NOT_HELD, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is to be written where; None: not at all."""

    json: Path | None = None
    junit: Path | None = None
    report: Path | None = None

    def unwritable(self) -> Iterator[str]:
        """What could not be written at the end is said at the beginning. Folders are made."""
        for option, file in (("--json", self.json), ("--junit", self.junit)):
            if file is not None and file.is_dir():
                yield f"{option}: found the folder {file}; expected a file"
            elif file is not None:
                yield from _unwritable(option, file.parent)
        if self.report is not None:
            yield from _unwritable("--report", self.report)


def _unwritable(option: str, folder: Path) -> Iterator[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield f"{option}: {folder} can not be made: {error.strerror}"
        return
    if not os.access(folder, os.W_OK):
        yield f"{option}: nothing may be written into {folder}; expected a folder that is ours to write"


def perform(
    scenarios: Sequence[Path],
    policies: Sequence[Path],
    seeds: Sequence[str],
    *,
    jobs: int | None,
    files: Files,
    shrunk: bool,
    allowed: Packages = (),
) -> int:
    """Play all of it, tell it, write it. Returns the exit code."""
    errors = Terminal(stderr=True)
    faults = [*files.unwritable()]
    tasks: list[Task] = []
    try:
        with importable(own_code(allowed)):
            tasks = plan(scenarios, policies, seeds, allowed)
    except BadInput as error:
        faults += error.faults
    if faults:
        errors.print("\n".join(faults), style="red", markup=False, highlight=False, soft_wrap=True)
        return BAD_INPUT
    with silenced():
        batch, outcomes = _played(tasks, jobs or free_cores(), files, errors, own_code(allowed))
        _tell(batch, outcomes, errors)
        _write(batch, outcomes, files, errors)
        if batch.interrupted:
            return INTERRUPTED
        broken = next((each for each in outcomes if each.broken is not None), None)
        if broken is not None and shrunk:
            _shrink(broken, files, errors)
    return HELD if all(each.state == "held" for each in outcomes) else NOT_HELD


def free_cores() -> int:
    """So many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_code(allowed: Packages) -> Path | None:
    """Where classes of one's own are looked for beside what is installed: nowhere unless some are allowed, as a folder may be another's."""
    return Path.cwd() if allowed else None


def _played(
    tasks: Sequence[Task], jobs: int, files: Files, errors: Terminal, folder: Path | None
) -> tuple[Batch, list[Outcome]]:
    with Bars(tasks, errors) as bars:
        batch = Batch(
            tasks,
            jobs=jobs,
            folder=folder,
            drawn=files.report is not None,
            watch=bars.watch,
            done=bars.done,
            stopping=bars.stopping,
            compiling=bars.compiling,
        )
        return batch, batch.play()


def _tell(batch: Batch, outcomes: Sequence[Outcome], errors: Terminal) -> None:
    console = Terminal()
    show(outcomes, console if console.is_terminal else Terminal(width=max(console.width, LOG_WIDTH)))
    if batch.interrupted:
        over = sum(each.state != "interrupted" for each in outcomes)
        begun = f" and {len(outcomes) - over} in part" if len(outcomes) > over else ""
        told = f"interrupted: of {len(batch.tasks)} runs {over} were played{begun}; what there is was kept"
        errors.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _write(batch: Batch, outcomes: Sequence[Outcome], files: Files, errors: Terminal) -> None:
    if files.json is not None:
        text = json.dumps(told_of(batch, outcomes), indent=2, allow_nan=False)
        files.json.write_text(f"{text}\n", encoding="utf-8")
    if files.junit is not None:
        from simulators import junit  # noqa: PLC0415 - only who asks for it waits for its library

        junit.write(outcomes, files.junit)
    if files.report is not None:
        from simulators.report import pages  # noqa: PLC0415

        first = pages.write(outcomes, files.report, interrupted=batch.interrupted)
        errors.print(f"report: {first}", markup=False, highlight=False, soft_wrap=True)


def told_of(batch: Batch, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One run is an object; several are a list of such objects under "runs", with what is true of all of them."""
    if len(batch.tasks) == 1 and outcomes:
        return outcomes[0].told
    return {
        "runs": [each.told for each in outcomes],
        "planned": len(batch.tasks),
        "held": len(outcomes) == len(batch.tasks) and all(each.state == "held" for each in outcomes),
        "interrupted": batch.interrupted,
    }


# -- after a broken rule -----------------------------------------------------------------------------------------


def _shrink(outcome: Outcome, files: Files, errors: Terminal) -> None:
    from simulators.shrinking import NothingBreaks, shrink  # noqa: PLC0415
    from simulators.writing import to_yaml  # noqa: PLC0415

    errors.print("\nlooking for the smallest scenario that breaks this rule; Ctrl-C ends the search", style="yellow")
    try:
        with _until_interrupted() as clock:
            smallest = to_yaml(shrink(outcome.task.scenario, outcome.task.seed, clock=clock).settings)
    except NothingBreaks as error:
        errors.print(f"it was not broken again: {error}", style="red", markup=False, highlight=False)
        return
    errors.print(smallest, markup=False, highlight=False, soft_wrap=True)
    if files.report is not None:
        file = files.report / "smallest.scenario.yaml"
        file.write_text(smallest, encoding="utf-8")
        errors.print(f"written to {file}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], float]]:
    """A clock on which it is past any time limit once Ctrl-C was heard."""
    heard = False

    def hear(number: int, frame: Any) -> None:
        nonlocal heard
        heard = True

    def clock() -> float:
        return math.inf if heard else time.monotonic()

    if threading.current_thread() is not threading.main_thread():
        yield clock
        return
    before = signal.signal(signal.SIGINT, hear)
    try:
        yield clock
    finally:
        signal.signal(signal.SIGINT, before)
