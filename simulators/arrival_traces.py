"""Traces of real traffic from CSV files, plain or gzipped: counts per minute or second, or a time for each request.

The first line names the columns and tells the kind: `minute` or `second` and counts of one or more series; `day`, `slot` and counts, where
the slots are minutes and each day begins at 0; `t_s` and anything recorded of each request. A gap, a text where a number
is due or a negative count is an error that names file, line and what was expected.

1. Files are read as spreadsheets write them: a byte order mark and lines without any value are passed over.
2. Times since 1970 (POSIX), in seconds or in thousandths, millionths or billionths of them, are taken from the first one on, as bins are.
   Nobody records a hundred million seconds of a run, three years, so that such a number can be nothing else.
3. No more than `TEXT_MAX` characters are unpacked, and no bin holds more than `COUNT_MAX` requests.
"""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulators.data_files import doubled

_WIDTH_S = {"minute": 60.0, "second": 1.0}
TEXT_MAX = 128 * 2**20
COUNT_MAX = 10_000_000
POSIX_S = 1e8
"""A time that is not below this is one since 1970."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


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
            raise self.wrong(f"{kind} in column {name!r}, not {_shown(text)}") from None
        if not math.isfinite(value) or (whole and (value < 0 or value != int(value))):
            raise self.wrong(f"{kind} in column {name!r}, not {_shown(text)}")
        return value

    def count_in(self, place: int, name: str) -> int:
        """Requests of one bin."""
        value = self.number_in(place, name, whole=True)
        if value > COUNT_MAX:
            raise self.wrong(f"at most {COUNT_MAX:,} requests in column {name!r}, not {_shown(self.cells[place])}")
        return int(value)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def load_trace(path: Path | str) -> CountTrace | StampTrace:
    """The trace in this file. TraceError: it has a defect; OSError: it cannot be opened."""
    file = Path(path)
    found = file.stat()
    return _loaded(file, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _loaded(file: Path, mtime_ns: int, size: int) -> CountTrace | StampTrace:
    """As `load_trace`: many models of one scenario play columns of one file, which is read once."""
    lines = _lines(file)
    header = next(lines, None)
    if header is None:
        raise TraceError(f"{file}:1: expected a line with the names of the columns, and the file is empty")
    names = [cell.strip() for cell in header.cells]
    if (twice := doubled(names)) is not None:
        raise TraceError(f"{file}:{header.number}: {twice}")
    if names[0] in _WIDTH_S and len(names) > 1:
        return _counts(lines, names, keys=1, bin_s=_WIDTH_S[names[0]])
    if names[:2] == ["day", "slot"] and len(names) > 2:
        return _counts(lines, names, keys=2, bin_s=60.0)
    if names[0] == "t_s":
        return _stamps(lines, names)
    if len(names) == 1 and ";" in names[0]:
        raise header.wrong(f"columns with commas between them, not semicolons, as in {_shown(names[0])}")
    raise header.wrong(
        f"columns `minute` or `second` and counts, `day,slot` and counts, or `t_s`, not {_shown(','.join(names))}"
    )


def _lines(path: Path) -> Iterator[_Line]:
    width = None
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(_text(path), newline="")), start=1):
            if not any(cell.strip() for cell in cells):
                continue
            line = _Line(path, number, cells)
            width = width or len(cells)
            if len(cells) != width:
                raise line.wrong(f"{width} columns, as in the first line, not {len(cells)}")
            yield line
    except csv.Error as error:
        raise TraceError(f"{path}: expected text in CSV, plain or gzipped: {error}") from error


def _text(path: Path) -> str:
    """All of the file, unpacked, without a byte order mark."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as stream:
            read = stream.read(TEXT_MAX + 1)
        if len(read) > TEXT_MAX:
            raise TraceError(f"{path}: expected at most {TEXT_MAX // 2**20} MiB of text, unpacked; is it a trace?")
        if read.startswith(_UTF_16):
            raise TraceError(f"{path}: expected text in UTF-8, not UTF-16; save it as `CSV UTF-8`")
        return read.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
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
        rows.append([line.count_in(place, names[place]) for place in range(keys, len(names))])
    counts = np.array(rows, np.int64).reshape(len(rows), len(names) - keys)
    counts.flags.writeable = False  # it is handed out again
    return CountTrace(names=tuple(names[keys:]), counts=counts, bin_s=bin_s)


def _stamps(lines: Iterator[_Line], names: list[str]) -> StampTrace:
    rows: list[list[float]] = []
    for line in lines:
        row = [line.number_in(place, name, whole=False) for place, name in enumerate(names)]
        if row[0] < (rows[-1][0] if rows else 0.0):
            raise line.wrong(f"a t_s that is >= 0 and not before that of the line above, not {line.cells[0]!r}")
        rows.append(row)
    table = np.array(rows, np.float64).reshape(len(rows), len(names))
    table[:, 0] = _from_the_first(table[:, 0])
    table.flags.writeable = False  # it is handed out again
    return StampTrace(names=tuple(names[1:]), times_s=table[:, 0], columns=table[:, 1:])


def _from_the_first(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times since 1970 as seconds since the first; others as they are."""
    if len(times) == 0 or times[0] < POSIX_S:
        return times
    thousands = math.floor(math.log10(times[0] / POSIX_S) / 3)
    return (times - times[0]) / 1000.0**thousands
