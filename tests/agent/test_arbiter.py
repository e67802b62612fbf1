"""What a training gets of the capacity that serving leaves."""

from agent.assembly import build_core
from agent.core import Decision
from agent.settings import Settings
from policies.action import Evidence, Retrain
from policies.observation import Capacity, Resources
from policies.testing import deployment, model, observation, report, symptom


def decided(cpus: float, *, gpus: float = 0.0, trial_gpus: float = 0.0) -> Decision:
    """An agent that wants to retrain, four trials of one CPU at a time, where so much is free."""
    training = {"recipes": ["logistic"], "concurrent_trials": 4, "trial_gpus": trial_gpus}
    settings = Settings.model_validate(
        {
            "autonomy": {"default": "act"},
            "models": {"m": {"training": training}},
            "policies": [{"use": "on_drift", "settle_s": 0, "min_rows": 10}],
        }
    )
    room = Capacity(total=Resources(cpus=8.0), free=Resources(cpus=cpus, gpus=gpus))
    drifted = model("m", report=report(100.0, symptom(since_s=1.0)))
    return build_core(settings).step(observation(100.0, deployment("m/ModelServer"), drifted, capacity=room))


def test_a_training_has_as_many_trials_at_a_time_as_are_left_to_it() -> None:
    """All four where there is room; else fewer, and the order says so."""
    whole, part = decided(4.0).orders[0], decided(2.5).orders[0]
    assert isinstance(whole.action, Retrain)
    assert isinstance(part.action, Retrain)
    assert (whole.action.concurrent_trials, part.action.concurrent_trials) == (None, 2)
    assert part.because[-1] == Evidence(name="fewer_trials_at_once", value=4.0, threshold=2.0)


def test_a_gpu_bounds_the_trials_as_a_cpu_does() -> None:
    """Half a GPU each, one free: two at a time."""
    order = decided(8.0, gpus=1.0, trial_gpus=0.5).orders[0]
    assert isinstance(order.action, Retrain)
    assert order.action.concurrent_trials == 2


def test_without_room_for_one_trial_nothing_is_trained() -> None:
    """The veto shows what one trial needs beside what is left."""
    decision = decided(0.5)
    assert decision.orders == ()
    assert [(v.rule, v.value, v.threshold) for v in decision.vetoes] == [("budget", 1.0, 0.5)]
