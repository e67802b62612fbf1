from policies.observation import Quarantined
from policies.retraining.quarantine import BadRows


def Q(since_s: float, until_s: float) -> Quarantined:  # noqa: N802 (short for a table of intervals)
    return Quarantined(since_s=since_s, until_s=until_s)


def test_a_stretch_is_covered_from_its_start_to_its_end_in_steps():
    """A story along the clock: broken at 100, seen at 110, whole again at 150."""
    rows = BadRows()
    assert rows.uncovered(None, (), 100.0, step_s=30.0) is None
    assert rows.uncovered(100.0, (), 110.0, step_s=30.0) == Q(100, 110)
    assert rows.uncovered(100.0, (), 120.0, step_s=30.0) == Q(100, 120)
    assert rows.uncovered(100.0, (Q(100, 110),), 130.0, step_s=30.0) is None
    assert rows.uncovered(100.0, (Q(100, 110),), 140.0, step_s=30.0) == Q(110, 140)
    assert rows.uncovered(None, (Q(100, 110), Q(110, 130)), 150.0, step_s=30.0) == Q(130, 140)
    assert rows.uncovered(None, (Q(130, 140), Q(100, 110), Q(110, 130)), 160.0, step_s=30.0) is None
    assert rows == BadRows(until_s=140.0)


def test_a_second_stretch_starts_anew():
    """The good rows between two bad stretches are kept."""
    rows = BadRows()
    rows.uncovered(100.0, (), 110.0, step_s=30.0)
    assert rows.uncovered(500.0, (), 510.0, step_s=30.0) == Q(500, 510)


def test_a_quarantine_that_starts_later_leaves_a_gap_open():
    """What lies before it is still to be covered."""
    assert BadRows().uncovered(100.0, (Q(105, 200),), 150.0, step_s=30.0) == Q(100, 150)


def test_what_a_person_covered_is_not_covered_twice():
    """An interval that reaches further ends the matter."""
    assert BadRows().uncovered(100.0, (Q(50, 1000),), 150.0, step_s=30.0) is None
