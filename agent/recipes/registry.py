"""Recipes by name or import path."""

import difflib
from collections.abc import Callable
from importlib import import_module

from agent.recipes.prior import Prior
from agent.recipes.recipe import Recipe
from agent.recipes.scikit import HistGradientBoosting, Logistic
from agent.recipes.stream import HoeffdingTree, RiverLogistic

RECIPES: dict[str, Callable[[], Recipe]] = {
    HistGradientBoosting.name: HistGradientBoosting,
    Logistic.name: Logistic,
    RiverLogistic.name: RiverLogistic,
    HoeffdingTree.name: HoeffdingTree,
    Prior.name: Prior,
}


class UnknownRecipe(ValueError):
    """No recipe of that name; the message lists those that are known."""


def build(use: str) -> Recipe:
    """The recipe `use`: a name, or "package.module:Class" of a class without constructor arguments. Raises UnknownRecipe."""
    if use in RECIPES:
        return RECIPES[use]()
    if ":" not in use:
        near = difflib.get_close_matches(use, RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownRecipe(
            f"unknown recipe {use!r}, expected one of {', '.join(RECIPES)}, or package.module:Class{hint}"
        )
    module, _, name = use.partition(":")
    try:
        recipe: Recipe = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise UnknownRecipe(f"recipe {use!r} can not be imported: {error}") from error
    return recipe
