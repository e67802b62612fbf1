"""What the demo plays, and how fast."""

import pytest

from ray_cluster.demo.plan import plan

EVERY_STREAM = pytest.mark.parametrize(
    ("stream", "rows"), [("flights", 336_776), ("elec2", 45_312), ("insects", 24_150)]
)
QUICK_OR_WHOLE = pytest.mark.parametrize("quick", [True, False])


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
def test_a_stage_shows_the_rows_that_are_asked_of_it_well_before_it_times_out(
    stream: str, rows: int, quick: bool
) -> None:
    """Also in the ending, where rows may come much slower, and while only half of them are copied to the challenger."""
    played = plan(stream, rows, quick=quick)
    ending_s = played.play_max_s - 0.75 * played.play_s
    evenly_rps = min(0.25 * played.rows_played / ending_s, played.rows_played / played.play_s)
    assert 200 <= played.judged_rows <= evenly_rps / 2 * 20.0


def test_the_last_rows_come_slower_only_while_something_is_left_to_happen() -> None:
    """Twice as fast as would make them last until the latest end, so slower and slower; never faster than planned."""
    played = plan("flights", 336_776, quick=False)
    last_quarter, last_tenth = int(played.rows_played * 0.76), int(played.rows_played * 0.9)
    paces = [
        played.pace(0, 0.0, over=False),
        played.pace(last_quarter, 304.0, over=True),
        played.pace(last_quarter, 304.0, over=False),
        played.pace(last_tenth, 374.0, over=False),
        played.pace(last_quarter, 499.9, over=False),
    ]
    assert [round(each, 2) for each in paces] == [1.0, 1.0, 0.98, 0.63, 1.0]
