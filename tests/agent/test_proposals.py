"""What a policy proposes is looked at before anything is made of it: what is amiss costs itself, never the tick."""

import itertools
import json
import pickle
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import proposals
from agent.calendar import FreezeCalendar
from agent.codec import canonical, from_json, to_json
from agent.core import Core, Rules
from agent.loop import Agent, lines_of
from agent.order import Autonomy, Order
from agent.proposals import ask, checked
from agent.settings import AutonomySettings
from agent.testing import MemoryJournal, RecordingNotifier, ScriptedWorld
from policies.action import (
    Action,
    Alert,
    Evidence,
    Hold,
    Promote,
    Proposal,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
)
from policies.observation import Capacity, Observation, Resources
from policies.testing import deployment, observation

NAN, INF = float("nan"), float("inf")
LONE = "a\ud800b"
GOOD = Scale(deployment="app/model", replicas=3)
COUNT = "expected a whole number from 0 to 1000000000"
SHARE = "expected a number from 0 to 1"
TEXT = "expected text that can be written as UTF-8"
MOMENT = "expected a finite number of seconds"


def proposed(action: Any, *because: Any) -> Proposal:
    return Proposal(action=action, because=because)


class Says:
    def __init__(self, *said: Any) -> None:
        self.said = said

    def propose(self, seen: Observation) -> Any:
        return iter(self.said)


@pytest.mark.parametrize(
    ("amiss", "told"),
    [
        (Scale(deployment="a", replicas=2.5), f"Scale.replicas: {COUNT}, got float"),  # type: ignore[arg-type]
        (Scale(deployment="a", replicas=-1), f"Scale.replicas: {COUNT}, got a negative int"),
        (Scale(deployment="a", replicas=True), f"Scale.replicas: {COUNT}, got bool"),
        (Scale(deployment="a", replicas=NAN), f"Scale.replicas: {COUNT}, got float nan"),  # type: ignore[arg-type]
        (Scale(deployment="a", replicas=INF), f"Scale.replicas: {COUNT}, got float inf"),  # type: ignore[arg-type]
        (Scale(deployment="a", replicas=10**400), f"Scale.replicas: {COUNT}, got int"),
        (Scale(deployment="a", replicas=None), f"Scale.replicas: {COUNT}, got NoneType"),  # type: ignore[arg-type]
        (Scale(deployment="a", replicas="3"), f"Scale.replicas: {COUNT}, got str"),  # type: ignore[arg-type]
        (Scale(deployment="a", replicas=np.array([3, 4])), f"Scale.replicas: {COUNT}, got ndarray"),  # type: ignore[arg-type]
        (Scale(deployment="a", replicas=Decimal("sNaN")), f"Scale.replicas: {COUNT}, got Decimal"),  # type: ignore[arg-type]
        (Scale(deployment="a", replicas=1, kind="restart"), "Scale.kind: expected 'scale', got str"),  # type: ignore[arg-type]
        (Scale(deployment=LONE, replicas=1), f"Scale.deployment: {TEXT}, got str"),
        (Scale(deployment=["a"], replicas=1), f"Scale.deployment: {TEXT}, got list"),  # type: ignore[arg-type]
        (Scale(deployment=None, replicas=1), f"Scale.deployment: {TEXT}, got NoneType"),  # type: ignore[arg-type]
        (Restart(deployment="a", replica=b"r"), f"Restart.replica: {TEXT}, got bytes"),  # type: ignore[arg-type]
        (SetTraffic(model="m", version="2", share=NAN), f"SetTraffic.share: {SHARE}, got float nan"),
        (SetTraffic(model="m", version="2", share=1.1), f"SetTraffic.share: {SHARE}, got float"),
        (SetTraffic(model="m", version="2", share=-0.1), f"SetTraffic.share: {SHARE}, got a negative float"),
        (SetTraffic(model="m", version="2", share=0.5, shadow=INF), f"SetTraffic.shadow: {SHARE}, got float inf"),
        (SetTraffic(model="m", version="2", share=1j), f"SetTraffic.share: {SHARE}, got complex"),  # type: ignore[arg-type]
        (StartRollout(model="m", version=2, digest="d"), f"StartRollout.version: {TEXT}, got int"),  # type: ignore[arg-type]
        (StartRollout(model="m", version="2", digest="d", shadow=2.0), f"StartRollout.shadow: {SHARE}, got float"),
        (Promote(model="m", version="2", digest=LONE), f"Promote.digest: {TEXT}, got str"),
        (RollBack(model="m", version="2", to=None, to_digest="d"), f"RollBack.to: {TEXT}, got NoneType"),  # type: ignore[arg-type]
        (Retrain(model="m", since_s=NAN), f"Retrain.since_s: {MOMENT}, got float nan"),
        (Retrain(model="m", rows_max=0), "Retrain.rows_max: expected a whole number from 1 to 1000000000, got int"),
        (Quarantine(model="m", since_s=0.0, until_s=INF), f"Quarantine.until_s: {MOMENT}, got float inf"),
        (Quarantine(model="m", since_s=None, until_s=1.0), f"Quarantine.since_s: {MOMENT}, got NoneType"),  # type: ignore[arg-type]
        (StopTraining(model=LONE), f"StopTraining.model: {TEXT}, got str"),
        (Hold(subject=LONE), f"Hold.subject: {TEXT}, got str"),
        (Alert(subject="a", text=LONE), f"Alert.text: {TEXT}, got str"),
        (Alert(subject="a", text="b", severity="loud"), "Alert.severity: expected one of info, warning, critical, got str"),  # type: ignore[arg-type]
        (Alert(subject="a", text="b", severity=[]), "Alert.severity: expected one of info, warning, critical, got list"),  # type: ignore[arg-type]
    ],
    ids=repr,
)  # fmt: skip
def test_an_action_that_no_world_can_do_is_left_out(amiss: Any, told: str) -> None:
    """An alert names policy and field, and what was expected; what stands beside it is heard."""
    asked = ask([("mine", Says(proposed(GOOD), proposed(amiss), proposed(GOOD)))], observation())
    assert [each.action for each in asked.proposals] == [GOOD, GOOD]
    assert [(a.subject, a.text, a.severity) for a in asked.alerts] == [
        ("mine", f"policy mine made a proposal that was left out: {told}", "critical")
    ]
    assert asked.unsure == {"mine"}


@pytest.mark.parametrize(
    ("amiss", "told"),
    [
        (None, "proposal: expected a Proposal, got NoneType"),
        (GOOD, "proposal: expected a Proposal, got Scale"),
        (proposed(None), "action: expected one of Scale, Restart, Retrain, StopTraining, StartRollout, SetTraffic, Promote, "
         "RollBack, Quarantine, Alert, Hold, got NoneType"),
        (Proposal(action=GOOD, because=None), "because: expected a tuple of Evidence, got NoneType"),  # type: ignore[arg-type]
        (Proposal(action=GOOD, because="why"), "because: expected a tuple of Evidence, got str"),  # type: ignore[arg-type]
        (Proposal(action=GOOD, because=(), policy=LONE), "policy: expected text, got str"),
        (Proposal(action=GOOD, because=(), policy=3), "policy: expected text, got int"),  # type: ignore[arg-type]
        (proposed(GOOD, "why"), "because[0]: expected Evidence, got str"),
        (proposed(GOOD, Evidence(name="a"), Evidence(name=LONE)), f"because[1].name: {TEXT}, got str"),
        (proposed(GOOD, Evidence(name="a", note=LONE)), f"because[0].note: {TEXT}, got str"),
        (proposed(GOOD, Evidence(name="a", value="3")), "because[0].value: expected a number or None, got str"),  # type: ignore[arg-type]
        (proposed(GOOD, Evidence(name="a", threshold={})), "because[0].threshold: expected a number or None, got dict"),  # type: ignore[arg-type]
        (proposed(GOOD, Evidence(name="a", window_s=[])), "because[0].window_s: expected a number or None, got list"),  # type: ignore[arg-type]
        (proposed(GOOD, Evidence(name="a", n=2.5)), "because[0].n: expected a whole number or None, got float"),  # type: ignore[arg-type]
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_proposal_is_left_out(amiss: Any, told: str) -> None:
    """As above, for all around the action."""
    asked = ask([("mine", Says(amiss))], observation())
    assert asked.proposals == ()
    assert [a.text for a in asked.alerts] == [f"policy mine made a proposal that was left out: {told}"]


@pytest.mark.parametrize(
    ("given_", "made"),
    [
        (Scale(deployment=np.str_("app/model"), replicas=np.int64(3)), GOOD),  # type: ignore[arg-type]
        (Scale(deployment="app/model", replicas=np.float64(3.0)), GOOD),  # type: ignore[arg-type]
        (Scale(deployment="app/model", replicas=Decimal(3)), GOOD),  # type: ignore[arg-type]
        (Scale(deployment="app/model", replicas=0), Scale(deployment="app/model", replicas=0)),
        (Scale(deployment="app/model", replicas=10**9), Scale(deployment="app/model", replicas=10**9)),
        (SetTraffic(model="m", version="2", share=np.float32(0.5)), SetTraffic(model="m", version="2", share=0.5)),  # type: ignore[arg-type]
        (SetTraffic(model="m", version="2", share=0, shadow=1), SetTraffic(model="m", version="2", share=0, shadow=1)),
        (SetTraffic(model="m", version="2", share=Fraction(1, 4)), SetTraffic(model="m", version="2", share=0.25)),  # type: ignore[arg-type]
        (Retrain(model="m", rows_max=np.int32(50)), Retrain(model="m", rows_max=50)),  # type: ignore[arg-type]
        (Retrain(model="m", since_s=None), Retrain(model="m")),
        (Retrain(model="m", concurrent_trials=1), Retrain(model="m", concurrent_trials=1)),
    ],
    ids=repr,
)  # fmt: skip
def test_numbers_of_other_libraries_become_pythons_own(given_: Any, made: Action) -> None:
    """The order's bytes are those of the plain number."""
    found = checked(proposed(given_), "mine").action
    assert found == made
    assert canonical(to_json(found)) == canonical(to_json(made))
    assert [type(value) for value in vars_of(found)] == [type(value) for value in vars_of(made)]


def vars_of(action: Any) -> list[Any]:
    return [getattr(action, name) for name in type(action).__slots__]


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (NAN, None), (INF, None), (-INF, None), (10**400, None), (Decimal("NaN"), None), (np.float64("nan"), None), (None, None),
        (3, 3), (-2.5, -2.5), (np.float32(0.5), 0.5), (np.int64(7), 7.0), (Decimal("0.25"), 0.25), (True, 1.0),
    ],
    ids=repr,
)  # fmt: skip
def test_evidence_that_is_no_finite_number_is_not_known(value: Any, known: float | None) -> None:
    """A policy of a user's own may divide by zero; its reasons are written all the same."""
    found = checked(proposed(GOOD, Evidence(name="a", value=value, threshold=value, window_s=value)), "mine").because[0]
    assert (found.value, found.threshold, found.window_s) == (known, known, known)
    assert type(found.value) in {int, float, type(None)}


@pytest.mark.parametrize(("n", "known"), [(np.int64(4), 4), (4.0, 4), (NAN, None), (10**400, None), (None, None)])
def test_a_number_of_samples_is_whole_or_not_known(n: Any, known: int | None) -> None:
    """Not a number that a journal could not hold."""
    found = checked(proposed(GOOD, Evidence(name="a", n=n)), "mine").because[0].n
    assert (found, type(found)) == (known, type(known))


def test_the_author_of_a_proposal_is_its_policy_unless_it_names_another() -> None:
    """So that people read who wanted it."""
    assert checked(proposed(GOOD), "mine").policy == "mine"
    assert checked(Proposal(action=GOOD, because=(), policy="inner"), "mine").policy == "inner"


def test_a_list_of_evidence_is_as_good_as_a_tuple() -> None:
    """What is written of both is the same."""
    why = Evidence(name="a")
    assert checked(Proposal(action=GOOD, because=[why]), "mine").because == (why,)  # type: ignore[arg-type]


def test_a_good_proposal_is_left_as_it_is() -> None:
    """Nothing is copied that needs no change."""
    good = proposed(GOOD, Evidence(name="a", value=1.0, n=3))
    assert checked(good, "mine").action is GOOD
    assert checked(good, "mine").because[0] is good.because[0]


def test_a_policy_that_raises_halfway_loses_its_own_only() -> None:
    """Also with words that can not be written."""

    def halfway(seen: Observation) -> Iterator[Proposal]:
        yield proposed(GOOD)
        raise RuntimeError(LONE)

    broken = Says()
    broken.propose = halfway  # type: ignore[method-assign]
    asked = ask([("broken", broken), ("mine", Says(proposed(GOOD)))], observation())
    assert [(each.policy, each.action) for each in asked.proposals] == [("mine", GOOD)]
    assert [a.text for a in asked.alerts] == ["policy broken raised RuntimeError: a\\ud800b"]
    assert asked.unsure == {"broken"}


def test_a_policy_that_never_ends_is_heard_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """And people are told."""
    monkeypatch.setattr(proposals, "PROPOSALS_MAX", 3)
    endless = Says()
    endless.propose = lambda seen: itertools.repeat(proposed(GOOD))  # type: ignore[method-assign, misc]
    asked = ask([("endless", endless)], observation())
    assert len(asked.proposals) == 3
    assert [a.text for a in asked.alerts] == [
        "policy endless proposed more than 3 things at once; the rest was not heard"
    ]
    assert ask([("three", Says(*[proposed(GOOD)] * 3))], observation()).alerts == ()


class Unlucky(tuple):  # type: ignore[type-arg]
    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Any:
        raise KeyError("reasons")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_whatever_looking_at_a_proposal_raises_costs_that_proposal() -> None:
    """A tuple of a user's own that raises, an action that nobody filled, an error without words: the other proposals stand."""
    hollow = Proposal(action=object.__new__(Scale), because=())
    said = ask([("mine", Says(Proposal(action=GOOD, because=Unlucky(("a",))), hollow, proposed(GOOD)))], observation())
    assert [each.action for each in said.proposals] == [GOOD]
    assert [a.text.split(": ")[0] for a in said.alerts] == ["policy mine made a proposal that was left out"] * 2

    class Broken:
        def propose(self, seen: Observation) -> Iterable[Proposal]:
            raise Mute

    assert [a.text for a in ask([("mine", Broken())], observation()).alerts] == ["policy mine raised Mute"]


class Leaves(BaseException):
    """What another library raises to leave a block, and no Exception."""


@pytest.mark.parametrize("error", [SystemExit(3), Leaves("gone"), GeneratorExit()])
def test_a_policy_that_would_end_the_process_ends_nothing(error: BaseException) -> None:
    """It loses its own proposals, as with any error: raised while it is asked, half way through, or by what it handed over."""

    class Ends:
        def propose(self, seen: Observation) -> Iterable[Proposal]:
            raise error

    class EndsHalfWay:
        def propose(self, seen: Observation) -> Iterable[Proposal]:
            yield proposed(GOOD)
            raise error

    class Trap(tuple):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise error

    trap = Proposal(action=GOOD, because=Trap((Evidence(name="x"),)))
    asked = ask([("a", Ends()), ("b", EndsHalfWay()), ("c", Says(trap)), ("d", Says(proposed(GOOD)))], observation())
    assert [(each.policy, each.action) for each in asked.proposals] == [("d", GOOD)]
    assert asked.unsure == {"a", "b", "c"}
    assert [a.text.split(type(error).__name__)[0] for a in asked.alerts] == [
        "policy a raised ",
        "policy b raised ",
        "policy c made a proposal that was left out: ",
    ]


def test_a_person_who_interrupts_a_policy_ends_the_process() -> None:
    """The control: that is no fault of the policy."""

    class Slow:
        def propose(self, seen: Observation) -> Iterable[Proposal]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask([("slow", Slow())], observation())


def test_what_a_policy_raises_is_told_without_its_secrets() -> None:
    """An error names a database's URL; alerts are written down and sent."""

    class Broken:
        def propose(self, seen: Observation) -> Iterable[Proposal]:
            raise OSError("postgresql://agent:s3cret@db/journal is away")

    asked = ask([("mine", Broken())], observation())
    assert [a.text for a in asked.alerts] == ["policy mine raised OSError: postgresql://agent:***@db/journal is away"]


def test_alerts_stand_apart_and_the_order_of_priority_is_kept() -> None:
    """Policies in the order of the list, each in its own."""
    alert, hold = Alert(subject="x", text="y"), Hold(subject="z")
    asked = ask([("a", Says(proposed(alert), proposed(GOOD))), ("b", Says(proposed(hold)))], observation())
    assert [(each.policy, each.action) for each in asked.proposals] == [("a", GOOD), ("b", hold)]
    assert (asked.alerts, asked.unsure) == ((alert,), frozenset())


ROOMY = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(10**300, 10**400), st.floats(), st.text(), st.just(LONE), st.binary(),
    st.decimals(allow_nan=True), st.fractions(), st.complex_numbers(), st.lists(st.integers(), max_size=2),
    st.sampled_from([np.int64(3), np.float32(0.5), np.bool_(True), np.float64("nan"), np.array(3), object(), "app/model", "m", 2, 0.5]),
)  # fmt: skip
WHY = st.lists(st.one_of(ODD, st.builds(Evidence, name=ODD, value=ODD, threshold=ODD, window_s=ODD, n=ODD, note=ODD)))
SAID = st.one_of(
    ODD,
    st.builds(
        Proposal,
        action=st.one_of(
            ODD,
            st.builds(Scale, deployment=ODD, replicas=ODD),
            st.builds(SetTraffic, model=ODD, version=ODD, share=ODD, shadow=ODD),
            st.builds(Retrain, model=ODD, since_s=ODD, rows_max=ODD, concurrent_trials=ODD),
            st.builds(Alert, subject=ODD, text=ODD, severity=ODD),
            st.builds(Hold, subject=ODD),
        ),
        because=st.one_of(ODD, WHY, WHY.map(tuple)),
        policy=ODD,
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(SAID, max_size=6))
def test_whatever_a_policy_says_the_tick_goes_on_and_can_be_written(said: list[Any]) -> None:
    """Every line of it has bytes, and every order can be read back as it was."""
    acting = Rules(autonomy=AutonomySettings(default=Autonomy.ACT))
    core = Core([("odd", Says(*said)), ("mine", Says(proposed(GOOD)))], acting, FreezeCalendar())
    seen = observation(1.0, deployment(), capacity=ROOMY)
    decision = core.step(seen)
    for _, _, payload in lines_of(decision, seen):
        canonical(payload)
    assert len(lines_of(decision, seen)) == 1 + len(decision.outcomes) + decision.news + len(decision.orders)
    assert [from_json(Order, json.loads(canonical(to_json(each)))) for each in decision.orders] == list(decision.orders)
    assert len(decision.orders) == 1
    pickle.loads(pickle.dumps(core._open))  # noqa: S301 - our own


def test_an_agent_whose_policy_says_odd_things_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten ticks, one order, one alert, nothing raised."""
    world, journal, told = ScriptedWorld.with_deployment("app/model", 2), MemoryJournal(), RecordingNotifier()
    odd = Says(proposed(SetTraffic(model="m", version="2", share=NAN)), proposed(GOOD))
    core = Core([("odd", odd)], Rules(autonomy=AutonomySettings(default=Autonomy.ACT)), FreezeCalendar())
    agent = Agent(core, sensor=world, actuator=world, trainer=world, notifier=told, journal=journal)
    for at_s in range(10):
        agent.tick(float(at_s))
    assert [intent["action"]["replicas"] for intent in journal.of_kind("intent")] == [3]
    assert [alert.subject for alert in told.alerts] == ["odd"]
