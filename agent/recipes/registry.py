"""Recipes by name or import path."""

import difflib
from importlib import import_module

from agent.recipes.recipe import Recipe

RECIPES = {
    "hist_gradient_boosting": "agent.recipes.scikit:HistGradientBoosting",
    "logistic": "agent.recipes.scikit:Logistic",
    "river_logistic": "agent.recipes.stream:RiverLogistic",
    "hoeffding_tree": "agent.recipes.stream:HoeffdingTree",
    "prior": "agent.recipes.prior:Prior",
}
"""Where each is; imported when it is first asked for, since their libraries take seconds."""


class UnknownRecipe(ValueError):
    """No recipe of that name; the message lists those that are known."""


def build(use: str) -> Recipe:
    """The recipe `use`: a name, or "package.module:Class" of a class without constructor arguments. Raises UnknownRecipe."""
    path = RECIPES.get(use, use)
    if ":" not in path:
        near = difflib.get_close_matches(use, RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownRecipe(
            f"unknown recipe {use!r}, expected one of {', '.join(RECIPES)}, or package.module:Class{hint}"
        )
    module, _, name = path.partition(":")
    try:
        recipe: Recipe = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise UnknownRecipe(f"recipe {use!r} can not be imported: {error}") from error
    return recipe
