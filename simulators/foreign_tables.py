"""Tables of strangers: text in CSV whose first line names the columns. The one way in which traces, counts and streams of rows are opened.

1. A byte order mark, quotes, ends of lines as Windows has them and lines without any value are read as spreadsheets mean them.
2. What could be read in two ways is not read at all: other characters between columns, UTF-16, names that are doubled or missing, lines
   that are longer or shorter than the first. Each is said by file and line, with what was found and what is expected.
3. Numbers are in the digits 0 to 9 with a point before decimals.
4. No table has more than `LINES_MAX` lines or `CELLS_MAX` cells: a few bytes, packed, would cost minutes and all memory.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TEXT_MAX = 128 * 2**20
"""Characters that are unpacked, at most, where nothing else is said."""
LINES_MAX = 2_000_000
CELLS_MAX = 50_000_000
SHOWN = 40
_GZIP = b"\x1f\x8b"
_KINDS = {
    b"\xff\xfe": "UTF-16; save it as `CSV UTF-8`",
    b"\xfe\xff": "UTF-16; save it as `CSV UTF-8`",
    b"PK\x03\x04": "a workbook or an archive; save the table as `CSV UTF-8`",
    b"BZh": "packed by bzip2; expected it plain or gzipped",
    b"\xfd7zXZ": "packed by xz; expected it plain or gzipped",
    b"\x28\xb5\x2f\xfd": "packed by zstd; expected it plain or gzipped",
}
"""What files begin with that are often taken for text."""
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_WITH_COMMA = re.compile(r"[-+]?\d+(,\d+)+", re.ASCII)


class TableError(ValueError):
    """A table can not be read: `file:line: expected ..., not ...`."""


@dataclass(frozen=True, slots=True)
class Line:
    """The cells of one line, and where an error in it would be."""

    path: Path
    number: int
    cells: list[str]

    def wrong(self, expected: str) -> TableError:
        return TableError(f"{self.path}:{self.number}: expected {expected}")

    @property
    def names(self) -> list[str]:
        """The cells as names of columns."""
        return [cell.strip() for cell in self.cells]


def lines_of(path: Path, text_max: int = TEXT_MAX) -> Iterator[Line]:
    """The lines of the table in `path` that hold anything, the names of its columns first. Raises TableError, OSError."""
    reader = csv.reader(io.StringIO(text_of(path, text_max), newline=""), strict=True)
    width = None
    try:
        number = 1
        for cells in reader:
            number, begins = reader.line_num + 1, number  # a cell between quotes may go over several lines
            if not any(cell.strip() for cell in cells):
                continue
            line = Line(path, begins, cells)
            if width is None:
                _check_names(line)
                width = len(cells)
            if len(cells) != width:
                raise line.wrong(f"{width} columns, as in the first line, not {len(cells)}{_decimals(cells, width)}")
            yield line
    except csv.Error as error:
        raise TableError(
            f"{path}:{reader.line_num}: expected CSV, with every quote closed before the next comma: {error}"
        ) from error


def text_of(path: Path, text_max: int = TEXT_MAX) -> str:
    """All of the file, unpacked, without a byte order mark. Raises TableError, OSError."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
    try:
        with gzip.open(path) if zipped else path.open("rb") as stream:
            read = stream.read(text_max + 1)
        if len(read) > text_max:
            raise TableError(f"{path}: expected at most {text_max // 2**20} MiB of text, unpacked; is it a table?")
        for beginning, what in _KINDS.items():
            if read.startswith(beginning):
                raise TableError(f"{path}: expected text in UTF-8, not {what}")
        if b"\x00" in read[:1000]:
            raise TableError(
                f"{path}: expected text in UTF-8, not bytes of 0; UTF-16 has them, and so have files that are no text"
            )
        text = read.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise TableError(f"{path}: expected text in CSV, plain or gzipped: {error}") from error
    _check_size(path, text)
    return text


def numbers_in(path: Path, text_max: int = TEXT_MAX) -> tuple[list[str], NDArray[np.float64]] | None:
    """The names of the columns and all values (n x columns) of a table that holds finite numbers and nothing else, read at once.

    None for all other tables: `lines_of` reads them, and tells what is wrong with them and where. Raises TableError, OSError.
    """
    text = text_of(path, text_max)
    first, _, body = text.partition("\n")
    names = [name.strip() for name in first.split(",")]
    if '"' in text or "\r" in text.rstrip("\r\n").replace("\r\n", "\n") or not _plain_names(names) or not body.strip():
        return None
    try:
        found = np.loadtxt(io.StringIO(body), delimiter=",", comments=None, ndmin=2)
    except ValueError:  # a cell is no number, or a line is longer or shorter than the one before
        return None
    return (names, found) if found.shape[1] == len(names) and bool(np.isfinite(found).all()) else None


def _plain_names(names: Sequence[str]) -> bool:
    return "" not in names and doubled(names) is None and not all(number_of(name) is not None for name in names)


def _check_size(path: Path, text: str) -> None:
    """Raises TableError for a table that is too large to be read. Counted before anything is made of it."""
    lines = max(text.count("\n"), text.count("\r"))
    if lines > LINES_MAX:
        raise TableError(f"{path}: expected at most {LINES_MAX:,} lines, not {lines:,}")
    cells = lines + text.count(",")
    if cells > CELLS_MAX:
        raise TableError(f"{path}: expected at most {CELLS_MAX:,} cells, not {cells:,}")


def number_of(text: str) -> float | None:
    """The number that a cell holds, infinite where it is beyond all that can be held; None where it is none."""
    plain = text.strip()
    return float(plain) if _NUMBER.fullmatch(plain) else None


def with_comma(text: str) -> bool:
    """Whether a cell holds a number with a comma in it: before its decimals, or between its thousands."""
    return _WITH_COMMA.fullmatch(text.strip()) is not None


def shown(text: str) -> str:
    """A cell as a message holds it."""
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


def _check_names(line: Line) -> None:
    """The first line names the columns, each by a name of its own."""
    names = line.names
    for separator, what in _SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise line.wrong(f"columns with commas between them, not {what}, as in {shown(names[0])}")
    if all(number_of(name) is not None for name in names):
        raise line.wrong(f"a line with the names of the columns, not values, as in {shown(','.join(names))}")
    if "" in names:
        raise line.wrong(f"a name for each column, and column {names.index('') + 1} of {len(names)} has none")
    if (twice := doubled(names)) is not None:
        raise TableError(f"{line.path}:{line.number}: {twice}")


def doubled(names: Sequence[str]) -> str | None:
    """What is wrong with the names of columns where two are alike but for blanks at their ends; None where all differ."""
    places: dict[str, int] = {}
    for place, name in enumerate(map(str.strip, names), start=1):
        if name and name in places:
            return f"columns {places[name]} and {place} are both called {name!r}; expected a name of its own for each"
        places[name] = place
    return None


def _decimals(cells: Sequence[str], width: int) -> str:
    """What a line is that has more values than there are columns, all of them whole."""
    whole = len(cells) > width and all(cell.strip().lstrip("+-").isdecimal() for cell in cells)
    return "; decimals have a point before them, not a comma" if whole else ""
