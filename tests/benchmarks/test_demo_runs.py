"""What the benchmark of the demo says of a run."""

from benchmarks.demo_runs import _told


def test_a_run_is_told_by_its_result() -> None:
    """Retrained versions that became the champion, those kept out with the bad one among them, and requests without an answer."""
    verdicts = ("promoted", "rolled back", "promoted", "open")
    result = {
        "rollouts": [{"verdict": verdict} for verdict in verdicts],
        "quality": {"frozen": 0.16, "agent": 0.15},
        "requests": {"failed": 2, "lost_by_agent": 1},
    }
    assert _told(result) == {
        "frozen": 0.16, "agent": 0.15, "promoted": 2, "rejected": 1, "failed": 2, "lost_by_agent": 1,
    }  # fmt: skip


def test_of_a_run_that_came_to_no_result_nothing_is_known() -> None:
    """Its exit code says that it failed; losses and lost requests are unknown, not zero."""
    assert _told(None) == {
        "frozen": None, "agent": None, "promoted": None, "rejected": None, "failed": None, "lost_by_agent": None,
    }  # fmt: skip
