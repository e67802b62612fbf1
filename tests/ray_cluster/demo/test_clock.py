"""The stream's clock is wound by the looks of the agent."""

from dataclasses import replace

import pytest

from ray_cluster.demo.clock import Clock
from ray_cluster.demo.plan import LATEST_S, LEAD_TICKS, plan
from ray_cluster.demo.standing import Standing

PLAN = plan("flights", 336_776, quick=False)
CALM = Standing(
    at_s=100.0, training=False, candidates=(), rollout=None, previous=None, champion_since_s=0.0,
    wanted=2, running=("a", "b"), replicas=("a", "b"),
)  # fmt: skip
FAST_REACH = int(PLAN.fast * LEAD_TICKS)


@pytest.fixture
def clock() -> Clock:
    return Clock(PLAN)


def wound(clock: Clock, now: Standing | None, row: int, passed_s: float = 10.0, *, acting: bool = False):
    return clock.wound(now, row, passed_s, acting=acting, over=False)


def test_the_stream_waits_for_the_first_look(clock: Clock) -> None:
    assert wound(clock, None, 0) is None


def test_each_look_lets_the_stream_go_on_by_as_much_as_it_plays_until_the_next(clock: Clock) -> None:
    assert wound(clock, CALM, 0) == (PLAN.fast, FAST_REACH)
    assert wound(clock, replace(CALM, at_s=101.0), 2000) == (PLAN.fast, 2000 + FAST_REACH)


def test_without_a_new_look_the_stream_comes_to_a_stand(clock: Clock) -> None:
    """However long the agent takes, and however often the clock is asked."""
    wound(clock, CALM, 0)
    assert {wound(clock, CALM, row) for row in (1000, 4000, FAST_REACH)} == {(PLAN.fast, FAST_REACH)}


def test_what_begins_shortens_what_was_allowed(clock: Clock) -> None:
    """An act of the demo's own, or a training that the agent has ordered."""
    wound(clock, CALM, 0)
    assert wound(clock, CALM, 1000, acting=True) == (PLAN.slow, 1000 + int(PLAN.slow * LEAD_TICKS))


def test_on_a_machine_that_is_too_slow_the_stream_goes_on_without_the_agent(clock: Clock) -> None:
    wound(clock, CALM, 0)
    assert wound(clock, CALM, 1000, LATEST_S) == (PLAN.fast, PLAN.rows_played)
