"""A training or a quarantine that could not be read: nothing is retrained on a guess, and no order is judged by one."""

import pytest

from agent.calendar import FreezeCalendar
from agent.guards import Context, Record, veto
from agent.order import Order, Outcome, Status
from agent.settings import BudgetSettings, GuardSettings
from agent.verification import outcome
from policies.action import Action, Proposal, Retrain, StopTraining
from policies.observation import JobState, TrainingJob
from policies.testing import model, observation

ENDED = TrainingJob(id="7", state=JobState.SUCCEEDED, started_at_s=5.0, version="2", trials_done=3)


@pytest.mark.parametrize(
    ("unread", "reason"),
    [
        (("training",), "not known now: training"),
        (("quarantined",), "not known now: quarantined"),
        (("training", "quarantined"), "not known now: training, quarantined"),
        ((), None),
    ],
)
def test_nothing_is_retrained_while_it_is_not_known_what_runs_or_what_is_set_aside(
    unread: tuple[str, ...], reason: str | None
) -> None:
    """A second job would run, or rows be trained on that must not be."""
    seen = observation(10.0, model("m", unread=unread))
    context = Context(
        seen=seen,
        open_orders={},
        record=Record(),
        settings=GuardSettings(),
        budget=BudgetSettings(),
        calendar=FreezeCalendar(()),
    )
    objection = veto(Proposal(action=Retrain(model="m"), because=(), policy="p"), context)
    assert (objection and (objection.rule, objection.reason)) == (reason and ("unread", reason))


@pytest.mark.parametrize("action", [Retrain(model="m"), StopTraining(model="m")])
@pytest.mark.parametrize("unread", [True, False])
def test_a_training_order_is_judged_by_what_is_read(action: Action, unread: bool) -> None:
    """Not by the job that was last known."""
    order = Order(
        number=1, epoch=1, key="7", action=action, because=(), policy="p", issued_at_s=1.0, deadline_s=99.0
    )  # fmt: skip
    seen = observation(10.0, model("m", training=ENDED, unread=("training",) if unread else ()))
    detail = "version 2 after 3 trials" if isinstance(action, Retrain) else "no training runs"
    ended = Outcome(number=1, status=Status.SUCCEEDED, at_s=10.0, detail=detail)
    assert outcome(order, seen) == (None if unread else ended)
