"""What the demo plays, and how fast: the pace follows what the agent has under way, never the clock of the machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from ray_cluster.demo.plan import LATEST_S, plan, validated
from ray_cluster.demo.standing import Standing

EVERY_STREAM = pytest.mark.parametrize(
    ("stream", "rows"), [("flights", 336_776), ("elec2", 45_312), ("insects", 24_150)]
)
QUICK_OR_WHOLE = pytest.mark.parametrize("quick", [True, False])
CALM = Standing(
    at_s=100.0, training=False, candidates=(), rollout=None, previous=None, champion_since_s=0.0,
    wanted=2, running=("a", "b"), replicas=("a", "b"),
)  # fmt: skip
TRAINING = replace(CALM, training=True)
ROLLING = replace(CALM, rollout="2")
HEALING = replace(CALM, running=("a",))


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_every_stream_is_long_enough_to_learn_from(stream: str, rows: int, quick: bool) -> None:
    """A first model of 3,000 rows at least and a dozen windows after it; a quick run ends before a long stream does."""
    played = plan(stream, rows, quick=quick)
    assert played.rows_trained >= 3_000
    assert played.rows_played >= 12 * played.window_rows
    assert (played.rows_until == rows) == (not quick or stream != "flights")


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_a_challenger_that_is_kept_out_is_followed_by_another_within_the_stream(
    stream: str, rows: int, quick: bool
) -> None:
    """There is room for four trainings, counted in rows, so where they come does not depend on the machine."""
    played = plan(stream, rows, quick=quick)
    on_drift = next(each for each in validated(played, Path("/nowhere")).policies if each.use == "on_drift")
    assert on_drift.parameters["min_rows"] == played.rows_between_trainings
    assert played.rows_played / played.rows_between_trainings >= 4


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_a_stage_shows_the_rows_that_are_asked_of_it_well_before_it_times_out(
    stream: str, rows: int, quick: bool
) -> None:
    """Also while only half of the rows are copied to the challenger, and on a machine that is three times as slow."""
    played = plan(stream, rows, quick=quick)
    staged = next(each for each in validated(played, Path("/nowhere")).policies if each.use == "staged").parameters
    assert staged["min_rows"] == played.judged_rows >= 300
    assert played.judged_rows / (played.judging / 2) * 3 <= staged["stage_timeout_s"]


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_the_stream_is_slow_while_the_agent_has_something_under_way(stream: str, rows: int, quick: bool) -> None:
    """Fast while it only watches; a rollout gets the rows that it is judged by, all else next to none."""
    played = plan(stream, rows, quick=quick)
    paces = [
        played.pace(0, 10.0, CALM, acting=False, over=False),
        played.pace(0, 10.0, ROLLING, acting=False, over=False),
        played.pace(0, 10.0, TRAINING, acting=False, over=False),
        played.pace(0, 10.0, HEALING, acting=False, over=False),
        played.pace(0, 10.0, CALM, acting=True, over=False),
    ]
    assert paces == [played.fast, played.judging, played.slow, played.slow, played.slow]
    assert played.slow < played.judging < played.fast


def test_while_something_is_under_way_flights_pass_days_a_minute_not_seasons() -> None:
    """Some 920 flights are asked about on a day of the year."""
    played = plan("flights", 336_776, quick=False)
    days = [60.0 * pace / 920.0 for pace in (played.slow, played.judging, played.fast)]
    assert [round(each) for each in days] == [2, 20, 196]


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_rows_are_held_back_until_the_story_is_over(stream: str, rows: int, quick: bool) -> None:
    """What is left to happen needs rows: while nobody is judged they come slower and slower, and do not run out."""
    played = plan(stream, rows, quick=quick)
    before = int(played.rows_played * (1.0 - played.held_back)) - 1
    near, last = int(played.rows_played * 0.9), played.rows_played - 600
    paces = [played.pace(row, 10.0, CALM, acting=False, over=False) for row in (before, near, last)]
    assert paces == [played.fast, min(played.judging, (played.rows_played - near) / 20.0), 30.0]
    assert played.pace(near, 10.0, CALM, acting=False, over=True) == played.fast


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_a_version_is_judged_by_as_many_rows_near_the_end_as_before(stream: str, rows: int, quick: bool) -> None:
    """Labels come a number of rows later, so rows that came ever slower would bring none."""
    played = plan(stream, rows, quick=quick)
    assert played.pace(played.rows_played - 600, 10.0, ROLLING, acting=False, over=False) == played.judging


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_what_is_held_back_is_enough_to_judge_two_versions(stream: str, rows: int, quick: bool) -> None:
    """The retrained one and the bad one, shown half of the rows each, with 500 rows between a row and its label."""
    played = plan(stream, rows, quick=quick)
    assert played.held_back * played.rows_played >= 2 * (2 * played.judged_rows + 500) + 2 * played.judged_rows


@EVERY_STREAM
@QUICK_OR_WHOLE
def test_ten_minutes_of_waiting_cost_less_than_a_fifth_of_the_stream(stream: str, rows: int, quick: bool) -> None:
    """A training that takes so long on a busy machine leaves the rest of the story room enough."""
    played = plan(stream, rows, quick=quick)
    assert 600.0 * played.slow <= 0.2 * played.rows_played


def test_at_the_end_nobody_waits_for_what_can_not_end_before_it() -> None:
    """A training that began with the last rows is not waited for, once the story is over."""
    played = plan("flights", 336_776, quick=False)
    assert played.pace(played.rows_played - 600, 10.0, TRAINING, acting=False, over=True) == played.fast
    assert played.pace(played.rows_played // 2, 10.0, TRAINING, acting=False, over=True) == played.slow


def test_a_quick_run_waits_for_nothing_once_its_story_is_over() -> None:
    """What it promises has happened by then."""
    played = plan("flights", 336_776, quick=True)
    assert played.pace(played.rows_played // 2, 10.0, TRAINING, acting=False, over=True) == played.fast


def test_a_run_ends_within_twenty_minutes_whatever_is_left_to_happen() -> None:
    """From then on the stream waits for nothing."""
    played = plan("flights", 336_776, quick=False)
    assert played.pace(1000, LATEST_S, TRAINING, acting=True, over=False) == played.fast
    assert LATEST_S + played.rows_played / played.fast < 1020.0
