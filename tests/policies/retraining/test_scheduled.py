import pytest

from policies.action import Hold, Retrain
from policies.observation import JobState, Model, TrainingJob
from policies.retraining.scheduled import Scheduled
from policies.testing import PolicyChecks, model, observation, rollout, version

RETRAIN, HOLD = Retrain(model="m"), Hold(subject="m")


class TestScheduled(PolicyChecks):
    def make(self) -> Scheduled:
        return Scheduled(schedule="nightly")


def job(state: JobState, started_at_s: float) -> TrainingJob:
    return TrainingJob(id="j1", state=state, started_at_s=started_at_s)


def say(policy: Scheduled, at_s: float, *models: Model, due: tuple[str, ...] = ()):
    return [each.action for each in policy.propose(observation(at_s, *(models or (model(),)), due=due))]


def test_its_own_schedule_retrains_and_others_do_not():
    """By name."""
    assert say(Scheduled(schedule="nightly"), 0.0) == []
    assert say(Scheduled(schedule="nightly"), 0.0, due=("weekly",)) == []
    assert say(Scheduled(schedule="nightly", rows_max=9), 0.0, due=("weekly", "nightly")) == [
        Retrain(model="m", rows_max=9)
    ]


def test_a_due_date_is_remembered_until_a_training_of_after_it_is_seen():
    """A story: due at 10 while an older training runs, proposed at 20 until one that started at 25 is seen."""
    policy = Scheduled(schedule="nightly")
    assert say(policy, 10.0, model(training=job(JobState.RUNNING, 5.0)), due=("nightly",)) == [HOLD]
    assert say(policy, 20.0, model(training=job(JobState.SUCCEEDED, 5.0))) == [RETRAIN]
    assert say(policy, 25.0, model(training=job(JobState.SUCCEEDED, 5.0))) == [RETRAIN]
    assert say(policy, 30.0, model(training=job(JobState.RUNNING, 25.0))) == []
    assert say(policy, 40.0, model(training=job(JobState.SUCCEEDED, 25.0))) == []


@pytest.mark.parametrize(
    "busy", [{"rollout": rollout()}, {"candidates": (version("2"),)}], ids=["rollout", "candidate"]
)
def test_a_rollout_or_a_candidate_goes_first(busy):
    """One new version at a time."""
    policy = Scheduled(schedule="nightly")
    assert say(policy, 0.0, model(**busy), due=("nightly",)) == [HOLD]
    assert say(policy, 10.0) == [RETRAIN]


def test_a_due_date_that_could_not_be_met_expires():
    """At its end, and a second one meanwhile does not prolong it."""
    policy = Scheduled(schedule="nightly", expires_s=100.0)
    assert say(policy, 0.0, due=("nightly",)) == [RETRAIN]
    assert say(policy, 99.0, due=("nightly",)) == [RETRAIN]
    assert say(policy, 100.0) == []
    assert say(policy, 101.0, due=("nightly",)) == [RETRAIN]


def test_only_managed_models_that_are_there_are_retrained():
    """A model that comes later was not due; one that goes is forgotten."""
    policy = Scheduled(schedule="nightly")
    assert say(policy, 0.0, model("b"), model("a"), model("x", managed=False), due=("nightly",)) == [
        Retrain(model="a"),
        Retrain(model="b"),
    ]
    assert say(policy, 10.0, model("a"), model("c")) == [Retrain(model="a")]
    assert say(policy, 20.0, model("b")) == []


def test_the_evidence_names_the_schedule():
    """And how long ago it was due."""
    (proposal,) = Scheduled(schedule="nightly").propose(observation(0.0, model(), due=("nightly",)))
    assert [(each.name, each.value) for each in proposal.because] == [("schedule:nightly", 0.0)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"schedule": ""}, "schedule must name"), ({"schedule": "x", "expires_s": 0.0}, "expires_s must be above 0")],
)
def test_impossible_parameters_are_refused(parameters, message):
    """By name."""
    with pytest.raises(ValueError, match=message):
        Scheduled(**parameters)
