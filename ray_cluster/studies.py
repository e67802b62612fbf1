"""Studies: the trials of a model's searches, kept by Optuna so that the next search starts from the last.

A study takes one set of choices for a parameter, for good. So each search space of a model has a study of its own, "model-digest" by name,
and a new one begins with the trials of the others that still mean something in it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from agent.recipes.recipe import Recipe

TRIALS_KEPT = 200
"""The newest trials that fit are taken over, at most so many: TPE learns little from more, and each is a row in a database."""
DIGEST = 12
LOSS = "homeostat.loss"


def study_of(model: str, recipes: Sequence[Recipe], loss: str, storage: BaseStorage) -> str:
    """The name of the study of this search space; where it is new it is made, with the trials that fit."""
    name = f"{model}-{_digest(recipes, loss)}"
    others = {each.study_name: each for each in optuna.get_all_study_summaries(storage, include_best_trial=False)}
    if name in others:
        return name
    earlier = [
        optuna.load_study(study_name=each.study_name, storage=storage)
        for each in others.values()
        if _is_of(model, each.study_name) and each.user_attrs.get(LOSS) in (None, loss)
    ]
    trials = sorted((trial for study in earlier for trial in study.get_trials(deepcopy=False)), key=_when)
    study = optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
    study.set_user_attr(LOSS, loss)
    for trial in list(_fitting(trials, recipes))[-TRIALS_KEPT:]:
        study.add_trial(trial)
    return name


def _fitting(trials: Sequence[FrozenTrial], recipes: Sequence[Recipe]) -> Iterator[FrozenTrial]:
    """Those of `trials` that a search over `recipes` could have made."""
    spaces = {recipe.name: {f"{recipe.name}.{key}": each for key, each in recipe.space().items()} for recipe in recipes}
    choice = CategoricalDistribution(list(spaces))
    for trial in trials:
        space = spaces.get(str(trial.params.get("recipe")))
        if trial.state is not TrialState.COMPLETE or space is None or trial.params.keys() != {"recipe", *space}:
            continue
        distributions: dict[str, BaseDistribution] = {"recipe": choice, **space}
        try:
            yield create_trial(params=trial.params, distributions=distributions, value=trial.value)
        except ValueError:  # a value outside of what may be chosen now
            continue


def _digest(recipes: Sequence[Recipe], loss: str) -> str:
    """Of the recipes in their order, since that is the order of the choices, of their spaces, and of what is scored."""
    spaces: list[Any] = [
        [recipe.name, {key: distribution_to_json(each) for key, each in sorted(recipe.space().items())}]
        for recipe in recipes
    ]
    return hashlib.sha256(json.dumps([loss, spaces]).encode()).hexdigest()[:DIGEST]


def _is_of(model: str, name: str) -> bool:
    """Whether the study `name` is one of `model`: of it alone, or of one of its spaces."""
    digest = name.removeprefix(f"{model}-")
    return name == model or (digest != name and len(digest) == DIGEST and set(digest) <= set("0123456789abcdef"))


def _when(trial: FrozenTrial) -> float:
    return trial.datetime_complete.timestamp() if trial.datetime_complete is not None else 0.0
