"""How the demo's model stands in one look of its agent."""

import pytest

from ray_cluster.demo.standing import CHAMPION, MODEL, WATCHED_S, Standing


def seen(model: dict | None = None, *, running: int = 2, wanted: int = 2, at_s: float = 500.0) -> dict:
    states = ["running"] * running + ["starting"] * (wanted - running)
    replicas = [{"id": f"r{n}", "state": state} for n, state in enumerate(states)]
    standing = {"training": None, "rollout": None, "previous": None, "candidates": [], "champion_since_s": 10.0}
    return {
        "at_s": at_s,
        "models": {MODEL: standing | (model or {})},
        "deployments": {CHAMPION: {"replicas": replicas, "replicas_wanted": wanted}},
    }


@pytest.mark.parametrize(
    ("payload", "under_way"),
    [
        (seen(), None),
        (seen({"training": {"state": "succeeded"}}), None),
        (seen({"training": {"state": "running"}}), "a training"),
        (seen({"candidates": [{"number": "2"}]}), "a rollout"),
        (seen({"rollout": {"version": "2"}, "training": {"state": "running"}}), "a rollout"),
        (seen({"champion_since_s": 500.0 - WATCHED_S + 1.0}), "a rollout"),
        (seen(running=1), "replicas come or go"),
        (seen(wanted=3), "replicas come or go"),
        (seen(running=3), "replicas come or go"),
    ],
)
def test_what_is_under_way_is_named(payload: dict, under_way: str | None) -> None:
    assert Standing.of(payload).under_way == under_way


def test_what_could_not_be_seen_is_no_calm() -> None:
    """A deployment that is missing in a look is unknown, so the stream stays slow."""
    standing = Standing.of({"at_s": 5.0, "models": {}, "deployments": {}})
    assert (standing.wanted, standing.whole, standing.under_way) == (None, False, "replicas come or go")
