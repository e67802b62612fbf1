"""One search space over several recipes: first which recipe, then its own parameters, named "recipe.parameter"."""

import math
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


def middle(recipe: Recipe) -> dict[str, Any]:
    """The point to try first of `recipe`: the middle of its space, of a logarithmic range the geometric one, of choices the first.

    A random first point may be the worst of a good recipe, and a search that is cut short judges the recipe by it.
    """
    return {
        "recipe": recipe.name,
        **{f"{recipe.name}.{name}": _middle(name, distribution) for name, distribution in recipe.space().items()},
    }


def _middle(name: str, distribution: Any) -> Any:
    match distribution:
        case FloatDistribution() | IntDistribution():
            low, high, step = distribution.low, distribution.high, distribution.step
            between = math.sqrt(low * high) if distribution.log else (low + high) / 2
            if step is not None:
                between = low + step * math.floor((between - low) / step)
            return int(between) if isinstance(distribution, IntDistribution) else between
        case CategoricalDistribution():
            return distribution.choices[0]
    raise ValueError(f"{name}: {type(distribution).__name__} is no float, int or categorical distribution")


def chosen(config: Mapping[str, Any], recipes: Sequence[Recipe]) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and the parameters that a suggested `config` stands for."""
    recipe = next(recipe for recipe in recipes if recipe.name == config["recipe"])
    prefix = f"{recipe.name}."
    return recipe, {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}
