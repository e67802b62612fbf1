"""A recipe of a user's own: one threshold on one column, as simple as a model can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from optuna.distributions import BaseDistribution, FloatDistribution


@dataclass(frozen=True)
class FittedThreshold:
    """Answers the rate of fraud above or below `threshold`."""

    threshold: float
    above: float
    below: float
    columns: tuple[str, ...] = ("amount",)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        return [self.above if (row.get("amount") or 0.0) > self.threshold else self.below for row in rows]


class Threshold:
    """Splits payments at a quantile of their amount."""

    name = "threshold"

    def space(self) -> dict[str, BaseDistribution]:
        return {"quantile": FloatDistribution(0.5, 0.99)}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> FittedThreshold:
        if "amount" not in rows:
            raise ValueError("the rows have no column 'amount'")
        threshold = float(rows["amount"].quantile(parameters["quantile"]))
        high = rows["amount"] > threshold
        rate = float(labels.mean())
        above = float(labels[high].mean()) if high.any() else rate
        below = float(labels[~high].mean()) if (~high).any() else rate
        return FittedThreshold(threshold=threshold, above=above, below=below)
