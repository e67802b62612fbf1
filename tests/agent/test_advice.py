"""What is allowed and hardly meant is said, and what is meant is not."""

import pytest

from agent.advice import advice
from agent.settings_file import parse

DEPLOYMENT = "deployments: {shop/Ranker: {slo_latency_s: 0.5}}\n"


def said(text: str) -> list[str]:
    return list(advice(parse(text, "f", {}, allowed=("tests",))))


class Own:
    """A policy of a user's own, which may read whatever it likes."""

    def propose(self, seen):
        return ()


@pytest.mark.parametrize(
    ("policies", "read"),
    [
        ("[{use: joint, budget: 4}]", True),
        ("[{use: target_utilization}, {use: replace_unhealthy}]", False),
        ("[]", False),
        ("[{use: target_utilization}, {use: aiad, targets: ['shop/*']}]", True),
        ("[{use: joint, targets: ['other/*']}]", False),
        ("[{use: patient, patience_s: 5, policy: {use: one_shot}}]", True),
        ("[{use: patient, patience_s: 5, policy: {use: idle}}]", False),
        ("[{use: first_of, policies: [{use: idle}, {use: mark}]}]", True),
        (f"[{{use: '{__name__}:Own'}}]", True),
    ],
)
def test_an_objective_that_no_policy_reads_is_said(policies: str, read: bool) -> None:
    """Policies inside others count, targets count, and of policies of others nothing is supposed."""
    told = said(f"{DEPLOYMENT}policies: {policies}\n")
    assert [each.partition(":")[0] for each in told] == ([] if read else ["deployments.shop/Ranker.slo_latency_s"])


def test_a_managed_model_is_known_by_its_application() -> None:
    """Targets are globs over names on Serve."""
    model = "models: {fraud: {application: shop, deployment: {slo_latency_s: 0.5}}}\npolicies: [{use: joint, targets: [%s]}]\n"
    assert said(model % "'shop/*'") == []
    assert [each.partition(":")[0] for each in said(model % "'fraud/*'")] == ["models.fraud.deployment.slo_latency_s"]


def test_a_long_objective_and_a_target_beyond_the_replica_are_said() -> None:
    """Both are possible, and mostly slips of a unit."""
    told = said("deployments: {shop/Ranker: {slo_latency_s: 200}}\npolicies: [{use: joint}]\n")
    assert told == ["deployments.shop/Ranker.slo_latency_s: 200 s is long; were milliseconds meant?"]
    told = said(
        "models: {m: {server: {max_ongoing_requests: 5}}}\npolicies: [{use: queue_length, target_ongoing_requests: 70}]\n"
    )
    assert [each.partition(" is more")[0] for each in told] == ["policies[0].target_ongoing_requests: 70"]
