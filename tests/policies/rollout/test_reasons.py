"""What a rollout's decisions say for themselves, word for word: a person reads it at night, and the journal keeps it."""

from dataclasses import replace

import pytest

from policies.action import Alert, Evidence, Hold, Promote, Proposal, RollBack, Scale, StartRollout
from policies.observation import (
    Comparison,
    Controls,
    DeploymentStatus,
    Model,
    Moments,
    Observation,
    ReplicaState,
    Version,
)
from policies.rollout.gates import Gate, Verdict, error_gate, knowledge_gate, latency_gate, loss_gate, tail_gate
from policies.rollout.staged import Staged
from policies.sequential import difference_interval, mean_interval, rate_difference_interval, root_mean_square
from policies.testing import arm, comparison, deployment, model, observation, replica, report, rollout, symptom, version

V1, V2, V3 = version("1"), version("2", 10.0), version("3", 20.0)


def running(**fields: object) -> Model:
    """Version 2 in shadow beside version 1 since 0 s."""
    return model(candidates=(V2,), rollout=rollout("2", **fields))


def only(policy: Staged, seen: Model | Observation, at_s: float) -> Proposal:
    (proposal,) = policy.propose(seen if isinstance(seen, Observation) else observation(at_s, seen))
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


SAME_ROWS = "the loss difference on the same rows"
ARMS = "the loss difference between the arms"


@pytest.mark.parametrize(
    ("rows", "worse_by", "verdict", "side"),
    [(1000, 0.0, Verdict.PASSED, "upper"), (1000, 0.01, Verdict.UNDECIDED, "upper"), (200, 0.2, Verdict.FAILED, "lower")],
)  # fmt: skip
def test_a_loss_on_the_same_rows_is_told_by_the_bound_that_decides(
    rows: int, worse_by: float, verdict: Verdict, side: str
) -> None:
    """From as many pairs on as are asked for, though the arms have as many of their own."""
    seen = comparison(rows=rows, worse_by=worse_by)
    unseen = max(root_mean_square(arm.loss) for arm in (seen.champion, seen.challenger))
    band = mean_interval(seen.paired_loss, 0.05, unseen=unseen)
    bound = band.low if side == "lower" else band.high
    note = f"{verdict}: {side} bound of {SAME_ROWS}"
    told = Evidence(name="paired_loss", value=bound, threshold=0.01, n=rows, note=note)
    assert loss_gate(seen, margin=0.01, min_rows=200, alpha=0.05) == Gate(verdict, told)


def test_a_loss_between_the_arms_is_told_where_too_few_rows_were_paired() -> None:
    """From as many rows of each arm on as are asked for; before that, how many there were."""
    few = Moments(n=199, mean=0.5, variance=0.0025)
    for rows in (200, 199):
        seen = comparison(paired_loss=few, champion=arm(900), challenger=arm(rows, loss=0.9))
        gate = loss_gate(seen, margin=0.01, min_rows=200, alpha=0.05)
        if rows == 200:
            bound = difference_interval(seen.challenger.loss, seen.champion.loss, 0.05).low
            told = Evidence(name="loss", value=bound, threshold=0.01, n=200, note=f"failed: lower bound of {ARMS}")
            assert gate == Gate(Verdict.FAILED, told)
        else:
            note = "undecided: too few labelled rows"
            told = Evidence(name="labelled_rows", value=199, threshold=200, n=199, note=note)
            assert gate == Gate(Verdict.UNDECIDED, told)


def test_a_bound_that_lies_on_the_margin_decides_nothing() -> None:
    """Neither the upper one, which would have to lie below it to pass, nor the lower one, which would have to lie above."""
    worse = comparison(champion=arm(1000, errors=5), challenger=arm(1000, errors=500))
    between = rate_difference_interval((500, 1000), (5, 1000), 0.01)
    verdicts = [error_gate(worse, margin=margin, alpha=0.01).verdict for margin in (between.low, between.high)]
    assert verdicts == [Verdict.UNDECIDED, Verdict.UNDECIDED]


def test_a_version_that_knows_nothing_is_told_what_it_was_held_against():
    """The lower bound of what it loses more than a constant would, beside zero."""
    seen = comparison(
        loss_over_constant=Moments(n=1000, mean=0.2, variance=0.0025),
        covariance=Moments(n=1000, mean=-0.1, variance=0.01),
    )
    gate = knowledge_gate(seen, min_rows=200, alpha=0.05)
    assert gate is not None
    note = "failed: lower bound of the loss above that of always answering the mean label"
    unseen = root_mean_square(seen.challenger.loss)
    bound = mean_interval(seen.loss_over_constant, 0.05, unseen=unseen).low
    told = Evidence(name="loss_over_constant", value=bound, threshold=0.0, n=1000, note=note)
    assert gate == Gate(Verdict.FAILED, told)


@pytest.mark.parametrize(("requests", "verdict"), [(0, "too few samples for the error rates"), (1, None)])
def test_error_rates_are_told_as_soon_as_both_arms_answered(requests: int, verdict: str | None):
    """Without a request there is no rate; from the first on, the upper bound of the difference, however wide."""
    champion, challenger = arm(500, errors=5), arm(requests)
    gate = error_gate(comparison(champion=champion, challenger=challenger), margin=0.02, alpha=0.01)
    if verdict is not None:
        told = Evidence(name="error_rate", value=None, threshold=0.02, n=0, note=f"undecided: {verdict}")
    else:
        bound = rate_difference_interval((0, 1), (5, 500), 0.01).high
        note = "undecided: upper bound of the difference of error rates"
        told = Evidence(name="error_rate", value=bound, threshold=0.02, n=1, note=note)
    assert gate == Gate(Verdict.UNDECIDED, told)


@pytest.mark.parametrize(
    ("champion_s", "challenger_s", "factor", "threshold", "what"),
    [
        (0.05, 0.05, 1.5, 0.0, "mean latency above 1.5 times the champion's"),
        (0.001, 0.004, 1.0, 0.005, "mean latency above the champion's"),
    ],
)
def test_the_mean_latency_is_told_by_the_limit_that_lets_it_pass(
    champion_s: float, challenger_s: float, factor: float, threshold: float, what: str
):
    """Equal arms by the factor of 1.5; four times of a millisecond by the floor of 5 ms."""
    seen = comparison(champion=arm(latency_s=champion_s), challenger=arm(latency_s=challenger_s))
    one, other = seen.challenger.latency, seen.champion.latency
    bound = difference_interval(one, other, 0.01, factor=factor).high
    told = Evidence(
        name="latency_mean_s", value=bound, threshold=threshold, n=one.n, note=f"passed: upper bound of {what}"
    )
    assert latency_gate(seen, factor=1.5, floor_s=0.005, alpha=0.01) == Gate(Verdict.PASSED, told)


def tails(champion_s: float | None, challenger_s: float | None) -> Comparison:
    return comparison(champion=arm(latency_p95_s=champion_s), challenger=arm(300, latency_p95_s=challenger_s))


@pytest.mark.parametrize(
    ("champion_s", "challenger_s", "allowed_s", "verdict"),
    [
        (0.5, 0.75, 0.75, Verdict.PASSED), (0.5, 0.76, 0.75, Verdict.UNDECIDED),
        (0.25, 0.5, 0.5, Verdict.PASSED), (0.25, 0.51, 0.5, Verdict.UNDECIDED),
    ],
)  # fmt: skip
def test_a_tail_is_told_beside_the_most_that_is_allowed(
    champion_s: float, challenger_s: float, allowed_s: float, verdict: Verdict
):
    """Half as much again or 0.25 s more, whichever allows more, and as much as that still passes."""
    gate = tail_gate(tails(champion_s, challenger_s), factor=1.5, floor_s=0.25)
    assert gate == Gate(
        verdict, Evidence(name="latency_p95_s", value=challenger_s, threshold=allowed_s, n=300, note=f"{verdict}: tail")
    )


@pytest.mark.parametrize("known", [(0.1, None), (None, 0.1)])
def test_a_tail_that_one_arm_does_not_measure_says_so(known: tuple[float | None, float | None]):
    """No number stands beside it, for there is nothing to compare."""
    told = Evidence(name="latency_p95_s", note="undecided: known of one arm only")
    assert tail_gate(tails(*known), factor=1.5, floor_s=0.005) == Gate(Verdict.UNDECIDED, told)


def knows(rows: int = 1000, above: Moments | None = None, told: Moments | None = None) -> Gate | None:
    """Of a version that loses 0.05 more than a constant, and whose predictions have nothing to do with the labels."""
    seen = comparison(
        loss_over_constant=above or Moments(n=rows, mean=0.05, variance=0.0025),
        covariance=told or Moments(n=rows, mean=0.0, variance=0.01),
    )
    return knowledge_gate(seen, min_rows=200, alpha=0.05)


def test_knowledge_is_judged_from_the_first_row_that_is_enough():
    """At `min_rows`, not one later."""
    assert (knows(199), knows(200) is None) == (None, False)


def test_predictions_that_never_move_tell_no_rows_apart():
    """A covariance that is surely zero is not above zero."""
    assert knows(told=Moments(n=1000, mean=0.0, variance=0.0)) is not None


def test_a_loss_that_never_differed_from_a_constants_is_no_proof_by_itself():
    """What 300 rows did not show may still be there, as large as the version's losses are."""
    assert knows(above=Moments(n=300, mean=0.0001, variance=0.0)) is None


# -- whole proposals -----------------------------------------------------------------------------------------------


def test_more_challengers_are_asked_for_with_what_they_are_to_carry():
    """How many run, how many it takes, and for which share; then all that the stage showed."""
    champion = deployment("m/server", 4, model="m", slot="champion")
    challenger = deployment("m-challenger/server", 1, model="m", slot="challenger")
    seen = running(comparison=comparison(100.0))
    proposal = only(Staged(steps=(0.5,)), observation(100.0, seen, champion, challenger), 100.0)
    alone = only(Staged(steps=(0.5,)), seen, 100.0)
    few = Evidence(name="challengers", value=1, threshold=2, note="before it answers 0.5")
    assert proposal == Proposal(
        action=Scale(deployment="m-challenger/server", replicas=2), because=(few, *alone.because)
    )


def test_copies_are_counted_for_the_challengers_that_will_be_there_where_none_are_seen():
    """Two of four champions' worth carry half of the keys and nothing besides; one that is seen, nothing either way."""
    champion = deployment("m/server", 4, model="m", slot="champion")
    seen = running(comparison=comparison(100.0))
    hidden = only(Staged(steps=(0.3,)), observation(100.0, seen, champion), 100.0).action
    three = deployment("m-challenger/server", 3, model="m", slot="challenger")
    shown = only(Staged(steps=(0.3,)), observation(100.0, seen, champion, three), 100.0).action
    assert (hidden.shadow, shown.shadow) == (pytest.approx(0.28), pytest.approx(0.64))


def promoted(at_s: float, since_s: float) -> Observation:
    """At 0 s, or later, with no replica of the new champion running."""
    rows = tuple(replica(f"r{n}", state=ReplicaState.STARTING) for n in range(4))
    down = deployment("m/server", rows, model="m", slot="champion", status=DeploymentStatus.UNHEALTHY)
    return observation(at_s, model(champion=V2, previous=V1, champion_since_s=since_s), down)


def test_a_champion_that_does_not_run_says_since_when_and_how_new_it_is():
    """Both beside their limits; as old as the watch is long, and down since the very moment of its promotion, it still counts."""
    policy = Staged(crashing_s=60.0, watch_s=70.0)
    assert list(policy.propose(promoted(10.0, 10.0))) == []
    assert only(policy, promoted(80.0, 10.0), 80.0) == Proposal(
        action=RollBack(model="m", version="2", to="1", to_digest="sha-1"),
        because=(
            Evidence(name="promoted_s_ago", value=70.0, threshold=70.0, note="newly promoted"),
            Evidence(name="crashing_s", value=70.0, threshold=60.0, note="most of its replicas do not run"),
        ),
    )


def test_a_first_version_is_left_to_people_with_a_word_how():
    """There is nothing to compare it with."""
    note = "there is no champion to compare with; promote the first version by hand"
    assert only(Staged(), model(champion=None, candidates=(V2,)), 0.0) == Proposal(
        action=Hold(subject="m"), because=(Evidence(name="champion", note=note),)
    )


def test_a_start_says_which_candidate_it_is_and_how_it_scored():
    """By its number and its score in the search."""
    scored = version("2", 10.0, score=0.25)
    assert only(Staged(), model(candidates=(scored,)), 0.0) == Proposal(
        action=StartRollout(model="m", version="2", digest="sha-2", shadow=1.0),
        because=(Evidence(name="candidate", value=0.25, note="version 2 is the newest candidate"),),
    )


def test_a_rollback_to_nowhere_keeps_its_reason_and_says_why_it_waits():
    """A challenger that failed where there is no champion."""
    seen = model(champion=None, candidates=(V2,), rollout=rollout("2", failed="did not load"))
    nowhere = Evidence(name="champion", note="unknown: there is no version to go back to")
    assert only(Staged(), seen, 0.0) == Proposal(
        action=Hold(subject="m"), because=(Evidence(name="rollout_failed", note="did not load"), nowhere)
    )


def test_an_overtaken_candidate_is_told_by_whom():
    """The newer one's number."""
    assert only(Staged(), model(candidates=(V2, V3)), 0.0) == Proposal(
        action=RollBack(model="m", version="2", to="1", to_digest="sha-1"),
        because=(Evidence(name="superseded", note="version 3 is newer"),),
    )


# -- how the chance of a false alarm is shared ---------------------------------------------------------------------


@pytest.mark.parametrize("ready", [True, False])
def test_a_stage_that_goes_on_shows_every_gate_at_its_part_of_alpha_and_how_long_it_has_lasted(ready: bool):
    """A sixth for the loss; a third each for errors and latency, shared among shadow and the two steps."""
    at = comparison(70.0)
    policy = Staged(alpha=0.18, steps=(0.1, 0.5), stage_min_s=60.0, margin=0.02, error_margin=0.03)
    seen = running(comparison=at, share=0.1, stage_since_s=50.0, ready=ready)
    gates = (
        loss_gate(at, margin=0.02, min_rows=200, alpha=0.03),
        error_gate(at, margin=0.03, alpha=0.02),
        latency_gate(at, factor=1.5, floor_s=0.005, alpha=0.02),
        tail_gate(at, factor=1.5, floor_s=0.005),
    )
    lasted = Evidence(name="stage_s", value=20.0, threshold=60.0, note="at share 0.1")
    told = (*(each.evidence for each in gates if each is not None), lasted)
    if not ready:
        told = (Evidence(name="ready", note="the challenger is not ready everywhere yet"), *told)
    assert only(policy, seen, 70.0) == Proposal(action=Hold(subject="m"), because=told)


def test_that_a_version_knows_nothing_is_judged_at_a_sixth_of_alpha():
    """The loss beside the champion has the other half of its third."""
    nothing = comparison(70.0, loss_over_constant=Moments(n=1000, mean=0.05, variance=0.0025))
    gate = knowledge_gate(nothing, min_rows=200, alpha=0.03)
    assert gate is not None
    assert only(Staged(alpha=0.18), running(comparison=nothing), 70.0).because == (gate.evidence,)


def test_a_comparison_is_fresh_for_as_long_as_it_may_be_old():
    """At 300 s it still counts."""
    policy = Staged(stale_after_s=300.0)
    assert only(policy, running(comparison=comparison(0.0)), 300.0).because[0].name == "paired_loss"
    assert only(policy, running(comparison=comparison(0.0)), 300.5).because[0].name == "comparison_age_s"


ASKED = (Evidence(name="asked_by_hand", note="a person asked to roll m back"),)


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (running(), RollBack(model="m", version="2", to="1", to_digest="sha-1")),
        (model(champion=V2, previous=V1), RollBack(model="m", version="2", to="1", to_digest="sha-1")),
    ],
    ids=["a rollout", "a champion"],
)
def test_a_rollback_by_hand_says_that_a_person_asked(seen: Model, action: RollBack) -> None:
    """And nothing of any measurement, for none was looked at."""
    (proposal,) = Staged().propose(observation(100.0, seen, controls=Controls(rollbacks=("m",))))
    assert proposal == Proposal(action=action, because=ASKED)


@pytest.mark.parametrize("champion", ["1", None])
def test_a_rollback_by_hand_that_can_not_be_met_is_answered_with_the_reason(champion: str | None) -> None:
    """To the person who asked, with what was asked."""
    (proposal,) = Staged().propose(observation(100.0, model(champion=champion), controls=Controls(rollbacks=("m",))))
    text = "m can not be rolled back: there is no version to go back to"
    assert proposal == Proposal(action=Alert(subject="rollback of m", text=text), because=ASKED)


def test_a_promotion_is_told_with_what_led_to_it_as_long_as_it_is_wanted() -> None:
    """The gates and the time of the stage at which it was chosen; what is measured later is another story."""
    policy = Staged(steps=(), stage_min_s=60.0)
    first = only(policy, running(comparison=comparison(100.0, rows=3000)), 100.0)
    assert first.action == Promote(model="m", version="2", digest="sha-2")
    assert [(each.name, each.value) for each in first.because if each.name == "stage_s"] == [("stage_s", 100.0)]
    assert [each.name for each in first.because] == [
        "paired_loss", "error_rate", "latency_mean_s", "latency_p95_s", "stage_s",
    ]  # fmt: skip
    assert only(policy, running(comparison=comparison(900.0, rows=5000)), 900.0) == first


def test_what_no_arm_measures_is_no_gate() -> None:
    """Without a tail of latencies the others decide."""
    arms = {side: arm(3000, latency_p95_s=None) for side in ("champion", "challenger")}
    seen = running(comparison=comparison(100.0, rows=3000, **arms))
    names = [each.name for each in only(Staged(steps=(), stage_min_s=60.0), seen, 100.0).because]
    assert names == ["paired_loss", "error_rate", "latency_mean_s", "stage_s"]


@pytest.mark.parametrize(("loss", "back"), [(0.3, False), (0.6, True)])
def test_a_version_whose_losses_nobody_had_seen_is_held_against_the_reference_of_its_report(
    loss: float, back: bool
) -> None:
    """It was promoted on pairs alone, so what either arm lost then says nothing of how much it may lose."""
    policy = Staged(steps=(), stage_min_s=60.0)
    unseen = arm(3000, loss=0.0)
    pairs = comparison(100.0, rows=3000, challenger=replace(unseen, loss=Moments(n=0, mean=0.0, variance=0.0)))
    assert only(policy, running(comparison=pairs), 100.0).action == Promote(model="m", version="2", digest="sha-2")
    drifted = report(160.0, symptom(since_s=150.0), version="2", loss=loss, loss_reference=0.5)
    after = model(champion=V2, previous=V1, champion_since_s=120.0, report=drifted)
    actions = [each.action for each in policy.propose(observation(160.0, after))]
    assert actions == ([RollBack(model="m", version="2", to="1", to_digest="sha-1")] if back else [])


@pytest.mark.parametrize(
    ("candidates", "newest"),
    [((V2, V3), "3"), ((version("0"), V2, V3, version("4", 30.0)), "4"), ((V2,), None), ((V3, V2), None), ((V3,), None)],
    ids=["by one", "by several", "alone", "listed before it", "lost by the registry"],
)  # fmt: skip
def test_a_shadow_is_overtaken_by_what_the_registry_lists_after_it(
    candidates: tuple[Version, ...], newest: str | None
) -> None:
    """It answers nobody yet, so the newest is tried instead of it; a canary that answers is judged first."""
    for share in (0.0, 0.5):
        seen = model(candidates=candidates, rollout=rollout("2", share=share, ready=False))
        proposal = only(Staged(), seen, 60.0)
        if newest is not None and share == 0.0:
            assert proposal.action == RollBack(model="m", version="2", to="1", to_digest="sha-1")
            assert proposal.because == (Evidence(name="superseded", note=f"version {newest} is newer"),)
        else:
            assert proposal.action == Hold(subject="m")
