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
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from agent.monitoring.intake import NAMES_CARRIED, Intake
from agent.monitoring.rows import Labelled, Served
from agent.monitoring.signals import FEATURE, apart
from policies.observation import Quarantined

RESERVED = ("key", "at_s", "prediction", "version", "label")
"""Columns of `read` that are no features."""
Table = Callable[[list[Any]], pd.DataFrame]
log = structlog.get_logger()
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
                sound = self._intake.row(row)
                if sound is not None and not sound.shadow:
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
    column keeps its prefix "feature."; `features` takes it off. Quarantined rows are left out. Rows and labels are read from the newest
    backwards, so that a long log costs no more than what is asked for. An empty frame where there is nothing.
    """
    fs, root = fsspec.core.url_to_fs(url)
    labels = _Labels(fs, f"{root}/labels/model={model}")
    newest = _Newest(rows_max)
    for folder in _days(fs, f"{root}/rows/model={model}"):
        day = _day_of(folder)
        if newest.full or (since_s is not None and day < _day(since_s)):
            break
        known = labels.since(day)
        for part in _parts(fs, folder):
            if newest.has_all_after(part.until_s):
                break
            if (since_s is not None and part.until_s < since_s) or (until_s is not None and part.since_s >= until_s):
                continue
            rows = _table(fs, part.name)
            rows = rows[_wanted(rows, since_s, until_s, quarantined)]
            rows = rows.assign(label=rows["key"].map(known))
            newest.add(part.name, rows[rows["label"].notna()] if labelled_only else rows)
    rows = newest.rows()
    if rows is None:
        return pd.DataFrame(columns=pd.Index(RESERVED))
    return rows.rename(columns=_short)


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """The features of what `read` gave, by their own names."""
    return rows.drop(columns=list(RESERVED), errors="ignore").rename(columns=lambda name: name.removeprefix(FEATURE))


def _short(column: str) -> str:
    """A feature's own name, where that is not the name of another column."""
    return apart(column.removeprefix(FEATURE), RESERVED) if column.startswith(FEATURE) else column


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


def _day_of(folder: str) -> str:
    return folder.rsplit("day=", 1)[1]


def _days(fs: Any, folder: str) -> list[str]:
    """Day folders, newest first."""
    if not fs.exists(folder):
        return []
    return sorted((str(path) for path in fs.ls(folder, detail=False)), reverse=True)


@dataclass(frozen=True, slots=True)
class _Part:
    """One file, and from when until when its rows are."""

    name: str
    since_s: float
    until_s: float


def _parts(fs: Any, folder: str) -> list[_Part]:
    """The files of a day, that with the newest row first. Their footers say so; rows are not read."""
    found = []
    for name in sorted(map(str, fs.glob(f"{folder}/part-*.parquet"))):
        with fs.open(name, "rb") as file:
            footer = pq.ParquetFile(file).metadata
        column = footer.schema.names.index("at_s")
        spans = [footer.row_group(n).column(column).statistics for n in range(footer.num_row_groups)]
        known = [span for span in spans if span is not None and span.has_min_max]
        whole = len(known) == len(spans)
        since_s = min((span.min for span in known), default=-math.inf) if whole else -math.inf
        found.append(_Part(name, since_s, max((span.max for span in known), default=math.inf) if whole else math.inf))
    return sorted(found, key=lambda part: part.until_s, reverse=True)


def _table(fs: Any, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    with fs.open(name, "rb") as file:
        return pq.ParquetFile(file).read(columns=columns).to_pandas()


class _Labels:
    """Labels by key, read backwards day by day, as far as rows are. A label is no older than its row, but for a clock that is wrong."""

    def __init__(self, fs: Any, folder: str) -> None:
        self._fs = fs
        self._left = _days(fs, folder)
        self._known = pd.Series(dtype=float)

    def since(self, day: str) -> pd.Series:
        """Those that rows of `day` and later can have; the first that came for a key counts."""
        oldest = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        while self._left and _day_of(self._left[0]) >= oldest:
            parts = sorted(map(str, self._fs.glob(f"{self._left.pop(0)}/part-*.parquet")))
            frames = [_table(self._fs, name, ["key", "label"]) for name in parts]
            if frames:
                known = pd.concat(frames).drop_duplicates("key").set_index("key")["label"]
                both = pd.concat([known, self._known]) if len(self._known) else known
                self._known = both[~both.index.duplicated()]
        return self._known


class _Newest:
    """The newest `rows_max` rows, of parts that come roughly newest first."""

    def __init__(self, rows_max: int | None) -> None:
        self._rows_max = rows_max
        self._found: dict[str, pd.DataFrame] = {}
        self._count = 0

    def add(self, part: str, rows: pd.DataFrame) -> None:
        self._found[part] = rows
        self._count += len(rows)

    @property
    def full(self) -> bool:
        return self._rows_max is not None and self._count >= self._rows_max

    def has_all_after(self, until_s: float) -> bool:
        """Whether rows until `until_s` are none of the newest so many."""
        if self._rows_max is None or self._count < self._rows_max:
            return False
        times = np.concatenate([rows["at_s"].to_numpy() for rows in self._found.values()])
        return bool(until_s < np.partition(times, -self._rows_max)[-self._rows_max])

    def rows(self) -> pd.DataFrame | None:
        """In time order; None where there are none."""
        if not self._found:
            return None
        frames = [self._found[name] for name in sorted(self._found)]
        whole = _one_kind_each(pd.concat(frames, ignore_index=True))
        rows = whole.sort_values("at_s", kind="stable", ignore_index=True)
        return rows if self._rows_max is None else rows.iloc[-self._rows_max :].reset_index(drop=True)


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
