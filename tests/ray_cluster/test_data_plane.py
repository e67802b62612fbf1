"""Rows on their way from a request to the monitors: bad ones, many of them, and monitors that are away."""

import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
import ray

from agent.monitoring.intake import BODY, BODY_SIZE, KEY, LABEL, NAME, NUMBER
from agent.monitoring.rows import Served
from agent.settings import DriftSettings
from policies.observation import Report
from ray_cluster import names
from ray_cluster.datalog import read
from ray_cluster.monitor_shard import ensure_shard
from ray_cluster.probe import Probe
from ray_cluster.server import BODY_MAX_BYTES
from ray_cluster.testing import Managed, manage, wait_until

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def managed(session_cluster, tmp_path_factory) -> Iterator[Managed]:
    folder = tmp_path_factory.mktemp("rows")
    with closing(manage("rows", session_cluster.http, session_cluster.local.dashboard_url, folder)) as made:
        yield made


def counts(model: str) -> dict[str, int]:
    return ray.get(ray.get_actor(names.shard_actor(model), names.NAMESPACE).counts.remote())


def report(model: str, at_s: float) -> Report:
    return ray.get(ray.get_actor(names.shard_actor(model), names.NAMESPACE).report.remote(at_s))


def ask(managed: Managed, name: str, *features: dict) -> httpx.Response:
    rows = [{"key": f"{name}{n}", "features": row} for n, row in enumerate(features)]
    # Python's own JSON writes NaN and Infinity as such, as many callers do.
    body = json.dumps({"rows": rows})
    return httpx.post(managed.url, content=body, headers={"content-type": "application/json"}, timeout=30)


def test_a_bad_row_costs_its_neighbours_nothing(managed: Managed) -> None:
    """NaN, infinity, a missing column and a word where a number belongs: each row has an answer of its own, and the bad are counted."""
    answer = ask(managed, "a", {"x": 0.2}, {"x": math.nan}, {"x": math.inf}, {}, {"x": "many"}, {"x": 0.9})
    predictions = [row["prediction"] for row in answer.json()["predictions"]]
    assert answer.status_code == httpx.codes.OK
    assert [row["key"] for row in answer.json()["predictions"]] == ["a0", "a1", "a2", "a3", "a4", "a5"]
    assert predictions[0] is not None
    assert predictions[5] > predictions[0]
    assert wait_until(lambda: counts(managed.model)["rejected_rows"]) >= 2


def bodies_refused(managed: Managed) -> int:
    told = report(managed.model, time.time()).refused
    return told.get(BODY, 0) + told.get(BODY_SIZE, 0)


def test_a_body_that_is_no_request_is_refused_with_the_reason(managed: Managed) -> None:
    """422, and which field was wrong; counted as well."""
    before = bodies_refused(managed)
    answer = httpx.post(managed.url, json={"rows": [{"name": "a"}]}, timeout=30)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert {tuple(error["loc"])[-1] for error in answer.json()["detail"]} == {"key", "features", "name"}
    assert wait_until(lambda: bodies_refused(managed) == before + 1)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", b"{", 422), ("", b"[" * 100_000, 422), ("", b"{}", 422), ("", b'{"rows": [NaN]}', 422),
        ("", b'{"rows": [{"key": "a", "features": {}, "half \\ud800": 1}]}', 422),
        ("", b'{"rows": [' + b",".join([b'{"key": "a", "features": {}}'] * 10_001) + b"]}", 422),
        ("labels", b'{"labels": "all"}', 422), ("", b" " * (BODY_MAX_BYTES + 1), 413),
    ],
    ids=["cut off", "deep", "empty", "NaN", "half a character", "many rows", "labels", "large"],
)  # fmt: skip
def test_a_body_that_can_not_be_read_is_refused_and_counted(
    managed: Managed, path: str, body: bytes, status: int
) -> None:
    """An answer that says why, whatever it is, and never an error of the server's own."""
    before = bodies_refused(managed)
    answer = httpx.post(managed.url + path, content=body, timeout=30)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)
    assert wait_until(lambda: bodies_refused(managed) == before + 1)


def test_a_label_reaches_its_row_in_the_data_log_and_a_stray_one_is_counted(managed: Managed) -> None:
    """Labels come late, by key; one that no row asked for is counted and harms nothing."""
    ask(managed, "b", {"x": 0.2}, {"x": 0.9})
    wait_until(lambda: set(read(managed.settings.data_log.url, managed.model)["key"]) >= {"b0", "b1"})
    told = [{"key": "b1", "label": 1.0}, {"key": "nobody", "label": 0.0}]
    assert httpx.post(managed.url + "labels", json={"labels": told}, timeout=30).json() == {"accepted": 2}
    # A label may overtake its row by a minute; only then it is of an unknown key.
    wait_until(lambda: report(managed.model, time.time() + 61.0).unknown_labels == 1)
    rows = wait_until(lambda: _labelled(managed))
    assert rows == [("b0", None), ("b1", 1.0)]


def _labelled(managed: Managed) -> list[tuple[str, float | None]] | None:
    rows = read(managed.settings.data_log.url, managed.model)
    if "label" not in rows or rows["label"].notna().sum() != 1:
        return None
    return [(r.key, r.label if r.label == r.label else None) for r in rows.itertuples() if r.key in {"b0", "b1"}]


def test_a_row_or_label_that_is_odd_costs_its_neighbours_nothing_over_http(managed: Managed) -> None:
    """Half a character in a key or a name, a number without bound, labels without one: the others are answered and taken in."""
    before = report(managed.model, time.time()).refused
    odd = '{"rows": [{"key": "h0", "features": {"x": 0.2}}, {"key": "h\\ud800", "features": {"x": 0.2}}, ' + (
        f'{{"key": "h1", "features": {{"x": {10**400}}}}}, {{"key": "h2", "features": {{"\\udfff": 1}}}}]}}'
    )
    answer = httpx.post(managed.url, content=odd, timeout=30)
    assert [row["prediction"] is not None for row in answer.json()["predictions"]] == [True] * 4
    told = '{"labels": [{"key": "h0", "label": 1e150}, {"key": "h0", "label": 1}, {"key": "h1", "label": null}]}'
    assert httpx.post(managed.url + "labels", content=told, timeout=30).json() == {"accepted": 1, "refused": 2}
    counted = Counter(before) + Counter({KEY: 1, NAME: 1, NUMBER: 1, LABEL: 2})
    wait_until(lambda: report(managed.model, time.time()).refused == counted)  # rows and labels come each in their time
    wait_until(lambda: set(read(managed.settings.data_log.url, managed.model)["key"]) >= {"h0", "h1"})


def test_a_flooded_probe_drops_and_counts_and_never_waits(cluster) -> None:
    """Ten times its buffer in one go: the newest rows arrive, the rest are counted, and nobody was kept waiting for the shard."""
    probe = Probe("flooded", replica="r1", buffer_rows=200, flush_s=3600.0)
    for n in range(2000):
        probe.record(key=str(n), features={"x": 0.5}, prediction=0.5)
    probe.close()
    assert (probe.sent, probe.dropped) == (200, 1800)
    shard = ray.get_actor(names.shard_actor("flooded"), names.NAMESPACE)
    assert ray.get(shard.report.remote(time.time())).rows == 200
    assert counts("flooded")["dropped_rows"] == 1800


def test_a_probe_outlives_its_shard(cluster) -> None:
    """Rows that were recorded while the shard was dead arrive when it is back; the caller never saw an error."""
    shard = ensure_shard("mortal", DriftSettings(), follow=False)
    ray.get(shard.report.remote(0.0))
    probe = Probe("mortal", replica="r1", flush_s=0.1)
    ray.kill(shard, no_restart=False)
    for n in range(50):
        probe.record(key=str(n), features={"x": 0.5}, prediction=0.5)
    wait_until(lambda: probe.sent == 50)
    again = ray.get_actor(names.shard_actor("mortal"), names.NAMESPACE)
    assert ray.get(again.report.remote(time.time())).rows == 50
    assert probe.dropped == 0
    probe.close()


def test_a_batch_that_is_sent_again_counts_once(cluster) -> None:
    """A probe that gave up waiting for an answer sends the same number again; another probe's numbers are its own."""
    shard = ensure_shard("twice", DriftSettings(), follow=False)
    batch = [Served("a", 1.0, {"x": 0.5}, 0.5, 0.01, "1", "r")]
    for source, number in (("p", 1), ("p", 1), ("p", 2), ("q", 1)):
        ray.get(shard.rows.remote(batch, [], 1, source=source, number=number))
    assert (ray.get(shard.report.remote(2.0)).rows, counts("twice")["dropped_rows"]) == (3, 3)


def test_a_probe_outlives_what_can_not_be_sent(cluster) -> None:
    """Features that can not be pickled cost their own batch, features that are none cost nobody an error, and the next rows arrive."""
    shard = ensure_shard("odd", DriftSettings(), follow=False)
    probe = Probe("odd", replica="r1", flush_s=0.1)
    probe.record(key="a", features=7, prediction=0.5)
    probe.record(key="b", features={"x": (n for n in ())}, prediction=0.5)
    wait_until(lambda: probe.dropped == 1)
    probe.record(key="c", features={"x": 0.5}, prediction=0.5)
    wait_until(lambda: probe.sent == 1)
    assert (ray.get(shard.report.remote(time.time())).rows, probe.refused) == (1, 1)
    probe.close()


def test_a_changed_drift_is_applied_to_the_shard_that_runs_and_outlives_it(cluster) -> None:
    """The same again changes nothing; another one begins anew; a shard that Ray starts again watches as it was told last."""
    shard = ensure_shard("changed", DriftSettings(loss="brier"), follow=False)
    rows = [Served(str(n), 1.0, {"x": 0.5}, 0.5, 0.01, "1", "r") for n in range(3)]
    ray.get(shard.rows.remote([*rows, rows[0], Served([], 1.0, {}, 0.5, 0.01, "1", "r")]))
    assert ray.get(shard.settle.remote(DriftSettings(loss="brier"))) is False
    assert ray.get(shard.settle.remote(DriftSettings(loss="absolute", window_rows=50))) is True
    told = report("changed", 2.0)
    assert (told.rows, told.loss_name, told.window_rows, told.refused) == (0, "absolute", 50, {KEY: 1})
    ray.kill(shard, no_restart=False)
    again = wait_until(lambda: _told_again("changed"))
    assert (again.loss_name, again.window_rows) == ("absolute", 50)


def _told_again(model: str) -> Report | None:
    try:
        return report(model, 2.0)
    except ray.exceptions.RayError:
        return None
