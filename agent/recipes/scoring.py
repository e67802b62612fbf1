"""How good a fitted model is on rows that it has not seen: always later rows, never a random part of the same ones."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from agent.monitoring.losses import LOSSES, OF_NUMBERS
from agent.monitoring.values import number
from agent.recipes.columns import records
from agent.recipes.recipe import Fitted, Recipe


class RecipeFailed(Exception):
    """A recipe raised, or what it fitted does not predict finite numbers; names the recipe and its parameters."""


def split(
    rows: pd.DataFrame, labels: pd.Series, validation_share: float
) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame, pd.Series]:
    """(training rows, labels, validation rows, labels): the newest `validation_share` of rows in time order validate."""
    cut = len(rows) - max(1, round(len(rows) * validation_share))
    return rows.iloc[:cut], labels.iloc[:cut], rows.iloc[cut:], labels.iloc[cut:]


def loss_for(chosen: str, labels: pd.Series) -> str:
    """The loss that a training scores with where `drift.loss` says `chosen`.

    With `auto` that is `absolute` of numbers, which have more than two values and are no parts of 1, and `brier` of all else: two values
    that are not 0 and 1 are classes that somebody writes in another way.
    """
    if chosen != "auto":
        return chosen
    values = {found for each in labels if (found := number(each)) is not None and math.isfinite(found)}
    return "absolute" if len(values) > 2 and not all(0.0 <= each <= 1.0 for each in values) else "brier"


def as_values(labels: pd.Series) -> pd.Series:
    """Labels of pandas' type `category` as the values that they stand for, since categories can not be averaged; others as they are."""
    return labels.astype(object) if isinstance(labels.dtype, pd.CategoricalDtype) else labels


def check_labels(labels: pd.Series, loss: str) -> None:
    """Raises ValueError where `labels` are none that `loss` means anything for."""
    if loss in OF_NUMBERS:
        return
    odd = labels[~labels.between(0.0, 1.0)]
    if not odd.empty:
        raise ValueError(f"{loss} is a loss of classes 0 and 1; found the label {float(odd.iloc[0]):g}")


def score(fitted: Fitted, rows: pd.DataFrame, labels: pd.Series, loss: str) -> float:
    """Mean loss over `rows`. Raises ValueError where a prediction is not finite, or the loss means nothing for the labels."""
    labels = as_values(labels)
    check_labels(labels, loss)
    predictions = fitted.predict(records(rows))
    if len(predictions) != len(labels) or not all(map(math.isfinite, predictions)):
        raise ValueError("a prediction is missing or not a finite number")
    each = LOSSES[loss]
    return math.fsum(each(p, float(y)) for p, y in zip(predictions, labels, strict=True)) / len(labels)


def fit(recipe: Recipe, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> Fitted:
    """What `recipe` makes of the rows. Raises RecipeFailed, whatever it raised."""
    try:
        return recipe.fit(rows, as_values(labels), parameters, seed)
    except Exception as error:  # a recipe is a user's code
        raise RecipeFailed(f"recipe {recipe.name} with {dict(parameters)}: {type(error).__name__}: {error}") from error


def evaluate(
    recipe: Recipe,
    rows: pd.DataFrame,
    labels: pd.Series,
    parameters: Mapping[str, Any],
    *,
    seed: int,
    validation_share: float,
    loss: str,
) -> float:
    """Mean validation loss of `recipe` with `parameters`. Raises RecipeFailed."""
    early, early_labels, late, late_labels = split(rows, labels, validation_share)
    fitted = fit(recipe, early, early_labels, parameters, seed)
    try:
        return score(fitted, late, late_labels, loss)
    except Exception as error:  # its predictions are a user's code too
        raise RecipeFailed(f"recipe {recipe.name} with {dict(parameters)}: {type(error).__name__}: {error}") from error
