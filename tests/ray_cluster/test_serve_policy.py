"""Our policies inside Serve's controller: whatever happens they answer at once, with a count that Serve can use."""

import json
import logging
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from ray import cloudpickle
from ray.serve._private.autoscaling_state import _apply_app_level_autoscaling_config, _apply_autoscaling_config
from ray.serve._private.common import DeploymentID
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from policies.action import Proposal, Scale
from policies.registry import POLICIES
from ray_cluster.serve_options import check
from ray_cluster.serve_policy import ServePolicy
from tests.ray_cluster.test_serve_context import AT_S, context, recorded

PATIENT = {"use": "target_utilization", "target": 0.5, "up_window_s": 0.0, "down_window_s": 0.0}
EAGER = AutoscalingConfig(max_replicas=5, upscale_delay_s=0.0, downscale_delay_s=0.0)
SCALING = {
    "queue_length": {}, "target_utilization": {}, "fair_share": {"budget": 5}, "static": {"replicas": {"*": 4}},
    "aiad": {}, "one_shot": {}, "panic": {}, "mark": {}, "faro_sum": {"budget": 5}, "faro_fair_sum": {"budget": 5},
    "joint": {"budget": 5},
}  # fmt: skip
BY_REQUESTS_IN_THE_SYSTEM = {"queue_length", "target_utilization", "panic", "fair_share", "static"}


def at_once(work):
    """In the caller's thread: what a thread would have done by the next call."""
    promised: Future = Future()
    try:
        promised.set_result(work())
    except Exception as error:
        promised.set_exception(error)
    return promised


def never(work):
    """A thread that is stuck."""
    return Future()


@dataclass
class Scripted:
    """A user's policy that wants `replicas` of everything, or raises; counts how often it was asked."""

    replicas: int | None = 4
    asked: list[float] = field(default_factory=list)

    def propose(self, seen):
        self.asked.append(seen.at_s)
        if self.replicas is None:
            raise RuntimeError("a defect of its own")
        return [
            Proposal(action=Scale(deployment=name, replicas=self.replicas), because=()) for name in seen.deployments
        ]


SCRIPT: list[Scripted] = []


class Current:
    """Found by its import path, as a user's own would be; asks the newest script."""

    def propose(self, seen):
        return SCRIPT[-1].propose(seen)


@pytest.fixture
def script() -> Scripted:
    SCRIPT.append(Scripted())
    return SCRIPT[-1]


def policy(use: Any = f"{__name__}:Current", start=at_once, **options) -> ServePolicy:
    return ServePolicy(start, policy=use, allow_imports=[__name__], **options)


def test_one_context_is_answered_with_a_count_and_an_application_with_counts_by_id(script: Scripted) -> None:
    """As Serve asks at deployment level and at application level."""
    other = DeploymentID(name="Other", app_name="ranker")
    contexts = {
        context().deployment_id: context(),
        other: context(deployment_id=other, deployment_name="Other", capacity_adjusted_max_replicas=3),
    }
    assert policy()(context()) == (4, {})
    assert policy()(contexts) == ({context().deployment_id: 4, other: 3}, {})
    assert policy()({}) == ({}, {})


def test_what_comes_out_of_serve_is_what_the_policy_wants() -> None:
    """Behind Serve's own factors, delays and bounds: 6 requests at half of one per replica want 5 at most; 2 want 4."""
    decided = _apply_autoscaling_config(policy(PATIENT))
    assert decided(context(2, 2, 6.0, config=EAGER))[0] == 5
    by_id = _apply_app_level_autoscaling_config(policy(PATIENT))
    assert by_id({context().deployment_id: context(5, 5, 2.0, config=EAGER)})[0] == {context().deployment_id: 4}


@pytest.mark.parametrize("factors", [{}, {"upscaling_factor": 3.0, "downscaling_factor": 0.3}])
@pytest.mark.parametrize(("running", "target"), [(0, 0), (0, 2), (2, 2), (1, 4), (4, 1), (3, 0)])
def test_a_hold_keeps_the_target_whatever_serves_factors_are(factors: dict, running: int, target: int) -> None:
    """Serve multiplies the distance from the running replicas; a hold while replicas start must not become more of them."""
    config = AutoscalingConfig(max_replicas=9, upscale_delay_s=0.0, downscale_delay_s=0.0, **factors)
    held = _apply_autoscaling_config(policy(PATIENT, never))
    assert held(context(running, target, 0.0, config=config))[0] == target


def test_between_two_decisions_the_last_one_stands(script: Scripted) -> None:
    """Serve asks ten times a second; the policy is asked every `decide_every_s`, and at once where the clock went back."""
    serve = policy(decide_every_s=2.0)
    answers = [serve(context(current_time=AT_S + s))[0] for s in (0.0, 0.1, 1.9, 2.0, 2.1)]
    assert (answers, script.asked) == ([4] * 5, [AT_S, AT_S + 2.0])
    serve(context(current_time=AT_S - 100.0))
    assert script.asked[-1] == AT_S - 100.0


def test_a_decision_under_way_is_not_waited_for(script: Scripted) -> None:
    """The target stays until it is there, and no second one is begun beside it."""
    begun = []

    def slow(work):
        begun.append((work, Future()))
        return begun[-1][1]

    serve = policy(start=slow)
    assert [serve(context(current_time=AT_S + s))[0] for s in (0.0, 5.0)] == [pytest.approx(2.0)] * 2
    (work, promised), = begun  # fmt: skip
    promised.set_result(work())
    assert serve(context(current_time=AT_S + 5.1))[0] == 4
    assert len(begun) == 2


def test_a_decision_that_became_old_holds(script: Scripted) -> None:
    """A policy that hangs for ever freezes the counts as they are, not as it wanted them long ago."""
    serve = policy()
    assert serve(context())[0] == 4
    serve._start = never
    assert serve(context(current_time=AT_S + 1.0))[0] == 4
    assert serve(context(current_time=AT_S + 31.0))[0] == pytest.approx(2.0)


def test_a_policy_that_raises_holds_and_is_told_of_once(script: Scripted, caplog) -> None:
    """Raised in the controller it would stop deployments of all applications. Once it is well again it decides again."""
    serve = policy()
    script.replicas = None
    with caplog.at_level(logging.ERROR, "ray.serve"):
        held = [serve(context(current_time=AT_S + s))[0] for s in (0.0, 1.0, 2.0)]
    assert held == [pytest.approx(2.0)] * 3
    assert [r.getMessage() for r in caplog.records] == ["Homeostat's policy holds: RuntimeError: a defect of its own"]
    script.replicas = 3
    assert serve(context(current_time=AT_S + 3.0))[0] == 3


def test_a_context_that_can_not_be_read_holds() -> None:
    """Serve's own counts may fail, too."""

    def broken() -> float:
        raise ValueError("no metrics")

    assert policy(PATIENT)(context(total_num_requests=broken))[0] == pytest.approx(2.0)
    assert policy(PATIENT)(context(current_time=None))[0] == pytest.approx(2.0)
    assert policy(PATIENT)({"id": context(total_num_requests=broken)}) == ({}, {})


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({}, "policy: missing; expected a value"),
        ({"policy": "jont"}, "unknown policy 'jont'"),
        ({"policy": f"{__name__}:Current"}, "is an import path; expected a registered name"),
        ({"policy": {"use": "joint", "budgt": 3}}, "has no parameter 'budgt'"),
        ({"policy": "idle", "every_s": 3}, "every_s: unknown key, got 3"),
        ({"policy": "idle", "decide_every_s": 0}, "decide_every_s: expected more than 0, got 0"),
    ],
)
def test_keywords_that_are_wrong_are_told_by_check_and_hold_in_the_controller(kwargs, reason, caplog) -> None:
    """The constructor runs in the controller, where nothing may be raised."""
    if "joint" not in POLICIES and "joint" in str(kwargs):
        pytest.skip("the policy joint is not registered")
    with pytest.raises(ValueError, match=reason):
        check(kwargs)
    with caplog.at_level(logging.ERROR, "ray.serve"):
        assert ServePolicy(at_once, **kwargs)(context())[0] == pytest.approx(2.0)
    assert reason in caplog.text


def test_a_zero_is_unknown_until_it_has_lasted() -> None:
    """Serve says 0 also where nobody reported: a controller that began anew, a proxy that died. A lull is believed later."""
    serve = policy(PATIENT, zero_after_s=15.0)
    moments = [(0.0, 2.0), (1.0, 0.0), (15.0, 0.0), (16.1, 0.0)]
    answers = [serve(context(4, 4, total, current_time=AT_S + s))[0] for s, total in moments]
    assert answers == pytest.approx([4, 4, 4, 1])


def test_a_budget_holds_over_all_deployments_that_are_seen_together(script: Scripted) -> None:
    """Also for policies that know of none: what there is, is given in the order of names."""
    other = DeploymentID(name="Other", app_name="ranker")
    contexts = {context().deployment_id: context(), other: context(deployment_id=other, deployment_name="Other")}
    assert policy(budget=6)(contexts)[0] == {context().deployment_id: 4}
    assert policy(budget=7)(contexts)[0] == {context().deployment_id: 4, other: 3}


@pytest.mark.parametrize("name", SCALING)
def test_every_scaling_policy_can_be_named(name: str) -> None:
    """By `policy_kwargs` that are JSON. Those that need rates or latencies hold until replicas record them, then act, inside the bounds."""
    if name not in POLICIES:
        pytest.skip(f"the policy {name} is not registered")
    kwargs = json.loads(json.dumps({"policy": {"use": name} | SCALING[name], "slo_latency_s": {"Model": 0.5}}))
    check(kwargs)
    assert _acts(ServePolicy(at_once, **kwargs), lambda _: {}) == (name in BY_REQUESTS_IN_THE_SYSTEM)
    assert _acts(ServePolicy(at_once, **kwargs), recorded)


def _acts(serve: ServePolicy, statistics) -> bool:
    """Whether it wants something else than 2 replicas within two minutes of 12 requests in the system."""
    moments = [AT_S + s for s in range(120)]
    counts = [
        serve(context(2, 2, 12.0, 6.0, current_time=at_s, raw_metrics=partial(statistics, at_s)))[0] for at_s in moments
    ]
    assert not serve._said
    assert all(1 <= count <= 5 for count in counts)
    return any(count >= 2.5 for count in counts)


def test_serve_can_carry_it_into_its_controller() -> None:
    """Serve pickles the module of a policy by value and makes the policy from its keywords there."""
    carried = AutoscalingPolicy(
        policy_function="ray_cluster.serve_policy:ServePolicy", policy_kwargs={"policy": "target_utilization"}
    )
    made = carried.get_policy()(**carried.policy_kwargs)
    assert made(context())[0] == pytest.approx(2.0)
    assert cloudpickle.loads(cloudpickle.dumps(ServePolicy)) is not None
