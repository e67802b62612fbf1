"""Traces of real traffic from CSV files, plain or gzipped: counts per minute or second, or a time for each request.

The first line names the columns and tells the kind: `minute` or `second` and counts of one or more series; `day`, `slot` and counts, where
the slots are minutes and each day begins at 0; `t_s` and anything recorded of each request. A gap, a text where a number
is due or a negative count is an error that names file, line and what was expected.

1. Files are opened as all tables of strangers are (`simulators.foreign_tables`).
2. Times since 1970 (POSIX), in seconds or in thousandths, millionths or billionths of them, are taken from the first one on, as bins are.
   Nobody records a hundred million seconds of a run, three years, so that such a number can be nothing else. All times of a file are by one
   clock and in one unit.
3. No more than `TEXT_MAX` characters are unpacked, lines and cells are as many as `simulators.foreign_tables` allows, and no bin
   holds more than `COUNT_MAX` requests.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulators.foreign_tables import Line, TableError, lines_of, number_of, numbers_in, shown, with_comma

_WIDTH_S = {"minute": 60.0, "second": 1.0}
TEXT_MAX = 128 * 2**20
COUNT_MAX = 10_000_000
POSIX_S = 1e8
"""A time that is not below this is one since 1970."""
CLOCKS = (
    "seconds from the beginning of the trace on",
    "seconds since 1970",
    "thousandths of seconds since 1970",
    "millionths of seconds since 1970",
    "billionths of seconds since 1970",
)
"""What times may be by."""


TraceError = TableError
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


def _number(line: Line, place: int, name: str, *, whole: bool) -> float:
    text = line.cells[place]
    value = number_of(text)
    if value is None or not math.isfinite(value) or (whole and (value < 0 or value != int(value))):
        kind = "a whole number >= 0" if whole else "a finite number"
        comma = "; decimals have a point before them, and thousands nothing between" if with_comma(text) else ""
        raise line.wrong(f"{kind} in column {name!r}, not {shown(text)}{comma}")
    return value


def _count(line: Line, place: int, name: str) -> int:
    """Requests of one bin."""
    value = _number(line, place, name, whole=True)
    if value > COUNT_MAX:
        raise line.wrong(f"at most {COUNT_MAX:,} requests in column {name!r}, not {shown(line.cells[place])}")
    return int(value)


def load_trace(path: Path | str) -> CountTrace | StampTrace:
    """The trace in this file. TraceError: it has a defect; OSError: it cannot be opened."""
    file = Path(path)
    found = file.stat()
    return _loaded(file, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _loaded(file: Path, mtime_ns: int, size: int) -> CountTrace | StampTrace:
    """As `load_trace`: many models of one scenario play columns of one file, which is read once."""
    lines = lines_of(file, TEXT_MAX)
    header = next(lines, None)
    if header is None:
        raise TraceError(f"{file}:1: expected a line with the names of the columns, and the file is empty")
    names = header.names
    kinds = [name.lower() for name in names[:2]]
    if kinds[0] in _WIDTH_S and len(names) > 1:
        bin_s = _WIDTH_S[kinds[0]]
        return _counts_at_once(file, keys=1, bin_s=bin_s) or _counts(lines, names, keys=1, bin_s=bin_s)
    if kinds == ["day", "slot"] and len(names) > 2:
        return _counts_at_once(file, keys=2, bin_s=60.0) or _counts(lines, names, keys=2, bin_s=60.0)
    if kinds[0] == "t_s":
        return _stamps_at_once(file) or _stamps(lines, names)
    raise header.wrong(
        f"columns `minute` or `second` and counts, `day,slot` and counts, or `t_s`, not {shown(','.join(names))}"
    )


def _counts_at_once(file: Path, *, keys: int, bin_s: float) -> CountTrace | None:
    """As `_stamps_at_once`."""
    read = numbers_in(file, TEXT_MAX)
    if read is None:
        return None
    names, table = read
    counts, places = table[:, keys:], table[:, keys - 1]
    follows = np.diff(places) == 1
    if keys == 2:
        days = np.diff(table[:, 0])
        follows = (follows & (days == 0)) | ((places[1:] == 0) & (days == 1))
    whole = bool((table >= 0).all() and (table == np.floor(table)).all() and (counts <= COUNT_MAX).all())
    return _count_trace(names[keys:], counts.astype(np.int64), bin_s) if whole and bool(follows.all()) else None


def _counts(lines: Iterator[Line], names: list[str], *, keys: int, bin_s: float) -> CountTrace:
    rows = []
    before: tuple[float, ...] | None = None
    for line in lines:
        key = tuple(_number(line, place, names[place], whole=True) for place in range(keys))
        allowed = [] if before is None else [(*before[:-1], before[-1] + 1)]
        if keys == 2 and before is not None:
            allowed.append((before[0] + 1, 0.0))
        if allowed and key not in allowed:
            wanted = " or ".join(",".join(f"{value:g}" for value in each) for each in allowed)
            raise line.wrong(
                f"{','.join(names[:keys])} {wanted} after the line before (a gap?), not {','.join(line.cells[:keys])}"
            )
        before = key
        rows.append([_count(line, place, names[place]) for place in range(keys, len(names))])
    return _count_trace(names[keys:], np.array(rows, np.int64).reshape(len(rows), len(names) - keys), bin_s)


def _count_trace(names: list[str], counts: NDArray[np.int64], bin_s: float) -> CountTrace:
    counts.flags.writeable = False  # it is handed out again
    return CountTrace(names=tuple(names), counts=counts, bin_s=bin_s)


def _stamps_at_once(file: Path) -> StampTrace | None:
    """Without a Python object for each cell. None where something is wrong, which is told of by its line."""
    read = numbers_in(file, TEXT_MAX)
    if read is None:
        return None
    names, table = read
    times = table[:, 0]
    if len(times) == 0 or times[0] < 0.0 or bool((np.diff(times) < 0).any()) or _clock(times[0]) != _clock(times[-1]):
        return None
    return _stamp_trace(names, table)


def _stamps(lines: Iterator[Line], names: list[str]) -> StampTrace:
    rows: list[list[float]] = []
    for line in lines:
        row = [_number(line, place, name, whole=False) for place, name in enumerate(names)]
        if row[0] < (rows[-1][0] if rows else 0.0):
            raise line.wrong(f"a t_s that is >= 0 and not before that of the line above, not {line.cells[0]!r}")
        if rows and _clock(row[0]) != _clock(rows[0][0]):
            raise line.wrong(
                f"{CLOCKS[_clock(rows[0][0])]}, as in the first of them, not {CLOCKS[_clock(row[0])]}, {line.cells[0]!r}"
            )
        rows.append(row)
    return _stamp_trace(names, np.array(rows, np.float64).reshape(len(rows), len(names)))


def _stamp_trace(names: list[str], table: NDArray[np.float64]) -> StampTrace:
    table[:, 0] = _from_the_first(table[:, 0])
    table.flags.writeable = False  # it is handed out again
    return StampTrace(names=tuple(names[1:]), times_s=table[:, 0], columns=table[:, 1:])


def _clock(time: float) -> int:
    """The place in `CLOCKS` of what a time is by."""
    return 0 if time < POSIX_S else min(len(CLOCKS) - 1, 1 + math.floor(math.log10(time / POSIX_S) / 3))


def _from_the_first(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times since 1970 as seconds since the first; others as they are."""
    if len(times) == 0 or times[0] < POSIX_S:
        return times
    return (times - times[0]) / 1000.0 ** (_clock(times[0]) - 1)
