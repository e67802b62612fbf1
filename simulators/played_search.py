"""A small search in this process: recipes and parameters asked for by Optuna's TPE, scored on the newest rows, as on a cluster.

How long it takes in simulated time is no matter of this module. One thread, so that the numbers are those of every machine.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import pandas as pd
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from threadpoolctl import threadpool_limits

from agent.recipes import registry
from agent.recipes.readiness import NotReady, check
from agent.recipes.recipe import Fitted
from agent.recipes.scoring import RecipeFailed, evaluate, fit
from agent.recipes.search import chosen, suggest
from policies.imports import Packages
from simulators.learning import NothingLearned

MESSAGES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best of a search, fitted on all rows; `score` is its loss on the newest, when fitted without those."""

    fitted: Fitted
    recipe: str
    score: float


@dataclass(kw_only=True)
class PlayedSearch:
    """Searches of one model; each starts from the trials of those before, as where a study is kept."""

    recipes: Sequence[str]
    loss: str
    trials: int
    validation_share: float
    seed: int
    allowed: Packages = ()
    """Packages whose recipes may be named by import path."""
    _study: optuna.Study | None = field(default=None, init=False)

    def find(self, rows: Sequence[dict[str, Any]], labels: Sequence[float]) -> Found:
        """The best of `trials` trials on rows in time order. Raises NothingLearned where none could succeed, or none did."""
        table, truth = pd.DataFrame(list(rows)), pd.Series(list(labels), dtype=float)
        asked = [registry.build(use, self.allowed) for use in self.recipes]
        try:
            check(table, truth, asked, loss=self.loss, validation_share=self.validation_share)
        except NotReady as error:
            raise NothingLearned(str(error)) from error
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a trial that does not converge scores badly; that is what trials are for
            trial = self._best(asked, table, truth)
            recipe, parameters = chosen(trial.params, asked)
            try:
                fitted = fit(recipe, table, truth, parameters, self.seed)
            except RecipeFailed as error:
                raise NothingLearned(str(error)) from error
        return Found(fitted=fitted, recipe=recipe.name, score=float(trial.value or 0.0))

    def _best(self, asked: Sequence[Any], rows: pd.DataFrame, labels: pd.Series) -> optuna.trial.FrozenTrial:
        study = self._studied()
        before = len(study.trials)
        failures: list[str] = []
        for _ in range(self.trials):
            trial = study.ask()
            suggest(trial, asked)
            recipe, parameters = chosen(trial.params, asked)
            try:
                value = evaluate(
                    recipe, rows, labels, parameters,
                    seed=self.seed, validation_share=self.validation_share, loss=self.loss,
                )  # fmt: skip
                study.tell(trial, value)
            except RecipeFailed as error:
                failures.append(str(error))
                study.tell(trial, state=TrialState.FAIL)
        finished = [each for each in study.trials[before:] if each.state is TrialState.COMPLETE]
        if not finished:
            raise NothingLearned(f"no trial succeeded: {'; '.join(sorted(set(failures))[:MESSAGES_SHOWN])}")
        return min(finished, key=lambda each: (each.value, each.number))

    def _studied(self) -> optuna.Study:
        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            startup = max(4, 2 * len(self.recipes))
            self._study = optuna.create_study(sampler=TPESampler(seed=self.seed, n_startup_trials=startup))
        return self._study
