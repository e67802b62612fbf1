"""What people read: actions, evidence, times and durations in plain words, whatever a journal holds."""

from typing import Any, get_args

import pytest

from agent.codec import to_json
from agent.units import before, day, duration, moment, number
from agent.words import SENTENCES, action_words, evidence_words, listed, order_words, reasons, veto_words
from policies.action import (
    Action,
    Evidence,
    Promote,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
)

FEBRUARY_S = 1_770_885_180.25
"""12 February 2026 08:33 UTC."""


def evidence(**fields: Any) -> dict[str, Any]:
    return to_json(Evidence(**fields))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Scale(deployment="a/m", replicas=4), "scale a/m to 4 replicas"),
        (Scale(deployment="a/m", replicas=1), "scale a/m to 1 replica"),
        (Restart(deployment="a/m", replica="r7"), "replace replica r7 of a/m"),
        (Retrain(model="demo"), "retrain demo on all rows"),
        (Retrain(model="demo", since_s=FEBRUARY_S), "retrain demo on rows since 12 February 2026 08:33 UTC"),
        (
            Retrain(model="demo", since_s=FEBRUARY_S, rows_max=50_000, concurrent_trials=2),
            "retrain demo on at most 50,000 rows since 12 February 2026 08:33 UTC, 2 trials at a time",
        ),
        (StopTraining(model="demo"), "stop the training of demo"),
        (
            StartRollout(model="demo", version="3", digest="d" * 64),
            "run version 3 of demo in shadow, shown 100 % of the rows",
        ),
        (
            SetTraffic(model="demo", version="3", share=0.25, shadow=0.5),
            "let version 3 of demo answer 25 % of the keys and be shown 50 % of the other rows",
        ),
        (SetTraffic(model="demo", version="3", share=0.1), "let version 3 of demo answer 10 % of the keys"),
        (Promote(model="demo", version="3", digest="d"), "promote version 3 of demo to champion"),
        (RollBack(model="demo", version="3", to="2", to_digest="d"), "roll version 3 of demo back to version 2"),
        (
            Quarantine(model="demo", since_s=FEBRUARY_S, until_s=FEBRUARY_S + 600),
            "keep the rows of demo from 12 February 2026 08:33 UTC to 12 February 2026 08:43 UTC out of training",
        ),
    ],
)
def test_an_action_is_told_as_one_would_ask_for_it(action: Action, words: str) -> None:
    """No name of a field, no digest, no POSIX seconds."""
    assert action_words(to_json(action)) == words


def test_every_kind_of_action_has_its_sentence() -> None:
    """A kind that is added without one would be told in fields again."""
    assert {kind.__dataclass_fields__["kind"].default for kind in get_args(Action)} == set(SENTENCES)


def test_an_order_says_what_was_before_and_where_its_rows_begin() -> None:
    """A scale from how many; a retraining that drift asked for says that its rows begin there."""
    scale = {"action": to_json(Scale(deployment="a/m", replicas=4)), "because": []}
    before = to_json(Scale(deployment="a/m", replicas=2))
    assert order_words(scale | {"inverse": before}) == "scale a/m from 2 to 4 replicas"
    assert order_words(scale | {"inverse": None}) == "scale a/m to 4 replicas"
    because = [evidence(name="error_drift:adwin", value=0.2, note="loss")]
    retrain = {"action": to_json(Retrain(model="demo", since_s=FEBRUARY_S)), "because": because}
    assert order_words(retrain) == "retrain demo on rows since 12 February 2026 08:33 UTC (drift began)"
    assert order_words(retrain, when=lambda s: "week 7") == "retrain demo on rows since week 7 (drift began)"
    assert order_words(retrain | {"because": []}) == "retrain demo on rows since 12 February 2026 08:33 UTC"


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (
            evidence(name="latency_p95_s", value=0.35, threshold=0.2, window_s=30.0, n=1200),
            "p95 latency 350 ms against 200 ms, over 30 s, n=1,200",
        ),
        (evidence(name="utilization", value=0.914, threshold=0.7, note="busy"), "utilization 91.4 % against 70 % (busy)"),
        (evidence(name="rate_forecast_rps", value=120.0), "forecast arrival rate 120 requests/s"),
        (evidence(name="champion_age_s", value=90.0, threshold=600.0), "age of the champion 1 min 30 s against 10 min"),
        (
            evidence(name="feature_drift:adwin", value=0.3, threshold=0.2, n=500, note="dep_delay"),
            "feature drift in dep_delay (adwin) 0.3 against 0.2, n=500",
        ),
        (evidence(name="performance:window_mean", value=0.3, note="loss"), "performance loss (window_mean) 0.3"),
        (evidence(name="error_drift:eddm", note="loss"), "error drift (eddm)"),
        (evidence(name="traffic", note="there is no traffic to read"), "there is no traffic to read"),
        (evidence(name="schedule:nightly", value=120.0, threshold=3600.0), "schedule nightly fell due, since then 2 min against 1 h"),
        (evidence(name="their_own", value=3.0), "their own 3"),
        (evidence(name="report"), "report"),
    ],
)  # fmt: skip
def test_evidence_has_the_fields_terms_and_units(shown: dict[str, Any], words: str) -> None:
    """A unit for each number that has one, the field's term for each name, and the note where there is one."""
    assert evidence_words(shown) == words


def test_a_veto_tells_its_figures_in_their_unit() -> None:
    """Seconds are a duration here, too."""
    veto = {"rule": "cool_down", "reason": "too soon after the last", "value": 30.0, "threshold": 300.0}
    assert veto_words(veto) == "too soon after the last (30 s against 5 min)"
    assert veto_words({"rule": "freeze", "reason": "a person said so"}) == "a person said so"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, ""), (0.0, "0 s"), (0.0004, "0.4 ms"), (0.25, "250 ms"), (3.456, "3.46 s"), (45.0, "45 s"), (59.97, "1 min"),
        (180.0, "3 min"), (61.0, "1 min 1 s"), (3599.9, "1 h"), (5400.0, "1 h 30 min"), (86_399.0, "1 d"), (187_200.0, "2 d 4 h"),
        (-5.0, "-5 s"), (float("nan"), "unknown"), (float("inf"), "unknown"), (1e200, "1e+200 s"),
    ],
)  # fmt: skip
def test_a_duration_is_told_in_the_two_units_that_matter(seconds: float | None, told: str) -> None:
    """Rounded, so that no unit is ever full."""
    assert duration(seconds) == told


def test_a_moment_is_a_date_in_utc() -> None:
    """And a number that no calendar has is told as it is, without a traceback."""
    assert (day(FEBRUARY_S), moment(FEBRUARY_S)) == ("12 February 2026 08:33 UTC", "2026-02-12 08:33:00")
    assert (day(1e300), moment(float("nan"))) == ("1e+300 s", "nan s")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"kind": "scale", "deployment": "a\nb"}, "scale deployment a b"),
        ({"kind": "retrain", "model": "m", "since_s": "soon"}, "retrain model m since_s soon"),
        ({"kind": "of tomorrow", "model": "m"}, "of tomorrow model m"),
        ({}, "action"),
    ],
)
def test_a_strangers_action_is_told_whatever_it_holds(action: dict[str, Any], words: str) -> None:
    """A field that is missing, of another type, or of a newer version; on one line."""
    assert action_words(action) == words


def test_a_strangers_evidence_is_told_whatever_it_holds() -> None:
    """A text where a number should be, a number beyond all floats, a note that would look like a line of its own."""
    odd = {"name": "latency_p95_s", "value": "slow", "threshold": 10**400, "n": "many", "note": "a\nb"}
    assert evidence_words(odd) == f"p95 latency slow against {10**400}, n=many (a b)"
    assert reasons({"because": None}) == ""


def test_names_are_listed_as_a_sentence_does() -> None:
    """Two at most, and how many more."""
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and 1 more",
    ]
    assert listed(["a", "b", "c"], most=3) == "a, b and c"


def test_large_numbers_are_written_out() -> None:
    """Rows and bytes are not read in powers of ten."""
    assert [number(x) for x in (None, 0.123456, 1234.5, 60_000.0, 1e20)] == ["", "0.1235", "1234", "60,000", "1e+20"]


def test_a_span_that_no_number_holds_is_no_span() -> None:
    """It would reach back for ever."""
    assert before("1.5 h", 10_000.0) == 4_600.0
    with pytest.raises(ValueError, match="is neither a time span"):
        before("9" * 400 + "d", 10_000.0)
