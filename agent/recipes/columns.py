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

from agent.monitoring.values import NUMBER_MAX, Unreadable, number, plain
from agent.monitoring.values import name as name_of

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
        """Raises ValueError where there is no row or no column, or two columns are of one name."""
        if rows.empty or not len(rows.columns):
            raise ValueError("there are no rows to learn columns from")
        categories: dict[str, dict[str, int]] = {}
        means: dict[str, float] = {}
        for name, column in by_name(rows).items():
            numbers = _numbers(column)
            if numbers is not None:
                mean = float(pd.Series(numbers).mean())
                means[name] = mean if math.isfinite(mean) else 0.0
            else:
                texts = column.map(_category).dropna()
                frequent = texts.value_counts().index[:CATEGORIES_MAX]
                categories[name] = {value: code for code, value in enumerate(sorted(frequent))}
        return cls(tuple(names(rows)), categories, means)

    @property
    def categorical(self) -> list[bool]:
        return [name in self.categories for name in self.names]

    def matrix(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """n x columns of a frame with at least these columns."""
        out = np.empty((len(rows), len(self.names)))
        columns = by_name(rows)
        for index, name in enumerate(self.names):
            numbers = _of_dtype(columns[name]) if name in self.means else None
            out[:, index] = [self._value(name, each) for each in columns[name]] if numbers is None else numbers
        return out

    def of_rows(self, rows: Sequence[Mapping[Any, Any]]) -> npt.NDArray[np.float64]:
        """n x columns of live rows; without pandas, which costs a millisecond and more for a small batch."""
        out = np.empty((len(rows), len(self.names)))
        for i, row in enumerate(map(_texted, rows)):
            for j, name in enumerate(self.names):
                out[i, j] = self._value(name, row.get(name))
        return out

    def _value(self, name: str, value: Any) -> float:
        if name in self.categories:
            category = _category(value)
            code = None if category is None else self.categories[name].get(category)
            return math.nan if code is None else float(code)
        if type(value) is float:
            return value if -NUMBER_MAX <= value <= NUMBER_MAX else math.nan
        found = number(value)
        return math.nan if found is None else found

    def clean(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """A row for River: finite numbers (the mean for a missing one) and texts; unknown columns left out."""
        cleaned: dict[str, Any] = {}
        row = _texted(row)
        for name in self.names:
            value = row.get(name)
            if name in self.categories:
                category = _category(value)
                cleaned[name] = category if category is not None and category in self.categories[name] else "?"
            else:
                number = self._value(name, value)
                cleaned[name] = self.means[name] if math.isnan(number) else number
        return cleaned


def names(rows: pd.DataFrame) -> list[str]:
    """The names of the columns as texts (`agent.monitoring.values.name`). Raises ValueError for what is no name, or where two are one."""
    found: dict[str, int] = {}
    for place, column in enumerate(rows.columns, start=1):
        try:
            text = name_of(column)
        except Unreadable as error:
            raise ValueError(f"column {place} of the rows: {error}") from error
        if text in found:
            raise ValueError(
                f"columns {found[text]} and {place} of the rows are both called {text!r}; each needs a name of its own"
            )
        found[text] = place
    return list(found)


def by_name(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns by their names as texts. Raises ValueError as `names` does."""
    return {text: rows.iloc[:, place] for place, text in enumerate(names(rows))}


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as they are asked live. Raises ValueError as `names` does."""
    return rows.set_axis(names(rows), axis="columns").to_dict(orient="records")  # type: ignore[return-value]


def _texted(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    """A row by names that are texts, itself where they are; a name that can not be read, or is there twice, is of a missing value."""
    if all(type(each) is str for each in row):
        return row
    found: dict[str, Any] = {}
    for each, value in row.items():
        try:
            text = name_of(each)
        except Unreadable:
            continue
        found[text] = None if text in found else value
    return found


def _of_dtype(column: pd.Series) -> npt.NDArray[np.float64] | None:
    """The numbers of a column of a numeric type, NaN for what is not finite; None for other columns."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        return None
    found = column.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.abs(found) <= NUMBER_MAX, found, np.nan)


def _numbers(column: pd.Series) -> npt.NDArray[np.float64] | None:
    """The numbers of a column that holds nothing else, whatever its type; None where it holds texts, or no number at all.

    What is always empty is a column of no category, since boosting finds no bins for it.
    """
    found = _of_dtype(column)
    if found is None:
        if any(type(value) is str for value in column):
            return None
        read = [number(value) for value in column]
        if any(each is None and _category(value) is not None for each, value in zip(read, column, strict=True)):
            return None
        found = np.array([math.nan if each is None else each for each in read])
    return None if np.isnan(found).all() else found


def _category(value: Any) -> str | None:
    """The text that a value of a text column is told apart by; None where it is missing or can not be read."""
    try:
        found = plain(value)
    except Unreadable:
        return None
    return None if found is None or (isinstance(found, float) and math.isnan(found)) else str(found)
