"""When a search ends, without a Ray."""

import pytest

from ray_cluster import search
from ray_cluster.search import Watcher


class Clock:
    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(search, "time", made)
    return made


def test_a_search_ends_when_its_time_is_over_and_a_trial_has_ended(clock: Clock) -> None:
    """On a machine so busy that none has ended by then, the first one is waited for."""
    told: list[int] = []
    watcher = Watcher(lambda: False, told.append, deadline_s=60.0)
    ends = []
    for now_s, trials in ((59.0, 0), (61.0, 0), (500.0, 0), (501.0, 1)):
        clock.now_s = now_s
        for _ in range(trials):
            watcher("trial", {})
        ends.append(watcher.stop_all())
    assert (ends, told) == ([False, False, False, True], [1])


def test_before_its_time_is_over_a_search_goes_on_to_its_last_trial(clock: Clock) -> None:
    watcher = Watcher(lambda: False, lambda done: None, deadline_s=60.0)
    watcher("trial", {})
    clock.now_s = 59.0
    assert watcher.stop_all() is False


def test_a_search_that_is_told_to_stop_ends_whether_or_not_it_has_found_something(clock: Clock) -> None:
    assert Watcher(lambda: True, lambda done: None, deadline_s=60.0).stop_all() is True
