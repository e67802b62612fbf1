"""What a person sees while the demo plays."""

import io

import pytest

from agent.terminal import Terminal
from ray_cluster.demo.live import Timeline, date_words, first_of, stream_day
from ray_cluster.demo.standing import Standing

LINE = {
    "at_s": 1010.0, "stream_at_s": 1362096000.0, "row": 500, "rate_rps": 8, "p95_s": 0.05, "failed": 0,
    "versions": {"1": 90},
}  # fmt: skip
STANDING = Standing(
    at_s=1009.0, training=False, candidates=(), rollout=None, previous=None, champion_since_s=0.0,
    wanted=3, running=("a", "b"), replicas=("a", "b", "c"),
)  # fmt: skip


def test_where_nobody_watches_a_terminal_times_are_seconds_since_the_beginning_of_the_play() -> None:
    written = io.StringIO()
    timeline = Timeline(Terminal(file=written, width=80), "flights", 1000, began_s=1000.0)
    timeline.tell(1003.25, "agent", "order 1: scale demo/ModelServer from 2 to 3 replicas")
    timeline.show(None, None)
    assert written.getvalue() == "   3.2 s  agent   order 1: scale demo/ModelServer from 2 to 3 replicas\n"


def test_the_figures_of_a_second_are_told_with_the_date_of_the_stream() -> None:
    written = io.StringIO()
    Timeline(Terminal(file=written, width=80), "flights", 1000, began_s=1000.0).show(LINE, STANDING)
    said = written.getvalue().split("  ", 2)[-1]
    assert said == "1 March 2013: 8/s, p95 50 ms, failed 0, rows by version v1: 90, replicas 2 of 3\n"


@pytest.mark.parametrize(
    ("reasons", "shown"),
    [("loss 0.2 against 0.1", "loss 0.2 against 0.1"), ("loss 0.2; errors 3 %; late", "loss 0.2; 2 more")],
)
def test_of_several_reasons_the_first_is_shown_with_the_number_of_the_others(reasons: str, shown: str) -> None:
    assert first_of(reasons) == shown


def test_a_moment_of_the_agents_time_is_told_in_that_of_the_stream() -> None:
    """By the newest line that the client had said by then; before the first the stream had not begun."""
    lines = [LINE, LINE | {"at_s": 1020.0, "stream_at_s": 1364774400.0}]
    assert [stream_day(lines, at_s) for at_s in (900.0, 1010.0, 1019.0, 1020.0)] == [
        "the beginning", "1 March 2013", "1 March 2013", "1 April 2013"
    ]  # fmt: skip


def test_a_stream_without_dates_counts_its_days() -> None:
    assert date_words(2.5 * 86_400) == "day 3"
