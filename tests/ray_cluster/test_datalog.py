"""The data log: what was answered is there to be learned from, whole and once."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from agent.monitoring.rows import Labelled, Served
from agent.recipes.columns import Columns
from policies.observation import Quarantined
from ray_cluster import datalog
from ray_cluster.datalog import DataLog, features, read
from tests.agent.monitoring.test_odd_values import STRANGE

DAY_S = 86_400.0


def row(key: str, at_s: float = 0.0, shadow: bool = False, **values) -> Served:
    return Served(key, at_s, values or {"x": 1.0}, 0.5, 0.01, "1", "r", shadow)


def test_rows_and_late_labels_come_back_in_time_order_by_day(tmp_path: Path) -> None:
    """Partitioned by model and day; a label of another day finds its row; shadow copies are no rows."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row("b", DAY_S + 1, x=2.0), row("a", 5.0, x=1.0), row("s", 6.0, shadow=True)])
    log.labels([Labelled("a", 2 * DAY_S, 1.0), Labelled("nobody", 1.0, 0.0)])
    assert log.waiting == 4
    log.flush()
    assert log.waiting == 0
    days = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/*/*"))
    assert days == [
        "labels/model=m/day=1970-01-01",
        "labels/model=m/day=1970-01-03",
        "rows/model=m/day=1970-01-01",
        "rows/model=m/day=1970-01-02",
    ]
    found = read(str(tmp_path), "m")
    expected = pd.DataFrame(
        {
            "key": ["a", "b"], "at_s": [5.0, DAY_S + 1], "x": [1.0, 2.0], "prediction": [0.5, 0.5],
            "version": ["1", "1"], "label": [1.0, float("nan")],
        }
    )  # fmt: skip
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert list(features(found)) == ["x"]


def test_what_is_asked_for_is_what_is_read(tmp_path: Path) -> None:
    """A span of time, the newest so many, labelled ones only, without what is quarantined."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row(str(n), float(n)) for n in range(10)])
    log.labels([Labelled("3", 20.0, 1.0), Labelled("7", 20.0, 0.0)])
    log.flush()
    url = str(tmp_path)
    assert list(read(url, "m", since_s=2.0, until_s=5.0)["key"]) == ["2", "3", "4"]
    assert list(read(url, "m", rows_max=2)["key"]) == ["8", "9"]
    assert list(read(url, "m", labelled_only=True)["key"]) == ["3", "7"]
    bad = Quarantined(since_s=1.0, until_s=9.0)
    assert list(read(url, "m", quarantined=(bad,))["key"]) == ["0", "9"]
    assert read(url, "other").empty


def test_a_feature_of_mixed_kinds_costs_no_row(tmp_path: Path) -> None:
    """Numbers stay, what is none is missing; in one part, and across parts of which each has one kind."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row("a", 1.0, x=1.0, y=[1]), row("b", 2.0, x="many", y={"k": 2})])
    log.flush()
    log.rows([row("c", 3.0, x="none", y="text")])
    log.flush()
    found = read(str(tmp_path), "m")
    assert list(found["key"]) == ["a", "b", "c"]
    assert found["x"].notna().tolist() == [True, False, False]
    assert list(found["y"]) == ["[1]", '{"k": 2}', "text"]


NAMES = ["label", "version", "key", "at_s", "prediction", "replica", "feature.label", "feature."]


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_may_have_the_name_of_a_column_of_the_log(tmp_path: Path, name: str) -> None:
    """It comes back as a feature, and what is the log's own stays as it is."""
    log = DataLog(str(tmp_path), "m")
    log.rows([Served("a", 1.0, {"amount": 2.0, name: 3.0, "feature.key": 4.0}, 0.5, 0.01, "7", "r")])
    log.labels([Labelled("a", 2.0, 1.0)])
    log.flush()
    rows = read(str(tmp_path), "m")
    expected = pd.DataFrame({"amount": [2.0], name: [3.0], "feature.key": [4.0]})
    pd.testing.assert_frame_equal(features(rows), expected)
    own = rows[["key", "at_s", "prediction", "version", "label"]].to_dict(orient="records")
    assert own == [{"key": "a", "at_s": 1.0, "prediction": 0.5, "version": "7", "label": 1.0}]


def test_what_a_model_is_trained_on_is_what_it_is_asked_for(tmp_path: Path) -> None:
    """Objects, lists, dates, decimals, truths and numpy's numbers: the same columns from the log as from the live row."""
    live = [
        {
            "customer": {"tier": ("gold", "basic")[n % 2], "since": date(2020, 1, 1 + n % 2)}, "tags": [n % 3, "x"],
            "born": datetime(1980, 1 + n % 3, 2, tzinfo=UTC), "price": Decimal(n) / 4, "count": np.int64(n),
            "share": np.float32(n), "flag": np.bool_(n % 2), "truth": bool(n % 2), "note": "long " * 100 + str(n % 2),
            "half": f"half \ud800 {n % 2}", "gone": pd.NA if n % 4 else "there",
        }
        for n in range(60)
    ]  # fmt: skip
    log = DataLog(str(tmp_path), "m")
    log.rows([row(str(n), float(n), **each) for n, each in enumerate(live)])
    log.flush()
    rows = features(read(str(tmp_path), "m"))
    columns = Columns.learn(rows)
    np.testing.assert_array_equal(columns.matrix(rows), columns.of_rows(live))
    missing = np.isnan(columns.of_rows(live)).any(axis=0)
    assert [name for name, gone in zip(columns.names, missing, strict=True) if gone] == ["gone"]


def test_a_bad_row_costs_neither_its_batch_nor_the_labels(tmp_path: Path) -> None:
    """Keys of other types become texts; what can not be written is refused, and all others are written."""
    log = DataLog(str(tmp_path), "m")
    odd = [{"x": 10**400}, {"x": object()}, {"half \ud800": 1.0}, {"x": 2**70}, {"x": 1.0}]
    log.rows([Served(n, 1.0 + n, each, 0.5, 0.01, "1", "r") for n, each in enumerate(odd)])
    log.rows(
        [Served("b", 9.0, {"x": 1.0}, "a text", 0.01, "1", "r"), Served("c", math.nan, {"x": 1.0}, 0.5, 0.01, "1", "r")]
    )
    log.labels([Labelled("b", 9.0, 1e200), Labelled(4, 9.0, 1.0), Labelled("c", 1e20, 1.0), Labelled([], 9.0, 1.0)])
    log.flush()
    assert log.waiting == 0
    rows = read(str(tmp_path), "m")
    assert list(rows["key"]) == ["0", "3", "4"]
    assert rows["x"].fillna(-1.0).tolist() == [-1.0, float(2**70), 1.0]
    assert rows["label"].fillna(-1.0).tolist() == [-1.0, -1.0, 1.0]
    assert sum(log.refused.values()) == 8


def test_a_row_that_no_file_can_hold_is_given_up_alone(tmp_path: Path, monkeypatch) -> None:
    """Whatever the reason: the rest is written, once, and the labels are too."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row(str(n), float(n)) for n in range(20)])
    log.labels([Labelled("3", 20.0, 1.0)])
    made = datalog.pa.Table.from_pandas

    def refusing(table: pd.DataFrame, **kind) -> object:
        if "7" in set(table["key"]):
            raise pa.ArrowInvalid("cannot be stored")
        return made(table, **kind)

    monkeypatch.setattr(
        datalog, "pa", SimpleNamespace(Table=SimpleNamespace(from_pandas=refusing), ArrowException=pa.ArrowException)
    )
    log.flush()
    log.flush()
    assert (log.waiting, dict(log.refused)) == (0, {datalog.UNSTORED: 1})
    assert list(read(str(tmp_path), "m")["key"]) == [str(n) for n in range(20) if n != 7]
    assert list(read(str(tmp_path), "m", labelled_only=True)["key"]) == ["3"]


def test_labels_are_written_where_rows_can_not_be(tmp_path: Path, monkeypatch) -> None:
    """And the other way round: each waits for itself only."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row("a")])
    log.labels([Labelled("a", 2.0, 1.0)])
    moved = log._fs.mv

    def full(source: str, target: str) -> None:
        if "/rows/" in target:
            raise OSError(28, "No space left on device")
        moved(source, target)

    monkeypatch.setattr(log._fs, "mv", full)
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    assert log.waiting == 1
    assert len(list((tmp_path / "labels").rglob("*.parquet"))) == 1


def test_what_could_not_be_written_still_waits_and_is_written_once(tmp_path: Path, monkeypatch) -> None:
    """A full disk loses nothing that was taken in."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row("a")])
    moved = log._fs.mv

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._fs, "mv", full)
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    assert (log.waiting, read(str(tmp_path), "m").empty) == (1, True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], "half a part was left behind"
    monkeypatch.setattr(log._fs, "mv", moved)
    log.flush()
    log.flush()
    assert list(read(str(tmp_path), "m")["key"]) == ["a"]


def test_any_file_system_will_do() -> None:
    """Here one in memory, by its fsspec URL."""
    fsspec.filesystem("memory").store.clear()
    log = DataLog("memory://log", "m")
    log.rows([row("a")])
    log.flush()
    assert list(read("memory://log", "m")["key"]) == ["a"]


def test_while_nothing_can_be_written_the_newest_are_kept(tmp_path: Path) -> None:
    """Memory is bounded; what was given up is counted."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row(str(n), float(n)) for n in range(10)])
    assert (log.drop_oldest(4), log.waiting) == (6, 4)
    log.flush()
    assert list(read(str(tmp_path), "m")["key"]) == ["6", "7", "8", "9"]


def test_rows_may_come_while_others_are_written(tmp_path: Path, monkeypatch) -> None:
    """A store that is slow keeps nobody waiting; every row is written once, and what came meanwhile with the next flush."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row("a")])
    moved = log._fs.mv

    def slowly(source: str, target: str) -> None:
        log.rows([row("b")])  # as another thread would
        moved(source, target)

    monkeypatch.setattr(log._fs, "mv", slowly)
    log.flush()
    assert (log.waiting, list(read(str(tmp_path), "m")["key"])) == (1, ["a"])
    monkeypatch.setattr(log._fs, "mv", moved)
    log.flush()
    assert list(read(str(tmp_path), "m")["key"]) == ["a", "b"]


def test_a_day_that_was_written_is_not_written_again(tmp_path: Path, monkeypatch) -> None:
    """At midnight the disk fills up between two days: only the second still waits."""
    log = DataLog(str(tmp_path), "m")
    log.rows([row("a", 5.0), row("b", DAY_S + 5.0)])
    moved = log._fs.mv

    def full(source: str, target: str) -> None:
        if "day=1970-01-02" in target:
            raise OSError(28, "No space left on device")
        moved(source, target)

    monkeypatch.setattr(log._fs, "mv", full)
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    monkeypatch.setattr(log._fs, "mv", moved)
    log.flush()
    assert list(read(str(tmp_path), "m")["key"]) == ["a", "b"]


def test_a_long_log_costs_no_more_than_what_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    """Of 30 days with two files each, of rows and of labels, those that hold the newest rows are read, and what can be their label."""
    log = DataLog(str(tmp_path), "m")
    for day in range(30):
        for half in range(2):
            log.rows([row(f"{day} {half} {n}", DAY_S * day + 40_000 * half + n) for n in range(10)])
            log.labels([Labelled(f"{day} {half} {n}", DAY_S * day + 40_000 * half + 100, 1.0) for n in range(10)])
            log.flush()
    read_files: list[str] = []
    table = datalog._table

    def noted(fs, name, columns=None):
        read_files.append(str(Path(name).relative_to(tmp_path).parent))
        return table(fs, name, columns)

    monkeypatch.setattr(datalog, "_table", noted)
    rows = read(str(tmp_path), "m", rows_max=5, labelled_only=True)
    assert list(rows["key"]) == [f"29 1 {n}" for n in range(5, 10)]
    days = [f"labels/model=m/day=1970-01-{day}" for day in (30, 30, 29, 29)]
    assert read_files == [*days, "rows/model=m/day=1970-01-30"]


def test_the_newest_rows_are_the_newest_whoever_wrote_them(tmp_path: Path) -> None:
    """Files of several writers overlap, and their names are in no order; a late label of an older day finds its row."""
    logs = [DataLog(str(tmp_path), "m") for _ in range(3)]
    for n in range(60):
        logs[n % 3].rows([row(str(n), 1000.0 + n)])
        if n % 20 == 19:
            for log in logs:
                log.flush()
    logs[0].labels([Labelled(str(n), 3 * DAY_S, float(n)) for n in range(0, 60, 2)])
    logs[0].flush()
    assert list(read(str(tmp_path), "m", rows_max=25)["key"]) == [str(n) for n in range(35, 60)]
    labelled = read(str(tmp_path), "m", rows_max=25, labelled_only=True)
    assert labelled["label"].tolist() == [float(n) for n in range(10, 60, 2)]
    assert list(read(str(tmp_path), "m", rows_max=3, until_s=1010.0)["key"]) == ["7", "8", "9"]


@pytest.mark.parametrize("place", range(len(STRANGE)))
def test_no_value_keeps_the_rows_beside_it_out_of_the_log(tmp_path: Path, place: int) -> None:
    """As a feature, a label, a key, or in any other place: what can not be kept is left out alone."""
    odd = STRANGE[place]
    good = Served("a", 1.0, {"x": 1.0}, 0.5, 0.1, "1", "r")
    log = DataLog(str(tmp_path), "m")
    log.rows([good, replace(good, key="b", features={"x": odd}), Served(odd, 2.0, {"y": odd}, odd, odd, odd, odd, odd)])
    log.labels([Labelled("a", 2.0, 1.0), Labelled("b", 2.0, odd), Labelled(odd, odd, odd)])
    log.flush()
    rows = read(str(tmp_path), "m").set_index("key")
    assert (float(rows.loc["a", "x"]), rows.loc["a", "label"], log.waiting) == (1.0, 1.0, 0)
