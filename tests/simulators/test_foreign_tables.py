"""Tables of strangers are read rightly or refused with what was found, whichever part of a scenario they are for."""

import bz2
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulators import foreign_tables
from simulators.arrival_traces import CountTrace, StampTrace, load_trace
from simulators.foreign_tables import TableError, numbers_in
from simulators.row_streams import StreamError, read_stream

REFUSED = {
    "semicolons": (
        b"second;a\n0;1\n1;0\n",
        ":1: expected columns with commas between them, not semicolons, as in 'second;a'",
    ),
    "semicolons and decimal commas": (
        b"second;a\n0;1,5\n",
        ":1: expected columns with commas between them, not semicolons, as in 'second;a'",
    ),
    "tabs": (b"second\ta\n0\t1\n", ":1: expected columns with commas between them, not tabs, as in 'second\\ta'"),
    "bars": (b"second|a\n0|1\n", ":1: expected columns with commas between them, not bars, as in 'second|a'"),
    "UTF-16": ("second,a\n0,1\n".encode("utf-16"), ": expected text in UTF-8, not UTF-16; save it as `CSV UTF-8`"),
    "UTF-16 without a mark": (
        "second,a\n0,1\n".encode("utf-16-le"),
        ": expected text in UTF-8, not bytes of 0; UTF-16 has them, and so have files that are no text",
    ),
    "no names": (b"0,1\n1,2\n", ":1: expected a line with the names of the columns, not values, as in '0,1'"),
    "no names, with decimals": (
        b"0.5,1e3\n1,2\n",
        ":1: expected a line with the names of the columns, not values, as in '0.5,1e3'",
    ),
    "a column without a name": (
        b"second,a,\n0,1,2\n",
        ":1: expected a name for each column, and column 3 of 3 has none",
    ),
    "a column twice": (
        b"second,a,a\n0,1,2\n",
        ":1: columns 2 and 3 are both called 'a'; expected a name of its own for each",
    ),
    "a line that is too long": (b"second,a\n0,1\n1,2,x\n", ":3: expected 2 columns, as in the first line, not 3"),
    "decimal commas between commas": (
        b"second,a\n0,1,5\n",
        ":2: expected 2 columns, as in the first line, not 3; decimals have a point before them, not a comma",
    ),
    "a quote that is not closed": (
        b'second,a\n0,1\n1,"2\n3,4\n',
        ":4: expected CSV, with every quote closed before the next comma: unexpected end of data",
    ),
    "a line that is too short": (b"second,a\n0,1\n1\n", ":3: expected 2 columns, as in the first line, not 1"),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_by_all_readers(tmp_path: Path, content: bytes, told: str) -> None:
    """In the same words: of traces and counts, and of streams of rows."""
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(TableError) as of_a_trace:
        load_trace(path)
    with pytest.raises(StreamError) as of_a_stream:
        read_stream(path, target="second")
    assert (str(of_a_trace.value), str(of_a_stream.value)) == (f"{path}{told}", f"{path}{told}")


READ = {
    "quoted names and values": b'"second","a"\n"0","1"\n"1","0"\n',
    "a byte order mark": b"\xef\xbb\xbfsecond,a\n0,1\n1,0\n",
    "a mark and quotes": b'\xef\xbb\xbf"second","a"\n0,1\n1,0\n',
    "line ends of Windows": b"second,a\r\n0,1\r\n1,0\r\n",
    "line ends of old": b"second,a\r0,1\r1,0\r",
    "no end of the last line": b"second,a\n0,1\n1,0",
    "blanks around values": b"second,a\n 0 , 1\n1,0 \n",
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_what_is_plain_is_read_by_all_readers(tmp_path: Path, content: bytes) -> None:
    """As it was meant."""
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    trace = load_trace(path)
    assert isinstance(trace, CountTrace)
    assert trace.series("a").tolist() == [1, 0]
    stream = read_stream(path, target="a").rows(0, np.zeros(2))
    assert (stream.features, stream.labels) == ([{"second": 0}, {"second": 1}], [1.0, 0.0])


def test_names_of_kinds_are_read_in_any_capitals(tmp_path: Path) -> None:
    """As spreadsheets begin a line with one."""
    (tmp_path / "counts.csv").write_text("Minute,Chat\n0,5\n")
    (tmp_path / "times.csv").write_text("T_s\n5\n")
    counts, times = load_trace(tmp_path / "counts.csv"), load_trace(tmp_path / "times.csv")
    assert isinstance(counts, CountTrace)
    assert isinstance(times, StampTrace)
    assert (counts.names, counts.bin_s, times.times_s.tolist()) == (("Chat",), 60.0, [5.0])


def test_a_workbook_is_said_to_be_one(tmp_path: Path) -> None:
    """So is an archive."""
    path = tmp_path / "table.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(TableError) as error:
        load_trace(path)
    assert (
        str(error.value)
        == f"{path}: expected text in UTF-8, not a workbook or an archive; save the table as `CSV UTF-8`"
    )


WRONG_NUMBERS = {
    "'1,5'": '"1,5"',
    "'1,500'": '"1,500"',
    "'٣'": "٣",
    "'1_000'": "1_000",
    "'0x10'": "0x10",
    "'infinity'": "infinity",
    "'1e400'": "1e400",
    "''": "",
}


@pytest.mark.parametrize(("shown", "cell"), WRONG_NUMBERS.items(), ids=ascii)
def test_a_number_is_in_plain_digits_with_a_point(tmp_path: Path, shown: str, cell: str) -> None:
    """What only looks like one is not guessed at."""
    path = tmp_path / "trace.csv"
    path.write_text(f"t_s,size\n5,{cell}\n", encoding="utf-8")
    with pytest.raises(TableError) as error:
        load_trace(path)
    comma = "; decimals have a point before them, and thousands nothing between" if "," in shown else ""
    assert str(error.value) == f"{path}:2: expected a finite number in column 'size', not {shown}{comma}"


def test_a_column_of_decimal_commas_is_no_category(tmp_path: Path) -> None:
    """Each of its values would be a name of its own."""
    path = tmp_path / "rows.csv"
    path.write_text('price,y\n"1,5",1\n"2,75",0\n')
    with pytest.raises(StreamError) as error:
        read_stream(path, target="y")
    told = "column 'price' holds '1,5'; expected decimals with a point before them, and nothing between thousands"
    assert str(error.value) == f"{path}: {told}"
    path.write_text('words,y\n"1,5",1\n"no number",0\n')
    assert read_stream(path, target="y").rows(0, np.zeros(1)).features == [{"words": "1,5"}]


FROM_THE_BEGINNING = "seconds from the beginning of the trace on"
MIXED = {
    "0\n5\n1764345600\n": f"4: expected {FROM_THE_BEGINNING}, as in the first of them, not seconds since 1970, '1764345600'",
    "1764345600\n1764345601000\n": (
        "3: expected seconds since 1970, as in the first of them, not thousandths of seconds since 1970, '1764345601000'"
    ),
    "3\n1764345600000000000\n": (
        f"3: expected {FROM_THE_BEGINNING}, as in the first of them, not billionths of seconds since 1970, '1764345600000000000'"
    ),
}


@pytest.mark.parametrize(("times", "told"), MIXED.items(), ids=["relative", "another unit", "nanoseconds"])
def test_times_of_a_trace_are_by_one_clock_in_one_unit(tmp_path: Path, times: str, told: str) -> None:
    """One relative row and then times since 1970 would be one request in a run and nothing after it."""
    path = tmp_path / "trace.csv"
    path.write_text(f"t_s\n{times}")
    with pytest.raises(TableError) as error:
        load_trace(path)
    assert str(error.value) == f"{path}:{told}"


@pytest.mark.parametrize(("pack", "by"), [(bz2.compress, "bzip2"), (lzma.compress, "xz")])
def test_what_is_packed_otherwise_says_by_what(tmp_path: Path, pack: Callable[[bytes], bytes], by: str) -> None:
    """Plain text and gzip are read, whatever the file is called."""
    path = tmp_path / "trace.csv"
    path.write_bytes(pack(b"second,a\n0,1\n"))
    with pytest.raises(TableError) as error:
        load_trace(path)
    assert str(error.value) == f"{path}: expected text in UTF-8, not packed by {by}; expected it plain or gzipped"


def test_a_line_is_counted_as_an_editor_counts_it(tmp_path: Path) -> None:
    """A cell between quotes may go over several lines, and empty lines count."""
    path = tmp_path / "trace.csv"
    for content, line in (
        ('t_s,"to\nkens"\n0,1\n1,x\n', 4),
        ('t_s,a\n0,"1\n\n"\n\n1,x\n', 6),
        ('t_s,a\r\n0,"\r\n1"\r\n1,x\r\n', 4),
    ):
        path.write_text(content, newline="")
        with pytest.raises(TableError) as refused:
            load_trace(path)
        assert str(refused.value).startswith(f"{path}:{line}: expected a finite number in column")
    path.write_text('label,"a\nb"\n0,"x\n\n"\n\nyes,x\n', newline="")
    with pytest.raises(StreamError) as of_a_stream:
        read_stream(path, target="label")
    assert str(of_a_stream.value) == f"{path}:7: label: found 'yes'; expected a number, or give `positive`"


@pytest.mark.parametrize(
    ("limit", "told"),
    [("LINES_MAX", "at most 10 lines, not 11"), ("CELLS_MAX", "at most 10 cells, not 22")],
)
def test_a_table_of_too_many_lines_or_cells_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, told: str
) -> None:
    """A few bytes, packed, would else cost minutes and all memory; of traces and of rows alike."""
    monkeypatch.setattr(foreign_tables, limit, 10)
    path = tmp_path / "table.csv"
    path.write_text("t_s,a\n" + "0,1\n" * 10)
    with pytest.raises(TableError) as of_a_trace:
        load_trace(path)
    with pytest.raises(StreamError) as of_a_stream:
        read_stream(path, target="a")
    assert str(of_a_trace.value) == str(of_a_stream.value) == f"{path}: expected {told}"


AT_ONCE = {
    "plain": ("t_s,a\n0,1\n0.1,-2.5e-3\n", [[0.0, 1.0], [0.1, -0.0025]]),
    "blanks, empty lines and line ends of Windows": ("t_s, a\r\n 0 ,1\r\n\r\n1,2 \r\n", [[0.0, 1.0], [1.0, 2.0]]),
    "to the last digit": ("t_s,a\n0,0.30000000000000004\n", [[0.0, 0.1 + 0.2]]),
    "quotes": ('t_s,a\n"0",1\n', None),
    "a text": ("t_s,a\n0,x\n", None),
    "nothing": ("t_s,a\n0,\n", None),
    "a short line": ("t_s,a\n0,1\n1\n", None),
    "a long line": ("t_s,a\n0,1\n1,2,3\n", None),
    "lines that are long alike": ("t_s,a\n0,1,2\n1,2,3\n", None),
    "a long and a short line": ("t_s,a\n0,1,2\n1\n", None),
    "beyond all numbers": ("t_s,a\n0,1e400\n", None),
    "infinity": ("t_s,a\n0,inf\n", None),
    "no line": ("t_s,a\n", None),
    "a name twice": ("t_s,t_s\n0,1\n", None),
}


@pytest.mark.parametrize(("text", "values"), AT_ONCE.values(), ids=AT_ONCE)
def test_a_table_of_nothing_but_numbers_is_read_at_once(tmp_path: Path, text: str, values: list | None) -> None:
    """To the values that its lines give; whatever else is left to the lines, which say what is wrong where."""
    path = tmp_path / "table.csv"
    path.write_text(text, newline="")
    found = numbers_in(path)
    assert (None if found is None else (found[0], found[1].tolist())) == (
        None if values is None else (["t_s", "a"], values)
    )


@pytest.mark.parametrize(
    "text",
    ["minute,a,b\n3,1,2\n4,0,7\n", "day,slot,a\n1,1438,5\n1,1439,6\n2,0,7\n2,1,8\n", "t_s,a\n1e9,1\n1000000060.5,2\n"],
)
def test_both_ways_of_reading_a_trace_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """At once, and by its lines."""
    path = tmp_path / "trace.csv"
    path.write_text(text)
    at_once = load_trace(path)
    monkeypatch.setattr("simulators.arrival_traces.numbers_in", lambda *_: None)
    path.write_text(f"{text}\n")
    by_line = load_trace(path)
    assert at_once is not by_line
    assert repr(at_once) == repr(by_line)
