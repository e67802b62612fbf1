"""Recipe: how a model is fitted and searched. Fitted: what comes out and predicts.

A recipe is stateless and importable by name; what it fits is pickled into the registry and loaded only after its digest was checked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd
from optuna.distributions import BaseDistribution

Row = Mapping[str, Any]
"""Feature name -> number, text or None."""


class Fitted(Protocol):
    @property
    def columns(self) -> tuple[str, ...]:
        """The features it reads; a row that lacks one is answered with the missing value, never with an exception."""
        ...

    def predict(self, rows: Sequence[Row]) -> list[float]:
        """One finite number per row, in order: the probability of the positive class, or the value of a regression."""
        ...


class Recipe(Protocol):
    @property
    def name(self) -> str:
        """Unique; the tag of the versions it makes. One that is for labels of 0 and 1 alone may say so: `task = "binary"`."""
        ...

    def space(self) -> dict[str, BaseDistribution]:
        """What a search may vary."""
        ...

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> Fitted:
        """Fit on `rows` (n x columns, in time order) and `labels` (n). The same arguments give the same model.

        Raises ValueError, naming the column, where the rows can not be fitted.
        """
        ...
