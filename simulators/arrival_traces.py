"""Traces of real traffic from CSV files, plain or gzipped: counts per minute or second, or a time for each request.

The first line names the columns and tells the kind: `minute` or `second` and counts of one or more series; `day`, `slot` and counts, where
the slots are minutes and each day begins at 0; `t_s` and anything recorded of each request. A gap, a text where a number
is due or a negative count is an error that names file, line and what was expected.
"""

import csv
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_WIDTH_S = {"minute": 60.0, "second": 1.0}


class TraceError(ValueError):
    """A trace cannot be read: `file:line: what was expected`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTrace:
    """`counts[bin, series]` requests in bins of `bin_s`, one after the other."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    bin_s: float

    def series(self, name: str) -> NDArray[np.int64]:
        """The counts of one series. ValueError names those that there are."""
        if name not in self.names:
            raise ValueError(f"no series {name!r} in the trace; it has {', '.join(self.names)}")
        return self.counts[:, self.names.index(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StampTrace:
    """Requests at `times_s`, ascending, with `columns[request, name]`."""

    names: tuple[str, ...]
    times_s: NDArray[np.float64]
    columns: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Line:
    """Where an error would be."""

    path: Path
    number: int
    cells: list[str]

    def wrong(self, expected: str) -> TraceError:
        return TraceError(f"{self.path}:{self.number}: expected {expected}")

    def number_in(self, place: int, name: str, *, whole: bool) -> float:
        text = self.cells[place]
        kind = "a whole number >= 0" if whole else "a finite number"
        try:
            value = float(text)
        except ValueError:
            raise self.wrong(f"{kind} in column {name!r}, not {text!r}") from None
        if not math.isfinite(value) or (whole and (value < 0 or value != int(value))):
            raise self.wrong(f"{kind} in column {name!r}, not {text!r}")
        return value


def load_trace(path: Path | str) -> CountTrace | StampTrace:
    """The trace in this file. TraceError: it has a defect; OSError: it cannot be opened."""
    file = Path(path)
    lines = _lines(file)
    header = next(lines, None)
    if header is None:
        raise TraceError(f"{file}:1: expected a line with the names of the columns, and the file is empty")
    names = [cell.strip() for cell in header.cells]
    if names[0] in _WIDTH_S and len(names) > 1:
        return _counts(lines, names, keys=1, bin_s=_WIDTH_S[names[0]])
    if names[:2] == ["day", "slot"] and len(names) > 2:
        return _counts(lines, names, keys=2, bin_s=60.0)
    if names[0] == "t_s":
        return _stamps(lines, names)
    raise header.wrong(
        f"columns `minute` or `second` and counts, `day,slot` and counts, or `t_s`, not {','.join(names)!r}"
    )


def _lines(path: Path) -> Iterator[_Line]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    width = None
    try:
        with gzip.open(path, "rt", newline="") if zipped else path.open("rt", newline="") as text:
            for number, cells in enumerate(csv.reader(text), start=1):
                line = _Line(path, number, cells)
                width = width or len(cells)
                if len(cells) != width:
                    raise line.wrong(f"{width} columns, as in the first line, not {len(cells)}")
                yield line
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: expected text in CSV, plain or gzipped: {error}") from error


def _counts(lines: Iterator[_Line], names: list[str], *, keys: int, bin_s: float) -> CountTrace:
    rows = []
    before: tuple[float, ...] | None = None
    for line in lines:
        key = tuple(line.number_in(place, names[place], whole=True) for place in range(keys))
        allowed = [] if before is None else [(*before[:-1], before[-1] + 1)]
        if keys == 2 and before is not None:
            allowed.append((before[0] + 1, 0.0))
        if allowed and key not in allowed:
            wanted = " or ".join(",".join(f"{value:g}" for value in each) for each in allowed)
            raise line.wrong(
                f"{','.join(names[:keys])} {wanted} after the line before (a gap?), not {','.join(line.cells[:keys])}"
            )
        before = key
        rows.append([int(line.number_in(place, names[place], whole=True)) for place in range(keys, len(names))])
    counts = np.array(rows, np.int64).reshape(len(rows), len(names) - keys)
    return CountTrace(names=tuple(names[keys:]), counts=counts, bin_s=bin_s)


def _stamps(lines: Iterator[_Line], names: list[str]) -> StampTrace:
    rows: list[list[float]] = []
    for line in lines:
        row = [line.number_in(place, name, whole=False) for place, name in enumerate(names)]
        if row[0] < (rows[-1][0] if rows else 0.0):
            raise line.wrong(f"a t_s that is >= 0 and not before that of the line above, not {line.cells[0]!r}")
        rows.append(row)
    table = np.array(rows, np.float64).reshape(len(rows), len(names))
    return StampTrace(names=tuple(names[1:]), times_s=table[:, 0], columns=table[:, 1:])
