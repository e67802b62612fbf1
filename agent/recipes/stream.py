"""Recipes on River: models that learn row by row, in time order. What is fitted does not learn on while it serves: a version is fixed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from river import compose, linear_model, optim, preprocessing, tree

from agent.recipes.columns import Columns, records
from agent.recipes.scikit import both_classes

ROWS_LEARNED_MAX = 20_000
"""The newest so many rows are learned: a row costs 50 to 100 us, and the far past matters little to a stream model."""


@dataclass(frozen=True)
class FittedStream:
    """A River classifier that has learned, fed with cleaned rows only: one NaN would ruin its scaler for good."""

    encoding: Columns
    model: Any
    prior: float

    @property
    def columns(self) -> tuple[str, ...]:
        return self.encoding.names

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """Probability of the positive class for each row; the base rate where the model has no finite answer."""
        answers = (self.model.predict_proba_one(self.encoding.clean(row)).get(1, self.prior) for row in rows)
        return [min(max(p, 0.0), 1.0) if math.isfinite(p) else self.prior for p in answers]


def learn(model: Any, rows: pd.DataFrame, labels: pd.Series) -> FittedStream:
    """`model` after it has learned the newest rows, oldest first."""
    classes = both_classes(labels)[-ROWS_LEARNED_MAX:]
    newest = rows.iloc[-ROWS_LEARNED_MAX:]
    encoding = Columns.learn(newest)
    for row, label in zip(records(newest), classes, strict=True):
        model.learn_one(encoding.clean(row), int(label))
    return FittedStream(encoding, model, float(classes.mean()))


class RiverLogistic:
    """Online logistic regression by stochastic gradient descent on scaled numbers and one-hot texts.

    Its step falls as 1 / sqrt(rows seen), for the weights and for the intercept (Robbins and Monro 1951 ask for a falling one): a version
    does not learn on while it serves, and with a constant step it would serve the mood of its last few hundred rows.
    """

    name = "river_logistic"
    task = "binary"

    def space(self) -> dict[str, BaseDistribution]:
        return {"first_rate": FloatDistribution(0.01, 0.3, log=True), "l2": FloatDistribution(1e-6, 1e-2, log=True)}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> FittedStream:
        numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
        texts = compose.SelectType(str) | preprocessing.OneHotEncoder()
        step = optim.schedulers.InverseScaling(parameters["first_rate"], power=0.5)
        prior = float(both_classes(labels).mean())
        regression = linear_model.LogisticRegression(
            optim.SGD(step), l2=parameters["l2"], intercept_init=math.log(prior / (1.0 - prior)), intercept_lr=step
        )
        return learn((numbers + texts) | regression, rows, labels)


class HoeffdingTree:
    """Hoeffding adaptive tree (Bifet and Gavalda, IDA 2009): grows from the stream and prunes what has drifted."""

    name = "hoeffding_tree"
    task = "binary"

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "grace_period": IntDistribution(100, 500, step=100),
            "max_depth": IntDistribution(4, 12),
            "leaf_prediction": CategoricalDistribution(["mc", "nba"]),
        }

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> FittedStream:
        return learn(tree.HoeffdingAdaptiveTreeClassifier(seed=seed, **parameters), rows, labels)
