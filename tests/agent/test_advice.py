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
    told = [each.partition(":")[0] for each in said(f"{DEPLOYMENT}policies: {policies}\n")]
    unmatched = ["policies[0].targets[0]"] if "other/*" in policies else []
    assert told == ([] if read else ["deployments.shop/Ranker.slo_latency_s"]) + unmatched


def test_a_managed_model_is_known_by_its_application() -> None:
    """Targets are globs over names on Serve."""
    model = "models: {fraud: {application: shop, deployment: {slo_latency_s: 0.5}}}\npolicies: [{use: joint, targets: [%s]}]\n"
    assert said(model % "'shop/*'") == []
    told = [each.partition(":")[0] for each in said(model % "'fraud/*'")]
    assert told == ["models.fraud.deployment.slo_latency_s", "policies[0].targets[0]"]


def test_a_long_objective_and_a_target_beyond_the_replica_are_said() -> None:
    """Both are possible, and mostly slips of a unit."""
    told = said("deployments: {shop/Ranker: {slo_latency_s: 200}}\npolicies: [{use: joint}]\n")
    assert told == ["deployments.shop/Ranker.slo_latency_s: 200 s is long; were milliseconds meant?"]
    told = said(
        "models: {m: {server: {max_ongoing_requests: 5}}}\npolicies: [{use: queue_length, target_ongoing_requests: 70}]\n"
    )
    assert [each.partition(" is more")[0] for each in told] == ["policies[0].target_ongoing_requests: 70"]


HERE = """\
deployments: {ranker/Ranker: {probe: clicks}}
models: {fraud: {application: checkout}}
policies: [%s]
"""
NAMES = "ranker/Ranker, checkout/ModelServer or checkout-challenger/ModelServer"
NOTHING = "matches nothing here, so nothing comes of it; expected a glob over"
UNMATCHED = {
    "{use: static, replicas: {nope: 3}}": f"replicas.nope: 'nope' {NOTHING} {NAMES}",
    "{use: static, replicas: {ranker: 3}}": f"replicas.ranker: 'ranker' {NOTHING} {NAMES}; did you mean 'ranker/Ranker'?",
    "{use: joint, weights: {'zz*': 3}, quotas: {'*': 3}}": f"weights.zz*: 'zz*' {NOTHING} {NAMES}",
    "{use: idle, targets: ['zz*', clicks]}": f"targets[0]: 'zz*' {NOTHING} fraud, clicks, {NAMES}",
    "{use: patient, patience_s: 5, policy: {use: static, replicas: {x: 1}}}": f"policy.replicas.x: 'x' {NOTHING} {NAMES}",
    "{use: first_of, policies: [{use: scoped, targets: [Fraud], policy: {use: idle}}]}": (
        f"policies[0].targets[0]: 'Fraud' {NOTHING} fraud, clicks, {NAMES}; did you mean 'fraud'?"
    ),
}


@pytest.mark.parametrize(("policy", "told"), UNMATCHED.items(), ids=UNMATCHED)
def test_a_glob_that_matches_nothing_is_said(policy: str, told: str) -> None:
    """Wherever it stands, with what there is to be matched and what was probably meant."""
    assert said(HERE % policy) == [f"policies[0].{told}"]


def test_globs_that_match_are_not_said() -> None:
    """Nor are those of a file without deployments, whose policies are for whatever there is."""
    policies = (
        "{use: static, replicas: {'ranker/*': 3, '*-challenger/*': 1}}, {use: idle, targets: ['check*', fraud, clicks]}"
    )
    assert said(HERE % policies) == []
    assert said("policies: [{use: static, replicas: {nope: 3}}]") == []


EMPTY = "the configuration: it names no deployment, no model and no policy, so an agent would only watch"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "name: shop\n", "policies: []\ndeployments: {}\n"])
def test_a_configuration_that_is_about_nothing_is_said_to_be_empty(text: str) -> None:
    """It is allowed, since an agent may be started first, and is hardly meant."""
    assert said(text) == [EMPTY]


def test_a_configuration_that_names_something_is_not_called_empty() -> None:
    """A deployment alone is watched, a policy alone is asked about all that there is."""
    assert said("deployments: {shop/Ranker: {}}\n") == said("policies: [{use: idle}]\n") == []
