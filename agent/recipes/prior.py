"""The floor of every search: the base rate, whatever the row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class FittedPrior:
    rate: float
    columns: tuple[str, ...] = ()

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        return [self.rate] * len(rows)


class Prior:
    """Answers the mean of the labels."""

    name = "prior"

    def space(self) -> dict[str, BaseDistribution]:
        return {}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> FittedPrior:
        if labels.empty:
            raise ValueError("there are no labels to take the mean of")
        return FittedPrior(float(labels.mean()))
