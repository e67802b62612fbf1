"""Recipes by name; by import path too, where the caller allows its package (see `policies.imports`)."""

import difflib
from importlib import import_module

from agent.recipes.recipe import Recipe
from policies.imports import ImportRefused, Packages, found

RECIPES = {
    "hist_gradient_boosting": "agent.recipes.scikit:HistGradientBoosting",
    "logistic": "agent.recipes.scikit:Logistic",
    "river_logistic": "agent.recipes.stream:RiverLogistic",
    "hoeffding_tree": "agent.recipes.stream:HoeffdingTree",
    "prior": "agent.recipes.prior:Prior",
}
"""Where each is; imported when it is first asked for, since their libraries take seconds."""


METHODS = ("space", "fit")


class UnknownRecipe(ValueError):
    """No recipe of that name, or none that may be taken from that import path; the message lists the names that are known."""


def build(use: str, allowed: Packages = ()) -> Recipe:
    """The recipe `use`: a name, or "package.module:Class" of a class without constructor arguments in a package of `allowed`.

    Raises UnknownRecipe.
    """
    try:
        recipe: Recipe = (found(use, allowed, METHODS) if ":" in use else _registered(use))()
    except ImportRefused as error:
        raise UnknownRecipe(f"recipe {error}") from error
    except UnknownRecipe:
        raise
    except Exception as error:  # whatever a constructor of somebody's raises is a fault of the file that names it
        raise UnknownRecipe(f"recipe {use!r} can not be made: {type(error).__name__}: {error}") from error
    return recipe


def _registered(use: str) -> type:
    path = RECIPES.get(use)
    if path is None:
        near = difflib.get_close_matches(use, RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownRecipe(
            f"unknown recipe {use!r}, expected one of {', '.join(RECIPES)}, or package.module:Class{hint}"
        )
    module, _, name = path.partition(":")
    cls: type = getattr(import_module(module), name)
    return cls
