"""When a search ends, without a Ray."""

import pandas as pd
import pytest

from agent.settings import TrainingSettings
from ray_cluster import search
from ray_cluster.search import SearchFailed, SearchSpec, Watcher


@pytest.mark.parametrize(
    ("labels", "share", "told"),
    [
        ([0.0, 1.0] * 50, 0.999, "validation_share 0.999 of 100 rows leaves 0 to learn from"),
        ([0.0] * 90 + [1.0] * 10, 0.25, r"the 75 older rows, .* hold one class only \(0 in 75 rows\)"),
        ([1.0, 2.0] * 50, 0.25, "the labels hold 1 in 50 rows, 2 in 50; loss brier is for classes 0 and 1"),
        ([], 0.25, "there are no labelled rows"),
    ],
)
def test_a_search_that_could_find_nothing_is_not_begun(labels: list[float], share: float, told: str) -> None:
    """No Ray is asked, and the reason is told once with its counts."""
    settings = TrainingSettings(recipes=("logistic",), validation_share=share)
    spec = SearchSpec(name="s", study="m", settings=settings, loss="brier", concurrent_trials=1, trials=1)
    rows, truth = pd.DataFrame({"x": [0.1 * n for n in range(len(labels))]}), pd.Series(labels, dtype=float)
    with pytest.raises(SearchFailed, match=f"no search was begun: {told}"):
        search.search(spec, rows, truth, stopped=lambda: False, progress=lambda done: None)


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
