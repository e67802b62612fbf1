"""Rows, labels and bodies of requests: what is bad is refused by itself, and every good row beside it is kept."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st

from agent.codec import canonical, to_json
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Answered, Labelled, Served
from agent.settings import DriftSettings
from ray_cluster.datalog import DataLog
from ray_cluster.server import LabelsIn, RowsIn, _body
from tests.fuzz.fuzzing import fuzzed
from tests.fuzz.inputs import odd_leaves, odd_values, odd_words, spoilt_texts

GOOD = [Served(f"good-{n}", 100.0 + n, {"x": 0.5 * n, "city": "Köln"}, 0.25, 0.01, "1", "r1") for n in range(3)]
names = st.one_of(odd_words, odd_leaves)
features = st.one_of(st.dictionaries(names, odd_values, max_size=4), odd_values)
odd_rows = st.builds(
    Served, key=odd_values, at_s=odd_values, features=features, prediction=odd_values, latency_s=odd_values, version=odd_leaves,
    replica=odd_leaves, shadow=st.booleans(),
)  # fmt: skip
keys = st.one_of(st.sampled_from([each.key for each in GOOD]), odd_values)
odd_labels = st.builds(Labelled, key=keys, at_s=odd_values, label=odd_values)
odd_answers = st.builds(
    Answered, replica=odd_leaves, version=odd_leaves, at_s=odd_values, latency_s=odd_values, ok=st.booleans()
)


def kept_of(rows: list[Served], labels: list[Labelled], answers: list[Answered]) -> tuple[list[Served], list[Labelled]]:
    """What a monitor lets through of rows, some of them odd, with the good ones among them; what it then reports can be written down."""
    monitor = ModelMonitor(DriftSettings(window_rows=10))
    mixed = [row for pair in zip(GOOD, rows, strict=False) for row in pair] + [*GOOD[len(rows) :], *rows[len(GOOD) :]]
    kept = list(monitor.rows(mixed))
    monitor.answered(answers)
    told = [Labelled(each.key, 200.0, 1.0) for each in GOOD]
    kept_labels = list(monitor.labels([*labels, *told]))
    canonical(to_json(monitor.report(300.0)))
    canonical({name: to_json(each) for name, each in monitor.traffic(300.0).items()})
    return kept, kept_labels


@fuzzed(6_000)
@given(st.lists(odd_rows, max_size=4), st.lists(odd_labels, max_size=4), st.lists(odd_answers, max_size=3))
def test_no_good_row_is_lost_beside_a_bad_one(
    rows: list[Served], labels: list[Labelled], answers: list[Answered]
) -> None:
    """Nor its label, in their order."""
    kept, kept_labels = kept_of(rows, labels, answers)
    assert [row for row in kept if row in GOOD] == GOOD
    assert [each.key for each in kept_labels if each.at_s == 200.0] == [each.key for each in GOOD]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


@fuzzed(1_000)
@given(rows=st.lists(odd_rows, max_size=4), labels=st.lists(odd_labels, max_size=4))
def test_what_is_let_through_can_be_written_and_read(folder: Path, rows: list[Served], labels: list[Labelled]) -> None:
    """As Parquet, whatever else is in the batch."""
    kept, kept_labels = kept_of(rows, labels, [])
    log = DataLog(str(folder / str(len(list(folder.iterdir())))), "m")
    log.rows(kept)
    log.labels(kept_labels)
    log.flush()


class Asked:
    """A request with a body in pieces."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    async def stream(self) -> AsyncIterator[bytes]:
        for begin in range(0, len(self._raw), 50):
            yield self._raw[begin : begin + 50]


class Refusals:
    """Counts what a probe is told to refuse."""

    def __init__(self) -> None:
        self.count = 0

    def refuse(self, reason: str) -> None:
        self.count += 1


BODIES = [
    '{"rows": [{"key": "a", "features": {"x": 1.5, "city": "Köln"}}, {"key": "b", "features": {}}]}',
    '{"labels": [{"key": "a", "label": 1}, {"key": "b", "label": 0.5}]}',
]
raws = st.one_of(
    spoilt_texts(BODIES).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=100),
    st.dictionaries(
        st.sampled_from(["rows", "labels", "x"]), st.one_of(odd_values, st.lists(odd_values, max_size=3))
    ).map(lambda body: json.dumps(body, default=str).encode("utf-8", "surrogatepass")),
)


@fuzzed(6_000)
@given(raws, st.sampled_from([RowsIn, LabelsIn]))
def test_any_body_is_taken_or_refused(raw: bytes, kind: Any) -> None:
    """With a status that says who is at fault, a place, and one count for the monitors."""
    refusals = Refusals()
    try:
        asyncio.run(_body(Asked(raw), kind, refusals))  # type: ignore[arg-type]
    except HTTPException as error:
        json.dumps(error.detail, allow_nan=False).encode()
        assert (error.status_code in (413, 422), refusals.count) == (True, 1)  # noqa: PT017 - both what was raised and what was counted
    else:
        assert refusals.count == 0
