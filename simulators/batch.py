"""Many runs, beside each other in processes, watched while they go on and stopped together.

Runs share nothing, so how many processes play them changes no result. The processes are spawned, not forked: compiled code and
threads of the parent survive no fork. They do not hear Ctrl-C themselves; the parent asks every run to end at its next minute.
"""

import multiprocessing
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from simulators import mishaps
from simulators.expectations import Held
from simulators.plan import Task, importable

LOOK_EVERY_S = 0.1
State = Literal["held", "not held", "rule broken", "crashed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A rule that a run broke."""

    rule: str
    told: str
    at_s: float
    seed: int
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a task: its JSON, and what a report draws (None where no report is wanted or nothing was played)."""

    task: Task
    state: State
    told: dict[str, Any]
    expectations: tuple[Held, ...]
    broken: Broken | None = None
    drawing: dict[str, Any] | None = None


class Flag(Protocol):
    """Zero until somebody sets it."""

    value: int


@dataclass
class _Here:
    value: int = 0


@dataclass(frozen=True)
class Board:
    """What a batch and its runs tell each other: simulated seconds by run, whether all are to end, and whether code is being compiled."""

    reached_s: MutableSequence[float]
    stopped: Flag
    compiling: Flag

    def teller(self, place: int) -> Callable[[float], None]:
        """What the run at `place` calls every minute; raises KeyboardInterrupt in it once it is to end."""

        def tell(at_s: float) -> None:
            self.reached_s[place] = at_s
            if self.stopped.value:
                raise KeyboardInterrupt

        return tell


@dataclass
class Batch:
    """Plays `tasks`, `jobs` at a time. `watch` sees simulated seconds by run several times a second, `done` each outcome as it comes."""

    tasks: Sequence[Task]
    jobs: int = 1
    folder: Path | None = None
    """Where policies of one's own lie, if any are allowed."""
    drawn: bool = False
    watch: Callable[[Sequence[float]], None] = lambda reached_s: None
    done: Callable[[int, Outcome], None] = lambda place, outcome: None
    stopping: Callable[[], None] = lambda: None
    """Called when the first Ctrl-C is heard. The second ends the processes at once."""
    compiling: Callable[[], None] = lambda: None
    """Called once, where runs wait for code that is compiled for this machine and was not found on disk."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    interrupted: bool = False

    def play(self) -> list[Outcome]:
        """The outcomes in the order of the tasks; fewer than tasks where it was interrupted."""
        context = multiprocessing.get_context("spawn")
        apart = self.jobs > 1 and len(self.tasks) > 1
        count = len(self.tasks)
        here = Board([0.0] * count, _Here(), _Here())
        shared = (context.RawArray("d", count), context.RawValue("b", 0), context.RawValue("b", 0)) if apart else ()
        board = Board(*shared) if apart else here
        with self._listening(board):
            self._apart(board, context) if apart else self._here(board)
        self.interrupted = bool(board.stopped.value)
        return [self.outcomes[place] for place in sorted(self.outcomes)]

    def _here(self, board: Board) -> None:
        from simulators.compilation import heard  # noqa: PLC0415 - numba takes its time to import

        with importable(self.folder), heard(self.compiling):
            for place, task in enumerate(self.tasks):
                if board.stopped.value:
                    return
                self._take(place, play(task, self._teller(board, place), self.drawn))

    def _teller(self, board: Board, place: int) -> Callable[[float], None]:
        tell = board.teller(place)
        shown = time.monotonic()

        def tell_and_show(at_s: float) -> None:
            nonlocal shown
            if (now := time.monotonic()) - shown >= LOOK_EVERY_S:
                shown = now
                self.watch(board.reached_s)
            tell(at_s)

        return tell_and_show

    def _apart(self, board: Board, context: Any) -> None:
        workers = min(self.jobs, len(self.tasks))
        with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(board, self.folder)) as pool:
            with _deaf():
                places = {pool.submit(_play, n, task, self.drawn): n for n, task in enumerate(self.tasks)}
                # The pool sees the death of those processes only that were there when it was last asked for something.
                pool.submit(int)
            left: set[Future[Outcome | None]] = set(places)
            while left:
                finished, left = wait(left, LOOK_EVERY_S, FIRST_COMPLETED)
                for future in finished:
                    self._take(places[future], _outcome(future, self.tasks[places[future]], board))
                self.watch(board.reached_s)
                self._tell_compiling(board)
                if board.stopped.value:
                    left -= {future for future in left if future.cancel()}

    def _tell_compiling(self, board: Board) -> None:
        if board.compiling.value:
            board.compiling.value = 0
            tell, self.compiling = self.compiling, lambda: None
            tell()

    def _take(self, place: int, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        self.outcomes[place] = outcome
        self.done(place, outcome)

    @contextmanager
    def _listening(self, board: Board) -> Iterator[None]:
        """Ctrl-C sets the flag of the board; once more ends the processes, or the run in this one, where they are."""

        def hear(number: int, frame: Any) -> None:
            if board.stopped.value:
                processes = multiprocessing.active_children()
                for process in processes:
                    process.terminate()
                if not processes:
                    raise KeyboardInterrupt
            board.stopped.value = 1
            self.stopping()

        if threading.current_thread() is not threading.main_thread():  # signals come to the main thread only
            yield
            return
        before = signal.signal(signal.SIGINT, hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def play(task: Task, tell: Callable[[float], None], drawn: bool) -> Outcome:
    """One run in this process. Nothing that goes wrong in it is raised."""
    from simulators.checkers import BrokenRule  # noqa: PLC0415 - a batch that only waits for its processes compiles nothing
    from simulators.run import Simulation  # noqa: PLC0415

    began = time.perf_counter()
    try:
        simulation = Simulation(task.scenario, task.seed, progress=tell)
        broken = None
        try:
            result = simulation.run()
        except BrokenRule as error:
            result = simulation.so_far(time.perf_counter() - began)
            broken = Broken(rule=error.rule, told=error.told, at_s=error.at_s, seed=error.seed, events=error.trail)
        return _told(task, result, broken, drawn)
    except Exception as error:  # noqa: BLE001, RUF100 - one run that falls over must not take the others with it
        return crashed(task, f"{mishaps.told(error, task.scenario.file)}\n{traceback.format_exc()}")


def _told(task: Task, result: Any, broken: Broken | None, drawn: bool) -> Outcome:
    state: State = "held" if result.passed else "not held"
    if result.interrupted:
        state = "interrupted"
    if broken is not None:
        state = "rule broken"
    drawing = None
    if drawn:
        from simulators.report.drawing import drawing_of  # noqa: PLC0415 - few batches are drawn

        drawing = drawing_of(result, task.scenario.settings)
    found = result.to_json()
    return Outcome(
        task=task,
        state=state,
        told=found | _of_task(task) | {"broken_rule": None if broken is None else _plain(broken), "error": None},
        expectations=result.expectations,
        broken=broken,
        drawing=drawing,
    )


def crashed(task: Task, told: str) -> Outcome:
    """The outcome of a run that fell over: all keys are there, and nothing is known."""
    texts = task.scenario.settings.expect
    return Outcome(
        task=task,
        state="crashed",
        told={
            "scenario": task.scenario.name,
            "seed": task.seed,
            "requests": 0,
            "wall_s": 0.0,
            "requests_per_wall_s": 0.0,
            "journal_sha256": None,
            "totals": {},
            "models": {},
            "expectations": [{"text": text, "held": False, "value": None} for text in texts],
            "notes": [],
            "interrupted": False,
            **_of_task(task),
            "broken_rule": None,
            "error": told,
        },
        expectations=tuple(Held(text=text, held=False, value=None) for text in texts),
    )


def _of_task(task: Task) -> dict[str, Any]:
    return {"file": task.scenario.file, "policy": task.policy}


def _plain(broken: Broken) -> dict[str, Any]:
    return {
        "rule": broken.rule,
        "told": broken.told,
        "at_s": broken.at_s,
        "seed": broken.seed,
        "events": list(broken.events),
    }


# -- in a process of its own -------------------------------------------------------------------------------------

_board: list[Board] = []


def _begin(board: Board, folder: Path | None) -> None:
    from simulators.quiet import silence  # noqa: PLC0415

    silence()
    if folder is not None:
        sys.path.append(str(folder))
    _board[:] = [board]


def _compiles() -> None:
    _board[0].compiling.value = 1


def _play(place: int, task: Task, drawn: bool) -> Outcome | None:
    if _board[0].stopped.value:
        return None
    from simulators.compilation import heard  # noqa: PLC0415

    with heard(_compiles):
        return play(task, _board[0].teller(place), drawn)


def _outcome(future: Future[Outcome | None], task: Task, board: Board) -> Outcome | None:
    """None for a run that was stopped before it began, or was ended with its process."""
    try:
        return future.result()
    except BrokenProcessPool:
        if board.stopped.value:
            return None
        return crashed(task, "the process that played it was ended from outside; was there too little memory?")


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C waits meanwhile. Processes started here stay deaf to it, from their first instruction on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
