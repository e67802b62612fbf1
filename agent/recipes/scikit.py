"""Recipes on scikit-learn: gradient boosting over histograms, and logistic regression. Binary labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from agent.recipes.columns import Columns

VALUES_SHOWN = 5


@dataclass(frozen=True)
class FittedScikit:
    """An estimator with `predict_proba`, and the columns it was fitted on."""

    encoding: Columns
    estimator: Any

    @property
    def columns(self) -> tuple[str, ...]:
        return self.encoding.names

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """Probability of the positive class for each row."""
        if not rows:
            return []
        return [float(p) for p in self.estimator.predict_proba(self.encoding.of_rows(rows))[:, 1]]


class HistGradientBoosting:
    """Gradient-boosted trees over binned features (Ke et al., LightGBM, NIPS 2017); reads categories and missing values as they are."""

    name = "hist_gradient_boosting"
    task = "binary"

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(0.02, 0.3, log=True),
            "max_iter": IntDistribution(40, 160, step=20),
            "max_leaf_nodes": IntDistribution(7, 63, log=True),
            "l2_regularization": FloatDistribution(1e-3, 10.0, log=True),
        }

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> FittedScikit:
        encoding = Columns.learn(rows)
        estimator = HistGradientBoostingClassifier(
            categorical_features=encoding.categorical, random_state=seed, early_stopping=False, **parameters
        )
        estimator.fit(encoding.matrix(rows), both_classes(labels))
        return FittedScikit(encoding, estimator)


class Logistic:
    """Logistic regression on scaled numbers and one-hot categories; the plain model that a complicated one has to beat."""

    name = "logistic"
    task = "binary"

    def space(self) -> dict[str, BaseDistribution]:
        return {"C": FloatDistribution(1e-3, 10.0, log=True)}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> FittedScikit:
        encoding = Columns.learn(rows)
        texts = [i for i, categorical in enumerate(encoding.categorical) if categorical]
        numbers = [i for i, categorical in enumerate(encoding.categorical) if not categorical]
        one_hot = OneHotEncoder(handle_unknown="ignore", min_frequency=20)
        prepare = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
                (
                    "texts",
                    make_pipeline(
                        SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True), one_hot
                    ),
                    texts,
                ),
            ]
        )
        regression = LogisticRegression(max_iter=300, random_state=seed, **parameters)
        estimator = Pipeline([("prepare", prepare), ("regression", regression)])
        estimator.fit(encoding.matrix(rows), both_classes(labels))
        return FittedScikit(encoding, estimator)


def both_classes(labels: pd.Series) -> Any:
    """`labels` as 0 and 1. Raises ValueError where they are others, or only one class occurs, since nothing can be told apart then."""
    found = np.asarray(labels, dtype=float)
    odd = found[(found != 0.0) & (found != 1.0)]
    if len(odd):
        values = np.unique(found)
        some = ", ".join(f"{value:g}" for value in values[:VALUES_SHOWN]) + (
            " ..." if len(values) > VALUES_SHOWN else ""
        )
        raise ValueError(f"the labels of a binary recipe are 0 and 1; found {some}")
    classes = found.astype(int)
    if len(np.unique(classes)) < 2:
        raise ValueError(f"the labels hold one class only ({classes[0] if len(classes) else 'no row'}); two are needed")
    return classes
