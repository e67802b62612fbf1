"""Open-loop load: when requests are due, and that none waits for another."""

import asyncio
from collections import Counter

import httpx
import pytest

from benchmarks import open_load
from benchmarks.open_load import Phase, ask, schedule

LOAD = [Phase(100.0, {"a": 20.0, "b": 5.0}), Phase(100.0, {"a": 5.0, "b": 20.0}, moving_s=50.0)]


def test_requests_come_at_the_rates_of_the_phases_and_move_evenly_between_them() -> None:
    """20/s for 100 s; then on average 12.5/s for the 50 s of the move, and 5/s after it (within four standard deviations)."""
    due = schedule(LOAD, seed=1)
    counts = Counter((name, min(int(at_s // 50), 3)) for at_s, name in due)
    expected = {("a", 0): 1000, ("a", 1): 1000, ("a", 2): 625, ("a", 3): 250, ("b", 2): 625, ("b", 3): 1000}
    for key, count in expected.items():
        assert counts[key] == pytest.approx(count, abs=4 * count**0.5)
    assert due == sorted(due)


def test_one_seed_is_one_schedule_and_each_application_has_a_stream_of_its_own() -> None:
    """What one is asked does not move what another is asked."""
    assert schedule(LOAD, seed=1) == schedule(LOAD, seed=1) != schedule(LOAD, seed=2)
    quiet = [Phase(each.duration_s, each.rates_rps | {"b": 0.0}, each.moving_s) for each in LOAD]
    assert schedule(quiet, seed=1) == [each for each in schedule(LOAD, seed=1) if each[1] == "a"]


def test_nobody_waits_for_another_and_what_failed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request hangs until the last one has come; a refusal and a lost connection are both not answered."""
    came: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        came.append(request.url.host)
        if request.url.host == "slow":
            while "lost" not in came:
                await asyncio.sleep(0)
        if request.url.host == "lost":
            raise httpx.ConnectError("gone")
        return httpx.Response(500 if request.url.host == "ill" else 200)

    client = httpx.AsyncClient
    monkeypatch.setattr(
        open_load.httpx, "AsyncClient", lambda **_: client(transport=httpx.MockTransport(answer))
    )  # fmt: skip
    urls = {name: f"http://{name}/" for name in ("slow", "ill", "lost")}
    answers = asyncio.run(ask(urls, [(0.0, "slow"), (0.01, "ill"), (0.02, "lost")]))
    assert [(each.application, each.due_s, each.ok) for each in answers] == [
        ("slow", 0.0, True), ("ill", 0.01, False), ("lost", 0.02, False),
    ]  # fmt: skip
    assert answers[0].latency_s >= 0.02
