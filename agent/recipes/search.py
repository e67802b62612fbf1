"""One search space over several recipes: first which recipe, then its own parameters, named "recipe.parameter"."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from agent.recipes.recipe import Recipe


def suggest(trial: Trial, recipes: Sequence[Recipe]) -> None:
    """Ask `trial` for a recipe and that recipe's parameters (define-by-run: a recipe not chosen is not asked for)."""
    chosen = trial.suggest_categorical("recipe", [recipe.name for recipe in recipes])
    recipe = next(recipe for recipe in recipes if recipe.name == chosen)
    for name, distribution in recipe.space().items():
        full = f"{recipe.name}.{name}"
        match distribution:
            case FloatDistribution():
                trial.suggest_float(
                    full, distribution.low, distribution.high, log=distribution.log, step=distribution.step
                )
            case IntDistribution():
                trial.suggest_int(
                    full, distribution.low, distribution.high, log=distribution.log, step=distribution.step
                )
            case CategoricalDistribution():
                trial.suggest_categorical(full, distribution.choices)
            case _:
                raise ValueError(f"{full}: {type(distribution).__name__} is no float, int or categorical distribution")


def chosen(config: Mapping[str, Any], recipes: Sequence[Recipe]) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and the parameters that a suggested `config` stands for."""
    recipe = next(recipe for recipe in recipes if recipe.name == config["recipe"])
    prefix = f"{recipe.name}."
    return recipe, {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}
