"""Whether a search can give a model at all, asked before it begins: else all trials fail for one reason, and none says it whole."""

import math
import reprlib
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from agent.monitoring.losses import OF_NUMBERS
from agent.monitoring.values import number
from agent.recipes.columns import by_name
from agent.recipes.recipe import Recipe
from agent.recipes.scoring import as_values, split

LEARNED_LEAST = 10
"""Rows from which a trial learns, at least: nothing is told apart on fewer."""
VALUES_SHOWN = 4


class NotReady(ValueError):
    """What is lacking, with counts, and what to do about it."""


def check(
    rows: pd.DataFrame, labels: pd.Series, recipes: Sequence[Recipe], *, loss: str, validation_share: float
) -> None:
    """Raises NotReady where no trial of `recipes` on these rows could succeed; the first condition that fails is told."""
    labels = as_values(labels)
    _check_table(rows, labels)
    early, early_labels, _, late_labels = split(rows, labels, validation_share)
    if len(early) < LEARNED_LEAST:
        raise NotReady(
            f"validation_share {validation_share:g} of {len(rows)} rows leaves {len(early)} to learn from; at least {LEARNED_LEAST} are "
            "needed: lower validation_share, or wait for more labelled rows"
        )
    _check_classes(labels, recipes, loss)
    if not all(map(_is_binary, recipes)):
        return
    if early_labels.nunique() < 2:
        raise NotReady(
            f"the {len(early)} older rows, from which a trial learns, hold one class only ({_counts(early_labels)}), the "
            f"{len(late_labels)} newest, which validate, {_counts(late_labels)}: wait for labels of both classes, or change rows_max or "
            "validation_share so that both are among the older rows"
        )


def _check_table(rows: pd.DataFrame, labels: pd.Series) -> None:
    try:
        columns = by_name(rows)
    except ValueError as error:
        raise NotReady(str(error)) from error
    if len(rows) != len(labels):
        raise NotReady(f"there are {len(rows)} rows and {len(labels)} labels; expected a label for each row")
    if labels.empty:
        raise NotReady("there are no labelled rows: all were dropped or set aside, or no label has come yet")
    if not columns:
        raise NotReady(f"the {len(rows)} rows hold labels and no feature: tell the probe what a model may read")
    if all(column.isna().all() for column in columns.values()):
        raise NotReady(
            f"all features are empty in all {len(rows)} rows ({', '.join(list(columns)[:VALUES_SHOWN])}): nothing can be learned of them"
        )
    unknown = [each for each in labels if not _is_finite(each)]
    if unknown:
        some = ", ".join(dict.fromkeys(_short(each) for each in unknown[:VALUES_SHOWN]))
        durations = ", and durations as their seconds" if any(map(_is_duration, unknown)) else ""
        raise NotReady(
            f"{len(unknown)} of {len(labels)} labels are no finite number ({some}): leave such rows out, and write classes as 0 and 1"
            f"{durations}"
        )


def _check_classes(labels: pd.Series, recipes: Sequence[Recipe], loss: str) -> None:
    if labels.isin([0.0, 1.0]).all():
        return
    binary = [recipe.name for recipe in recipes if _is_binary(recipe)]
    if loss not in OF_NUMBERS and not labels.between(0.0, 1.0).all():
        told = f"loss {loss}"
    elif len(binary) == len(recipes):
        told = f"recipe {', '.join(binary)}"
    else:
        return
    raise NotReady(
        f"the labels hold {_counts(labels)}; {told} is for classes 0 and 1: send 1 for the positive class and 0 for the other, or, where "
        "the labels are numbers, use a recipe of numbers and the loss absolute or squared"
    )


def _is_duration(label: Any) -> bool:
    return isinstance(label, timedelta | np.timedelta64)


def _is_finite(label: Any) -> bool:
    if _is_duration(label):  # a number of seconds to the monitors, and to no recipe
        return False
    found = number(label)
    return found is not None and math.isfinite(found)


def _short(label: Any) -> str:
    try:
        return reprlib.repr(label)
    except Exception:  # a number with too many digits to be written
        return f"a {type(label).__name__}"


def _is_binary(recipe: Recipe) -> bool:
    return getattr(recipe, "task", None) == "binary"


def _counts(labels: pd.Series) -> str:
    """Values and how often each is there, the most frequent first: "0 in 70 rows, 1 in 5"."""
    found = Counter(map(float, labels)).most_common()
    shown = [
        f"{value:g} in {count}{'' if place else ' rows'}" for place, (value, count) in enumerate(found[:VALUES_SHOWN])
    ]
    left = len(found) - len(shown)
    return ", ".join(shown) + (f" and {left} other values" if left > 0 else "")
