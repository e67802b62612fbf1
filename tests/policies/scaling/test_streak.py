"""How looks add up to a time for which something has been wanted."""

from policies.scaling.streak import Streak


def lasted(looks: list[tuple[float, int]], delay_s: float = 30.0, window_s: float = 30.0) -> list[float]:
    """The moments of `looks` (at_s, direction) at which the direction had lasted."""
    streak = Streak()
    return [at_s for at_s, direction in looks if streak.lasted(direction, at_s, delay_s, window_s)]


def test_three_looks_of_ten_seconds_make_thirty_and_then_it_counts_anew():
    """A look speaks for the time since the look before it."""
    assert lasted([(10.0 * n, 1 if n else -1) for n in range(8)]) == [30.0, 60.0]


def test_another_direction_begins_anew():
    """Late, early, late: only what is in a row counts."""
    assert lasted([(0.0, 1), (10.0, 1), (20.0, -1), (30.0, 1), (40.0, 1), (50.0, 1)]) == [50.0]


def test_a_look_after_a_silence_speaks_for_its_window_only():
    """What was not seen is not counted."""
    assert lasted([(0.0, -1), (600.0, 1), (610.0, 1), (620.0, 1)], window_s=15.0) == [620.0]


def test_neither_direction_never_lasts():
    """Nothing wanted is nothing done."""
    assert lasted([(10.0 * n, 0) for n in range(9)]) == []


def test_what_is_forgotten_counts_from_then_on():
    """After something else has decided."""
    streak = Streak()
    assert not streak.lasted(1, 0.0, 30.0, 30.0)
    streak.forget(20.0)
    assert not streak.lasted(1, 40.0, 30.0, 30.0)
    assert streak.lasted(1, 50.0, 30.0, 30.0)
