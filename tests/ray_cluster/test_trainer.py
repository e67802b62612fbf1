"""The trainer's own decisions, without Ray: who may start a training, and what is known of the last."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.order import Order
from agent.ports import Refused
from agent.settings import Settings
from policies.action import Action, Restart, Retrain, StopTraining
from policies.observation import JobState, TrainingJob
from ray_cluster import epochs, kv, training
from ray_cluster.training import JobRecord, TuneTrainer, read_record, write_record

SETTINGS = Settings.model_validate(
    {"name": "a", "models": {"m": {"training": {"recipes": ["logistic"], "trials": 4}}, "bare": {}}}
)
JOB = TrainingJob(id="7", state=JobState.RUNNING, started_at_s=5.0)


def order(action: Action, epoch: int = 3, key: str = "8") -> Order:
    return Order(
        number=1, epoch=epoch, key=key, action=action, because=(), policy="p", issued_at_s=1.0, deadline_s=9.0
    )  # fmt: skip


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A key-value store in memory, in which epoch 3 acts."""
    held: dict[str, bytes] = {}
    monkeypatch.setattr(kv, "get", held.get)
    monkeypatch.setattr(kv, "put", held.__setitem__)
    monkeypatch.setattr(kv, "create", lambda key, value: key not in held and held.update({key: value}) is None)
    monkeypatch.setattr(kv, "keys", lambda prefix: tuple(key for key in held if key.startswith(prefix)))
    epochs.claim("a", 3, "the agent")
    return held


class Runner:
    """The actor of a job: whether it is there, and what it was told."""

    def __init__(self) -> None:
        self.there = False
        self.log: list[Any] = []

    def options(self, **fields: Any) -> "Runner":
        return self

    def remote(self, *spec: Any) -> None:
        self.log.append(spec[0].id if spec else "stop")
        self.there = True

    @property
    def stop(self) -> "Runner":
        return self


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    made = Runner()
    monkeypatch.setattr(training, "_runner", lambda model: made if made.there else None)
    monkeypatch.setattr(training, "TrainingRunner", made)
    monkeypatch.setattr(training, "remove_leaked_groups", lambda job: made.log.append(f"freed {job}"))
    monkeypatch.setattr(training.ray, "kill", lambda actor: made.log.append("killed"))
    return made


@pytest.mark.parametrize("action", [Retrain(model="m"), StopTraining(model="m")])
def test_an_order_of_a_lower_epoch_is_refused(stored: dict[str, bytes], runner: Runner, action: Action) -> None:
    """As by the actuator: an agent that was replaced must neither start a training nor end one."""
    with pytest.raises(Refused, match="epoch 2 is over; epoch 3 acts on this cluster"):
        TuneTrainer(SETTINGS).start(order(action, epoch=2))
    assert (runner.log, read_record("m")) == ([], None)


def test_a_training_is_started_once(stored: dict[str, bytes], runner: Runner) -> None:
    """The same key again is the same job; another while it runs is refused."""
    trainer = TuneTrainer(SETTINGS)
    trainer.start(order(Retrain(model="m")))
    trainer.start(order(Retrain(model="m")))
    with pytest.raises(Refused, match="training 8 of m still runs"):
        trainer.start(order(Retrain(model="m"), key="9"))
    assert runner.log == ["8"]
    assert trainer.job("m").state is JobState.RUNNING
    trainer.start(order(StopTraining(model="m")))
    assert runner.log == ["8", "stop"]


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Retrain(model="bare"), "no recipe is given for model 'bare'"),
        (Retrain(model="nobody"), "no recipe is given for model 'nobody'"),
        (Restart(deployment="a/B", replica="r"), "a trainer does not know how to restart"),
    ],
)
def test_what_a_trainer_can_not_do_is_refused_with_the_reason(
    stored: dict[str, bytes], runner: Runner, action: Action, reason: str
) -> None:
    """Nothing is started."""
    with pytest.raises(Refused, match=reason):
        TuneTrainer(SETTINGS).start(order(action))
    assert runner.log == []


def test_while_the_quarantine_can_not_be_read_no_training_starts(stored: dict[str, bytes], runner: Runner) -> None:
    """Rows that must not be trained on may be in it."""

    def away(model: str) -> tuple[()]:
        raise OSError("the store is away")

    with pytest.raises(OSError, match="the store is away"):
        TuneTrainer(SETTINGS, away).start(order(Retrain(model="m")))
    assert (runner.log, read_record("m")) == ([], None)


def test_a_job_whose_process_is_gone_has_failed(stored: dict[str, bytes], runner: Runner) -> None:
    """And what it held is given back, once."""
    write_record("m", JobRecord(job=JOB))
    trainer = TuneTrainer(SETTINGS)
    dead = trainer.job("m")
    assert (dead.state, dead.message) == (JobState.FAILED, "its process died")
    assert trainer.job("m") == dead
    assert (runner.log, trainer.job("bare")) == (["freed 7"], None)


@pytest.mark.parametrize(
    "meanwhile",
    [replace(JOB, state=JobState.SUCCEEDED), replace(JOB, id="8")],
    ids=["it ended well", "another began"],
)
def test_a_look_that_was_late_buries_no_job_that_lives(
    stored: dict[str, bytes], runner: Runner, monkeypatch: pytest.MonkeyPatch, meanwhile: TrainingJob
) -> None:
    """Between its look at the record and at the process the record changed."""
    write_record("m", JobRecord(job=JOB))

    def gone(model: str) -> None:
        write_record(model, JobRecord(job=meanwhile))

    monkeypatch.setattr(training, "_runner", gone)
    assert TuneTrainer(SETTINGS).job("m") == meanwhile
    assert (read_record("m").job, runner.log) == (meanwhile, [])


@pytest.mark.parametrize("error", [ValueError("no such actor"), None])
def test_whether_a_process_is_there_is_asked_of_ray(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """None where it knows of none."""

    def get_actor(name: str, namespace: str) -> tuple[str, str]:
        if error is not None:
            raise error
        return name, namespace

    monkeypatch.setattr(training.ray, "get_actor", get_actor)
    look: Callable[[str], Any] = training._runner
    assert look("m") == (None if error is not None else ("training:m", "homeostat"))
