"""Rows of streams: the same whatever the pieces, from files with their faults named, and broken by incidents."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from simulators.changes import Change
from simulators.row_streams import SHIFT, GeneratedStream, StreamError, read_stream

CHANGES = (
    Change(kind="harmful", at_s=1000.0, until_s=2000.0, harm=1.0),
    Change(kind="harmless", at_s=2000.0, until_s=3000.0),
    Change(kind="season", at_s=3000.0, until_s=5000.0, harm=0.5),
    Change(kind="incident", at_s=5000.0, until_s=6000.0, harm=1.0),
    Change(kind="incident", at_s=6000.0, until_s=7000.0, harm=1.0, broken="units"),
    Change(kind="recurring", at_s=8000.0, period_s=500.0, harm=1.0),
)
TIMES_S = np.arange(0.0, 10_000.0, 1.0)
CSV = "a,b,word,truth\n1,2,x,yes\n,3,y,no\n3,,,yes\n4,5,x,no\n"


def stream(**fields) -> GeneratedStream:
    return GeneratedStream(seed=np.random.SeedSequence(1), **({"changes": CHANGES} | fields))


def right(rows_from_s: int, rows_until_s: int) -> float:
    """The part of the rows whose label lies on the side of the first concept."""
    calm = stream(changes=())
    played = stream().rows(0, TIMES_S)
    concept = calm._concept(())
    x = np.array([list(each.values()) for each in calm.rows(0, TIMES_S).features])
    sides = (x @ concept > 0).astype(float)
    return float(np.mean((sides == np.array(played.labels))[rows_from_s:rows_until_s]))


def test_a_row_is_the_same_however_many_are_asked_for() -> None:
    """All at once, or in pieces of any sizes across the blocks."""
    whole = stream().rows(0, TIMES_S)
    first, pieces = 0, []
    for size in (1, 700, 2000, 23, 4000, 3276):
        pieces.append(stream().rows(first, TIMES_S[first : first + size]))
        first += size
    assert [row for piece in pieces for row in piece.features] == whole.features
    assert [label for piece in pieces for label in piece.labels] == whole.labels


def test_other_seeds_give_other_rows() -> None:
    assert stream().rows(0, TIMES_S[:5]) == stream().rows(0, TIMES_S[:5])
    assert GeneratedStream(seed=np.random.SeedSequence(2)).rows(0, TIMES_S[:5]) != stream(changes=()).rows(
        0, TIMES_S[:5]
    )


def test_each_change_does_what_its_name_says() -> None:
    """Harmful turns the labels round; harmless leaves them; a season mixes them up and lets go; a recurring concept comes and goes."""
    before = right(0, 1000)
    assert before > 0.8
    assert right(1000, 2000) == pytest.approx(1 - before, abs=0.05)
    assert right(2000, 3000) == pytest.approx(before, abs=0.05)
    assert right(3900, 4100) == pytest.approx(0.5, abs=0.1)
    assert right(4950, 5000) > 0.7
    assert [right(s, s + 500) > 0.5 for s in (8000, 8500, 9000, 9500)] == [False, True, False, True]


def test_a_harmless_change_moves_the_last_feature_and_an_incident_breaks_rows() -> None:
    """Every second feature is missing, or the numbers are a thousand times what they were."""
    rows, calm = stream().rows(0, TIMES_S).features, stream(changes=()).rows(0, TIMES_S).features
    assert rows[2500] == calm[2500] | {"x6": pytest.approx(calm[2500]["x6"] + SHIFT)}
    assert rows[5500] == calm[5500] | {"x1": None, "x3": None, "x5": None}
    assert rows[6500] == {name: pytest.approx(1000.0 * value) for name, value in calm[6500].items()}
    assert rows[7500] == calm[7500]


def test_a_file_is_played_row_by_row_with_what_is_missing_as_none(tmp_path: Path) -> None:
    """Numbers stay numbers, texts texts, and the stream has an end."""
    file = tmp_path / "rows.csv"
    file.write_text(CSV)
    read = read_stream(file, target="truth", positive=["yes"], drop=["b"])
    rows = read.rows(1, np.zeros(10))
    assert rows.labels == [0.0, 1.0, 0.0]
    assert rows.features == [{"a": None, "word": "y"}, {"a": 3.0, "word": None}, {"a": 4.0, "word": "x"}]
    assert read.rows(4, np.zeros(3)).labels == []


def test_a_label_that_is_missing_among_values_is_unknown_and_no_zero(tmp_path: Path) -> None:
    """Whatever way it is missing; also where somebody calls what is missing positive."""
    file = tmp_path / "rows.csv"
    file.write_text("a,truth\n1,yes\n2,\n3,NaN\n4,None\n5,no\n")
    for positive in (["yes"], ["yes", float("nan")]):
        assert read_stream(file, target="truth", positive=positive).rows(0, np.zeros(5)).labels == [
            1.0,
            None,
            None,
            None,
            0.0,
        ]
    with pytest.raises(StreamError, match="never holds one of"):
        read_stream(file, target="truth", positive=[float("nan")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y,a,y\n1,2,1\n", "rows.csv:1: columns 1 and 3 are both called 'y'; expected a name of its own for each"),
        ("y,a, a\n1,2,1\n", "rows.csv:1: columns 2 and 3 are both called 'a'"),
        ("\ufeff\"y\",a,y\n1,2,1\n", "rows.csv:1: columns 1 and 3 are both called 'y'"),
        ("y,a,y.1\n1,2,1\n0,2,0\n", "rows.csv:1: column 'y.1' is the target 'y' again in every row"),
        ("y\n1\n0\n", "rows.csv: there is no column but the target 'y'; expected features beside it"),
    ],
)  # fmt: skip
def test_a_table_that_would_tell_the_label_or_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With file, line and columns, plain or compressed."""
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / "rows.csv.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    for name in ("rows.csv", "rows.csv.gz"):
        with pytest.raises(StreamError, match=re.escape(message.replace("rows.csv", name))):
            read_stream(tmp_path / name, target="y")


def test_a_feature_that_only_looks_like_the_target_again_is_kept(tmp_path: Path) -> None:
    """Other values, or another name."""
    file = tmp_path / "rows.csv"
    file.write_text("y,y.1,copy\n1,0,1\n0,0,0\n")
    assert read_stream(file, target="y").rows(0, np.zeros(1)).features == [{"y.1": 0, "copy": 1}]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": "thruth"}, "rows.csv: there is no column 'thruth'; expected one of a, b, word, truth"),
        ({"target": "truth", "drop": ["c"]}, "rows.csv: there is no column 'c'"),
        ({"target": "truth", "positive": [1]}, r"column 'truth' never holds one of \[1\]; it holds 'yes', 'no'"),
        ({"target": "truth"}, "rows.csv:2: truth: found 'yes'; expected a number, or give `positive`"),
        ({"target": "b"}, "rows.csv:4: b: found nan; expected a number"),
    ],
)
def test_a_file_that_can_not_be_played_says_why(tmp_path: Path, asked: dict, message: str) -> None:
    """The file, the column or the line, and what was expected."""
    file = tmp_path / "rows.csv"
    file.write_text(CSV)
    with pytest.raises(StreamError, match=message):
        read_stream(file, **asked)


def test_an_empty_file_has_no_rows_to_play(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("a,b\n")
    with pytest.raises(StreamError, match="there are no rows in it"):
        read_stream(tmp_path / "none.csv", target="a")
