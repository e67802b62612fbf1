"""The cluster's key-value store is asked with a time-out, and what needs it goes on without."""

from pathlib import Path

import pytest

from agent.settings import DriftSettings
from ray_cluster import kv, monitor_shard

ROOT = Path(kv.__file__).parent


def test_nothing_else_calls_the_store_of_ray() -> None:
    """Its own functions wait for a head that is away without an end."""
    callers = [path.name for path in sorted(ROOT.rglob("*.py")) if "internal_kv" in path.read_text()]
    assert callers == ["kv.py"]


@pytest.mark.parametrize("error", [TimeoutError("no answer"), RuntimeError("not connected"), ConnectionError()])
def test_a_shard_starts_with_what_it_was_first_told_where_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Ray never makes an actor again that raises while it is made."""

    def away(key: str) -> bytes | None:
        raise error

    monkeypatch.setattr(kv, "get", away)
    assert monitor_shard._kept("m") is None


def test_a_shard_watches_what_was_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its own model; what another version wrote is none."""
    told = DriftSettings(window_rows=50)
    store = {"drift:m": told.model_dump_json().encode(), "drift:old": b'{"no": 1}'}
    monkeypatch.setattr(kv, "get", store.get)
    assert [monitor_shard._kept(model) for model in ("m", "old", "other")] == [told, None, None]
