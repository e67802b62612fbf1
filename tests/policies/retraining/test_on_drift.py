from dataclasses import replace

import pytest

from policies.action import Alert, Hold, Quarantine, Retrain
from policies.observation import JobState, Model, Quarantined, Symptom, TrainingJob
from policies.retraining.on_drift import OnDrift
from policies.testing import PolicyChecks, model, observation, report, rollout, symptom, version

HARM = symptom(since_s=900.0)
MILD = symptom("feature_drift", 800.0, signal="dep_delay", detector="psi")
BROKEN = symptom("data_quality", 850.0, signal="dep_delay", detector="missing")
RETRAIN, HOLD = Retrain(model="m"), Hold(subject="m")


class TestOnDrift(PolicyChecks):
    def make(self) -> OnDrift:
        return OnDrift()


def say(policy: OnDrift, seen: Model, at_s: float = 1000.0):
    return [each.action for each in policy.propose(observation(at_s, seen))]


def why(policy: OnDrift, seen: Model, at_s: float = 1000.0):
    """The action and its first reason, as (kind, name, value, threshold)."""
    (proposal,) = policy.propose(observation(at_s, seen))
    first = proposal.because[0]
    return proposal.action.kind, first.name, first.value, first.threshold


def seen(*symptoms: Symptom, at_s: float = 1000.0, labelled: int = 5000, **fields) -> Model:
    return model(report=report(at_s, *symptoms, labelled_rows=labelled), **fields)


def job(state: JobState, finished_at_s: float | None = None, id: str = "j1") -> TrainingJob:  # noqa: A002
    return TrainingJob(id=id, state=state, started_at_s=0.0, finished_at_s=finished_at_s)


def test_harmful_drift_of_the_champion_is_retrained_with_the_reasons():
    """The symptom and the loss go along as evidence."""
    (proposal,) = OnDrift(rows_max=9000).propose(observation(1000.0, seen(HARM)))
    assert proposal.action == Retrain(model="m", rows_max=9000)
    assert [(each.name, each.value, each.threshold, each.n) for each in proposal.because] == [
        ("error_drift:adwin", 0.3, 0.1, 1000),
        ("loss", 0.1, None, 1000),
    ]


def test_calm_wants_nothing():
    """No symptom, no action, no hold."""
    assert say(OnDrift(), seen()) == []


def test_drift_that_does_no_harm_is_told_once():
    """Once per symptom as long as it lasts, and again when it returns."""
    policy = OnDrift()
    (alert,) = say(policy, seen(MILD))
    assert alert == Alert(subject="drift of m", text="m: 1 feature drifts: dep_delay (psi)")
    assert say(policy, seen(MILD)) == []
    (other,) = say(policy, seen(MILD, replace(MILD, signal="hour")))
    assert other.text == "m: 2 features drift: dep_delay and hour"
    assert say(policy, seen()) == []
    assert say(policy, seen(MILD)) == [alert]


def test_many_features_that_drift_are_one_alert_that_names_two():
    """Those that several detectors name first, then those furthest above their threshold."""
    twelve = [replace(MILD, signal=f"f{n:02}", value=0.3, threshold=0.2) for n in range(12)]
    twelve[7] = replace(twelve[7], signal="temp", value=0.9)
    again = replace(twelve[4], signal="dep_delay", detector="adwin", value=None)
    twelve[4] = replace(twelve[4], signal="dep_delay")
    (proposal,) = OnDrift().propose(observation(1000.0, seen(*twelve, again)))
    assert proposal.action.text == "m: 12 features drift, most of all dep_delay and temp"
    assert len(proposal.because) == 13
    assert {each.note for each in proposal.because[:2]} == {"dep_delay"}


def test_features_that_drift_one_after_another_are_few_alerts():
    """People are told again when as many more drift as they know of: 1, 2, 4, 8."""
    policy, texts = OnDrift(), []
    for count in range(1, 13):
        wanted = say(policy, seen(*(replace(MILD, signal=f"f{n:02}") for n in range(count))))
        texts += [(count, alert.text) for alert in wanted]
    assert [count for count, _ in texts] == [1, 2, 4, 8]
    assert texts[-1][1] == "m: 8 features drift, most of all f00 and f01"


def test_what_drifts_anew_after_others_came_back_is_told():
    """Nobody knows of it, however many drifted before."""
    policy = OnDrift()
    assert len(say(policy, seen(*(replace(MILD, signal=f"f{n}") for n in range(4))))) == 1
    assert say(policy, seen(replace(MILD, signal="f0"))) == []
    (alert,) = say(policy, seen(replace(MILD, signal="f0"), replace(MILD, signal="new")))
    assert alert.text == "m: 2 features drift: f0 and new"


def test_what_does_harm_is_told_before_what_does_none():
    """Broken values, then the loss, then predictions, then features, in one alert; a kind of a user's own last."""
    kinds = ("feature_drift", "prediction_drift", "error_drift", "data_quality", "their_own")
    shown = [symptom(kind, 900.0, signal=kind[:4], detector="d") for kind in kinds]
    (alert,) = say(OnDrift(), seen(*shown, managed=False))
    told = [
        "m: values are broken in data (d)",
        "the error drifts: erro (d)",
        "the predictions drift: pred (d)",
        "1 feature drifts: feat (d)",
        "their_own of thei (d)",
    ]
    assert alert.text == "; ".join(told)


def test_which_kinds_do_harm_is_a_parameter():
    """Who has no labels may retrain on prediction drift."""
    shift = symptom("prediction_drift", 900.0)
    assert say(OnDrift(kinds=("prediction_drift",)), seen(shift)) == [RETRAIN]
    assert [each.kind for each in say(OnDrift(kinds=("prediction_drift",)), seen(HARM))] == ["alert"]


def test_a_model_that_is_only_watched_is_told_of():
    """There is no recipe to retrain it with."""
    policy = OnDrift()
    (alert,) = say(policy, seen(HARM, managed=False))
    assert isinstance(alert, Alert)
    assert say(policy, seen(HARM, managed=False)) == []


def test_broken_rows_are_quarantined_and_told_and_not_learned_from():
    """Drift that comes with broken rows is held until the data is repaired."""
    quarantine = Quarantine(model="m", since_s=850.0, until_s=1000.0)
    first = say(OnDrift(), seen(BROKEN))
    assert (first[0], first[1].kind, len(first)) == (quarantine, "alert", 2)
    both = say(OnDrift(), seen(BROKEN, HARM))
    assert (both[0], both[1], both[2].kind, len(both)) == (quarantine, HOLD, "alert", 3)


def test_the_end_of_broken_rows_is_quarantined_too():
    """The symptom is gone at 1200; what came until it was last seen is covered, then nothing more is wanted."""
    policy = OnDrift()
    say(policy, seen(BROKEN))
    covered = Quarantined(since_s=850.0, until_s=1000.0)
    assert say(policy, seen(BROKEN, at_s=1100.0, quarantined=(covered,)), 1100.0) == []
    rest = Quarantine(model="m", since_s=1000.0, until_s=1100.0)
    (proposal,) = policy.propose(observation(1200.0, seen(at_s=1200.0, quarantined=(covered,))))
    assert (proposal.action, proposal.because[0].name) == (rest, "data_quality")
    done = Quarantined(since_s=1000.0, until_s=1100.0)
    assert say(policy, seen(at_s=1300.0, quarantined=(covered, done)), 1300.0) == []


def test_broken_rows_of_a_model_that_is_only_watched_are_told():
    """Nothing of it is ever trained on."""
    assert [each.kind for each in say(OnDrift(), seen(BROKEN, managed=False))] == ["alert"]


@pytest.mark.parametrize(
    ("blocked", "reason"),
    [
        (model(), ("hold", "report", None, None)),
        (seen(HARM, at_s=600.0), ("hold", "report_age_s", 400.0, 300.0)),
        (seen(HARM, champion=version("2")), ("hold", "report_version", None, None)),
        (seen(HARM, training=job(JobState.RUNNING)), ("hold", "training", None, None)),
        (seen(HARM, rollout=rollout()), ("hold", "rollout", None, None)),
        (seen(HARM, candidates=(version("2"),)), ("hold", "candidates", 1, 0)),
        (seen(HARM, champion_since_s=500.0), ("hold", "champion_age_s", 500.0, 600.0)),
        (seen(HARM, training=job(JobState.SUCCEEDED, 900.0)), ("hold", "since_last_training_s", 100.0, 600.0)),
        (seen(HARM, training=job(JobState.STOPPED, 900.0)), ("hold", "since_last_training_s", 100.0, 600.0)),
        (seen(HARM, labelled=499), ("hold", "labelled_rows", 499, 500)),
    ],
)
def test_a_reason_against_it_holds(blocked, reason):
    """Whatever drifts, these come first."""
    assert why(OnDrift(), blocked) == reason


@pytest.mark.parametrize(
    "free",
    [
        seen(HARM, champion_since_s=400.0),
        seen(HARM, training=job(JobState.SUCCEEDED, 400.0)),
        seen(HARM, training=job(JobState.SUCCEEDED)),
        seen(HARM, champion_since_s=None),
        model(report=report(1000.0, HARM, version=None)),
        seen(HARM, labelled=500),
    ],
)
def test_the_reason_passes_at_its_threshold(free):
    """And a version that the report does not name is taken for the champion."""
    assert say(OnDrift(), free) == [RETRAIN]


def test_failed_trainings_are_retried_ever_later():
    """60 s after the first failure, 120 after the second, 240 after the third, never later than the longest; a success resets it."""
    policy = OnDrift(retry_after_s=60.0, retry_after_max_s=200.0, settle_s=0.0)
    waits = {}
    for number in (1, 2, 3):
        failed = job(JobState.FAILED, 1000.0, f"j{number}")
        held = why(policy, seen(HARM, training=failed), 1000.0)
        assert held == why(policy, seen(HARM, training=failed), 1000.0)
        waits[number] = held[3]
        assert say(policy, seen(HARM, training=failed), 1000.0 + waits[number]) == [RETRAIN]
    assert waits == {1: 60.0, 2: 120.0, 3: 200.0}
    say(policy, seen(HARM, training=job(JobState.SUCCEEDED, 1000.0, "j4")))
    assert why(policy, seen(HARM, training=job(JobState.FAILED, 1000.0, "j5")))[3] == 60.0


def test_rows_count_from_the_last_training():
    """A training was seen to run at 5,000 labelled rows; 500 more must come, and a reset of the monitors starts over."""
    policy = OnDrift(settle_s=0.0)
    done = job(JobState.SUCCEEDED, 900.0)
    assert why(policy, seen(HARM, training=job(JobState.RUNNING)))[1] == "training"
    assert why(policy, seen(HARM, training=done, labelled=5499)) == ("hold", "labelled_rows", 499, 500)
    assert say(policy, seen(HARM, training=done, labelled=5500)) == [Retrain(model="m", since_s=900.0)]
    assert why(policy, seen(HARM, training=done, labelled=300)) == ("hold", "labelled_rows", 300, 500)
    assert say(policy, seen(HARM, training=done, labelled=600))[0].kind == "retrain"


def test_old_rows_are_left_out_once_enough_new_ones_came():
    """The drift was first seen at 5,000 labelled rows; before 500 more all rows are taken."""
    policy = OnDrift(margin_s=50.0)
    assert say(policy, seen(HARM)) == [RETRAIN]
    assert say(policy, seen(HARM, labelled=5499)) == [RETRAIN]
    assert say(policy, seen(HARM, labelled=5500)) == [Retrain(model="m", since_s=850.0)]


def test_it_can_wait_for_rows_of_the_new_times():
    """`min_rows_after_drift` counts from when the drift was first seen, and anew for a new drift."""
    policy = OnDrift(min_rows_after_drift=1000)
    assert why(policy, seen(HARM)) == ("hold", "labelled_rows", 0, 1000)
    assert say(policy, seen(HARM, labelled=6000)) == [Retrain(model="m", since_s=900.0)]
    assert say(policy, seen(labelled=6000)) == []
    assert why(policy, seen(HARM, labelled=6100)) == ("hold", "labelled_rows", 0, 1000)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kinds": ()}, "kinds must name"),
        ({"retry_after_s": 0.0}, "retry_after_s must be above 0"),
        ({"min_rows": -1}, "min_rows must be 0 or more"),
    ],
)
def test_impossible_parameters_are_refused(parameters, message):
    """By name."""
    with pytest.raises(ValueError, match=message):
        OnDrift(**parameters)


PERFORMANCE = symptom("performance", 900.0, detector="window_mean")


def test_an_alarm_that_began_on_broken_rows_does_not_count_when_they_are_over():
    """The detector stays at its alarm; `performance` is taken back when the rows are whole, so while that one lasts there is harm."""
    quarantined = (Quarantined(since_s=850.0, until_s=950.0),)
    late = {"at_s": 3000.0, "quarantined": quarantined}
    assert say(OnDrift(), seen(HARM, **late), 3000.0) == []
    assert say(OnDrift(), seen(symptom(since_s=1549.0), **late), 3000.0) == []
    assert say(OnDrift(), seen(symptom(since_s=1550.0), **late), 3000.0) == [RETRAIN]
    assert say(OnDrift(), seen(HARM, PERFORMANCE, **late), 3000.0) == [RETRAIN]


def test_soon_after_broken_rows_it_holds():
    """A story along the clock: rows are broken until 1000, their labels come later, and nothing is learned until 1600."""
    policy = OnDrift(settle_s=600.0)
    covered = (Quarantined(since_s=850.0, until_s=1000.0),)
    say(policy, seen(BROKEN, PERFORMANCE))
    assert why(policy, seen(PERFORMANCE, at_s=1590.0, quarantined=covered), 1590.0) == (
        "hold",
        "since_broken_rows_s",
        590.0,
        600.0,
    )
    assert say(policy, seen(PERFORMANCE, at_s=1600.0, quarantined=covered), 1600.0) == [RETRAIN]


def test_a_loss_that_is_back_at_its_reference_is_not_learned_from():
    """As after a season: the alarm stays, the harm is over."""
    back = model(report=report(1000.0, HARM, loss=0.104, loss_reference=0.1))
    worse = model(report=report(1000.0, HARM, loss=0.106, loss_reference=0.1))
    kind, name, value, threshold = why(OnDrift(recovered_within=0.05), back)
    assert (kind, name, value, threshold) == ("hold", "loss", 0.104, pytest.approx(0.105))
    assert say(OnDrift(recovered_within=0.05), worse) == [RETRAIN]
