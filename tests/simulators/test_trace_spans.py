"""What a run plays of a trace, and what is known of how well it served: nothing where nobody asked."""

from pathlib import Path

import pytest

from simulators.run import Result, run
from simulators.scenario import ScenarioError, parse_scenario

TEXT = """
name: a trace is played
duration_s: %(duration_s)s
cluster: {nodes: [{count: 2, cpus: 8}]}
models:
  chat:
    traffic: [{kind: trace, path: trace.csv%(more)s}]
    service: {kind: constant, seconds: 0.2}
    replicas: 2
    slo_latency_s: %(slo_s)s
expect: [slo_violation_rate < 0.05, lost_utility < 0.05, models.chat.slo_violation_rate < 0.05, requests >= 0]
"""
COUNTS = "minute,chat\n" + "".join(f"{n},30\n" for n in range(5))
STAMPS = "t_s\n100\n160\n219.5\n"


def played(trace: str, folder: Path, *, duration_s: float = 300, more: str = "", slo_s: float = 1.0) -> Result:
    (folder / "trace.csv").write_text(trace)
    text = TEXT % {"duration_s": duration_s, "more": more, "slo_s": slo_s}
    return run(parse_scenario(text, "a.yaml", folder))


MISSED = {
    "from after the end": (COUNTS, 300, ", from_s: 300", "0 s of the trace"),
    "until before the beginning": (STAMPS, 300, ", until_s: 50", "100 s of the trace"),
    "a first request after the run": (STAMPS, 90, "", "100 s of the trace"),
    "from after the last request": (STAMPS, 300, ", from_s: 220", "100 s of the trace"),
}


@pytest.mark.parametrize(("trace", "duration_s", "more", "told"), MISSED.values(), ids=MISSED)
def test_a_run_beside_its_trace_is_refused(trace: str, duration_s: float, more: str, told: str, tmp_path: Path) -> None:
    """With file, line and key, and where the trace begins."""
    with pytest.raises(ScenarioError) as error:
        played(trace, tmp_path, duration_s=duration_s, more=more)
    expected = "a.yaml:7: models.chat.traffic[0]: no request of this trace lies within the run; its first comes at "
    assert str(error.value) == expected + told


def test_where_nobody_asked_nothing_is_known_and_no_rate_is_good(tmp_path: Path) -> None:
    """Counts are zero, rates unknown; an expectation of a rate fails, and people read why."""
    result = played("minute,chat\n" + "".join(f"{n},0\n" for n in range(5)), tmp_path)
    assert result.requests == 0
    assert [(each.held, each.value) for each in result.expectations] == [(False, None)] * 3 + [(True, 0.0)]
    assert result.notes == ("models.chat: no request came, so that nothing is known of how well it served",)


@pytest.mark.parametrize("trace", [COUNTS, "t_s\n" + "".join(f"{2 * n}\n" for n in range(150))])
def test_minutes_after_the_end_of_a_trace_are_not_averaged_in(trace: str, tmp_path: Path) -> None:
    """Five bad minutes of an hour are as bad as five bad minutes alone, and people read where the trace ended."""
    alone = played(trace, tmp_path, slo_s=0.1)
    result = played(trace, tmp_path, duration_s=3600, slo_s=0.1)
    assert result.measures["slo_violation_rate"] == alone.measures["slo_violation_rate"] == 1.0
    assert result.measures["lost_utility"] == pytest.approx(alone.measures["lost_utility"])
    assert [note.split(" of ")[0] for note in result.notes] == [
        f"models.chat: its traces end at {300 if trace == COUNTS else 298} s"
    ]
    assert alone.notes == ()


def test_a_quiet_time_within_a_trace_is_averaged_in(tmp_path: Path) -> None:
    """As long as something is still to come: minutes are what the rate is a mean of."""
    quiet = "minute,chat\n0,30\n1,0\n2,0\n3,30\n"
    result = played(quiet, tmp_path, duration_s=240, slo_s=0.1)
    assert result.measures["slo_violation_rate"] == 0.5
    assert result.notes == ()
