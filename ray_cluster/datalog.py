"""The data log: every row that was answered and every label that came, as Parquet, partitioned by model and day.

    URL/rows/model=flights/day=2013-01-01/part-00000012-ab12cd34.parquet
    URL/labels/model=flights/day=2013-01-01/part-...

A part is written under another name and then moved to its own, so that a reader sees whole parts only. What waits in memory is lost
when the process dies, at most the rows of `flush_s` seconds. Works on a local folder and on any fsspec URL.
"""

import math
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from agent.monitoring.intake import NAMES_CARRIED, Intake
from agent.monitoring.rows import Labelled, Served
from policies.observation import Quarantined

RESERVED = ("key", "at_s", "prediction", "version", "label")
"""Columns of `read` that are no features."""
Table = Callable[[list[Any]], pd.DataFrame]
log = structlog.get_logger()
FEATURE = "feature."
"""Features are stored under this prefix, so that one called "key" or "label" does no harm; `read` leaves it on where it is needed."""
UNSTORED = "row or label can not be stored in a file"


class DataLog:
    """Appends rows and labels of one model under `url`. One thread may flush while another adds; any number of processes may write."""

    def __init__(self, url: str, model: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._model = model
        self._rows: list[Served] = []
        self._labels: list[Labelled] = []
        self._part = 0
        self._intake = Intake(NAMES_CARRIED, first_rows=math.inf)
        self._adding, self._flushing = threading.Lock(), threading.Lock()

    def rows(self, batch: Iterable[Served]) -> None:
        """Keep what was answered to somebody; shadow copies are no new rows."""
        with self._adding:
            for row in batch:
                sound = None if row.shadow else self._intake.row(row)
                if sound is not None:
                    self._rows.append(sound)

    def labels(self, batch: Iterable[Labelled]) -> None:
        with self._adding:
            self._labels.extend(sound for each in batch if (sound := self._intake.label(each)) is not None)

    @property
    def waiting(self) -> int:
        """Rows and labels in memory."""
        return len(self._rows) + len(self._labels)

    @property
    def refused(self) -> Counter[str]:
        """What was not kept, or not as it came, by reason."""
        return self._intake.refused

    def flush(self) -> None:
        """Write what waits, day by day, rows and labels each for themselves.

        Raises OSError where it can not; what is not written then still waits. A row that no file can hold is given up, and counted.
        """
        errors = []
        with self._flushing:
            for kind, waiting, table in (("rows", self._rows, _of_rows), ("labels", self._labels, pd.DataFrame)):
                try:
                    self._empty(kind, waiting, table)
                except OSError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def _empty(self, kind: str, waiting: list[Any], table: Table) -> None:
        by_day: dict[str, list[Any]] = {}
        for each in list(waiting):
            by_day.setdefault(_day(each.at_s), []).append(each)
        for day in sorted(by_day):
            self._settle(kind, day, by_day[day], waiting, table)

    def _settle(self, kind: str, day: str, chosen: list[Any], waiting: list[Any], table: Table) -> None:
        """Write `chosen` and take it out of what waits; where no file can hold it all, in halves, until one row is left and given up."""
        try:
            made = pa.Table.from_pandas(table(chosen), preserve_index=False)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, KeyError) as error:
            if len(chosen) > 1:
                middle = len(chosen) // 2
                self._settle(kind, day, chosen[:middle], waiting, table)
                self._settle(kind, day, chosen[middle:], waiting, table)
                return
            self.refused[UNSTORED] += 1
            log.warning("row_not_stored", model=self._model, kind=kind, reason=f"{type(error).__name__}: {error}")
        else:
            self._write(kind, day, made)
        done = {id(each) for each in chosen}
        with self._adding:
            waiting[:] = [each for each in waiting if id(each) not in done]

    def drop_oldest(self, kept_max: int) -> int:
        """Keep the newest `kept_max` rows and as many labels; how many were given up."""
        with self._flushing, self._adding:
            before = self.waiting
            del self._rows[:-kept_max], self._labels[:-kept_max]
            return before - self.waiting

    def _write(self, kind: str, day: str, table: pa.Table) -> None:
        folder = f"{self._root}/{kind}/model={self._model}/day={day}"
        self._fs.makedirs(folder, exist_ok=True)
        name = f"part-{self._part:08d}-{uuid.uuid4().hex[:8]}.parquet"
        self._part += 1
        hidden = f"{folder}/.{name}"
        try:
            with self._fs.open(hidden, "wb") as file:
                pq.write_table(table, file)
            self._fs.mv(hidden, f"{folder}/{name}")
        except BaseException:
            with suppress(Exception):  # half a part, left behind at every attempt, would fill what is full already
                self._fs.rm_file(hidden)
            raise


def read(
    url: str,
    model: str,
    *,
    since_s: float | None = None,
    until_s: float | None = None,
    rows_max: int | None = None,
    labelled_only: bool = False,
    quarantined: Sequence[Quarantined] = (),
) -> pd.DataFrame:
    """The newest `rows_max` rows in [since_s, until_s) in time order, with the labels that are known by now.

    Columns: key, at_s, one per feature, prediction, version, label (NaN where none has come). A feature that has the name of another
    column keeps its prefix "feature."; `features` takes it off. Quarantined rows are left out. Days are
    read from the newest backwards, so that a long log costs no more than what is asked for. An empty frame where there is nothing.
    """
    fs, root = fsspec.core.url_to_fs(url)
    labels = _labels(fs, root, model, since_s)
    found: list[pd.DataFrame] = []
    count = 0
    for folder in _days(fs, f"{root}/rows/model={model}"):
        if since_s is not None and folder.rsplit("day=", 1)[1] < _day(since_s):
            break
        day = _parts(fs, folder)
        day = day[_wanted(day, since_s, until_s, quarantined)]
        day = day.assign(label=day["key"].map(labels))
        if labelled_only:
            day = day[day["label"].notna()]
        found.append(day)
        count += len(day)
        if rows_max is not None and count >= rows_max:
            break
    if not found:
        return pd.DataFrame(columns=pd.Index(RESERVED))
    rows = pd.concat(found[::-1], ignore_index=True).sort_values("at_s", kind="stable", ignore_index=True)
    rows = rows if rows_max is None else rows.iloc[-rows_max:].reset_index(drop=True)
    return rows.rename(columns=_short)


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """The features of what `read` gave, by their own names."""
    return rows.drop(columns=list(RESERVED), errors="ignore").rename(columns=lambda name: name.removeprefix(FEATURE))


def _short(column: str) -> str:
    """A feature's own name, where that is not the name of another column."""
    name = column.removeprefix(FEATURE)
    return column if name in RESERVED or name.startswith(FEATURE) else name


def _of_rows(rows: list[Served]) -> pd.DataFrame:
    return _one_kind_each(pd.DataFrame([_flat(row) for row in rows]))


def _flat(row: Served) -> dict[str, Any]:
    named = {f"{FEATURE}{name}": value for name, value in row.features.items()}
    return {"key": row.key, "at_s": row.at_s, **named, "prediction": row.prediction, "version": row.version}


def _one_kind_each(table: pd.DataFrame) -> pd.DataFrame:
    """Every feature has values of one kind, since a column of a file can hold no other.

    Where numbers and texts are mixed the numbers stay and the texts are missing.
    """
    mixed = [name for name in table.columns if str(name).startswith(FEATURE) and table[name].dtype == object]
    return table.assign(**{str(name): _one_kind(table[name]) for name in mixed})


def _one_kind(column: pd.Series) -> pd.Series:
    numbers = column.map(lambda value: isinstance(value, int | float))
    if numbers.any() and column[~numbers].notna().any():
        log.warning("mixed_feature", feature=str(column.name), effect="what is no number is stored as missing")
    if numbers.any():
        return pd.to_numeric(column.where(numbers), errors="coerce")
    return column


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d")


def _days(fs: Any, folder: str) -> list[str]:
    """Day folders, newest first."""
    if not fs.exists(folder):
        return []
    return sorted((str(path) for path in fs.ls(folder, detail=False)), reverse=True)


def _parts(fs: Any, folder: str) -> pd.DataFrame:
    names = sorted(str(path) for path in fs.glob(f"{folder}/part-*.parquet"))
    frames = []
    for name in names:
        with fs.open(name, "rb") as file:
            frames.append(pq.read_table(file).to_pandas())
    if not frames:
        return pd.DataFrame(columns=pd.Index(["key", "at_s"]))
    return _one_kind_each(pd.concat(frames, ignore_index=True))


def _labels(fs: Any, root: str, model: str, since_s: float | None) -> pd.Series:
    """Label by key; the first that came counts."""
    folders = _days(fs, f"{root}/labels/model={model}")
    kept = [f for f in folders if since_s is None or f.rsplit("day=", 1)[1] >= _day(since_s)]
    frames = [_parts(fs, folder) for folder in reversed(kept)]
    if not frames:
        return pd.Series(dtype=float)
    return pd.concat(frames).drop_duplicates("key").set_index("key")["label"]


def _wanted(
    day: pd.DataFrame, since_s: float | None, until_s: float | None, quarantined: Sequence[Quarantined]
) -> pd.Series:
    keep = pd.Series(True, index=day.index)
    if since_s is not None:
        keep &= day["at_s"] >= since_s
    if until_s is not None:
        keep &= day["at_s"] < until_s
    for window in quarantined:
        keep &= ~((day["at_s"] >= window.since_s) & (day["at_s"] < window.until_s))
    return keep
