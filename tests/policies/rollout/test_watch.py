"""The watch on a new champion, at its limits: whom it takes for worse, and what counts as normal."""

from dataclasses import replace
from typing import Any

import pytest

from policies.action import Evidence
from policies.observation import DeploymentStatus, Model
from policies.rollout.watch import Normal, does_not_run, regression
from policies.testing import deployment, model, replica, report, symptom


def watched(at_s: float = 1000.0, *, loss_then: float | None = 0.2, **fields: Any) -> tuple[Evidence, ...] | None:
    """Promoted at 500 s, drifted at 600 s, reported at 900 s with a loss of 0.3 on version 2; `fields` are of the report."""
    drifted = symptom(since_s=600.0, value=5.0, threshold=2.0, n=70)
    plain: dict[str, Any] = {"version": "2", "loss": 0.3, "loss_reference": 0.1, "window_rows": 400}
    seen = model(champion="2", previous=None, champion_since_s=500.0)
    told = report(900.0, *fields.pop("symptoms", (drifted,)), **(plain | fields))
    return told_by(seen, told, at_s, loss_then)


def told_by(seen: Model, told: Any, at_s: float, loss_then: float | None) -> tuple[Evidence, ...] | None:
    return regression(replace(seen, report=told), at_s, watch_s=600.0, stale_after_s=300.0, loss_then=loss_then)


def test_a_regression_is_told_with_its_reasons() -> None:
    """How new it is, what drifted, and what it loses now beside what it was promoted with."""
    found = watched()
    assert found is not None
    assert found[0] == Evidence(name="promoted_s_ago", value=500.0, threshold=600.0, note="newly promoted")
    assert (found[1].name, found[1].value, found[1].threshold, found[1].n) == (
        f"error_drift:{symptom().detector}",
        5.0,
        2.0,
        70,
    )
    assert found[2] == Evidence(name="loss", value=0.3, threshold=0.2, n=400, note="now, against before")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"at_s": 1100.0}, True),
        ({"at_s": 1100.1}, False),
        ({"at_s": 1200.0}, False),
        ({"loss_then": 0.3}, False),
        ({"loss_then": 0.29}, True),
        ({"loss_then": None}, True),
        ({"loss_then": None, "loss_reference": 0.3}, False),
        ({"loss_then": None, "loss_reference": None}, False),
        ({"loss": None}, False),
        ({"version": "1"}, False),
        ({"version": None}, False),
        ({"symptoms": ()}, False),
        ({"symptoms": (symptom(since_s=500.0),)}, True),
        ({"symptoms": (symptom(since_s=499.9),)}, False),
        ({"symptoms": (symptom("feature_drift", since_s=600.0),)}, False),
        ({"symptoms": (symptom(since_s=1.0), symptom("feature_drift", since_s=600.0), symptom(since_s=600.0))}, True),
    ],
)
def test_a_regression_is_new_known_and_does_harm(fields: dict[str, Any], found: bool) -> None:
    """Within the watch, on a report of that version, above the loss of then."""
    assert (watched(**fields) is not None) is found


def test_a_report_that_is_too_old_says_nothing() -> None:
    """Three hundred seconds, not a moment more."""
    seen = model(champion="2", champion_since_s=800.0)
    old = report(700.0, symptom(since_s=850.0), version="2", loss=0.9)
    assert told_by(seen, old, 1000.0, 0.2) is not None
    assert told_by(seen, old, 1000.1, 0.2) is None


@pytest.mark.parametrize(
    "seen",
    [model(champion=None, champion_since_s=500.0), model(champion="2", champion_since_s=None)],
    ids=["nobody serves", "since when is not known"],
)
def test_without_a_champion_or_its_beginning_nothing_is_known(seen: Model) -> None:
    """A report alone judges nobody."""
    told = report(900.0, symptom(since_s=600.0), version="2", loss=0.9)
    assert told_by(seen, told, 1000.0, 0.2) is None


def test_without_a_report_nothing_is_known() -> None:
    """Whoever serves."""
    assert told_by(model(champion="2", champion_since_s=500.0), None, 1000.0, 0.2) is None


def seen_by(normal: Normal, *losses: tuple[float, float | None], version: str = "1", of: str | None = None) -> None:
    for at_s, loss in losses:
        normal.see(model(champion=version, report=report(at_s, version=of or version, loss=loss)))


def test_what_is_normal_is_the_worst_window_of_late() -> None:
    """A better one that follows hides nothing, one that is as bad takes its place, and what is older is forgotten."""
    normal = Normal()
    seen_by(normal, (10.0, 0.3), (20.0, 0.2), (30.0, 0.25), (40.0, 0.1))
    assert [normal.worst_since(at_s) for at_s in (0.0, 10.0, 10.1, 30.0, 30.1, 40.0, 40.1)] == [
        0.3, 0.3, 0.25, 0.25, 0.1, 0.1, None,
    ]  # fmt: skip
    seen_by(normal, (50.0, 0.1), (60.0, 0.1))
    assert (normal.worst_since(55.0), normal.worst_since(60.1)) == (0.1, None)


def test_what_is_normal_is_of_one_champion() -> None:
    """Another begins anew; a report on another version, without a loss, or none at all adds nothing."""
    normal = Normal()
    seen_by(normal, (10.0, 0.3))
    seen_by(normal, (20.0, 0.9), of="2")
    seen_by(normal, (30.0, None))
    normal.see(model(champion="1"))
    normal.see(model(champion=None, report=report(35.0, version="1", loss=0.8)))
    assert (normal.version, normal.worst_since(0.0)) == ("1", 0.3)
    seen_by(normal, (40.0, 0.1), version="2")
    assert (normal.version, normal.worst_since(0.0)) == ("2", 0.1)


@pytest.mark.parametrize(
    ("status", "healthy", "wanted", "down"),
    [
        (DeploymentStatus.UNHEALTHY, 1, 4, True),
        (DeploymentStatus.UNHEALTHY, 1, 3, True),
        (DeploymentStatus.UNHEALTHY, 2, 4, False),
        (DeploymentStatus.UNHEALTHY, 0, 0, False),
        (DeploymentStatus.DEPLOY_FAILED, 0, 1, True),
        (DeploymentStatus.UPDATING, 0, 4, False),
        (DeploymentStatus.HEALTHY, 0, 4, False),
    ],
)
def test_a_champion_does_not_run_where_most_of_its_replicas_fail(
    status: DeploymentStatus, healthy: int, wanted: int, down: bool
) -> None:
    """Known to fail, and fewer than half of them healthy."""
    rows = tuple(replica(f"r{n}") for n in range(healthy))
    assert does_not_run(deployment(replicas=rows, replicas_wanted=wanted, status=status)) is down


def test_what_can_not_be_seen_is_not_known_to_fail() -> None:
    """A deployment that is missing is none that fails."""
    assert does_not_run(None) is False
