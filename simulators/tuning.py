"""Tuning: trials of parameters, each a row of runs, several at a time, given up early where they are hopeless.

This process alone writes the study; workers only play runs. After each run its values are in the study, so that a process that is killed
loses no more than the runs that were under way. With one worker and one seed, the trials are the same each time, killed in between or not.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from simulators.plan import Task
from simulators.tuning_choice import Point, hopeless, losses, value
from simulators.tuning_problem import Problem, under
from simulators.tuning_study import finished, reachable, runs_of, sampler, suggested
from simulators.tuning_workers import Workers, WorkersAway, measured

LOOK_EVERY_S = 0.2
End = Literal["all trials", "timeout"]


@dataclass
class _Flight:
    """A trial under way, and the values of its runs so far."""

    trial: optuna.Trial
    tasks: Sequence[Task]
    runs: list[list[float]] = field(default_factory=list)


@dataclass
class Tuning:
    """Tunes `problem` in `study`. `watch` is called several times a second, `told` with each trial that ends."""

    problem: Problem
    study: optuna.Study
    workers: Workers
    trials: int
    timeout_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    stopped: Callable[[], bool] = lambda: False
    watch: Callable[[], None] = lambda: None
    told: Callable[[FrozenTrial], None] = lambda trial: None
    folder: Path | None = None

    def __post_init__(self) -> None:
        self._objectives = self.problem.settings.objectives
        self._measures = tuple(each.measure for each in self._objectives)
        self.began_s = self.clock()
        self._flights: dict[Future[Any], _Flight] = {}

    # -- runs without a trial ------------------------------------------------------------------------------------

    def before(self) -> list[Any]:
        """The runs of training under the untuned policies; played once for a study. Raises KeyboardInterrupt."""
        kept = self.study.user_attrs.get("before")
        if kept is None:
            kept = self.played(self.problem.training)
            self.study.set_user_attr("before", kept)
            self._begin_with_untuned(kept)
        return list(kept)

    def played(self, tasks: Sequence[Task]) -> list[dict[str, Any]]:
        """Each run with its values, or why there are none. Raises KeyboardInterrupt once stopped."""
        waiting, flying = list(enumerate(tasks)), dict[Future[Any], int]()
        found: dict[int, dict[str, Any]] = {}
        while waiting or flying:
            if self.stopped():
                raise KeyboardInterrupt
            while waiting and len(flying) < self.workers.count:
                place, task = waiting.pop(0)
                flying[self._submit(task)] = place
            for future in wait(flying, LOOK_EVERY_S, FIRST_COMPLETED).done:
                found[flying.pop(future)] = _result(future)
            self.watch()
        return [found[place] for place in range(len(tasks))]

    def values(self, runs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """What the runs come to, by objective; None for all where a run gave nothing."""
        if any(run["values"] is None for run in runs):
            return dict.fromkeys(self._measures)
        return dict(zip(self._measures, self._all([run["values"] for run in runs]), strict=True))

    def _begin_with_untuned(self, before: Sequence[Mapping[str, Any]]) -> None:
        """The untuned settings are the first trial, if they could be suggested; their runs are known already."""
        untuned = self.problem.untuned()
        known = all(run["values"] is not None for run in before)
        if known and reachable(self.problem.settings.parameters, untuned):
            self.study.enqueue_trial(untuned, user_attrs={"runs": [run["values"] for run in before]})

    # -- trials --------------------------------------------------------------------------------------------------

    def run(self) -> End:
        """Tune until there are so many finished trials, or time is over. Trials that were left running are taken up first.

        Raises KeyboardInterrupt once stopped, WorkersAway where the workers are gone; in both cases the study can be gone on with.
        """
        left = [each.number for each in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
        while True:
            while not self._over() and len(self._flights) < self.workers.count:
                if left:
                    self._begin(left.pop(0))
                elif finished(self.study) + len(self._flights) < self.trials:
                    self._begin(None)
                else:
                    break
            if not self._flights:
                return self._end()
            ended = wait(self._flights, LOOK_EVERY_S, FIRST_COMPLETED).done
            for future in sorted(ended, key=lambda each: self._flights[each].trial.number):
                self._take(self._flights.pop(future), _result(future))
            self.watch()

    def _over(self) -> bool:
        late = self.timeout_s is not None and self.clock() - self.began_s >= self.timeout_s
        return late or self.stopped()

    def _end(self) -> End:
        if self.stopped():
            raise KeyboardInterrupt
        return "all trials" if finished(self.study) >= self.trials else "timeout"

    def _begin(self, number: int | None) -> None:
        trial = self._trial(number)
        parameters = suggested(trial, self.problem.settings.parameters)
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        runs = [list(run) for run in runs_of(frozen) or self._known(frozen)]
        tasks = under(self.problem.training, self.problem.tuned(parameters), f"trial {trial.number}")
        flight = _Flight(trial, tasks)
        for run in runs[: len(tasks)]:
            if not self._add(flight, run):
                return
        self._next(flight)

    def _trial(self, number: int | None) -> optuna.Trial:
        known = self.study.get_trials(deepcopy=False)
        waiting = [each.number for each in known if each.state is TrialState.WAITING]
        place = number if number is not None else (waiting or [len(known)])[0]
        self.study.sampler = sampler(self.problem.settings.sampler, place)
        if number is None:
            return self.study.ask()
        return optuna.Trial(self.study, known[number]._trial_id)  # noqa: SLF001, RUF100 - no other way leads back to a running trial

    def _known(self, frozen: FrozenTrial) -> Sequence[Sequence[float]]:
        """The runs of an earlier trial with the same parameters: equal settings and seeds give equal runs."""
        same = (each for each in self.study.get_trials(deepcopy=False) if each.params == frozen.params)
        return max((runs_of(each) for each in same if each.number != frozen.number), key=len, default=())

    def _next(self, flight: _Flight) -> None:
        if not self._over():
            self._flights[self._submit(flight.tasks[len(flight.runs)])] = flight

    def _take(self, flight: _Flight, run: Mapping[str, Any]) -> None:
        if run["values"] is None:
            flight.trial.set_user_attr("why", run["why"])
            self._tell(flight, state=TrialState.FAIL)
        elif self._add(flight, run["values"]):
            self._next(flight)

    def _add(self, flight: _Flight, run: list[float]) -> bool:
        """Whether the trial goes on after this run."""
        flight.runs.append(run)
        flight.trial.set_user_attr("runs", flight.runs)
        if len(flight.runs) == len(flight.tasks):
            self._tell(flight, values=self._all(flight.runs))
            return False
        if self._hopeless(flight):
            self._tell(flight, state=TrialState.PRUNED)
            return False
        return True

    def _tell(self, flight: _Flight, **ending: Any) -> None:
        self.told(self.study.tell(flight.trial, **ending))

    # -- pruning -------------------------------------------------------------------------------------------------

    def _hopeless(self, flight: _Flight) -> bool:
        match self.problem.settings.pruning:
            case "none":
                return False
            case "dominated":
                return self._dominated(flight)
            case kind:
                step = len(flight.runs) - 1
                reported = flight.runs[-1][0] if kind == "wilcoxon" else self._all(flight.runs)[0]
                if step not in self.study.get_trials(deepcopy=False)[flight.trial.number].intermediate_values:
                    flight.trial.report(reported, step)
                return flight.trial.should_prune()

    def _dominated(self, flight: _Flight) -> bool:
        pruner = self.problem.settings.pruner
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(flight.runs) < pruner.warmup_runs or len(complete) < (pruner.startup_trials or 1):
            return False
        rest = range(len(flight.runs), len(flight.tasks))
        seen = [runs_of(each) for each in complete] if pruner.assume == "seen" else []
        to_come = [
            [min((runs[n][place] * each.sign for runs in seen), default=0.0) * each.sign for n in rest]
            if seen
            else [each.best_possible] * len(rest)
            for place, each in enumerate(self._objectives)
        ]
        done = [list(column) for column in zip(*flight.runs, strict=True)]
        return hopeless(
            self._objectives, done, to_come, [losses(self._objectives, each.values or ()) for each in complete]
        )

    # -- the rest ------------------------------------------------------------------------------------------------

    def _all(self, runs: Sequence[Sequence[float]]) -> list[float]:
        return [value(each, column) for each, column in zip(self._objectives, zip(*runs, strict=True), strict=True)]

    def _submit(self, task: Task) -> Future[Any]:
        try:
            return self.workers.submit(measured, task, self._measures, self.folder)
        except BrokenExecutor as error:
            raise WorkersAway(str(error)) from error

    def points(self) -> list[Point]:
        """The trials that were played whole."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [Point(trial=each.number, values=tuple(each.values or ())) for each in complete]


def _result(future: Future[Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = future.result()
    except BrokenExecutor as error:
        told = "a process that plays runs was ended from outside; was there too little memory?"
        raise WorkersAway(told) from error
    except Exception as error:  # noqa: BLE001, RUF100 - a run that could not be sent or brought back fails its trial, not the study
        return {"values": None, "why": f"{type(error).__name__}: {error}".splitlines()[0]}
    return found
