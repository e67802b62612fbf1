"""What a rollout's decisions say for themselves, word for word: a person reads it at night, and the journal keeps it."""

import pytest

from policies.action import Evidence, Hold, Proposal
from policies.observation import Model, Moments
from policies.rollout.gates import Verdict, knowledge_gate, loss_gate
from policies.rollout.staged import Staged
from policies.testing import arm, comparison, model, observation, rollout, version

V2 = version("2", 10.0)


def running(**fields: object) -> Model:
    """Version 2 in shadow beside version 1 since 0 s."""
    return model(candidates=(V2,), rollout=rollout("2", **fields))


def only(policy: Staged, seen: Model, at_s: float) -> Proposal:
    (proposal,) = policy.propose(observation(at_s, seen))
    return proposal


def test_a_rollout_that_timed_out_says_how_long_it_took_and_what_was_allowed():
    """The time, its limit, and the age of the last comparison beside what counts as fresh."""
    policy = Staged(stage_timeout_s=500.0, stale_after_s=300.0)
    proposal = only(policy, running(comparison=comparison(100.0)), 600.0)
    assert proposal.because == (
        Evidence(name="stage_timeout_s", value=600.0, threshold=500.0, note="inconclusive"),
        Evidence(name="comparison_age_s", value=500.0, threshold=300.0, note="no fresh comparison"),
    )


def test_a_comparison_that_never_came_has_no_age():
    """Unknown is no number."""
    proposal = only(Staged(), running(comparison=None), 60.0)
    assert proposal.action == Hold(subject="m")
    assert proposal.because == (
        Evidence(name="comparison_age_s", value=None, threshold=300.0, note="no fresh comparison"),
    )


def test_a_version_that_the_registry_lost_is_not_promoted_and_named():
    """What passed every stage is still asked for by its digest, which only the registry has."""
    policy = Staged(steps=())
    gone = model(candidates=(), rollout=rollout("2", comparison=comparison(100.0)))
    proposal = only(policy, gone, 100.0)
    assert proposal.action == Hold(subject="m")
    assert proposal.because[0] == Evidence(name="version", note="version 2 is not among the candidates of the registry")


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("latency_factor", 0.0), ("min_rows", 0), ("stage_timeout_s", 0.0), ("stale_after_s", 0.0), ("margin", -0.1),
        ("error_margin", -0.1), ("latency_floor_s", -0.1), ("stage_min_s", -1.0), ("watch_s", -1.0), ("crashing_s", -1.0),
        ("normal_s", -1.0), ("alpha", 0.0), ("alpha", 1.0), ("shadow", 0.0), ("shadow", 1.1), ("steps", (0.5, 0.1)),
        ("steps", (0.1, 0.1)), ("steps", (0.0,)), ("steps", (1.0,)),
    ],
)  # fmt: skip
def test_a_parameter_that_can_not_be_meant_is_refused_by_its_name(name: str, bad: object):
    """Whoever tunes a policy reads which of its parameters is wrong."""
    with pytest.raises(ValueError, match=name):
        Staged(**{name: bad})


@pytest.mark.parametrize("side", ["champion", "challenger"])
def test_what_was_not_seen_may_be_as_large_as_the_losses_of_either_version(side: str):
    """2,000 equal pairs pass where losses are small, and are no proof where those of one version are a hundred times the margin."""
    still = Moments(n=2000, mean=0.0, variance=0.0)
    large = comparison(paired_loss=still, **{side: arm(2000, loss=5.0)})
    assert loss_gate(large, margin=0.01, min_rows=200, alpha=0.05).verdict is Verdict.UNDECIDED
    assert loss_gate(comparison(paired_loss=still), margin=0.01, min_rows=200, alpha=0.05).verdict is Verdict.PASSED


def test_a_version_that_knows_nothing_is_told_what_it_was_held_against():
    """The lower bound of what it loses more than a constant would, beside zero."""
    seen = comparison(
        loss_over_constant=Moments(n=1000, mean=0.2, variance=0.0025),
        covariance=Moments(n=1000, mean=-0.1, variance=0.01),
    )
    gate = knowledge_gate(seen, min_rows=200, alpha=0.05)
    assert gate is not None
    note = "failed: lower bound of the loss above that of always answering the mean label"
    assert (gate.evidence.name, gate.evidence.threshold, gate.evidence.n, gate.evidence.note) == (
        "loss_over_constant", 0.0, 1000, note,
    )  # fmt: skip
