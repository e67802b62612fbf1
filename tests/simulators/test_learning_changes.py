"""When the world of a model is the changed one, and how the times of rows are cut."""

import math

import pytest

from simulators.changes import Change, within, without

RECURRING = Change(kind="recurring", at_s=100.0, until_s=190.0, period_s=20.0)


@pytest.mark.parametrize(
    ("change", "new_at_s", "old_at_s"),
    [
        (Change(kind="harmful", at_s=10.0), [10.0, 1e9], [0.0, 9.9]),
        (Change(kind="incident", at_s=10.0, until_s=20.0), [10.0, 19.9], [9.9, 20.0]),
        (RECURRING, [100.0, 119.9, 140.0, 180.0], [99.9, 120.0, 139.9, 160.0, 190.0, 1000.0]),
    ],
)
def test_a_change_is_there_from_its_moment_to_its_end(change: Change, new_at_s: list, old_at_s: list) -> None:
    """Begin inclusive, end exclusive; a recurring one takes turns with the old concept, and the old one stays in the end."""
    assert [change.is_new(each) for each in new_at_s] == [True] * len(new_at_s)
    assert [change.is_new(each) for each in old_at_s] == [False] * len(old_at_s)


def test_a_season_rises_and_falls_once() -> None:
    """Nothing at its ends and outside, all of it in the middle."""
    season = Change(kind="season", at_s=100.0, until_s=300.0)
    heights = [season.height(at_s) for at_s in (0.0, 100.0, 150.0, 200.0, 250.0, 300.0)]
    assert heights == pytest.approx([0.0, 0.0, 0.5, 1.0, 0.5, 0.0])


def test_the_times_of_a_change_within_others_are_found_piece_by_piece() -> None:
    """Only what lies in both; a recurring change gives a piece for each turn."""
    assert within([(0.0, 110.0), (115.0, 150.0), (300.0, 400.0)], RECURRING) == [
        (100.0, 110.0),
        (115.0, 120.0),
        (140.0, 150.0),
    ]
    assert within([(0.0, 50.0)], Change(kind="harmful", at_s=20.0)) == [(20.0, 50.0)]


def test_what_is_cut_out_of_a_time_is_gone_whatever_overlaps() -> None:
    """Overlapping cuts, cuts beyond the ends, cuts of nothing, and one of all."""
    assert without(10.0, 50.0, [(20.0, 30.0), (25.0, 35.0), (0.0, 12.0), (60.0, 70.0)]) == [(12.0, 20.0), (35.0, 50.0)]
    assert without(10.0, 50.0, []) == [(10.0, 50.0)]
    assert without(10.0, 50.0, [(0.0, math.inf)]) == []
