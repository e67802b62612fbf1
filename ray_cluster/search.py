"""Search: recipes and parameters over Ray Tune, asked for by Optuna's TPE, scored on the newest rows."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import optuna
import pandas as pd
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from ray import tune
from ray.tune import ResultGrid, Stopper
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from agent.database_urls import with_driver
from agent.recipes import registry
from agent.recipes.readiness import NotReady, check
from agent.recipes.recipe import Fitted, Recipe
from agent.recipes.scoring import evaluate, fit, split
from agent.recipes.search import chosen, middle, suggest
from agent.settings import TrainingSettings
from policies.imports import Packages
from ray_cluster.studies import study_of

MESSAGES_SHOWN = 3


class SearchFailed(Exception):
    """No trial gave a model; says why."""


@dataclass(frozen=True, kw_only=True)
class SearchSpec:
    name: str
    study: str
    """Searches of one name start from each other's trials, as far as they fit."""
    settings: TrainingSettings
    loss: str
    concurrent_trials: int
    trials: int
    allowed: Packages = ()
    """Packages whose recipes may be named by import path."""

    def recipes(self) -> list[Recipe]:
        return [registry.build(use, self.allowed) for use in self.settings.recipes]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best of a search, fitted on all rows. `score` is its loss on `validation`, when fitted without those rows."""

    fitted: Fitted
    recipe: str
    parameters: Mapping[str, Any]
    score: float
    trials: int
    tried: tuple[str, ...]
    """Names of the recipes that a finished trial was of."""
    validation: tuple[pd.DataFrame, pd.Series]


class Watcher(Stopper):
    """Counts finished trials; ends the search when it is told to, or when its time is over and there is something to choose from.

    Where a machine is so busy that no trial has ended by then, the first one is waited for: a search that found nothing took its time for
    nothing. The job has a limit of its own.
    """

    def __init__(self, stopped: Callable[[], bool], progress: Callable[[int], None], deadline_s: float) -> None:
        self._stopped = stopped
        self._progress = progress
        self._deadline_s = deadline_s
        self.done = 0

    def __getstate__(self) -> dict[str, Any]:
        """Tune keeps a copy of its configuration for a restore that we never make; what is live stays behind."""
        return {"done": self.done}

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        self.done += 1
        self._progress(self.done)
        return False

    def stop_all(self) -> bool:
        return self._stopped() or (self.done > 0 and time.monotonic() > self._deadline_s)


def search(
    spec: SearchSpec,
    rows: pd.DataFrame,
    labels: pd.Series,
    *,
    stopped: Callable[[], bool],
    progress: Callable[[int], None],
) -> Found:
    """Search, then fit the best on all rows. Raises SearchFailed where no trial could succeed, or none did."""
    settings = spec.settings
    asked = spec.recipes()
    try:
        check(rows, labels, asked, loss=spec.loss, validation_share=settings.validation_share)
    except NotReady as error:
        raise SearchFailed(f"no search was begun: {error}") from error
    watcher = Watcher(stopped, progress, time.monotonic() + settings.time_budget_s)
    finished = _finished(_run(spec, rows, labels, watcher), stopped)
    best = min(finished, key=lambda result: result.metrics["loss"])
    recipe, parameters = chosen(best.config or {}, asked)
    score = float((best.metrics or {})["loss"])
    fitted = fit(recipe, rows, labels, parameters, settings.seed)
    _, _, late, late_labels = split(rows, labels, settings.validation_share)
    return Found(
        fitted=fitted,
        recipe=recipe.name,
        parameters=parameters,
        score=score,
        trials=len(finished),
        tried=tuple(sorted({result.config["recipe"] for result in finished})),
        validation=(late, late_labels),
    )


def _run(spec: SearchSpec, rows: pd.DataFrame, labels: pd.Series, watcher: Watcher) -> ResultGrid:
    settings = spec.settings
    trainable = tune.with_resources(
        tune.with_parameters(
            _trial,
            rows=rows,
            labels=labels,
            spec=spec,
        ),
        {"cpu": settings.trial_cpus, "gpu": settings.trial_gpus},
    )
    with tempfile.TemporaryDirectory(prefix="homeostat-tune-") as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                metric="loss",
                mode="min",
                num_samples=spec.trials,
                search_alg=ConcurrencyLimiter(_asker(spec), max_concurrent=spec.concurrent_trials),
                max_concurrent_trials=None,
                reuse_actors=True,  # an actor's start per trial is most of the cost of a small one
            ),
            run_config=tune.RunConfig(name=spec.name, storage_path=folder, stop=watcher, verbose=0),
        )
        return tuner.fit()


def _asker(spec: SearchSpec) -> OptunaSearch:
    settings = spec.settings
    if settings.study_url.startswith("sqlite:///"):
        Path(settings.study_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = RDBStorage(with_driver(settings.study_url))
    return OptunaSearch(
        space=partial(_space, spec=spec),
        metric="loss",
        mode="min",
        sampler=TPESampler(seed=settings.seed, n_startup_trials=max(4, 2 * len(settings.recipes))),
        # Each recipe is tried before chance decides, so that a search cut short by its time has still seen them all.
        points_to_evaluate=[middle(recipe) for recipe in spec.recipes()],
        study_name=study_of(spec.study, spec.recipes(), spec.loss, storage),
        storage=storage,
    )


def _space(trial: optuna.Trial, spec: SearchSpec) -> None:
    suggest(trial, spec.recipes())


def _trial(config: dict[str, Any], *, rows: pd.DataFrame, labels: pd.Series, spec: SearchSpec) -> None:
    os.nice(19)  # what is left over by serving is enough for a trial
    recipe, parameters = chosen(config, spec.recipes())
    value = evaluate(
        recipe, rows, labels, parameters,
        seed=spec.settings.seed, validation_share=spec.settings.validation_share, loss=spec.loss,
    )  # fmt: skip
    tune.report({"loss": value})


def _finished(results: ResultGrid, stopped: Callable[[], bool]) -> list[Any]:
    """The trials that gave a loss. Raises SearchFailed where none did."""
    finished = [result for result in results if result.metrics and "loss" in result.metrics]
    if not finished:
        reasons = sorted({str(error).strip().splitlines()[-1] for error in results.errors})[:MESSAGES_SHOWN]
        why = "it was stopped before a trial finished" if stopped() else "; ".join(reasons) or "no trial was started"
        raise SearchFailed(f"no trial succeeded: {why}")
    return finished
