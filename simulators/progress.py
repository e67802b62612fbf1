"""How far a batch is: a bar for each run that is under way, with its simulated time; a line for each that is over where nobody watches."""

from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from agent.terminal import Terminal, readable
from simulators.batch import Outcome
from simulators.plan import Task as Run

DAY_S = 86_400
BARS = 12
"""So many runs are shown at a time, those that began first."""


def clock(seconds: float) -> str:
    """Simulated seconds as a person reads them: 0:15:00, or 6 d 23:59:00."""
    days, rest = divmod(round(seconds), DAY_S)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {text:0>8}" if days else text


class _Simulated(ProgressColumn):
    """Simulated time that is over and that there is."""

    def render(self, task: Task) -> Text:
        if task.fields.get("whole"):
            return Text("")
        return Text(f"{clock(task.completed)} of {clock(task.total or 0)}", style="cyan")


class Bars:
    """To be entered; `watch`, `done` and `stopping` are what a batch calls."""

    def __init__(self, runs: Sequence[Run], console: Terminal) -> None:
        self._runs = runs
        self._console = console
        self._bars: dict[int, TaskID] = {}
        self._over: set[int] = set()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _Simulated(),
            MofNCompleteColumn() if len(runs) > 1 else TextColumn(""),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Bars":
        self._progress.start()
        if len(self._runs) > 1:
            self._whole = self._progress.add_task("all runs", total=len(self._runs), whole=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self, reached_s: Sequence[float]) -> None:
        """Simulated seconds by run."""
        for place, at_s in enumerate(reached_s):
            if at_s <= 0 or place in self._over:
                continue
            if place not in self._bars and len(self._bars) < BARS:
                run = self._runs[place]
                self._bars[place] = self._progress.add_task(readable(run.label), total=run.scenario.settings.duration_s)
            if place in self._bars:
                self._progress.update(self._bars[place], completed=at_s)

    def done(self, place: int, outcome: Outcome) -> None:
        """A run is over."""
        self._over.add(place)
        if place in self._bars:
            self._progress.remove_task(self._bars.pop(place))
        if len(self._runs) > 1:
            self._progress.advance(self._whole)
        if len(self._runs) > 1 and not self._console.is_terminal:
            told = f"{outcome.task.label}: {outcome.state} ({outcome.told['wall_s']:.1f} s)"
            self._console.print(told, markup=False, highlight=False, soft_wrap=True)

    def compiling(self) -> None:
        """Code is compiled for this machine, which nobody would guess from a bar that stands still."""
        told = "compiling the simulator for this machine; it is kept on disk, so the next run begins at once"
        self._console.print(told, soft_wrap=True)

    def stopping(self) -> None:
        """The batch was told to end. Called from a signal handler, so it only sets what the next drawing shows."""
        for task in self._progress.tasks:
            task.description = "stopping; Ctrl-C again ends at once"
