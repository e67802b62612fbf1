"""The agent's clock: stepped by hand, never slept. What decides sees time go on; what the world shows keeps its age."""

from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any

import pytest

from agent.assembly import build_core
from agent.clock import AgentClock, Border, Step, is_moment, told
from agent.core import Core
from agent.journal.life import begin, last_clock, last_moment
from agent.journal.memory import MemoryJournal
from agent.journal.replay import replay
from agent.loop import lines_of
from agent.order import Order
from agent.settings import Settings
from policies import action as actions
from policies import observation as observations
from policies.action import Quarantine, Retrain
from policies.observation import Capacity, JobState, Observation, Quarantined, Resources, TrainingJob
from policies.testing import deployment, model, observation, report, symptom, traffic

HOUR_S = 3600.0
NOON_S = 1_764_331_200.25


class Machine:
    """A machine whose civil clock can be set, and whose steady one can not."""

    def __init__(self, wall_s: float = NOON_S) -> None:
        self.wall_s, self.steady_s = wall_s, 7.0

    def pass_(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def clock(self, **options: Any) -> AgentClock:
        return AgentClock(lambda: self.wall_s, lambda: self.steady_s, **options)


@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S, -86_400.0, 86_400.0, -3.0])
def test_a_clock_that_is_set_moves_the_agents_own_by_what_has_passed(step_s: float) -> None:
    """Five seconds passed; neither an hour less nor a day more."""
    machine = Machine()
    clock = machine.clock()
    before_s = clock.now()
    machine.pass_(5.0)
    machine.wall_s += step_s
    assert clock.now() - before_s == pytest.approx(5.0, abs=0.002)
    assert clock.steps() == (Step(at_s=before_s + 5.0, before_s=NOON_S + 5.0, after_s=NOON_S + 5.0 + step_s),)
    assert clock.steps() == ()
    machine.pass_(5.0)
    assert clock.now() - before_s == pytest.approx(10.0, abs=0.002)


def test_a_clock_that_nobody_sets_is_the_civil_one_to_the_last_digit() -> None:
    """And one that is disciplined a little, by less than a step, is followed, but never backwards."""
    machine = Machine()
    clock = machine.clock()
    for seconds, disciplined_s in ((5.0, 0.0), (0.1, 0.5), (5.0, -0.25)):
        machine.pass_(seconds)
        machine.wall_s += disciplined_s
        assert clock.now() == machine.wall_s
    held_s = clock.now()
    machine.wall_s -= 1.0
    assert clock.now() == held_s
    assert (clock.ahead_s, clock.steps(), clock.untouched) == (0.0, (), True)


def test_a_step_that_is_taken_back_leaves_nothing() -> None:
    """Back by an hour and forward again: both clocks show the same, as before."""
    machine = Machine()
    clock = machine.clock()
    for step_s in (-HOUR_S, HOUR_S):
        machine.pass_(5.0)
        machine.wall_s += step_s
        clock.now()
    assert clock.ahead_s == 0.0
    assert clock.now() == pytest.approx(machine.wall_s, abs=0.002)


def test_a_new_life_begins_no_earlier_than_the_last_one_ended() -> None:
    """Set back while no agent ran, the clock is behind the journal, and that is a step, too."""
    clock = Machine().clock(not_before_s=NOON_S + HOUR_S)
    assert clock.now() == NOON_S + HOUR_S
    assert clock.steps() == (Step(at_s=NOON_S + HOUR_S, before_s=NOON_S + HOUR_S, after_s=NOON_S),)
    assert Machine().clock(not_before_s=NOON_S - HOUR_S).now() == NOON_S


@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S])
def test_moments_of_the_world_keep_their_age(step_s: float) -> None:
    """What was shown before the step and what is shown after it, and both come back as they were given."""
    machine = Machine()
    clock = machine.clock()
    old_s = machine.wall_s - 10.0
    machine.pass_(60.0)
    clock.now()
    machine.pass_(5.0)
    machine.wall_s += step_s
    machine.pass_(40.0)
    now_s = clock.now()
    fresh_s = machine.wall_s - 10.0
    assert now_s - clock.own_s(fresh_s) == pytest.approx(10.0)
    assert now_s - clock.own_s(old_s) == pytest.approx(115.0, abs=0.002)
    for civil_s in (old_s, fresh_s):
        assert clock.civil_s(clock.own_s(civil_s)) == civil_s


class CivilWorld:
    """Shows traffic of ten seconds ago and a training of a minute ago by the civil clock, and keeps what it is told."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.quarantined: tuple[Quarantined, ...] = ()

    def observe(self, at_s: float) -> Observation:
        job = TrainingJob(id="1-x", state=JobState.RUNNING, started_at_s=at_s - 60.0)
        row = deployment("app/model", traffic=traffic(at_s - 10.0))
        return observation(at_s, row, model("m", training=job, quarantined=self.quarantined))

    def start(self, order: Order) -> None:
        self.orders.append(order)
        if isinstance(order.action, Quarantine):
            self.quarantined = (Quarantined(since_s=order.action.since_s, until_s=order.action.until_s),)


def order(action: Any, at_s: float) -> Order:
    return Order(
        number=1, epoch=1, key="1-x", action=action, because=(), policy="p", issued_at_s=at_s, deadline_s=at_s + 60.0
    )  # fmt: skip


@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S])
def test_the_border_shows_the_world_in_the_agents_time_and_the_orders_in_the_worlds(step_s: float) -> None:
    """Traffic is ten seconds old, not an hour; rows that are set aside are those that were meant, and are seen to be."""
    machine, world = Machine(), CivilWorld()
    clock = machine.clock()
    border = Border(clock, sensor=world, actuator=world, trainer=world)
    machine.pass_(5.0)
    machine.wall_s += step_s
    machine.pass_(120.0)
    at_s = clock.now()
    seen = border.observe(at_s)
    told_traffic, job = seen.deployments["app/model"].traffic, seen.models["m"].training
    assert told_traffic is not None
    assert job is not None
    assert (seen.at_s, seen.civil_s) == (at_s, machine.wall_s)
    assert at_s - told_traffic.measured_at_s == pytest.approx(10.0)
    assert at_s - job.started_at_s == pytest.approx(60.0)

    border.trainer.start(order(Retrain(model="m", since_s=job.started_at_s), at_s))
    assert world.orders[0].action == Retrain(model="m", since_s=machine.wall_s - 60.0)
    assert world.orders[0].issued_at_s == machine.wall_s
    aside = Quarantine(model="m", since_s=at_s - 30.0, until_s=at_s)
    border.actuator.start(order(aside, at_s))
    assert border.observe(at_s).models["m"].quarantined == (Quarantined(since_s=at_s - 30.0, until_s=at_s),)


def test_every_moment_that_passes_a_port_is_known_as_one() -> None:
    """A field that is added must be decided upon: a moment is moved from clock to clock, a length of time is not."""
    types = [each for module in (observations, actions) for each in vars(module).values() if is_dataclass(each)]
    seconds = {field.name for kind in (*types, Order) for field in fields(kind) if field.name.endswith("_s")}
    moments = {name for name in seconds if is_moment(name)}
    assert moments == {
        "at_s", "measured_at_s", "started_at_s", "finished_at_s", "created_at_s", "issued_at_s", "deadline_s", "since_s", "until_s",
        "champion_since_s", "stage_since_s",
    }  # fmt: skip
    assert seconds - moments == {
        "window_s", "latency_mean_s", "latency_p50_s", "latency_p95_s", "latency_p99_s", "slo_latency_s", "clock_ahead_s",
    }  # fmt: skip


def test_people_are_told_of_a_step_in_words() -> None:
    """Which way, by how much, and what it means."""
    alert = told(Step(at_s=5.0, before_s=7200.0, after_s=3600.0))
    assert alert.text.startswith(
        "the clock of the agent's machine was set back by 3600 s; the agent's own goes on as before"
    )


@pytest.mark.parametrize(("step_s", "restarted"), [(86_400.0, False), (-86_400.0, False), (-86_400.0, True)])
def test_no_step_renews_an_allowance_or_keeps_one_back(step_s: float, restarted: bool) -> None:
    """One retraining a day: after a step it is one in the day that passes, also where the agent is restarted meanwhile."""
    machine, journal = Machine(), MemoryJournal()
    core, clock = life(machine, journal)
    assert retrains(core, clock, journal) == 1
    machine.pass_(3600.0)
    machine.wall_s += step_s
    if restarted:
        core, clock = life(machine, journal)
    assert retrains(core, clock, journal) == 0
    machine.pass_(80_000.0)
    assert retrains(core, clock, journal) == 0
    machine.pass_(10_000.0)
    assert retrains(core, clock, journal) == 1


ALLOWANCE = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "budget": {"retrainings_per_day": 1},
        "deadlines": {"retrain_s": 10},
        "journal": {"warm_start_s": 0},
        "policies": [{"use": "on_drift", "settle_s": 0, "min_rows": 10, "retry_after_s": 1}],
    }
)


def life(machine: Machine, journal: MemoryJournal) -> tuple[Core, AgentClock]:
    clock = machine.clock(not_before_s=last_moment(journal))
    return build_core(ALLOWANCE, begin(journal, ALLOWANCE, clock.now())), clock


def retrains(core: Core, clock: AgentClock, journal: MemoryJournal) -> int:
    """How many retrainings a model that has drifted is given now, besides one that an earlier life has left open."""
    known = {intent["number"] for intent in journal.of_kind("intent")}
    at_s = clock.now()
    drifted = model("m", report=report(at_s, symptom(since_s=at_s - 5.0)))
    room = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
    seen = observation(at_s, drifted, capacity=room)
    decision = core.step(seen)
    journal.append(lines_of(decision, seen))
    return sum(order.number not in known for order in decision.orders)


@pytest.mark.parametrize(("step_s", "for_s"), [(HOUR_S, 600.0), (86_400.0, 7200.0), (-HOUR_S, 600.0)])
def test_moments_of_a_time_in_which_the_clock_was_wrong_keep_their_age(step_s: float, for_s: float) -> None:
    """Set forward and back, or back and forward: what was shown meanwhile lies neither in the future nor in another hour, also not when
    the clock comes to show it again."""
    machine = Machine()
    clock = machine.clock()
    stamps: list[tuple[float, float]] = []

    def stamp() -> None:
        stamps.append((clock.now(), machine.wall_s))

    def ages() -> list[float]:
        return [round(clock.own_s(civil_s) - own_s, 2) for own_s, civil_s in stamps]

    stamp()
    for step in (step_s, -step_s):
        machine.pass_(5.0)
        machine.wall_s += step
        clock.now()
        machine.pass_(for_s / 2)
        stamp()
        assert ages() == [0.0] * len(stamps)
    for _ in range(20):
        machine.pass_(abs(step_s) / 10)
        stamp()
        assert ages() == [0.0] * len(stamps)
    assert [clock.civil_s(clock.own_s(civil_s)) for _, civil_s in stamps] == [civil_s for _, civil_s in stamps]


def test_the_agents_own_moments_are_never_ahead_of_it_whatever_was_done_to_the_clock() -> None:
    """Orders, alerts and schedules go by moments that it gave itself: they only ever grow."""
    machine = Machine()
    clock = machine.clock()
    moments = [clock.now()]
    for step_s in (HOUR_S, 0.0, -HOUR_S, 86_400.0, 0.0, -86_400.0, -HOUR_S, HOUR_S):
        machine.pass_(600.0)
        machine.wall_s += step_s
        moments.append(clock.now())
    assert [round(b - a, 2) for a, b in pairwise(moments)] == [600.0] * 8
    assert clock.ahead_s == 0.0


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_moments_of_a_machine_whose_clock_is_right_are_read_as_they_are(step_s: float) -> None:
    """The agent's machine was set, the others were not: what they say happened ten seconds ago did so, and comes back to them as it was."""
    machine = Machine()
    clock = machine.clock()
    right_s = machine.wall_s
    machine.pass_(5.0)
    machine.wall_s += step_s
    clock.now()
    for _ in range(5):
        machine.pass_(300.0)
        now_s = clock.now()
        theirs_s = right_s + machine.steady_s - 7.0 - 10.0
        assert now_s - clock.own_s(theirs_s) == pytest.approx(10.0, abs=0.002)
        assert clock.civil_s(clock.own_s(theirs_s)) == theirs_s


def test_a_moment_that_is_yet_to_come_lies_ahead() -> None:
    """The end of a span that a person has named, after a step: as far ahead as it was meant."""
    machine = Machine()
    clock = machine.clock()
    machine.pass_(5.0)
    machine.wall_s += HOUR_S
    now_s = clock.now()
    assert clock.own_s(machine.wall_s + 7200.0) - now_s == pytest.approx(7200.0, abs=0.002)
    assert clock.civil_s(clock.own_s(machine.wall_s + 7200.0)) == machine.wall_s + 7200.0


def lives_on(machine: Machine, journal: MemoryJournal, boot: str = "this") -> tuple[Core, AgentClock]:
    """A life on a machine that tells since when its steady clock counts, as on a cluster."""
    clock = machine.clock(not_before_s=last_moment(journal), boot=boot, kept=last_clock(journal))
    return build_core(ALLOWANCE, begin(journal, ALLOWANCE, clock.now(), clock=clock.kept())), clock


@pytest.mark.parametrize("step_s", [HOUR_S, 86_400.0, -86_400.0, 365 * 86_400.0])
def test_no_step_between_two_lives_renews_an_allowance_or_keeps_one_back(step_s: float) -> None:
    """One retraining a day: set while no agent ran, and set right again while the next one does, or before the third begins."""
    machine, journal = Machine(), MemoryJournal()
    core, clock = lives_on(machine, journal)
    assert retrains(core, clock, journal) == 1
    machine.pass_(1800.0)
    machine.wall_s += step_s
    core, clock = lives_on(machine, journal)
    assert retrains(core, clock, journal) == 0
    assert [round(step.after_s - step.before_s) for step in clock.steps()] == [step_s]
    machine.pass_(1800.0)
    machine.wall_s -= step_s
    core, clock = lives_on(machine, journal)
    assert retrains(core, clock, journal) == 0
    assert clock.ahead_s == 0.0
    machine.pass_(80_000.0)
    assert retrains(core, clock, journal) == 0
    machine.pass_(10_000.0)
    assert retrains(core, clock, journal) == 1
    assert replay(journal.kept).identical


def test_moments_keep_their_age_over_a_restart_while_the_clock_is_wrong() -> None:
    """Shown before, meanwhile and after; the new life knows how the clock stood in the one before."""
    machine, journal = Machine(), MemoryJournal()
    stamps: list[tuple[float, float]] = []
    _, clock = lives_on(machine, journal)
    stamps.append((clock.now(), machine.wall_s))
    for step_s in (HOUR_S, -HOUR_S):
        machine.pass_(60.0)
        machine.wall_s += step_s
        _, clock = lives_on(machine, journal)
        machine.pass_(60.0)
        stamps.append((clock.now(), machine.wall_s))
        assert [round(clock.own_s(civil_s) - own_s, 2) for own_s, civil_s in stamps] == [0.0] * len(stamps)


def test_a_clock_that_was_disciplined_all_week_is_no_step() -> None:
    """A minute of a week, by NTP; nor is it one on another machine, where nothing is known of this one."""
    machine, journal = Machine(), MemoryJournal()
    lives_on(machine, journal)
    machine.pass_(7 * 86_400.0)
    machine.wall_s -= 60.0
    _, clock = lives_on(machine, journal)
    assert (clock.steps(), clock.now()) == ((), machine.wall_s)
    machine.wall_s += HOUR_S
    _, other = lives_on(machine, journal, "another")
    assert (other.steps(), other.now()) == ((), machine.wall_s)


@pytest.mark.parametrize("kept", [{"boot": "this"}, {"boot": 3}, [], None])
def test_a_clock_that_another_version_kept_is_not_gone_on_with(kept: Any) -> None:
    """It begins as on a machine that has just been started."""
    journal = MemoryJournal()
    journal.append([("note", 1.0, {"note": "clock", "clock": kept})])
    assert last_clock(journal) is None
