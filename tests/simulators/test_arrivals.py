"""Requests arrive as their source says, whatever the block in which they are asked for."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulators.arrival_rates import Function, Pieces, Rate, Scaled, Steady, Wave, Weekly, flash_crowd, ramp, step
from simulators.arrival_traces import CountTrace, StampTrace, TraceError, load_trace
from simulators.arrivals import Bursts, CountReplay, Poisson, Source, StampReplay, Superposed

HOUR = 3600.0
TRACES = os.environ.get("HOMEOSTAT_DATA")


def seed(n: int = 1) -> np.random.SeedSequence:
    return np.random.SeedSequence(n)


SOURCES: dict[str, Callable[[], Source]] = {
    "poisson": lambda: Poisson(Wave(20.0, 0.8), seed=seed()),
    "bursts": lambda: Bursts((1.0, 80.0), (30.0, 5.0), seed=seed()),
    "counts": lambda: CountReplay(np.arange(60), bin_s=60, seed=seed()),
    "gaps": lambda: CountReplay(np.arange(60) * 40, bin_s=60, seed=seed(), within="exponential_gaps"),
    "stamps": lambda: StampReplay(np.sort(np.random.default_rng(1).uniform(0, HOUR, 500)), scale=2.5, seed=seed()),
    "superposed": lambda: Superposed(Poisson(Steady(5.0), seed=seed(1)), Poisson(Steady(3.0), seed=seed(2))),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_arrivals_ascend_and_do_not_depend_on_the_block(make: Callable[[], Source]) -> None:
    """Asked for every 7 s or all at once: the same times, in order, each before the moment asked for."""
    whole = make().until(HOUR)
    source = make()
    parts = [source.until(t) for t in [*np.arange(7.0, HOUR, 7.0), HOUR]]
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(whole) > 100
    assert np.all(np.diff(whole) >= 0)
    assert 0 <= whole[0] <= whole[-1] < HOUR


RATES: list[Rate] = [
    Steady(50.0),
    Wave(40.0, 1.0, peak_s=1800.0, period_s=HOUR),
    ramp(0.0, 100.0, 600.0, 3000.0),
    step(10.0, 90.0, 1000.0),
    flash_crowd(5.0, 400.0, 1200.0),
    Weekly(Steady(50.0), (1, 0, 0, 0, 0, 0, 0)),
    Function(lambda t: 30.0 + 20.0 * (t > 1800), 50.0),
    Scaled(Pieces((0.0, 600.0), (0.0, 30.0)), factor=2.0, stretch=3.0),
]


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: type(rate).__name__)
def test_a_poisson_process_follows_its_rate(rate: Rate) -> None:
    """Counts of five minutes lie within four standard deviations of the integral of the rate, and the bound is a bound."""
    counts = np.histogram(Poisson(rate, seed=seed(7)).until(HOUR), bins=12, range=(0, HOUR))[0]
    for i, count in enumerate(counts):
        fine = np.linspace(i * 300.0, (i + 1) * 300.0, 3001)
        values = rate.at(fine)
        expected = np.trapezoid(values, fine)
        assert abs(count - expected) <= 4 * np.sqrt(expected) + 1
        assert values.max() <= rate.most(fine[0], fine[-1]) + 1e-9


def test_a_week_begins_on_monday() -> None:
    """Weekend factors lie on the sixth and seventh day."""
    week = Weekly(Steady(10.0), (1, 1, 1, 1, 1, 0.5, 0.2))
    assert week.at((np.arange(8) + 0.5) * 86_400.0).tolist() == [10, 10, 10, 10, 10, 5, 2, 10]


def test_bursts_stay_as_long_as_they_should() -> None:
    """The mean rate is that of the states, weighted by their stays."""
    count = len(Bursts((2.0, 50.0), (40.0, 10.0), seed=seed(3)).until(50_000.0))
    # A thousand cycles, whose counts have a standard deviation of nine tenths of their mean.
    assert count / 50_000.0 == pytest.approx((2 * 40 + 50 * 10) / 50, rel=3 * 0.9 / 1000**0.5)


def test_counts_are_kept_bin_by_bin() -> None:
    """Every request of a bin falls into it, scaled and stretched."""
    counts = np.array([3, 0, 50, 7])
    times = CountReplay(counts, bin_s=60, seed=seed(), scale=2.0, stretch=0.5).until(1e6)
    assert np.histogram(times, bins=4, range=(0, 120))[0].tolist() == [6, 0, 100, 14]


def test_exponential_gaps_begin_at_the_mark_and_spill_over() -> None:
    """All are sent: the first of each minute at its mark, some after its end; gaps have the mean of the bin over its count."""
    replay = CountReplay(np.full(500, 30), bin_s=60, seed=seed(4), within="exponential_gaps")
    times = replay.until(1e9)
    assert len(times) == 15_000
    assert set((np.arange(500) * 60.0).tolist()) <= set(times.tolist())
    alone = CountReplay(np.array([20_000]), bin_s=60, seed=seed(5), within="exponential_gaps").until(1e9)
    assert np.diff(alone).mean() == pytest.approx(60 / 20_000, rel=0.03)
    assert times.max() > 500 * 60


def test_recorded_requests_keep_their_columns() -> None:
    """Copies and stretching move rows as a whole."""
    stamps = np.array([0.0, 1.0, 4.0])
    columns = np.array([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])
    times, rows = StampReplay(stamps, columns=columns, scale=2.0, stretch=10.0, seed=seed()).rows_until(1e9)
    assert len(times) == 6
    assert np.all((times // 10.0)[rows[:, 0] == 10.0] == 0)
    assert rows[:, 0].tolist() == [10.0, 10.0, 20.0, 20.0, 30.0, 30.0]
    exact = StampReplay(stamps, columns=columns, seed=seed())
    assert exact.until(2.0).tolist() == [0.0, 1.0]
    assert exact.rows_until(9.0)[1].tolist() == [[30.0, 3.0]]


BROKEN = [
    ("minute,a\n0,1\n2,1\n", "3: expected minute 1 after the line before (a gap?), not 2"),
    ("minute,a\n0,1\n1,x\n", "3: expected a whole number >= 0 in column 'a', not 'x'"),
    ("minute,a\n0,-1\n", "2: expected a whole number >= 0 in column 'a', not '-1'"),
    ("minute,a\n0,nan\n", "2: expected a whole number >= 0 in column 'a', not 'nan'"),
    ("minute,a\n0,1,2\n", "2: expected 2 columns, as in the first line, not 3"),
    ("day,slot,a\n1,0,1\n1,2,1\n", "3: expected day,slot 1,1 or 2,0 after the line before (a gap?), not 1,2"),
    ("t_s,tokens\n0.5,1\n0.1,1\n", "3: expected a t_s that is >= 0 and not before that of the line above, not '0.1'"),
    ("hour,a\n0,1\n", "1: expected columns `minute` or `second`"),
    ("minute;a\n0;1\n", "1: expected columns with commas between them, not semicolons, as in 'minute;a'"),
    ("minute,a\n0,1e9\n", "2: expected at most 10,000,000 requests in column 'a', not '1e9'"),
    ("\n\nminute,a\n\n0,x\n", "5: expected a whole number >= 0 in column 'a', not 'x'"),
    ("", "1: expected a line with the names of the columns"),
    ("minute,a,a\n0,1,2\n", "1: columns 2 and 3 are both called 'a'; expected a name of its own for each"),
    ("t_s,size, size\n0,1,2\n", "1: columns 2 and 3 are both called 'size'; expected a name of its own for each"),
]


@pytest.mark.parametrize(("text", "error"), BROKEN)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_broken_trace_is_refused_with_its_line(tmp_path: Path, text: str, error: str, zipped: bool) -> None:
    """The error names file, line and what was expected, gzipped or not."""
    path = tmp_path / "trace.csv"
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    with pytest.raises(TraceError) as raised:
        load_trace(path)
    assert str(raised.value).startswith(f"{path}:{error}")


def test_a_trace_is_read_whole(tmp_path: Path) -> None:
    """Counts by series, and times with columns."""
    (tmp_path / "counts.csv").write_text("second,a,b\n5,1,2\n6,3,4\n")
    counts = load_trace(tmp_path / "counts.csv")
    assert isinstance(counts, CountTrace)
    assert (counts.bin_s, counts.series("b").tolist()) == (1.0, [2, 4])
    with pytest.raises(ValueError, match="no series 'c' in the trace; it has a, b"):
        counts.series("c")
    (tmp_path / "stamps.csv").write_text("t_s,tokens\n0.5,7\n0.75,9\n")
    stamps = load_trace(tmp_path / "stamps.csv")
    assert isinstance(stamps, StampTrace)
    assert (stamps.times_s.tolist(), stamps.columns.tolist(), stamps.names) == (
        [0.5, 0.75],
        [[7.0], [9.0]],
        ("tokens",),
    )


WRITTEN = {
    "as plain text": b"minute,chat\n0,20\n1,21\n",
    "with a byte order mark": b"\xef\xbb\xbfminute,chat\n0,20\n1,21\n",
    "with an empty last line": b"minute,chat\n0,20\n1,21\n\n",
    "with rows that were deleted": b"minute,chat\r\n0,20\r\n,\r\n1,21\r\n,\r\n , \r\n",
    "with a mark and line ends of Windows": b"\xef\xbb\xbfminute,chat\r\n0,20\r\n1,21\r\n\r\n",
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
def test_a_trace_is_read_as_spreadsheets_write_it(tmp_path: Path, content: bytes) -> None:
    """What they add beside the values changes nothing."""
    (tmp_path / "trace.csv").write_bytes(content)
    trace = load_trace(tmp_path / "trace.csv")
    assert isinstance(trace, CountTrace)
    assert (trace.names, trace.series("chat").tolist()) == (("chat",), [20, 21])


UNREADABLE = {
    "UTF-16": ("minute,chat\n0,1\n".encode("utf-16"), "expected text in UTF-8, not UTF-16; save it as `CSV UTF-8`"),
    "another page of letters": (b"minute,caf\xe9\n0,1\n", "expected text in CSV, plain or gzipped: 'utf-8' codec"),
    "half of a gzip": (gzip.compress(b"minute,a\n0,1\n")[:-12], "expected text in CSV, plain or gzipped: "),
    "a gzip with a flaw": (
        gzip.compress(b"minute,a\n0,1\n" * 99)[:10] + b"\xff" * 9,
        "expected text in CSV, plain or gzipped: Error -3",
    ),
}


@pytest.mark.parametrize(("content", "error"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_text_is_refused_in_words(tmp_path: Path, content: bytes, error: str) -> None:
    """The file is named, and no error of a library comes through."""
    path = tmp_path / "trace.csv"
    path.write_bytes(content)
    with pytest.raises(TraceError) as raised:
        load_trace(path)
    assert str(raised.value).startswith(f"{path}: {error}")


def test_no_more_is_unpacked_than_a_trace_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to more is refused before it fills the memory."""
    monkeypatch.setattr("simulators.arrival_traces.TEXT_MAX", 2**20)
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(b"minute,a\n" + b"0,1\n" * 2**19))
    with pytest.raises(TraceError, match=r"expected at most 1 MiB of text, unpacked; is it a table\?"):
        load_trace(path)


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_times_since_1970_are_taken_from_the_first(tmp_path: Path, unit: int) -> None:
    """In seconds, or in thousandths, millionths or billionths of them, as logs have them."""
    stamps = [1_764_345_600.25, 1_764_345_601.5, 1_764_345_655.5]
    lines = "".join(f"{stamp * unit:f},1\n" for stamp in stamps)
    (tmp_path / "trace.csv").write_text(f"t_s,tokens\n{lines}")
    trace = load_trace(tmp_path / "trace.csv")
    assert isinstance(trace, StampTrace)
    assert trace.times_s.tolist() == pytest.approx([0.0, 1.25, 55.25], abs=1e-5)


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    """Many models play columns of one file."""
    path = tmp_path / "trace.csv"
    path.write_text("minute,a\n0,1\n")
    first = load_trace(path)
    assert load_trace(path) is first
    path.write_text("minute,a\n0,1\n1,2\n")
    assert load_trace(path) is not first


@pytest.mark.skipif(TRACES is None, reason="HOMEOSTAT_DATA does not name the folder of public traces")
def test_the_public_traces_load() -> None:
    """Each file of the folder, with the sizes that its description states."""
    folder = Path(str(TRACES)) / "traces"
    found = {path.name[:2]: load_trace(path) for path in sorted(folder.glob("*.csv.gz"))}
    shapes = {k: t.counts.shape if isinstance(t, CountTrace) else t.columns.shape for k, t in found.items()}
    assert shapes == {
        "01": (360, 10),
        "02": (3960, 10),
        "03": (20160, 10),
        "04": (19366, 2),
        "05": (8819, 2),
        "06": (12031, 2),
    }
    faro = found["01"]
    assert isinstance(faro, CountTrace)
    assert faro.counts.sum() == 2_675_770
