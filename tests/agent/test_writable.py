"""What can not be written down is a part that is away: named in `problems`, and nothing is decided on it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agent.calendar import FreezeCalendar
from agent.codec import canonical, from_json, to_json
from agent.core import Core, Decision, Rules
from agent.journal.record import verify
from agent.loop import Agent, lines_of
from agent.order import Autonomy, Order
from agent.settings import AutonomySettings
from agent.testing import MemoryJournal, RecordingNotifier, ScriptedWorld
from agent.writable import written_down
from policies.action import Alert, Evidence, Proposal, Scale
from policies.observation import Capacity, JobState, Moments, Observation, Quarantined, Resources, TrainingJob
from policies.testing import comparison, deployment, model, observation, report, rollout, symptom, traffic, version

NAN, INF = float("nan"), float("inf")
LONE = "a\ud800b"
SAYS = "can not be written down, so it counts as not known"


def kept(seen: Observation) -> Observation:
    """What is left of `seen`, whose plain form is written and read back here."""
    found, plain = written_down(seen)
    canonical(plain)
    assert from_json(Observation, plain) == found
    return found


def test_what_can_be_written_is_left_as_it_is() -> None:
    """Not copied, nor looked at twice."""
    seen = observation(1.0, deployment(traffic=traffic(1.0)), model(report=report(1.0)))
    assert written_down(seen) == (seen, to_json(seen))
    assert written_down(seen)[0] is seen


def test_a_variance_without_bound_costs_the_comparison_it_stands_in() -> None:
    """The model is seen, its rollout too; what they would be judged by is not known."""
    spoilt = replace(comparison(), paired_loss=Moments(n=9, mean=1e75, variance=INF))
    seen = observation(1.0, model(rollout=rollout("2", comparison=spoilt)), deployment())
    found = kept(seen)
    assert found == replace(
        seen,
        models={"m": model(rollout=rollout("2", comparison=None))},
        problems=(f"models[m].rollout.comparison.paired_loss.variance: inf {SAYS}",),
    )


@pytest.mark.parametrize(
    ("spoilt", "left", "problem"),
    [
        (traffic(1.0, latency_p95_s=NAN), traffic(1.0, latency_p95_s=None), "traffic.latency_p95_s: nan"),
        (traffic(1.0, window_s=INF), None, "traffic.window_s: inf"),
        (traffic(1.0, requests=NAN), None, "traffic.requests: nan"),
        (traffic(1.0, ongoing=10**400), traffic(1.0, ongoing=None), "traffic.ongoing: a number of more than 63 bits"),
        (traffic(1.0, ongoing=Decimal("NaN")), traffic(1.0, ongoing=None), "traffic.ongoing: nan"),
        (traffic(1.0, ongoing=Decimal("sNaN")), traffic(1.0, ongoing=None), "traffic.ongoing: Decimal"),
        (traffic(1.0, ongoing=object()), traffic(1.0, ongoing=None), "traffic.ongoing: object"),
        (traffic(1.0, requests=object()), None, "traffic.requests: object"),
    ],
    ids=["latency", "window", "count", "gauge", "decimal", "signalling", "object", "no count"],
)
def test_the_smallest_part_that_may_be_missing_is_missing(spoilt: Any, left: Any, problem: str) -> None:
    """A latency costs itself, a window its traffic; the deployment stays in sight."""
    found = kept(observation(1.0, deployment(traffic=spoilt)))
    assert found == observation(1.0, deployment(traffic=left), problems=(f"deployments[app/model].{problem} {SAYS}",))


def test_a_symptom_without_a_value_is_a_symptom_still() -> None:
    """Deep in a tuple, the same."""
    seen = observation(1.0, model(report=report(1.0, symptom(value=NAN, threshold=2.0))))
    assert kept(seen).models["m"].report == report(1.0, symptom(value=None, threshold=2.0))


def test_numbers_of_other_libraries_are_written_plainly() -> None:
    """They are known."""
    seen = observation(1.0, deployment(replicas_wanted=np.int64(2), traffic=traffic(1.0, ongoing=np.float32(0.5))))
    found = kept(seen)
    assert found == observation(1.0, deployment(replicas_wanted=2, traffic=traffic(1.0, ongoing=0.5)))
    assert type(found.deployments["app/model"].replicas_wanted) is int


def test_words_are_written_with_escapes() -> None:
    """A message of somebody's exception may be anything."""
    seen = observation(1.0, deployment(message=LONE), problems=(LONE,), due=(LONE,))
    escaped = "a\\ud800b"
    assert kept(seen) == observation(1.0, deployment(message=escaped), problems=(escaped,), due=(escaped,))


def test_what_has_no_name_that_can_be_written_is_out_of_sight() -> None:
    """The others are in."""
    seen = observation(1.0, deployment(), deployment(name=LONE), model(name=LONE))
    assert kept(seen) == observation(
        1.0,
        deployment(),
        problems=(
            f"deployments[a\\ud800b]: its name {SAYS}",
            f"models[a\\ud800b]: its name {SAYS}",
        ),
    )


@pytest.mark.parametrize(
    ("thing", "problem"),
    [
        (deployment(replicas_wanted=NAN), "deployments[app/model].replicas_wanted: nan"),
        (deployment(max_replicas=NAN), "deployments[app/model].max_replicas: nan"),
        (model(champion=version("1", created_at_s=NAN)), "models[m].champion.created_at_s: nan"),
        (model(previous=version("1", created_at_s=NAN)), "models[m].previous.created_at_s: nan"),
        (model(candidates=(version("2"), version("3", created_at_s=INF))), "models[m].candidates[1].created_at_s: inf"),
        (model(rollout=rollout("2", share=NAN)), "models[m].rollout.share: nan"),
        (
            model(training=TrainingJob(id="j", state=JobState.RUNNING, started_at_s=NAN)),
            "models[m].training.started_at_s: nan",
        ),
        (model(quarantined=(Quarantined(since_s=0.0, until_s=INF),)), "models[m].quarantined[0].until_s: inf"),
    ],
    ids=["count", "limit", "champion", "previous", "candidate", "rollout", "training", "quarantine"],
)
def test_what_must_be_known_takes_what_it_stands_in_out_of_sight(thing: Any, problem: str) -> None:
    """A deployment is missing, rather than wanting none or having no limit; a model, rather than having no rollout."""
    assert kept(observation(1.0, thing)) == observation(1.0, problems=(f"{problem} {SAYS}",))


def test_a_capacity_that_is_no_number_is_not_known() -> None:
    """What is not known leaves nothing to spend."""
    seen = observation(1.0, capacity=Capacity(total=Resources(cpus=8.0), free=Resources(cpus=NAN)))
    assert kept(seen).capacity == Capacity(total=Resources(cpus=8.0), free=None)


# -- the loop


class Shows(ScriptedWorld):
    """A world whose metrics are NaN while `spoilt`."""

    spoilt = False

    def observe(self, at_s: float) -> Observation:
        seen = super().observe(at_s)
        if not self.spoilt:
            return seen
        ill = {name: replace(each, traffic=traffic(at_s, window_s=NAN)) for name, each in seen.deployments.items()}
        return replace(seen, deployments=ill)


class Wants:
    def __init__(self, replicas: int) -> None:
        self.replicas = replicas

    def propose(self, seen: Observation) -> list[Proposal]:
        if seen.deployments["app/model"].traffic is not None:
            return []
        action = Scale(deployment="app/model", replicas=self.replicas)
        return [Proposal(action=action, because=(Evidence(name="test"),))]


def agent_over(world: ScriptedWorld, journal: MemoryJournal, policy: Any) -> Agent:
    core = Core([("wants", policy)], Rules(autonomy=AutonomySettings(default=Autonomy.ACT)), FreezeCalendar())
    return Agent(core, sensor=world, actuator=world, trainer=world, notifier=RecordingNotifier(), journal=journal)


def test_an_agent_that_sees_what_can_not_be_written_goes_on_and_says_so() -> None:
    """One deployment's metrics are away; the agent decides, and its record holds."""
    world = Shows.with_deployment("app/model", 2)
    world.spoilt = True
    journal = MemoryJournal()
    agent = agent_over(world, journal, Wants(3))
    for at_s in (1.0, 2.0, 3.0):
        agent.tick(at_s)
    assert len(world.effects) == 1
    assert agent.last_seen is not None
    assert agent.last_seen.problems == (f"deployments[app/model].traffic.window_s: nan {SAYS}",)
    assert verify(journal.kept).ok


class Unwritable:
    """A core that decides what no journal can hold, as ours must never."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.told: list[tuple[int, str]] = []
        self.open_orders = ()

    def step(self, seen: Observation) -> Decision:
        decision = self.core.step(seen)
        bad = [replace(order, policy=LONE) for order in decision.orders]
        alerts = (Alert(subject="a", text=LONE), Alert(subject="b", text="fine"))
        return replace(decision, orders=tuple(bad), alerts=alerts, news=True)

    def refused(self, number: int, reason: str) -> None:
        self.told.append((number, reason))
        self.core.refused(number, reason)


def test_an_order_that_can_not_be_written_is_not_done_and_the_core_knows() -> None:
    """Nothing raises; the order is given up and has its outcome, and the lines beside it are kept."""
    world, journal = ScriptedWorld.with_deployment("app/model", 2), MemoryJournal()
    agent = agent_over(world, journal, Wants(3))
    spoils = Unwritable(agent.core)
    agent.core = spoils  # type: ignore[assignment]
    agent.tick(1.0)
    assert (world.effects, spoils.told) == ([], [(1, "it can not be written down")])
    assert [alert["text"] for alert in journal.of_kind("decided")[0]["alerts"]] == ["fine"]
    agent.tick(2.0)
    assert [(o["number"], o["status"]) for o in journal.of_kind("outcome")] == [(1, "failed")]
    assert journal.of_kind("intent") == []
    assert verify(journal.kept).ok


def test_a_refusal_in_words_that_can_not_be_written_is_told_with_escapes() -> None:
    """The reason becomes an outcome's detail, at the next tick."""

    class Refuses(ScriptedWorld):
        def start(self, order: Order) -> None:
            raise RuntimeError(LONE)

    world, journal = Refuses.with_deployment("app/model", 2), MemoryJournal()
    agent = agent_over(world, journal, Wants(3))
    agent.tick(1.0)
    agent.tick(2.0)
    assert journal.of_kind("outcome")[0]["detail"] == "refused: RuntimeError: a\\ud800b"


def test_the_lines_of_a_tick_take_the_plain_form_that_is_there() -> None:
    """An observation is made plain once."""
    seen = observation(1.0, deployment())
    assert lines_of(Decision(at_s=1.0), seen, {"already": "plain"}) == [("observed", 1.0, {"already": "plain"})]
    assert lines_of(Decision(at_s=1.0), seen) == [("observed", 1.0, to_json(seen))]
