"""How far a tuning is, while it goes on; and its table, once it is over."""

from types import TracebackType

import optuna
from optuna.trial import FrozenTrial
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent.terminal import Terminal
from agent.units import number
from simulators.tuning_outcome import TuningOutcome, counted
from simulators.tuning_problem import Problem
from simulators.tuning_study import finished
from simulators.verdict import share

LOG_WIDTH = 140


class Bar:
    """To be entered. A bar where somebody watches, else a line for each trial that ends."""

    def __init__(self, study: optuna.Study, problem: Problem, trials: int, console: Terminal) -> None:
        self._study, self._console = study, console
        self._measures = [each.measure for each in problem.settings.objectives]
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("untuned settings", total=trials)

    def __enter__(self) -> "Bar":
        self._progress.start()
        done = counted(self._study)
        if any(done.values()):
            told = f"going on with study {self._study.study_name}: {_counts(done)}"
            self._console.print(told, markup=False, highlight=False, soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self) -> None:
        if self._console.is_terminal:
            told = _counts(counted(self._study)) or "untuned settings"
            self._progress.update(self._task, completed=finished(self._study), description=told)

    def told(self, trial: FrozenTrial) -> None:
        """A trial is over."""
        if self._console.is_terminal:
            return
        values = zip(self._measures, trial.values or (), strict=False)
        told = ", ".join(f"{name} {number(value)}" for name, value in values) if trial.state.name == "COMPLETE" else ""
        told = trial.user_attrs.get("why", told)
        text = f"trial {trial.number}: {trial.state.name.lower()}{f', {told}' if told else ''}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def show(outcome: TuningOutcome) -> None:
    """The table of a tuning on standard output: each objective on the runs of tuning and on the hold-out, before and after."""
    console = Terminal()
    console = console if console.is_terminal else Terminal(width=max(console.width, LOG_WIDTH))
    title = f"{outcome.study.study_name}: {_counts(outcome.counted())} ({outcome.end}, {outcome.wall_s:.0f} s)"
    console.print(title, markup=False, highlight=False)
    table = Table("objective", "played on", box=SIMPLE_HEAD)
    for name in ("runs", "before tuning", "after tuning", "better by"):
        table.add_column(name, justify="right", no_wrap=True)
    for objective in outcome.problem.settings.objectives:
        for what, both in (("tuning", outcome.training), ("hold-out", outcome.hold_out)):
            before, after = both.before[objective.measure], both.after[objective.measure]
            cells = [number(each) or "unknown" for each in (before, after)]
            table.add_row(
                objective.measure, what, str(len(both.runs)), *cells, share(both.improvement(objective)) or "unknown"
            )
    console.print(table)
    chosen = ", ".join(
        f"{name} = {number(value) if isinstance(value, float) else value}" for name, value in outcome.parameters.items()
    )
    told = f"chosen: trial {outcome.point.trial}, {outcome.rule}: {chosen}; {len(outcome.front)} trials on the front"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    for what, both in (("tuning", outcome.training), ("hold-out", outcome.hold_out)):
        for run in both.runs:
            if run["why"]:
                console.print(f"{what}: {run['why']}", style="yellow", markup=False, highlight=False, soft_wrap=True)
