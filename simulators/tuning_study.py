"""The study of a tuning, kept in a file: opened, or gone on with after any end of the process that began it.

One process tunes a study at a time, which a lock on a file says; the lock ends with its process, however that ends. So a trial that is
running when the lock is taken was left by a process that is gone, and is taken up where it stood: its parameters and each of its
finished runs are in the file.
"""

import fcntl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from simulators.tuning_problem import Problem
from simulators.tuning_space import ParameterSettings, PrunerSettings, SamplerSettings, SpaceSettings

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
DIRECTIONS = {"minimise": "minimize", "maximise": "maximize"}
SEED_STRIDE = 1_000_003


class StudyRefused(ValueError):
    """The storage can not be used, holds a study of another problem, or is in use."""


@contextmanager
def study_of(problem: Problem, storage: str) -> Iterator[optuna.Study]:
    """The study in `storage`, new or as it was left. Raises StudyRefused."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = Path(storage.partition(":///")[2])
    with _alone(file):
        try:
            study = _opened(problem.settings, storage, file)
        except StudyRefused:
            raise
        except Exception as error:  # SQLAlchemy, SQLite and Optuna each have their own for a file that is no study
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StudyRefused(f"{file}: can not be opened as a study: {told}") from error
        _same(study, problem, file)
        yield study


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Not NAME.lock, which Optuna makes and removes for each write to a journal.
        with file.with_name(f"{file.name}.in-use").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyRefused(f"{file}: another process tunes this study; expected it to end first") from None
            yield
    except OSError as error:
        raise StudyRefused(f"{file}: can not be written: {error.strerror}") from error


def _opened(settings: SpaceSettings, storage: str, file: Path) -> optuna.Study:
    kept: BaseStorage = (
        RDBStorage(storage) if storage.startswith("sqlite") else JournalStorage(JournalFileBackend(str(file)))
    )
    directions = [DIRECTIONS[each.direction] for each in settings.objectives]
    names = optuna.get_all_study_names(kept)
    if settings.name in names:
        study = optuna.load_study(study_name=settings.name, storage=kept)
    else:
        study = optuna.create_study(study_name=settings.name, storage=kept, directions=directions)
    study.pruner = pruner(settings.pruner, settings.pruning)
    return study


def _same(study: optuna.Study, problem: Problem, file: Path) -> None:
    ours, theirs = problem.fingerprint(), study.user_attrs.get("problem")
    if theirs is None:
        study.set_user_attr("problem", ours)
    elif theirs != ours:
        raise StudyRefused(
            f"{file}: the study {study.study_name!r} was begun with other policies, parameters, scenarios, seeds, objectives, "
            "sampler or pruner; expected another name, another storage, or the file removed"
        )


def sampler(settings: SamplerSettings, trial: int) -> BaseSampler:
    """A fresh sampler for each trial, so that a study that was gone on with suggests what an unbroken one would have."""
    seed = (settings.seed * SEED_STRIDE + trial) % 2**32
    match settings.kind:
        case "random":
            return RandomSampler(seed=seed)
        case "nsga2":
            return NSGAIISampler(population_size=settings.population, seed=seed)
        case _:
            with warnings.catch_warnings(
                action="ignore", category=ExperimentalWarning
            ):  # of `multivariate`, there since 2.2
                return TPESampler(seed=seed, n_startup_trials=settings.startup_trials, multivariate=True)


def pruner(settings: PrunerSettings, kind: str) -> optuna.pruners.BasePruner:
    startup, warmup = settings.startup_trials, settings.warmup_runs - 1
    match kind:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
        case "percentile":
            return optuna.pruners.PercentilePruner(settings.percentile, n_startup_trials=startup, n_warmup_steps=warmup)
        case "wilcoxon":
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                return optuna.pruners.WilcoxonPruner(p_threshold=settings.p_value, n_startup_steps=settings.warmup_runs)
        case _:
            return optuna.pruners.NopPruner()


def suggested(trial: optuna.Trial, parameters: Mapping[str, ParameterSettings]) -> dict[str, Any]:
    """A value for each parameter."""
    return {name: _suggested(trial, name, told) for name, told in parameters.items()}


def _suggested(trial: optuna.Trial, name: str, told: ParameterSettings) -> Any:
    if told.choices:
        return trial.suggest_categorical(name, told.choices)
    low, high = told.ends
    if told.whole:
        return trial.suggest_int(name, int(low), int(high), log=told.log, step=int(told.step or 1))  # type: ignore[arg-type]
    return trial.suggest_float(name, float(low), float(high), log=told.log, step=told.step)  # type: ignore[arg-type]


def reachable(parameters: Mapping[str, ParameterSettings], values: Mapping[str, Any]) -> bool:
    """Whether each parameter has a value, and one that could be suggested."""
    return set(values) == set(parameters) and all(_in(told, values[name]) for name, told in parameters.items())


def _in(told: ParameterSettings, value: Any) -> bool:
    if told.choices:
        return value in told.choices
    if isinstance(value, bool) or not isinstance(value, int | float) or (told.whole and value != int(value)):
        return False
    low, high = told.low or 0.0, told.high or 0.0
    steps = (value - low) / (told.step or 1.0)
    return low <= value <= high and (told.step is None or abs(steps - round(steps)) < 1e-9)


def finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def runs_of(trial: optuna.trial.FrozenTrial) -> Sequence[Sequence[float]]:
    """The values of each run of `trial` that was played, by objective."""
    found: Sequence[Sequence[float]] = trial.user_attrs.get("runs", [])
    return found
