from collections.abc import Callable

import pytest

from policies.action import Action, Alert, Evidence, Hold, Proposal, Quarantine, Restart, Retrain, Scale
from policies.idle import Idle
from policies.observation import Observation
from policies.registry import build
from policies.scaling.queue_length import QueueLength
from policies.testing import PolicyChecks, deployment, model, observation, traffic
from policies.wrappers import Clamped, CoolDown, FirstOf, Patient, Scoped, Shadowed

D = "app/model"
WHY = (Evidence(name="because", value=1.0),)
HOLD, ALERT = Hold(subject=D), Alert(subject=D, text="look")


def scale(replicas: int, deployment: str = D) -> Scale:
    return Scale(deployment=deployment, replicas=replicas)


class Wants:
    """Wants what the script says for the moment, and remembers what it saw."""

    def __init__(self, script: Callable[[Observation], list[Action]] | list[Action]) -> None:
        self.script = script
        self.saw: list[Observation] = []

    def propose(self, seen: Observation) -> list[Proposal]:
        self.saw.append(seen)
        actions = self.script(seen) if callable(self.script) else self.script
        return [Proposal(action=each, because=WHY) for each in actions]


def say(policy, at_s: float = 0.0, replicas: int = 2):
    return [each.action for each in policy.propose(observation(at_s, deployment(D, replicas), model("m")))]


def eager() -> QueueLength:
    return QueueLength(upscale_delay_s=0.0, downscale_delay_s=0.0)


class TestPatient(PolicyChecks):
    def make(self) -> Patient:
        return Patient(policy=eager(), patience_s=60.0)


class TestClamped(PolicyChecks):
    def make(self) -> Clamped:
        return Clamped(policy=eager(), step_max=1)


class TestCoolDown(PolicyChecks):
    def make(self) -> CoolDown:
        return CoolDown(policy=eager(), cool_down_s=90.0)


class TestFirstOf(PolicyChecks):
    def make(self) -> FirstOf:
        return FirstOf(policies=(eager(), build("replace_unhealthy", {})))


class TestShadowed(PolicyChecks):
    def make(self) -> Shadowed:
        return Shadowed(policy=eager(), shadow=build("staged", {}))


class TestScoped(PolicyChecks):
    def make(self) -> Scoped:
        return Scoped(policy=eager(), targets=("busy/*",))


# Scoped


def test_scoped_shows_only_what_its_globs_match():
    """Deployments and models by name; a deployment also by the model that it serves; everything else untouched."""
    inner = Wants([])
    seen = observation(
        5.0,
        *(deployment("fraud/a"), deployment("other/b"), deployment("flights/ModelServer", model="flights")),
        *(model("fraud-1"), model("flights"), model("other")),
        due=("nightly",),
        problems=("x",),
    )
    Scoped(policy=inner, targets=("fraud*", "flights")).propose(seen)
    (shown,) = inner.saw
    assert list(shown.deployments) == ["fraud/a", "flights/ModelServer"]
    assert list(shown.models) == ["fraud-1", "flights"]
    assert (shown.at_s, shown.due, shown.problems) == (5.0, ("nightly",), ("x",))


def test_scoped_shows_everything_by_default():
    """One star."""
    assert say(Scoped(policy=Wants([scale(3)]))) == [scale(3)]


# Patient


def test_patient_lets_through_what_is_wanted_for_long():
    """A story: wanted from 0, let through at 30, and a tick without it starts anew."""
    wanted = {0.0, 10.0, 30.0, 50.0, 79.0, 80.0}
    policy = Patient(policy=Wants(lambda seen: [scale(3)] if seen.at_s in wanted else []), patience_s=30.0)
    moments = {at_s: say(policy, at_s) for at_s in (0.0, 10.0, 30.0, 40.0, 50.0, 79.0, 80.0)}
    assert [at_s for at_s, actions in moments.items() if actions == [scale(3)]] == [30.0, 80.0]


@pytest.mark.parametrize(
    ("first", "second", "one_wish"),
    [
        (scale(3), scale(5), True),
        (scale(3), scale(1), False),
        (Retrain(model="m", since_s=1.0), Retrain(model="m"), True),
        (Quarantine(model="m", since_s=0.0, until_s=1.0), Quarantine(model="m", since_s=0.0, until_s=2.0), True),
        (Restart(deployment=D, replica="r1"), Restart(deployment=D, replica="r2"), False),
        (scale(3, "gone/x"), scale(2, "gone/x"), True),
    ],
)
def test_patient_knows_one_wish_from_two(first, second, one_wish):
    """More replicas are one wish, however many; another replica is another wish."""
    policy = Patient(policy=Wants(lambda seen: [first if seen.at_s < 30 else second]), patience_s=30.0)
    assert say(policy, 0.0) == []
    assert say(policy, 30.0) == ([second] if one_wish else [])


def test_patient_passes_words_at_once():
    """Telling people changes nothing."""
    assert say(Patient(policy=Wants([HOLD, ALERT]), patience_s=30.0)) == [HOLD, ALERT]


# Clamped


@pytest.mark.parametrize(
    ("bounds", "asked", "given"),
    [
        ({}, 9, 9),
        ({"max_replicas": 5}, 9, 5),
        ({"min_replicas": 1}, 0, 1),
        ({"step_max": 2}, 9, 6),
        ({"step_max": 2}, 0, 2),
        ({"step_max": 2, "max_replicas": 5}, 9, 5),
        ({"max_replicas": 4}, 9, None),
    ],
)
def test_clamped_bounds_counts_and_steps(bounds, asked, given):
    """Four are wanted now; what is left of a wish may be nothing."""
    assert say(Clamped(policy=Wants([scale(asked)]), **bounds), replicas=4) == ([] if given is None else [scale(given)])


def test_clamped_says_so():
    """The count that was asked for stays in the record."""
    (proposal,) = Clamped(policy=Wants([scale(9)]), max_replicas=5).propose(observation(0.0, deployment(D)))
    assert [(each.name, each.value, each.threshold) for each in proposal.because] == [
        ("because", 1.0, None),
        ("clamped", 9, 5),
    ]


def test_clamped_passes_what_is_no_count():
    """Also a count for what is not there: to refuse that is not its part."""
    wishes = [Retrain(model="m"), scale(9, "gone/x")]
    assert say(Clamped(policy=Wants(wishes), max_replicas=1)) == wishes


# CoolDown


def test_cool_down_holds_another_action_on_the_target_and_repeats_the_same():
    """A story: 3 at 0 and again at 10, 4 at 20 is too soon, at 60 not."""
    count = {0.0: 3, 10.0: 3, 20.0: 4, 60.0: 4}
    policy = CoolDown(policy=Wants(lambda seen: [scale(count[seen.at_s])]), cool_down_s=60.0)
    assert [say(policy, at_s) for at_s in count] == [[scale(3)], [scale(3)], [HOLD], [scale(4)]]


def test_cool_down_is_per_target_and_passes_words():
    """One deployment's rest is not another's."""
    policy = CoolDown(policy=Wants(lambda seen: [scale(int(seen.at_s)), ALERT, HOLD]), cool_down_s=60.0)
    assert say(policy, 3.0) == [scale(3), ALERT, HOLD]
    both = CoolDown(policy=Wants([scale(3), scale(3, "b/c"), ALERT]), cool_down_s=60.0)
    assert say(both) == [scale(3), scale(3, "b/c"), ALERT]


# FirstOf


def test_first_of_gives_each_target_to_the_first_that_wants_it():
    """A hold is no wish, and words pass."""
    first = Wants([HOLD, scale(3)])
    second = Wants([scale(9), scale(4, "b/c"), ALERT])
    third = Wants([scale(9, "b/c")])
    assert say(FirstOf(policies=(first, second, third))) == [HOLD, scale(3), scale(4, "b/c"), ALERT]
    assert len(third.saw) == 1
    assert say(FirstOf(policies=())) == []


# Shadowed


def test_shadowed_follows_its_policy_and_shows_what_the_other_wanted():
    """For the same target as evidence; the same wish needs no word."""
    policy = Shadowed(policy=Wants([scale(3)]), shadow=Wants([scale(5)]))
    (proposal,) = policy.propose(observation(0.0, deployment(D)))
    assert proposal.action == scale(3)
    assert [each.name for each in proposal.because] == ["because", "shadow"]
    assert "replicas=5" in proposal.because[1].note
    (same,) = Shadowed(policy=Wants([scale(3)]), shadow=Wants([scale(3)])).propose(observation())
    assert same.because == WHY


def test_shadowed_tells_once_what_only_the_other_wanted():
    """When the wish appears and when it changes."""
    wish = {0.0: [scale(5)], 10.0: [scale(5), HOLD, ALERT], 20.0: [scale(6)], 30.0: [], 40.0: [scale(6)]}
    policy = Shadowed(policy=Idle(), shadow=Wants(lambda seen: wish[seen.at_s]))
    told = {at_s: say(policy, at_s) for at_s in wish}
    assert [len(actions) for actions in told.values()] == [1, 0, 1, 0, 1]
    assert told[0.0] == [
        Alert(subject=f"shadow policy on {D}", text=f"the shadow policy would want {scale(5)}", severity="info")
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patient(policy=Idle(), patience_s=-1.0), "patience_s must be 0 or more"),
        (lambda: CoolDown(policy=Idle(), cool_down_s=-1.0), "cool_down_s must be 0 or more"),
        (lambda: Clamped(policy=Idle(), min_replicas=3, max_replicas=2), "max_replicas must be at least min_replicas"),
        (lambda: Clamped(policy=Idle(), step_max=0), "step_max must be 1 or more"),
    ],
)
def test_impossible_parameters_are_refused(make, message):
    """By name."""
    with pytest.raises(ValueError, match=message):
        make()


def test_traffic_reaches_the_inner_policy():
    """A wrapper around a wrapper around a real policy acts as the real one does."""
    policy = Scoped(policy=Patient(policy=eager(), patience_s=0.0), targets=("app/*",))
    seen = observation(0.0, deployment(D, 2, traffic=traffic(0.0, ongoing=20.0)))
    assert [each.action for each in policy.propose(seen)] == [scale(10)]
