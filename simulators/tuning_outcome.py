"""What came of a tuning: the chosen trial, before and after on the runs of tuning and on the hold-out; as JSON, as a policy file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml

from agent.units import number
from simulators.plan import Task
from simulators.tuning import End, Tuning
from simulators.tuning_choice import Point, chosen, front
from simulators.tuning_problem import Problem, under
from simulators.tuning_space import ObjectiveSettings

Values = Mapping[str, float | None]
HEADER_WIDTH = 110


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Untuned and chosen settings over the same runs, by objective; and the runs themselves."""

    before: Values
    after: Values
    runs: tuple[dict[str, Any], ...]

    def improvement(self, objective: ObjectiveSettings) -> float | None:
        """By which part of what it was before the objective became better; None where that is not known, or was zero."""
        before, after = self.before[objective.measure], self.after[objective.measure]
        if before is None or after is None or before == 0:
            return None
        return objective.sign * (before - after) / abs(before)


@dataclass(frozen=True, kw_only=True)
class TuningOutcome:
    """Everything that is told of a tuning."""

    problem: Problem
    study: optuna.Study
    storage: str
    end: End
    wall_s: float
    date: str
    point: Point
    rule: str
    front: tuple[Point, ...]
    training: Compared
    hold_out: Compared

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the chosen trial, by path."""
        found: dict[str, Any] = self.study.get_trials(deepcopy=False)[self.point.trial].params
        return found

    def counted(self) -> dict[str, int]:
        """Trials by what became of them."""
        return counted(self.study)


def counted(study: optuna.Study) -> dict[str, int]:
    """Trials by what became of them."""
    states = [each.state.name.lower() for each in study.get_trials(deepcopy=False)]
    names = {"complete": "complete", "pruned": "pruned", "failed": "fail", "running": "running"}
    return {name: states.count(state) for name, state in names.items()}


def concluded(tuning: Tuning, end: End, *, storage: str, date: str) -> TuningOutcome | None:
    """Choose, and only then play the hold-out under both. None where no trial was played whole. Raises KeyboardInterrupt."""
    problem, points = tuning.problem, tuning.points()
    if not points:
        return None
    objectives = problem.settings.objectives
    best = front(objectives, points)
    runs = tuning.before()
    before = tuning.values(runs)
    point, rule = chosen(objectives, problem.settings.choose, best, before)
    trial = tuning.study.get_trials(deepcopy=False)[point.trial]
    policies = problem.tuned(trial.params)
    count = len(problem.held_out)
    held_out = tuning.played([*problem.held_out, *under(problem.held_out, policies, f"trial {point.trial}")])
    after = [{"values": each, "why": None} for each in trial.user_attrs["runs"]]
    return TuningOutcome(
        problem=problem,
        study=tuning.study,
        storage=storage,
        end=end,
        wall_s=tuning.clock() - tuning.began_s,
        date=date,
        point=point,
        rule=rule,
        front=tuple(best),
        training=_compared(tuning, problem.training, runs, after),
        hold_out=_compared(tuning, problem.held_out, held_out[:count], held_out[count:]),
    )


def _compared(tuning: Tuning, tasks: Sequence[Task], before: Sequence[Any], after: Sequence[Any]) -> Compared:
    measures = [each.measure for each in tuning.problem.settings.objectives]
    rows = [
        {
            "scenario": task.scenario.name,
            "seed": task.seed,
            "before": dict(zip(measures, old["values"] or [None] * len(measures), strict=True)),
            "after": dict(zip(measures, new["values"] or [None] * len(measures), strict=True)),
            "why": old["why"] or new["why"],
        }
        for task, old, new in zip(tasks, before, after, strict=True)
    ]
    return Compared(before=tuning.values(before), after=tuning.values(after), runs=tuple(rows))


def to_json(outcome: TuningOutcome) -> dict[str, Any]:
    """All of it as JSON values."""
    objectives = outcome.problem.settings.objectives
    trials = outcome.study.get_trials(deepcopy=False)
    return {
        "study": outcome.study.study_name,
        "space": outcome.problem.file,
        "storage": outcome.storage,
        "date": outcome.date,
        "end": outcome.end,
        "wall_s": outcome.wall_s,
        "trials": outcome.counted(),
        "objectives": [each.model_dump() for each in objectives],
        "chosen": {"trial": outcome.point.trial, "rule": outcome.rule, "parameters": outcome.parameters},
        "front": [
            {"trial": each.trial, "values": list(each.values), "parameters": trials[each.trial].params}
            for each in outcome.front
        ],
        "training": _plain(outcome.training, objectives),
        "hold_out": _plain(outcome.hold_out, objectives),
    }


def _plain(compared: Compared, objectives: Sequence[ObjectiveSettings]) -> dict[str, Any]:
    return {
        "before": dict(compared.before),
        "after": dict(compared.after),
        "improvement": {each.measure: compared.improvement(each) for each in objectives},
        "runs": list(compared.runs),
    }


def policy_file(outcome: TuningOutcome) -> str:
    """The chosen policies as a file that `sim run --policy` takes, with where they came from in comments."""
    policies = [
        each.model_dump(mode="json", exclude_defaults=True) for each in outcome.problem.tuned(outcome.parameters)
    ]
    body = yaml.safe_dump({"policies": policies}, sort_keys=False, allow_unicode=True, width=HEADER_WIDTH)
    lines = "\n".join(f"# {line}".rstrip() for line in _origin(outcome))
    return f"{lines}\n{body}"


def _origin(outcome: TuningOutcome) -> list[str]:
    problem, counts = outcome.problem, outcome.counted()
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return [
        f"Chosen by `homeostat sim tune {problem.file}` on {outcome.date}.",
        f"study:      {outcome.study.study_name}, in {Path(outcome.storage.partition(':///')[2]).name}",
        f"trial:      {outcome.point.trial} of {sum(counts.values())} ({told})",
        f"rule:       {outcome.rule}",
        *(f"parameter:  {name} = {value!r}" for name, value in outcome.parameters.items()),
        *_of_runs("tuned on", problem.training, outcome.training, problem.settings.objectives),
        *_of_runs("held out", problem.held_out, outcome.hold_out, problem.settings.objectives),
    ]


def _of_runs(
    what: str, tasks: Sequence[Task], compared: Compared, objectives: Sequence[ObjectiveSettings]
) -> list[str]:
    files = ", ".join(dict.fromkeys(Path(each.scenario.file).name for each in tasks))
    seeds = ", ".join(dict.fromkeys(str(each.seed) for each in tasks))
    values = [
        f"  {each.measure}: {number(compared.before[each.measure]) or 'unknown'} before, "
        f"{number(compared.after[each.measure]) or 'unknown'} after ({each.over} of {len(tasks)} runs)"
        for each in objectives
    ]
    return [f"{what}:   {files}; seeds {seeds}", *values]
