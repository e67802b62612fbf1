"""The story waits for what the agent sees, however long that takes; here its agent is a script of looks."""

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from ray_cluster.demo import story as acts
from ray_cluster.demo.standing import CHAMPION, Standing

CALM = Standing(
    at_s=0.0, training=False, candidates=(), rollout=None, previous=None, champion_since_s=0.0,
    wanted=2, running=("a", "b"), replicas=("a", "b"),
)  # fmt: skip
GROWING = replace(CALM, wanted=3, replicas=("a", "b", "c"))
GROWN = replace(GROWING, running=("a", "b", "c"))
A_GONE = replace(CALM, running=("b",), replicas=("b",))
A_REPLACED = replace(CALM, running=("b", "d"), replicas=("b", "d"))
LEARNING = replace(CALM, training=True)
PROMOTED = replace(CALM, previous="1")
JUDGING_BAD = replace(PROMOTED, rollout="3")


class Scene:
    """The world of a story: each look is the next of the script, and what the story does is written down between them."""

    def __init__(self, *looks: Standing) -> None:
        self._looks: Iterator[Standing] = iter(looks)
        self.did: list[Any] = []
        self.treated: set[str] = set()
        self.playing = True

    def look(self) -> Standing | None:
        now = next(self._looks, None)
        self.playing = now is not None
        self.did.append(now)
        return None if now is None else replace(now, at_s=time.time() + 1.0)

    def burst(self, on: bool) -> None:
        self.did.append("burst" if on else "end of burst")

    def details(self) -> dict[str, Any]:
        application, deployment = CHAMPION.split("/")
        row = {"replicas": [{"replica_id": "a", "pid": 1}, {"replica_id": "b", "pid": 2}]}
        return {"applications": {application: {"deployments": {deployment: row}}}}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Scene:
    made = Scene(*request.param)
    monkeypatch.setattr(acts, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(acts.os, "kill", lambda pid, _: made.did.append(f"kill {pid}"))
    monkeypatch.setattr(acts, "bad_version", lambda *_: made.did.append("register 3") or "3")
    return made


def story_of(scene: Scene) -> acts.Story:
    return acts.Story(
        registry=SimpleNamespace(), rest=scene, player=scene, look=scene.look, treated=lambda: scene.treated,
        sample=pd.DataFrame(), columns=[],
    )  # fmt: skip


def looks(*script: Standing) -> Any:
    return pytest.mark.parametrize("scene", [script], indirect=True)


@looks(LEARNING, GROWING, CALM, CALM, A_GONE, A_GONE, A_REPLACED)
def test_a_replica_is_killed_in_a_calm_moment_and_the_story_waits_until_it_is_replaced(scene: Scene) -> None:
    """Not while something is trained, nor while replicas come or go; a look that still shows the dead one is no proof."""
    story = story_of(scene)
    story._do(story._kill)
    assert scene.did == [LEARNING, GROWING, CALM, "kill 1", CALM, A_GONE, A_GONE, A_REPLACED]
    assert [(fault.fault, fault.replica) for fault in story.faults] == [("killed", "a")]


@looks(CALM, CALM, GROWING, GROWN, GROWN, CALM)
def test_the_burst_lasts_until_the_added_replicas_run_and_its_end_until_they_are_gone(scene: Scene) -> None:
    story = story_of(scene)
    story._do(story._burst)
    assert scene.did == [CALM, "burst", CALM, GROWING, GROWN, "end of burst", GROWN, CALM]


@looks(CALM, A_REPLACED, A_REPLACED)
def test_a_slow_replica_that_left_before_it_was_found_out_proves_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scale-down may take it; then another one is made slow, and the first is no fault that anybody could have healed."""
    story = story_of(scene)
    made = []

    def make_slow(self: acts.Story) -> acts.Fault:
        fault = acts.Fault(fault="slow", replica="a", at_s=float(len(made)))
        made.append(fault)
        self.faults.append(fault)
        if len(made) == 2:
            scene.treated.add("a")
        return fault

    monkeypatch.setattr(acts.Story, "_make_slow", make_slow)
    story._do(story._slow)
    assert story.faults == [made[1]]


@looks(CALM, PROMOTED, PROMOTED, replace(PROMOTED, candidates=("3",)), JUDGING_BAD, PROMOTED)
def test_the_bad_challenger_comes_after_a_promotion_and_is_awaited_until_it_is_gone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for act in ("_kill", "_burst", "_slow"):
        monkeypatch.setattr(acts.Story, act, lambda self: None)
    monkeypatch.setattr(acts.Story, "_do", lambda self, act: act())
    story = story_of(scene)
    story.run()
    assert scene.did == [
        CALM, PROMOTED, "register 3", PROMOTED, replace(PROMOTED, candidates=("3",)), JUDGING_BAD, PROMOTED
    ]  # fmt: skip
    assert story.bad == "3"


@looks(CALM)
def test_a_story_whose_stream_is_over_does_nothing_more(scene: Scene) -> None:
    story = story_of(scene)
    story.run()
    assert [each for each in scene.did if each not in (CALM, None)] == ["kill 1"]
    assert story.bad is None
