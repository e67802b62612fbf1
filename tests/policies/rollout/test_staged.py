from dataclasses import replace

import pytest

from policies.action import Alert, Hold, Promote, RollBack, SetTraffic, StartRollout
from policies.observation import Controls, Model, Moments
from policies.rollout.staged import Staged
from policies.testing import PolicyChecks, arm, comparison, model, observation, report, rollout, symptom, version

V1, V2, V3 = version("1"), version("2", 10.0), version("3", 20.0)
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")
HOLD = Hold(subject="m")


class TestStaged(PolicyChecks):
    def make(self) -> Staged:
        return Staged()


def say(policy: Staged, seen: Model, at_s: float = 100.0, **fields):
    """The actions for one model at one moment."""
    return [each.action for each in policy.propose(observation(at_s, seen, **fields))]


def running(share: float = 0.0, at_s: float = 100.0, **fields) -> Model:
    """Version 2 beside version 1, on ample and good evidence."""
    plain = {"share": share, "comparison": comparison(at_s)}
    return model(candidates=(V2,), rollout=rollout("2", **(plain | fields)))


def test_a_candidate_goes_through_shadow_and_every_step_to_promotion():
    """A story along the clock: each stage lasts its minute, and each passes on evidence."""
    policy = Staged(steps=(0.1, 0.5))
    assert say(policy, model(candidates=(V2,)), 0.0) == [
        StartRollout(model="m", version="2", digest="sha-2", shadow=1.0)
    ]
    assert say(policy, running(at_s=59.0), 59.0) == [HOLD]
    assert say(policy, running(at_s=60.0), 60.0) == [SetTraffic(model="m", version="2", share=0.1, shadow=1.0)]
    assert say(policy, running(0.1, 119.0, stage_since_s=60.0), 119.0) == [HOLD]
    assert say(policy, running(0.1, 120.0, stage_since_s=60.0), 120.0) == [
        SetTraffic(model="m", version="2", share=0.5, shadow=1.0)
    ]
    assert say(policy, running(0.5, 180.0, stage_since_s=120.0), 180.0) == [
        Promote(model="m", version="2", digest="sha-2")
    ]
    assert say(policy, model(champion=V2, previous=V1, champion_since_s=190.0), 200.0) == []


def test_what_was_decided_is_asked_for_until_it_is_seen():
    """A promotion takes more than one tick, in which the new stage has no comparison yet."""
    policy = Staged(steps=())
    promote = Promote(model="m", version="2", digest="sha-2")
    assert say(policy, running()) == [promote]
    assert say(policy, running(1.0, comparison=None)) == [promote]
    assert say(policy, running(1.0, comparison=comparison(100.0, worse_by=0.5))) == [BACK]


def test_a_version_that_knows_nothing_is_taken_back_however_bad_the_champion_is():
    """Better than a champion that the world has left behind, and worse than always answering the mean label."""
    no_use = comparison(100.0, worse_by=-0.1, loss_over_constant=Moments(n=1000, mean=0.05, variance=0.01))
    (proposal,) = Staged().propose(observation(100.0, running(comparison=no_use)))
    assert proposal.action == BACK
    assert [each.name for each in proposal.because] == ["loss_over_constant"]


def test_evidence_carries_each_gates_value_beside_its_threshold():
    """What a reader of the record needs to check the decision."""
    (proposal,) = Staged().propose(observation(100.0, running()))
    assert {each.name for each in proposal.because} == {
        "paired_loss",
        "error_rate",
        "latency_mean_s",
        "latency_p95_s",
        "stage_s",
    }
    assert all(each.value is not None and each.threshold is not None for each in proposal.because)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(
    "bad",
    [
        comparison(100.0, worse_by=0.2),
        comparison(100.0, challenger=arm(errors=300)),
        comparison(100.0, challenger=arm(latency_s=0.5)),
    ],
    ids=["loss", "errors", "latency"],
)
def test_a_worse_challenger_goes_at_once_from_any_stage(share, bad):
    """Also before the stage has lasted its time, and while it is not yet ready everywhere."""
    assert say(Staged(), running(share, comparison=bad, stage_since_s=99.0, ready=False)) == [BACK]


def test_a_challenger_that_can_not_serve_is_rolled_back():
    """The reason travels as evidence."""
    (proposal,) = Staged().propose(observation(100.0, running(failed="did not load", comparison=None)))
    assert proposal.action == BACK
    assert proposal.because[0].note == "did not load"


@pytest.mark.parametrize(
    "missing",
    [
        {"comparison": None},
        {"comparison": comparison(-500.0)},
        {"ready": False},
        {"comparison": comparison(100.0, rows=50)},
    ],
    ids=["none", "stale", "not ready", "thin"],
)
def test_too_little_evidence_holds_and_in_the_end_rolls_back(missing):
    """Neither promoted nor left open for ever."""
    assert say(Staged(stage_timeout_s=101.0), running(**missing)) == [HOLD]
    (proposal,) = Staged(stage_timeout_s=100.0).propose(observation(100.0, running(**missing)))
    assert proposal.action == BACK
    assert proposal.because[0].note == "inconclusive"


def test_a_rolled_back_version_is_rejected_until_it_is_gone_and_never_started_again():
    """The registry may list it for a while; what was judged stays judged."""
    policy = Staged()
    assert say(policy, running(comparison=comparison(100.0, worse_by=0.2))) == [BACK]
    assert say(policy, running()) == [BACK]
    assert say(policy, model(candidates=(V2,))) == [BACK]
    assert say(policy, model()) == []
    assert say(policy, model(candidates=(V3,))) == [StartRollout(model="m", version="3", digest="sha-3")]


def test_every_model_has_its_own_rollout():
    """One tick serves all of them."""
    other = replace(model(candidates=(V3,)), name="n")
    asked = [each.action for each in Staged().propose(observation(100.0, running(failed="x"), other))]
    assert asked == [BACK, StartRollout(model="n", version="3", digest="sha-3")]


def test_a_choice_is_forgotten_with_the_rollout_that_led_to_it():
    """The same version on trial again must show itself again."""
    policy = Staged(steps=())
    assert say(policy, running()) == [Promote(model="m", version="2", digest="sha-2")]
    assert say(policy, model()) == []
    assert say(policy, running(comparison=None)) == [HOLD]


def test_a_version_that_came_back_after_it_was_gone_is_tried_anew():
    """Nothing is kept for ever of what nobody lists any more."""
    policy = Staged()
    assert say(policy, running(failed="did not load")) == [BACK]
    assert say(policy, model()) == []
    assert say(policy, model(candidates=(V2,))) == [StartRollout(model="m", version="2", digest="sha-2")]


def test_a_version_that_runs_stays_judged_where_the_registry_does_not_list_it():
    """What runs is on the scene, too."""
    policy = Staged()
    unlisted = replace(running(failed="did not load"), candidates=())
    assert say(policy, unlisted) == [BACK]
    assert say(policy, replace(running(), candidates=())) == [BACK]


def test_what_is_judged_of_one_model_is_kept_while_another_forgets():
    """Both have versions of their own, whatever their numbers."""
    policy = Staged()
    other = replace(model(candidates=(V3,)), name="n")
    failed = replace(other, rollout=rollout("3", failed="did not load"))
    back = RollBack(model="n", version="3", to="1", to_digest="sha-1")
    assert [each.action for each in policy.propose(observation(100.0, failed))] == [back]
    assert [each.action for each in policy.propose(observation(110.0, other, model()))] == [back]


def test_older_candidates_are_rejected_before_the_newest_starts():
    """One thing per tick and model, and never two challengers."""
    policy = Staged()
    assert say(policy, model(candidates=(V2, V3))) == [BACK]
    assert say(policy, model(candidates=(V3,))) == [StartRollout(model="m", version="3", digest="sha-3")]


def test_a_newer_candidate_overtakes_a_shadow_but_not_a_canary():
    """Who answers users already is judged first."""
    newest = version("4", 30.0)
    shadow = replace(running(), candidates=(V2, V3, newest))
    canary = replace(running(0.1), candidates=(V2, V3))
    (proposal,) = Staged().propose(observation(100.0, shadow))
    assert (proposal.action, proposal.because[0].note) == (BACK, "version 4 is newer")
    assert say(Staged(), canary) == [SetTraffic(model="m", version="2", share=0.5, shadow=1.0)]


def test_without_a_champion_nothing_moves():
    """The first version is a person's choice; and there is nowhere to roll back to."""
    assert say(Staged(), model(champion=None, candidates=(V2,))) == [HOLD]
    assert say(Staged(), replace(running(failed="x"), champion=None)) == [HOLD]


def test_a_version_that_the_registry_does_not_list_is_not_promoted():
    """Its digest would be a guess."""
    assert say(Staged(steps=()), replace(running(), candidates=())) == [HOLD]


def test_unmanaged_models_are_left_alone():
    """A model that is only watched has no versions of ours."""
    assert say(Staged(), model(managed=False, candidates=(V2,))) == []


# after the promotion


def promoted(*symptoms, since_s: float = 1000.0, at_s: float = 1100.0, **fields) -> Model:
    plain = {"version": "2", "loss": 0.3, "loss_reference": 0.1}
    seen = report(at_s, *symptoms, **(plain | fields))
    return model(champion=V2, previous=V1, champion_since_s=since_s, report=seen)


DRIFT = symptom(since_s=1050.0)


def test_a_new_champion_that_drifts_goes_back():
    """The watch: promoted lately, its error drifted since, and its loss is above what it was."""
    (proposal,) = Staged().propose(observation(1100.0, promoted(DRIFT)))
    assert proposal.action == BACK
    assert [(each.name, each.value, each.threshold) for each in proposal.because] == [
        ("promoted_s_ago", 100.0, 3600.0),
        ("error_drift:adwin", 0.3, 0.1),
        ("loss", 0.3, 0.1),
    ]
    assert proposal.because[1].note == "loss"


@pytest.mark.parametrize(
    "seen",
    [
        promoted(),
        promoted(symptom("feature_drift", 1050.0)),
        promoted(symptom(since_s=900.0)),
        promoted(DRIFT, since_s=-3000.0),
        promoted(DRIFT, version="1"),
        promoted(DRIFT, at_s=700.0),
        promoted(DRIFT, loss=0.05),
        replace(promoted(DRIFT), previous=None),
        replace(promoted(DRIFT), report=None),
        replace(promoted(DRIFT), champion_since_s=None),
    ],
    ids=[
        "calm",
        "features",
        "before",
        "long ago",
        "other version",
        "stale",
        "better",
        "no previous",
        "no report",
        "no date",
    ],
)
def test_the_watch_stays_quiet_otherwise(seen):
    """Each condition is needed."""
    assert say(Staged(), seen, 1100.0) == []


def test_a_drift_whose_harm_is_not_known_takes_nothing_back() -> None:
    """A detector of change alarms on a loss that falls, too: a full window of losses decides."""
    assert say(Staged(), promoted(DRIFT, loss=None), 1100.0) == []
    assert say(Staged(), promoted(DRIFT, loss_reference=None), 1100.0) == []


def test_the_loss_at_promotion_is_what_the_watch_compares_with():
    """It was promoted with 0.1, which the report's own reference does not know."""
    policy = Staged(steps=())
    assert say(policy, running()) == [Promote(model="m", version="2", digest="sha-2")]
    assert say(policy, promoted(DRIFT, loss=0.09, loss_reference=0.0), 1100.0) == []
    assert say(policy, promoted(DRIFT, loss=0.11, loss_reference=9.0), 1100.0) == [BACK]


def test_nobody_goes_back_to_what_was_worse_still():
    """Beside it the old champion lost 0.3: at 0.2 the new one has drifted and is still the better of the two."""
    policy = Staged(steps=())
    beside = running()
    worse = replace(beside.rollout.comparison.champion, loss=Moments(n=1000, mean=0.3, variance=0.01))
    seen = replace(beside.rollout.comparison, champion=worse)
    beside = replace(beside, rollout=replace(beside.rollout, comparison=seen))
    assert say(policy, beside) == [Promote(model="m", version="2", digest="sha-2")]
    assert say(policy, promoted(DRIFT, loss=0.2), 1100.0) == []
    assert say(policy, promoted(DRIFT, loss=0.31), 1100.0) == [BACK]


def test_a_loss_that_few_rows_promised_is_not_held_against_a_new_champion():
    """On 100 rows of variance 0.04 a mean of 0.1 may have been 0.133; a window at 0.12 is no regression, one at 0.14 is."""
    policy = Staged(steps=(), margin=0.1, min_rows=50)
    beside = running()
    few = Moments(n=100, mean=0.1, variance=0.04)
    arms = {name: replace(getattr(beside.rollout.comparison, name), loss=few) for name in ("champion", "challenger")}
    seen = replace(beside.rollout.comparison, **arms)
    beside = replace(beside, rollout=replace(beside.rollout, comparison=seen))
    assert say(policy, beside) == [Promote(model="m", version="2", digest="sha-2")]
    assert say(policy, promoted(DRIFT, loss=0.12), 1100.0) == []
    assert say(policy, promoted(DRIFT, loss=0.14), 1100.0) == [BACK]


def seen_by(policy: Staged, **losses: float) -> None:
    """A day's reports on version 1: `at_50=0.2` is a window's loss of 0.2 at 50 s."""
    for name, loss in losses.items():
        at_s = float(name.removeprefix("at_"))
        say(policy, model(report=report(at_s, version="1", loss=loss)), at_s)


@pytest.mark.parametrize(
    ("normal_s", "worst"), [(1000.0, 0.4), (75.0, 0.3), (45.0, 0.2), (5.0, None)], ids=["all", "later", "last", "none"]
)
def test_what_the_old_champion_lost_over_a_window_is_no_regression(normal_s: float, worst: float | None) -> None:
    """In a calm stage both lost 0.1; the worst window of the old champion within `normal_s` is what a new one must exceed to go."""
    before = {"at_10": 0.4, "at_30": 0.3, "at_40": 0.1, "at_60": 0.2, "at_80": 0.15}
    for above, expected in ((-0.01, []), (0.01, [BACK])):
        policy = Staged(steps=(), normal_s=normal_s)
        seen_by(policy, **before)
        assert say(policy, running()) == [Promote(model="m", version="2", digest="sha-2")]
        assert say(policy, promoted(DRIFT, loss=(worst or 0.12) + above), 1100.0) == (expected if worst else [BACK])


def test_what_another_version_lost_is_not_normal() -> None:
    """Version 0 lost 0.4 as the champion, version 1 never more than 0.2."""
    policy = Staged(steps=())
    say(policy, model(champion=version("0"), report=report(10.0, version="0", loss=0.4)), 10.0)
    seen_by(policy, at_50=0.2)
    assert say(policy, running()) == [Promote(model="m", version="2", digest="sha-2")]
    assert say(policy, promoted(DRIFT, loss=0.19), 1100.0) == []
    assert say(policy, promoted(DRIFT, loss=0.21), 1100.0) == [BACK]


def test_a_rollback_does_not_swing_back():
    """The version that came back is new as a champion too, but behind it stands the one just judged."""
    policy = Staged()
    assert say(policy, promoted(DRIFT), 1100.0) == [BACK]
    again = model(
        champion=V1, previous=V2, champion_since_s=1110.0, report=report(1200.0, symptom(since_s=1150.0), loss=0.5)
    )
    assert say(policy, again, 1200.0) == []


# by hand

ASKED = Controls(rollbacks=("m",))


def test_a_person_ends_the_running_rollout():
    """Asked for by name; what runs goes first, and is not started again."""
    policy = Staged()
    assert say(policy, running(), controls=ASKED) == [BACK]
    assert say(policy, model(candidates=(V2,)), controls=ASKED) == [BACK]
    assert say(policy, model(candidates=()), controls=ASKED) == []


def test_a_person_takes_the_champion_back_once_per_request():
    """While the request stands only the version it was made about goes; a new request counts anew."""
    policy, after = Staged(), model(champion=V1, previous=version("0"), champion_since_s=50.0)
    before = model(champion=V2, previous=V1)
    assert say(policy, before, controls=ASKED) == [BACK]
    assert say(policy, before, controls=ASKED) == [BACK]
    assert say(policy, after, controls=ASKED) == []
    assert say(policy, after) == []
    assert say(policy, after, controls=ASKED) == [RollBack(model="m", version="1", to="0", to_digest="sha-0")]


def test_a_rollback_to_nowhere_is_said_once():
    """A request that can not be met is answered."""
    policy = Staged()
    (alert,) = say(policy, model(), controls=ASKED)
    assert isinstance(alert, Alert)
    assert say(policy, model(), controls=ASKED) == []
    assert isinstance(say(Staged(), model(champion=None), controls=ASKED)[0], Alert)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"steps": (0.5, 0.1)}, "steps must rise"),
        ({"steps": (0.0,)}, "steps must rise"),
        ({"shadow": 0.0}, "shadow must be above 0 and at most 1"),
        ({"alpha": 1.0}, "alpha must be above 0 and below 1"),
        ({"margin": -1.0}, "margin must be 0 or more"),
        ({"latency_factor": 0.0}, "latency_factor must be above 0"),
    ],
)
def test_impossible_parameters_are_refused(parameters, message):
    """By name."""
    with pytest.raises(ValueError, match=message):
        Staged(**parameters)
