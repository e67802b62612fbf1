"""Rows with their truth, in stream order: from a file, or generated with changes at known times.

A row is known by its number: the same number gives the same row, however many are asked for at a time.
"""

import csv
import io
import math
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulators.changes import Change
from simulators.data_files import ScenarioError
from simulators.foreign_tables import TableError, lines_of, with_comma
from simulators.learning import seed_of

Floats = NDArray[np.float64]
BLOCK = 1024
"""So many rows are made at a time."""
UNITS = 1000.0
"""What numbers are multiplied with where their units are others."""
TEXT_MAX = 1024 * 2**20
"""Characters of a file, unpacked."""
AGAIN = re.compile(r"\.\d+")
"""What pandas appends to the name of a column that it meets again."""
SHIFT = 3.0
"""By so many standard deviations a harmless change moves the feature that no label follows."""


class StreamError(ScenarioError):
    """A file of rows that can not be played; says which column, and what was expected."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Feature name -> number, text or None, for each row; and its label as a number, None where nobody knows it."""

    features: list[dict[str, Any]]
    labels: Sequence[float | None]


class RowStream(ABC):
    """Rows by number, from 0."""

    @abstractmethod
    def rows(self, first: int, at_s: Floats) -> Rows:
        """Rows number `first` and on, one for each moment of arrival in `at_s` (n); fewer where the stream ends."""


# -- from a file -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FileStream(RowStream):
    """The rows of a CSV file. What is missing in it is None; broken rows come by the incidents among `changes` only."""

    features: pd.DataFrame
    labels: Floats
    """NaN where there is none."""
    changes: tuple[Change, ...] = ()

    def rows(self, first: int, at_s: Floats) -> Rows:
        until = min(len(self.labels), first + len(at_s))
        part = self.features.iloc[first:until]
        found: list[dict[str, Any]] = part.astype(object).where(part.notna(), None).to_dict(orient="records")
        _break(found, self.changes, at_s)
        return Rows(found, [None if math.isnan(label) else label for label in self.labels[first:until].tolist()])


def read_stream(
    path: Path,
    *,
    target: str,
    positive: Sequence[Any] = (),
    drop: Sequence[str] = (),
    changes: tuple[Change, ...] = (),
) -> FileStream:
    """The rows in `path`. The label is the column `target` as a number or, where `positive` is given, 1 for its values and 0 else.

    A label that is missing among values is unknown: its row is answered, and nobody is told the truth about it. Raises StreamError.
    """
    table, lines = _table(path, path.stat().st_mtime_ns)
    lacking = [name for name in (target, *drop) if name not in table.columns]
    if lacking:
        raise StreamError(f"{path}: there is no column {lacking[0]!r}; expected one of {', '.join(table.columns)}")
    truth = table[target]
    if positive:
        labels = truth.isin(list(positive)).where(truth.notna()).to_numpy(dtype=float)
        if not (labels == 1.0).any():
            some = ", ".join(map(repr, truth.dropna().unique()[:8].tolist()))
            raise StreamError(f"{path}: column {target!r} never holds one of {list(positive)}; it holds {some}")
    else:
        labels = pd.to_numeric(truth, errors="coerce").to_numpy(dtype=float)
        if not np.isfinite(labels).all():
            row = int(np.flatnonzero(~np.isfinite(labels))[0])
            (found,) = truth.iloc[row : row + 1].tolist()
            raise StreamError(f"{path}:{lines[row]}: {target}: found {found!r}; expected a number, or give `positive`")
    features = table.drop(columns=[target, *drop])
    if not len(features.columns):
        raise StreamError(f"{path}: there is no column but the target {target!r}; expected features beside it")
    for name in features.columns:
        if AGAIN.fullmatch(name.removeprefix(target)) and features[name].equals(truth):
            raise StreamError(
                f"{path}:1: column {name!r} is the target {target!r} again in every row; take it out, or name it under `drop`"
            )
    return FileStream(features=features, labels=labels, changes=changes)


@lru_cache(maxsize=4)
def _table(path: Path, changed_ns: int) -> tuple[pd.DataFrame, "array[int]"]:
    """The whole file, read once for all seeds, and the number of each row's line. Raises StreamError."""
    numbers = array("q")
    try:
        plain = io.StringIO(newline="")
        to = csv.writer(plain)
        for line in lines_of(path, TEXT_MAX):
            to.writerow(line.cells)
            numbers.append(line.number)
        plain.seek(0)
        table = pd.read_csv(plain)
    except TableError as error:
        raise StreamError(str(error)) from error
    except (ValueError, OSError) as error:
        raise StreamError(f"{path}: can not be read as a table: {error}") from error
    if table.empty:
        raise StreamError(f"{path}: there are no rows in it")
    _refuse_commas(path, table)
    return table, numbers[1:]


def _refuse_commas(path: Path, table: pd.DataFrame) -> None:
    """Numbers with a comma in them would be taken for names of categories. Raises StreamError."""
    for name in table.columns:
        values = table[name].dropna()
        if len(values) and all(isinstance(value, str) and with_comma(value) for value in values):
            told = f"column {name!r} holds {values.iloc[0]!r}; expected decimals with a point before them, and nothing between thousands"
            raise StreamError(f"{path}: {told}")


# -- generated ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GeneratedStream(RowStream):
    """Rows x of `features` standard normal numbers, whose label is 1 with probability 1 / (1 + exp(-signal * w.x)).

    The concept w is a unit vector that leaves the last feature out; a harmful or recurring change turns it by `harm` half-turns in a
    plane of its own. A season flips labels, at its height the part `harm` of them. A harmless change moves the last feature. An
    incident breaks the part `harm` of the rows.
    """

    seed: np.random.SeedSequence
    features: int = 6
    signal: float = 3.0
    changes: tuple[Change, ...] = ()
    _directions: Floats = field(init=False, repr=False)
    """(1 + changes) x features: the first concept, and where each change turns it to."""
    _block: Callable[[int], tuple[Floats, Floats]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        drawn = np.random.default_rng(seed_of(self.seed, "concepts"))
        directions = drawn.normal(size=(1 + len(self.changes), self.features))
        directions[:, -1] = 0.0
        object.__setattr__(self, "_directions", directions)
        object.__setattr__(self, "_block", lru_cache(maxsize=2)(self._made))

    def rows(self, first: int, at_s: Floats) -> Rows:
        x, chances = self._drawn(first, len(at_s))
        x[:, -1] += SHIFT * self._sum("harmless", at_s)
        p = 1.0 / (1.0 + np.exp(-self.signal * np.einsum("ij,ij->i", x, self._concepts(at_s))))
        labels = (chances[:, 0] < p).astype(float)
        flipped = chances[:, 1] < self._flips(at_s)
        labels[flipped] = 1.0 - labels[flipped]
        names = [f"x{n + 1}" for n in range(self.features)]
        found: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in x.tolist()]
        _break(found, self.changes, at_s, chances[:, 2])
        return Rows(found, labels.tolist())

    def _made(self, block: int) -> tuple[Floats, Floats]:
        drawn = np.random.default_rng(seed_of(self.seed, "rows", block))
        return drawn.normal(size=(BLOCK, self.features)), drawn.random((BLOCK, 3))

    def _drawn(self, first: int, count: int) -> tuple[Floats, Floats]:
        blocks = [self._block(n) for n in range(first // BLOCK, (first + max(1, count) - 1) // BLOCK + 1)]
        skip = first % BLOCK
        x, chances = (np.concatenate(parts)[skip : skip + count] for parts in zip(*blocks, strict=True))
        return x, chances

    def _concepts(self, at_s: Floats) -> Floats:
        """The concept of each moment, n x features."""
        turned = [[e.kind in {"harmful", "recurring"} and e.is_new(t) for e in self.changes] for t in at_s.tolist()]
        concepts = {key: self._concept(key) for key in set(map(tuple, turned))}
        return np.array([concepts[tuple(each)] for each in turned]).reshape(len(at_s), self.features)

    def _concept(self, turned: tuple[bool, ...]) -> Floats:
        now = self._directions[0] / np.linalg.norm(self._directions[0])
        for change, is_turned, towards in zip(self.changes, turned, self._directions[1:], strict=True):
            if is_turned:
                across = towards - (towards @ now) * now
                length = float(np.linalg.norm(across))
                across = across / length if length > 0 else across
                now = np.cos(np.pi * change.harm) * now + np.sin(np.pi * change.harm) * across
        return now

    def _sum(self, kind: str, at_s: Floats) -> Floats:
        chosen = [each for each in self.changes if each.kind == kind]
        return np.array([sum(each.is_new(t) for each in chosen) for t in at_s.tolist()], dtype=float)

    def _flips(self, at_s: Floats) -> Floats:
        seasons = [each for each in self.changes if each.kind == "season"]
        return np.array([sum(each.harm * each.height(t) for each in seasons) for t in at_s.tolist()], dtype=float)


def _break(rows: list[dict[str, Any]], changes: Sequence[Change], at_s: Floats, chances: Floats | None = None) -> None:
    """Break the rows that came in an incident: every second feature is missing, or all numbers are in other units."""
    for change in changes:
        if change.kind != "incident":
            continue
        for n, row in enumerate(rows):
            if change.lasts(float(at_s[n])) and (chances is None or chances[n] < change.harm):
                row.update(_broken(row, change))


def _broken(row: dict[str, Any], change: Change) -> dict[str, Any]:
    if change.broken == "missing":
        return dict.fromkeys(list(row)[::2])
    return {name: value * UNITS for name, value in row.items() if isinstance(value, int | float)}
