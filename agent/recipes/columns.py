"""Columns: from rows (name -> value) to what an estimator reads, learned on the training rows.

A missing, unknown or unreadable value becomes NaN; it never raises, because a live row must always get an answer. Values are read as
the monitors and the data log read them (`agent.monitoring.values`), so that a live row means what the same row meant in training.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent.monitoring.values import Unreadable, number, plain

CATEGORIES_MAX = 250
"""Of a text column the most frequent so many values are told apart."""


@dataclass(frozen=True)
class Columns:
    """`names` in order; `categories` maps a text column's values to codes; `means` are those of the numeric columns."""

    names: tuple[str, ...]
    categories: Mapping[str, Mapping[str, int]]
    means: Mapping[str, float]

    @classmethod
    def learn(cls, rows: pd.DataFrame) -> "Columns":
        """Raises ValueError where there is no row or no column."""
        if rows.empty or not len(rows.columns):
            raise ValueError("there are no rows to learn columns from")
        categories: dict[str, dict[str, int]] = {}
        means: dict[str, float] = {}
        for name in map(str, rows.columns):
            if pd.api.types.is_numeric_dtype(rows[name]):
                finite = rows[name].replace([np.inf, -np.inf], np.nan)
                mean = float(finite.mean())
                means[name] = mean if math.isfinite(mean) else 0.0
            else:
                texts = rows[name].map(_category).dropna()
                frequent = texts.value_counts().index[:CATEGORIES_MAX]
                categories[name] = {value: code for code, value in enumerate(sorted(frequent))}
        return cls(tuple(map(str, rows.columns)), categories, means)

    @property
    def categorical(self) -> list[bool]:
        return [name in self.categories for name in self.names]

    def matrix(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """n x columns of a frame with at least these columns."""
        out = np.empty((len(rows), len(self.names)))
        for index, name in enumerate(self.names):
            if name in self.categories:
                out[:, index] = [self._value(name, value) for value in rows[name]]
            else:
                out[:, index] = pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        out[~np.isfinite(out)] = np.nan
        return out

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """n x columns of live rows; without pandas, which costs a millisecond and more for a small batch."""
        out = np.empty((len(rows), len(self.names)))
        for i, row in enumerate(rows):
            for j, name in enumerate(self.names):
                out[i, j] = self._value(name, row.get(name))
        return out

    def _value(self, name: str, value: Any) -> float:
        if name in self.categories:
            category = _category(value)
            code = None if category is None else self.categories[name].get(category)
            return math.nan if code is None else float(code)
        if type(value) is float:
            return value if math.isfinite(value) else math.nan
        found = number(value)
        return math.nan if found is None else found

    def clean(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row for River: finite numbers (the mean for a missing one) and texts; unknown columns left out."""
        cleaned: dict[str, Any] = {}
        for name in self.names:
            value = row.get(name)
            if name in self.categories:
                category = _category(value)
                cleaned[name] = category if category is not None and category in self.categories[name] else "?"
            else:
                number = self._value(name, value)
                cleaned[name] = self.means[name] if math.isnan(number) else number
        return cleaned


def _category(value: Any) -> str | None:
    """The text that a value of a text column is told apart by; None where it is missing or can not be read."""
    try:
        found = plain(value)
    except Unreadable:
        return None
    return None if found is None or (isinstance(found, float) and math.isnan(found)) else str(found)
