"""Standing: what there is of replicas, latency, budget, drift, refused rows, orders and controls; unknown is None, never zero."""

from pathlib import Path
from typing import Any

import pytest

from agent.codec import to_json
from agent.journal.controls import said
from agent.journal.life import Beginning, started
from agent.journal.store import SqlJournal
from agent.order import Order
from agent.settings import Settings
from agent.standing import from_journal, standing, used
from policies.action import Scale
from policies.observation import JobState, Replica, ReplicaState, Resources, Traffic, TrainingJob
from policies.testing import deployment, model, observation, report, symptom, version

SETTINGS = Settings.model_validate({"name": "shop", "budget": {"replicas": 6}})
TRAFFIC = Traffic(measured_at_s=9.0, window_s=10.0, requests=120, errors=6, latency_p95_s=0.3, latency_mean_s=0.1)
NOTHING: dict[str, Any] = {"vetoes": [], "suggestions": [], "holds": [], "alerts": [], "awaiting": []}


def seen(at_s: float = 10.0) -> Any:
    replicas = (
        Replica(id="r1", state=ReplicaState.RUNNING),
        Replica(id="r2", state=ReplicaState.STARTING),
    )
    busy = deployment("fraud/Fraud", replicas=replicas, replicas_wanted=2, traffic=TRAFFIC, slo_latency_s=0.2)
    watched = model(
        name="fraud", champion=version("3"), managed=True,
        report=report(9.0, symptom("feature_drift", 5.0, signal="amount"), rows=500, rejected_rows=4, unknown_labels=2),
        training=TrainingJob(id="j", state=JobState.RUNNING, started_at_s=1.0, resources=Resources(cpus=2.0)),
    )  # fmt: skip
    return to_json(observation(at_s, busy, watched))


def order(number: int) -> dict[str, Any]:
    action = Scale(deployment="fraud/Fraud", replicas=3)
    return to_json(
        Order(number=number, epoch=1, key=str(number), action=action, because=(), policy="p", issued_at_s=1.0, deadline_s=9.0)
    )  # fmt: skip


def told(**changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"open_orders": [], "awaiting": [], "controls": {}, "said": []}
    return standing(SETTINGS.model_dump(mode="json"), seen(), **(given | changed))


def test_a_deployment_is_told_with_what_it_wants_and_what_it_should_keep() -> None:
    """Replicas wanted and running, latency beside its SLO, rate and errors."""
    (row,) = told()["deployments"]
    expected = {
        "name": "fraud/Fraud", "replicas_wanted": 2, "replicas_running": 1, "latency_p95_s": 0.3, "slo_latency_s": 0.2,
        "rate_rps": 12.0, "error_rate": 0.05,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_what_is_not_known_of_a_deployment_is_none() -> None:
    """No traffic is no rate of zero."""
    plain = seen()
    plain["deployments"]["fraud/Fraud"]["traffic"] = None
    plain["deployments"]["fraud/Fraud"]["replicas_wanted"] = None
    (row,) = standing({}, plain, open_orders=[], awaiting=[], controls={}, said=[])["deployments"]
    assert [row[name] for name in ("rate_rps", "error_rate", "latency_p95_s", "replicas_wanted")] == [None] * 4
    assert used("replicas", plain) is None


def test_the_budget_tells_what_is_used_and_what_is_left() -> None:
    """Replicas of all deployments; CPUs of the training that runs as well; no limit is no number left."""
    budget = told()["budget"]
    assert budget["replicas"] == {"used": 2.0, "limit": 6, "left": 4.0}
    assert budget["cpus"] == {"used": 4.0, "limit": None, "left": None}


def test_a_model_is_told_with_its_drift_and_what_was_not_taken() -> None:
    """By reason; what a newer monitor counts by reasons of its own stands beside it."""
    (row,) = told()["models"]
    assert (row["champion"], [each["signal"] for each in row["symptoms"]]) == ("3", ["amount"])
    assert row["refused"] == {
        "rows with values that are missing or no numbers": 4,
        "labels of rows that are not known": 2,
    }
    plain = seen()
    plain["models"]["fraud"]["report"]["refused"] = {"labels that are no finite number": 3}
    (row,) = standing({}, plain, open_orders=[], awaiting=[], controls={}, said=[])["models"]
    assert row["refused"]["labels that are no finite number"] == 3


def test_what_is_written_and_not_yet_seen_is_told_as_such(journal: SqlJournal) -> None:
    """Until the agent has looked again; where the journal can not be read nothing is known of it, and what is taken back is a word too."""
    frozen = seen() | {"controls": {"frozen": True, "killed": False}}
    journal.append([("control", 5.0, said("freeze", by="ann")), ("control", 6.0, said("kill", by="bo", reason="odd"))])
    entries = list(journal.entries())
    (kill,) = standing({}, frozen, open_orders=[], awaiting=[], controls=frozen["controls"], said=entries)["unseen"]
    assert kill == {"word": "kill", "since_s": 6.0, "by": "bo", "reason": "odd"}
    both = frozen | {"controls": {"frozen": True, "killed": True}}
    assert standing({}, both, open_orders=[], awaiting=[], controls=both["controls"], said=entries)["unseen"] == []
    assert standing({}, both, open_orders=[], awaiting=[], controls=both["controls"], said=None)["unseen"] == []
    journal.append([("control", 7.0, said("unfreeze", by="ann")), ("control", 8.0, said("resume", by="bo"))])
    entries = list(journal.entries())
    taken_back = standing({}, both, open_orders=[], awaiting=[], controls=both["controls"], said=entries)["unseen"]
    assert [each["word"] for each in taken_back] == ["unfreeze", "resume"]


@pytest.fixture
def journal(tmp_path: Path) -> SqlJournal:
    return SqlJournal(f"sqlite:///{tmp_path}/j.db")


def test_a_journal_that_no_agent_began_with_has_nothing_to_tell(journal: SqlJournal) -> None:
    """A freeze was written, and that is all."""
    journal.append([("control", 1.0, said("freeze", by="ann"))])
    assert from_journal(journal, 2.0) is None


def test_a_journal_tells_what_its_agent_would(journal: SqlJournal) -> None:
    """Orders that are open or wait, who froze it and since when, and what was seen last."""
    journal.append(
        [
            ("started", 0.0, started(Beginning(open_orders=()), SETTINGS)),
            ("observed", 1.0, seen(1.0)),
            ("intent", 1.0, order(1)),
            ("intent", 2.0, order(2)),
            ("decided", 3.0, NOTHING | {"awaiting": [order(3), order(4)]}),
            ("outcome", 4.0, {"number": 1, "status": "succeeded", "at_s": 4.0, "detail": ""}),
            ("outcome", 4.0, {"number": 4, "status": "denied", "at_s": 4.0, "detail": ""}),
            ("control", 5.0, said("freeze", by="ann", reason="peak")),
            ("observed", 10.0, seen(10.0)),
        ]
    )
    found = from_journal(journal, 12.0)
    assert found is not None
    assert [each["number"] for each in found["open_orders"]] == [2]
    assert [each["number"] for each in found["awaiting"]] == [3]
    assert found["controls"] == {"frozen": {"since_s": 5.0, "by": "ann", "reason": "peak"}, "killed": None}
    assert (found["name"], found["seen_at_s"], len(found["deployments"])) == ("shop", 10.0, 1)
    assert found["budget"]["replicas"]["limit"] == 6
