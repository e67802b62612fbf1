"""Which trial is best, by rules that can be told in a sentence."""

import pytest

from simulators.tuning_choice import Condition, Point, chosen, front, hopeless, knee
from simulators.tuning_space import ChooseSettings, ObjectiveSettings

LATE_AND_DEAR = (ObjectiveSettings(measure="late"), ObjectiveSettings(measure="hours"))
BEFORE = {"late": 0.05, "hours": 5.0}


def points(*values: tuple[float, ...]) -> list[Point]:
    return [Point(trial=number, values=each) for number, each in enumerate(values)]


ALL = points((0.5, 1.0), (0.1, 3.0), (0.1, 4.0), (0.04, 5.0), (0.0, 11.0), (0.1, 3.0))


def test_front_holds_what_nothing_dominates() -> None:
    """Of equals the earliest; a trial that another matches in one objective and beats in the other is left out."""
    assert [each.trial for each in front(LATE_AND_DEAR, ALL)] == [0, 1, 3, 4]


def test_front_turns_objectives_that_are_maximised() -> None:
    """More is better where it says so."""
    useful = tuple(ObjectiveSettings(measure=name, direction="maximise") for name in ("useful", "idle_hours"))
    assert [each.trial for each in front(useful, ALL)] == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("choose", "trial", "rule"),
    [
        ({}, 1, "the knee of the front"),
        ({"least": "hours"}, 0, "the least hours"),
        ({"least": "hours", "where": ("late <= 0.1",)}, 1, "the least hours where late <= 0.1"),
        ({"least": "late", "where": ("hours <= before",)}, 3, "the least late where hours <= before"),
        ({"least": "late", "where": ("hours <= 0.7 * before",)}, 1, "the least late where hours <= 0.7 * before"),
        ({"most": "late", "where": ("hours > 2", "late < 0.5")}, 1, "the most late where hours > 2 and late < 0.5"),
        ({"least": "late", "where": ("hours < 1",)}, 1, "the knee of the front, as no trial has the least late where hours < 1"),
    ],
)  # fmt: skip
def test_choice_follows_its_rule_and_says_it(choose: dict[str, object], trial: int, rule: str) -> None:
    """Where no trial meets the rule, the knee is taken, and that is said."""
    told = ChooseSettings.model_validate(choose)
    point, words = chosen(LATE_AND_DEAR, told, front(LATE_AND_DEAR, ALL), BEFORE)
    assert (point.trial, words) == (trial, rule)


def test_what_was_before_admits_nothing_while_it_is_unknown() -> None:
    """Untuned settings whose runs broke are no measure of others."""
    assert not Condition.parse("hours <= before").met(0.0, None)


def test_knee_of_one_point_is_that_point() -> None:
    """A front without extent has no scale."""
    assert knee(LATE_AND_DEAR, ALL[:1]) == ALL[0]


@pytest.mark.parametrize(
    ("done", "to_come", "is_hopeless"),
    [
        (([0.3], [9.0]), ([0.0], [0.0]), True),  # at best (0.15, 4.5), which (0.1, 4) beats
        (([0.1], [9.0]), ([0.0], [0.0]), False),  # at best 0.05 late
        (([0.3], [7.0]), ([0.0], [0.0]), False),  # at best 3.5 hours
        (([0.3], [9.0]), ([0.0], [None]), False),  # hours to come can be anything
        (([0.2], [8.0]), ([0.0], [0.0]), False),  # at best equal, and equal is not beaten
    ],
)
def test_trial_is_hopeless_once_its_best_outlook_is_beaten(
    done: tuple[list[float], ...], to_come: tuple[list[float | None], ...], is_hopeless: bool
) -> None:
    """The outlook takes the best that the runs to come may have."""
    assert hopeless(LATE_AND_DEAR, done, to_come, [(0.1, 4.0)]) is is_hopeless


def test_worst_of_all_runs_can_only_become_worse() -> None:
    """Where the worst run counts, one bad run is enough, whatever is not known of the others."""
    worst = (ObjectiveSettings(measure="late", over="worst"),)
    assert hopeless(worst, [[0.3]], [[None, None]], [(0.2,)])
    assert not hopeless(worst, [[0.1]], [[None, None]], [(0.2,)])
