"""What the world must show for an order to have ended, to be under way, or to be none at all."""

from dataclasses import replace
from typing import Any

import pytest

from agent.inverse import inverse
from agent.order import Order, Outcome, Status
from agent.verification import changes_nothing, outcome, under_way
from policies.action import (
    Action,
    Alert,
    Promote,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
)
from policies.observation import JobState, Model, Quarantined, ReplicaState, TrainingJob
from policies.testing import deployment, model, observation, replica, rollout, version

SCALE = Scale(deployment="app/model", replicas=3)
RESTART = Restart(deployment="app/model", replica="r1")
RETRAIN, STOP = Retrain(model="m"), StopTraining(model="m")
START = StartRollout(model="m", version="2", digest="sha-2")
TRAFFIC = SetTraffic(model="m", version="2", share=0.5, shadow=0.25)
PROMOTE = Promote(model="m", version="2", digest="sha-2")
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")
ASIDE = Quarantine(model="m", since_s=10.0, until_s=20.0)


def order(action: Action, at_s: float = 100.0, allowed_s: float = 60.0) -> Order:
    return Order(
        number=7, epoch=1, key="key-7", action=action, because=(), policy="p", issued_at_s=at_s, deadline_s=at_s + allowed_s
    )  # fmt: skip


def job(state: JobState = JobState.RUNNING, **fields: Any) -> Model:
    return model(training=TrainingJob(**({"id": "key-7", "state": state, "started_at_s": 100.0} | fields)))


def verdict(action: Action, *things: Any, at_s: float = 110.0) -> tuple[Status, str] | None:
    found = outcome(order(action), observation(at_s, *things))
    assert found is None or found == Outcome(number=7, status=found.status, at_s=at_s, detail=found.detail)
    return None if found is None else (found.status, found.detail)


DONE, FAILED = Status.SUCCEEDED, Status.FAILED
THREE = deployment(replicas=3)


@pytest.mark.parametrize(
    ("action", "thing", "told"),
    [
        (SCALE, THREE, (DONE, "3 replicas run")),
        (SCALE, deployment(replicas=2), None),
        (SCALE, deployment(replicas=2, replicas_wanted=3), None),
        (SCALE, deployment(replicas=3, replicas_wanted=4), None),
        (SCALE, deployment(replicas=(replica("a"), replica("b"), replica("c", state=ReplicaState.STARTING))), None),
        (SCALE, deployment("b/b", replicas=3), None),
        (RESTART, deployment(replicas=(replica("r2"), replica("r3"))), (DONE, "replaced")),
        (RESTART, deployment(replicas=(replica("r2"),), replicas_wanted=2), None),
        (RESTART, deployment(replicas=(replica("r1"), replica("r3"))), None),
        (RESTART, deployment(replicas=(replica("r1", state=ReplicaState.STOPPING), replica("r3")), replicas_wanted=1), None),
        (RESTART, deployment(replicas=(replica("r2"), replica("r3")), replicas_wanted=1), (DONE, "replaced")),
        (RESTART, deployment("b/b"), None),
        (RETRAIN, job(), None),
        (RETRAIN, model(), None),
        (RETRAIN, model("another"), None),
        (RETRAIN, job(JobState.SUCCEEDED, version="9", trials_done=4), (DONE, "version 9 after 4 trials")),
        (RETRAIN, job(JobState.FAILED, message="out of memory"), (FAILED, "out of memory")),
        (RETRAIN, job(JobState.FAILED), (FAILED, "failed")),
        (RETRAIN, job(JobState.STOPPED), (FAILED, "stopped")),
        (RETRAIN, job(JobState.FAILED, id="other", started_at_s=98.9), None),
        (RETRAIN, job(JobState.FAILED, id="other", started_at_s=99.0), (FAILED, "failed")),
        (RETRAIN, job(JobState.FAILED, started_at_s=0.0), (FAILED, "failed")),
        (RETRAIN, replace(job(JobState.FAILED), unread=("training",)), None),
        (STOP, job(), None),
        (STOP, model(), (DONE, "no training runs")),
        (STOP, job(JobState.STOPPED), (DONE, "no training runs")),
        (STOP, model(unread=("training",)), None),
        (STOP, model("another"), None),
        (START, model(rollout=rollout("2")), (DONE, "the challenger is ready")),
        (START, model(rollout=rollout("2", ready=False)), None),
        (START, model(rollout=rollout("2", failed="did not load")), (FAILED, "did not load")),
        (START, model(rollout=rollout("3")), None),
        (START, model(), None),
        (TRAFFIC, model(rollout=rollout("2", share=0.5)), (DONE, "share 0.5")),
        (TRAFFIC, model(rollout=rollout("2", share=0.5, ready=False)), None),
        (TRAFFIC, model(rollout=rollout("2", share=0.4)), None),
        (TRAFFIC, model(rollout=rollout("2", share=0.5, failed="crashed")), (FAILED, "crashed")),
        (TRAFFIC, model(rollout=rollout("3", share=0.5)), None),
        (PROMOTE, model(champion="2"), (DONE, "version 2 is the champion")),
        (PROMOTE, model(champion="2", rollout=rollout("2")), None),
        (PROMOTE, model(champion="1"), None),
        (PROMOTE, model(champion=None), None),
        (PROMOTE, model("another", champion="2"), None),
        (BACK, model(), (DONE, "version 1 serves")),
        (BACK, model(rollout=rollout("2")), None),
        (BACK, model(rollout=rollout("3")), (DONE, "version 1 serves")),
        (BACK, model(candidates=(version("2"),)), None),
        (BACK, model(candidates=(version("3"),)), (DONE, "version 1 serves")),
        (BACK, model(champion="2"), None),
        (BACK, model(champion=None), None),
        (ASIDE, model(quarantined=(Quarantined(since_s=10.0, until_s=20.0),)), (DONE, "the rows are set aside")),
        (ASIDE, model(quarantined=(Quarantined(since_s=11.0, until_s=20.0),)), None),
        (ASIDE, model(quarantined=(Quarantined(since_s=10.0, until_s=19.0),)), None),
        (ASIDE, model(), None),
        (ASIDE, model("another"), None),
        (Alert(subject="a", text="b"), model(), (DONE, "told")),
    ],
    ids=repr,
)  # fmt: skip
def test_an_order_ends_as_the_world_shows(action: Action, thing: Any, told: tuple[Status, str] | None) -> None:
    """Ten seconds after it was issued, of a minute."""
    assert verdict(action, thing) == told


@pytest.mark.parametrize("action", [SCALE, RESTART, RETRAIN, START, PROMOTE, BACK, ASIDE], ids=repr)
def test_an_order_that_the_world_never_shows_expires_at_its_deadline(action: Action) -> None:
    """And says after how long; not a moment sooner."""
    assert verdict(action, at_s=159.9) is None
    assert verdict(action, at_s=160.0) == (Status.EXPIRED, "not seen to be done 60 s after it was issued")


def test_what_was_seen_before_an_order_says_nothing_about_it() -> None:
    """Nor does what was seen at that very moment."""
    assert [verdict(SCALE, THREE, at_s=at_s) for at_s in (50.0, 100.0)] == [None, None]
    assert verdict(SCALE, THREE, at_s=100.1) == (DONE, "3 replicas run")


@pytest.mark.parametrize(
    ("action", "thing", "nothing"),
    [
        (SCALE, deployment(replicas=2, replicas_wanted=3), True),
        (SCALE, deployment(replicas=3, replicas_wanted=2), False),
        (SCALE, deployment("b/b", replicas=3), False),
        (RESTART, deployment(replicas=(replica("r2"),)), False),
        (RETRAIN, job(), False),
        (STOP, model(), True),
        (STOP, job(JobState.FAILED), True),
        (STOP, job(), False),
        (STOP, model(unread=("training",)), False),
        (STOP, model("another"), False),
        (START, model(rollout=rollout("2", ready=False)), True),
        (START, model(rollout=rollout("3")), False),
        (START, model(), False),
        (TRAFFIC, model(rollout=rollout("2", share=0.5, shadow=0.25)), True),
        (TRAFFIC, model(rollout=rollout("2", share=0.5, shadow=0.5)), False),
        (TRAFFIC, model(rollout=rollout("2", share=0.4, shadow=0.25)), False),
        (TRAFFIC, model(rollout=rollout("3", share=0.5, shadow=0.25)), False),
        (TRAFFIC, model(), False),
        (PROMOTE, model(champion="2"), True),
        (PROMOTE, model(champion="1"), False),
        (BACK, model(), True),
        (BACK, model(candidates=(version("2"),)), False),
        (ASIDE, model(quarantined=(Quarantined(since_s=0.0, until_s=50.0),)), True),
        (ASIDE, model(), False),
        (Alert(subject="a", text="b"), model(), False),
    ],
    ids=repr,
)
def test_what_the_world_was_told_already_is_no_order(action: Action, thing: Any, nothing: bool) -> None:
    """By the state that was wanted, whether it has come about yet or not."""
    assert changes_nothing(action, observation(110.0, thing)) is nothing


@pytest.mark.parametrize(
    ("action", "thing", "shown"),
    [
        (SCALE, deployment(replicas=2, replicas_wanted=3), True),
        (SCALE, deployment(), False),
        (RESTART, deployment(replicas=(replica("r2"),)), True),
        (RESTART, deployment(replicas=(replica("r1", state=ReplicaState.STOPPING),)), True),
        (RESTART, deployment(replicas=(replica("r1", state=ReplicaState.STARTING),)), False),
        (RESTART, deployment(replicas=(replica("r2"), replica("r1"))), False),
        (RESTART, deployment("b/b"), False),
        (RETRAIN, job(), True),
        (RETRAIN, job(id="other"), False),
        (RETRAIN, model(), False),
        (RETRAIN, model("another"), False),
        (STOP, model(), False),
        (START, model(rollout=rollout("2", ready=False)), False),
        (TRAFFIC, model(rollout=rollout("2", share=0.5, shadow=0.25)), True),
        (TRAFFIC, model(rollout=rollout("2", share=0.5, shadow=1.0)), False),
        (PROMOTE, model(champion="2"), False),
        (BACK, model(), False),
    ],
    ids=repr,
)
def test_what_the_world_shows_under_way_need_not_be_sent_again(action: Action, thing: Any, shown: bool) -> None:
    """Steps of a rollout that can stop half way are sent again, always."""
    assert under_way(order(action), observation(110.0, thing)) is shown


@pytest.mark.parametrize(
    ("action", "thing", "undone"),
    [
        (SCALE, deployment(replicas=2), Scale(deployment="app/model", replicas=2)),
        (SCALE, deployment("b/b"), None),
        (RESTART, deployment(), None),
        (RETRAIN, model(), None),
        (START, model(), BACK),
        (PROMOTE, model(), BACK),
        (PROMOTE, model(champion=None), None),
        (PROMOTE, model("another"), None),
        (
            TRAFFIC,
            model(rollout=rollout("2", share=0.1, shadow=0.9)),
            SetTraffic(model="m", version="2", share=0.1, shadow=0.9),
        ),
        (TRAFFIC, model(rollout=rollout("3", share=0.1)), None),
        (TRAFFIC, model(), None),
        (TRAFFIC, model("another"), None),
    ],
    ids=repr,
)
def test_what_undoes_an_order_is_how_things_stood_before(action: Action, thing: Any, undone: Action | None) -> None:
    """Where there is a way back at all."""
    assert inverse(action, observation(110.0, thing)) == undone
