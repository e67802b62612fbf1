"""What the demo says happened, told from its journal alone; and what is missing when something did not."""

import copy
import io
from pathlib import Path

import pytest
from rich.console import Console

from agent.journal.record import Entry, Kind
from ray_cluster.demo.outcome import (
    CHAMPION,
    Fault,
    decisions,
    drift,
    healing,
    lost_by_agent,
    missing,
    rollouts,
    scaling,
)
from ray_cluster.demo.plan import MODEL
from ray_cluster.demo.summary import tell

GOOD = {
    "requests": {"sent": 100, "failed": 3, "lost_by_agent": 0},
    "drift": [
        {"at_s": 1.0, "detector": "adwin", "evidence": {"kind": "error_drift"}},
        {"at_s": 1.0, "detector": "adwin", "evidence": {"kind": "feature_drift"}},
    ],
    "retrainings": [{"version": "2", "recipes_tried": ["logistic", "river_logistic"]}],
    "rollouts": [{"version": "2", "verdict": "promoted"}, {"version": "3", "verdict": "rolled back"}],
    "scaling": [{"at_s": 105.0, "from": 2, "to": 4}, {"at_s": 140.0, "from": 4, "to": 2}],
    "healing": [
        {"fault": "killed", "noticed_after_s": 1.0, "healed_after_s": 9.0},
        {"fault": "slow", "noticed_after_s": 1.0, "healed_after_s": 9.0},
    ],
    "quality": {"agent": 0.1, "frozen": 0.2},
    "journal": {"verified": True, "replayed_identically": True},
}


BURST = (100.0, 130.0)


def entries(*rows: tuple[Kind, float, dict]) -> list[Entry]:
    return [
        Entry(seq=n, at_s=at_s, kind=kind, payload=payload, previous_hash="", hash="")
        for n, (kind, at_s, payload) in enumerate(rows, 1)
    ]


def intent(number: int, action: dict, inverse: dict | None = None) -> dict:
    return {"number": number, "action": action, "because": [f"evidence {number}"], "inverse": inverse}


def outcome(number: int, status: str = "succeeded") -> dict:
    return {"number": number, "status": status}


def seen(*replicas: tuple[str, str], wanted: int = 2, symptoms: tuple = ()) -> dict:
    rows = [{"id": name, "state": state} for name, state in replicas]
    return {
        "deployments": {CHAMPION: {"replicas": rows, "replicas_wanted": wanted}},
        "models": {MODEL: {"report": {"symptoms": list(symptoms)}}},
    }


def test_a_run_in_which_all_happened_lacks_nothing() -> None:
    """Then, and only then, exit 0."""
    assert missing(GOOD, bad_version="3", burst=BURST) == []


@pytest.mark.parametrize(
    ("path", "value", "claim"),
    [
        (("requests", "lost_by_agent"), 1, "no request was lost by the agent"),
        (("drift",), [GOOD["drift"][1]], "drift was found on the labels"),
        (("drift",), [GOOD["drift"][0]], "drift was found on the features"),
        (("retrainings", 0, "version"), None, "a retraining was registered"),
        (("retrainings", 0, "recipes_tried"), ["logistic"], "a search tried scikit-learn and River recipes"),
        (("rollouts", 0, "verdict"), "rolled back", "a retrained challenger was promoted"),
        (("rollouts", 1, "verdict"), "open", "the bad challenger was rolled back"),
        (("scaling",), [{"at_s": 90.0, "from": 2, "to": 4}, GOOD["scaling"][1]], "the burst added replicas"),
        (("scaling",), [GOOD["scaling"][0], {"at_s": 110.0, "from": 4, "to": 2}], "the end of the burst removed them"),
        (("healing", 0, "healed_after_s"), None, "the killed replica was noticed and replaced"),
        (("healing", 1, "noticed_after_s"), None, "the slow replica was noticed and replaced"),
        (("quality", "agent"), 0.2, "the agent's answers were better than the frozen model's"),
        (("quality", "agent"), None, "the agent's answers were better than the frozen model's"),
        (("journal", "verified"), False, "the journal verifies"),
        (("journal", "replayed_identically"), False, "the journal replays identically"),
    ],
)
def test_what_did_not_happen_is_named(path: tuple, value: object, claim: str) -> None:
    """Each promise by itself."""
    result = copy.deepcopy(GOOD)
    place = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert missing(result, bad_version="3", burst=BURST) == [claim]


def test_a_symptom_is_told_once_when_it_was_first_seen() -> None:
    """The same alarm stands in every observation after it."""
    symptom = {"kind": "error_drift", "signal": "loss", "detector": "adwin", "since_s": 5.0}
    again = symptom | {"since_s": 9.0}
    told = drift(
        entries(
            (Kind.OBSERVED, 1.0, seen()),
            (Kind.OBSERVED, 6.0, seen(symptoms=(symptom,))),
            (Kind.OBSERVED, 7.0, seen(symptoms=(symptom,))),
            (Kind.OBSERVED, 10.0, seen(symptoms=(again,))),
        )
    )
    assert told == [
        {"at_s": 6.0, "detector": "adwin", "evidence": symptom},
        {"at_s": 10.0, "detector": "adwin", "evidence": again},
    ]


def test_a_rollout_has_the_verdict_that_came_to_pass() -> None:
    """An order that was given and not done decides nothing."""
    told = rollouts(
        entries(
            (Kind.INTENT, 1.0, intent(1, {"kind": "start_rollout", "version": "2"})),
            (Kind.INTENT, 2.0, intent(2, {"kind": "set_traffic", "version": "2", "share": 0.1})),
            (Kind.INTENT, 3.0, intent(3, {"kind": "promote", "version": "2"})),
            (Kind.OUTCOME, 4.0, outcome(3, "expired")),
            (Kind.INTENT, 5.0, intent(4, {"kind": "roll_back", "version": "2"})),
            (Kind.OUTCOME, 6.0, outcome(4)),
        )
    )
    assert told == [
        {
            "version": "2", "stages": ["shadow", "canary 0.1"], "verdict": "rolled back", "evidence": ["evidence 4"],
            "at_s": 1.0, "ended_at_s": 6.0,
        }
    ]  # fmt: skip


def test_only_scaling_that_came_to_pass_is_told() -> None:
    """From and to, of the champion's deployment alone."""
    up = {"kind": "scale", "deployment": CHAMPION, "replicas": 4}
    other = up | {"deployment": "else/Where"}
    told = scaling(
        entries(
            (Kind.INTENT, 1.0, intent(1, up, {"replicas": 2})),
            (Kind.INTENT, 1.0, intent(2, other, {"replicas": 2})),
            (Kind.OUTCOME, 2.0, outcome(2)),
            (Kind.OUTCOME, 3.0, outcome(1)),
            (Kind.INTENT, 4.0, intent(3, up | {"replicas": 2}, {"replicas": 4})),
            (Kind.OUTCOME, 5.0, outcome(3, "superseded")),
        )
    )
    assert told == [{"at_s": 1.0, "from": 2, "to": 4}]


def test_every_order_is_told_with_its_reasons_and_its_end() -> None:
    """What the last table of the demo shows."""
    why = {"name": "utilization", "value": 0.91234, "threshold": 0.7, "note": ""}
    order = {
        "number": 1,
        "action": {"kind": "scale", "deployment": "flights/ModelServer", "replicas": 3},
        "policy": "target",
        "because": [why],
        "inverse": None,
    }
    record = entries(
        (Kind.INTENT, 5.0, order), (Kind.INTENT, 6.0, {**order, "number": 2}), (Kind.OUTCOME, 9.0, outcome(1))
    )
    told = {
        "at_s": 5.0,
        "action": "scale flights/ModelServer to 3 replicas",
        "policy": "target",
        "because": "utilization 91.2 % against 70 %",
    }
    assert decisions(record) == [
        {"number": 1, **told, "ended": "succeeded"},
        {"number": 2, **told, "at_s": 6.0, "ended": None},
    ]


def test_the_last_words_hold_what_happened_what_it_was_worth_and_why_it_was_done(tmp_path: Path) -> None:
    """Quality beside the frozen model's on the same rows; requests sent, failed and slow; decisions with their reasons."""
    console = Console(record=True, width=160, file=io.StringIO())
    scale = {
        "number": 7,
        "at_s": 1.0,
        "action": "scale replicas=3",
        "because": "utilization 0.9 (threshold 0.7)",
        "ended": None,
    }
    retraining = {"version": "2", "best_recipe": "logistic", "trials": 4, "rows": 900, "wall_s": None}
    result = {
        **GOOD, "requests": {"sent": 100, "failed": 3, "slow": 5}, "decisions": [scale], "wall_s": 99.6, "began_s": -30.0,
        "retrainings": [
            retraining, {"version": None, "state": "running", "message": ""},
            {"version": None, "state": "failed", "message": "its process died"},
        ],
        "rollouts": [{"version": "3", "stages": ["shadow"], "verdict": "rolled back"}],
        "quality": {"metric": "brier", "agent": 0.1, "frozen": 0.2, "rows": 800},
        "journal": {"entries": 50, "verified": True, "replayed_identically": True},
    }  # fmt: skip
    tell(console, result, tmp_path)
    told = console.export_text()
    wanted = [
        "version 2, logistic, 4 trials, 900 rows, no time", "under way at the end", "failed: its process died",
        "sent 100, failed 3, slow 5", "with the agent 0.1000, first model frozen 0.2000, on the same 800 rows",
        "31", "scale replicas=3", "utilization 0.9 (threshold 0.7)", "under way", "shadow: rolled back", "100 s in all",
    ]  # fmt: skip
    assert [each for each in wanted if each not in told] == []


def test_healing_is_from_the_fault_to_the_notice_and_to_all_replicas_running() -> None:
    """A killed one is noticed by an alert, a slow one by the order to replace it."""
    record = entries(
        (Kind.OBSERVED, 9.0, seen(("a", "running"), ("b", "running"))),
        (Kind.DECIDED, 12.0, {"alerts": [{"subject": CHAMPION, "text": "replica a died"}]}),
        (Kind.OBSERVED, 13.0, seen(("b", "running"))),
        (Kind.OBSERVED, 20.0, seen(("b", "running"), ("c", "running"))),
        (Kind.INTENT, 34.0, intent(1, {"kind": "restart", "replica": "b"})),
        (Kind.OBSERVED, 50.0, seen(("c", "running"), ("d", "running"))),
    )
    faults = [Fault(fault="killed", replica="a", at_s=10.0), Fault(fault="slow", replica="b", at_s=30.0)]
    assert [(each["noticed_after_s"], each["healed_after_s"]) for each in healing(record, faults)] == [
        (2.0, 10.0), (4.0, 20.0),
    ]  # fmt: skip


def test_only_what_the_demo_itself_killed_excuses_a_failed_request() -> None:
    """A slow replica excuses nothing, nor does a kill long before or after."""
    faults = [Fault(fault="killed", replica="a", at_s=100.0), Fault(fault="slow", replica="b", at_s=200.0)]
    failures = [{"at_s": at_s, "ended_s": at_s + 1.0} for at_s in (90.0, 99.5, 114.0, 116.0, 200.0)]
    assert lost_by_agent(failures, faults) == 3
