from typing import Literal

import pytest

from policies.idle import Idle
from policies.policy import Policy
from policies.registry import POLICIES, BadParameter, UnknownPolicy, build, names
from policies.wrappers import FirstOf, Patient, Scoped


class Silent:
    """A user's policy, found by its import path."""

    def __init__(self, *, level: float, label: str = "x", strict: bool = False, count: int | None = None) -> None:
        if level < 0:
            raise ValueError(f"level must be 0 or more, got {level}")
        self.level, self.count = level, count

    def propose(self, seen):
        return ()


class Anything(Silent):
    def __init__(self, **parameters) -> None:
        self.parameters = parameters


class Choosy(Silent):
    def __init__(self, *, mode: Literal["p50", "mean"] = "p50", limits: dict[str, float] | None = None) -> None:
        self.mode, self.limits = mode, limits


class Mute:
    """No policy at all."""


def quick(level: float = 1.0) -> Silent:
    return Silent(level=level)


HERE = "registry_of_tests"
ALLOWED = (HERE, __name__)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """This module under an import path."""
    import sys
    import types

    module = types.ModuleType(HERE)
    module.Silent, module.Anything, module.Mute, module.Choosy, module.quick = Silent, Anything, Mute, Choosy, quick
    monkeypatch.setitem(sys.modules, HERE, module)


def test_every_listed_name_points_at_a_class_that_exists():
    """A name in the list can be imported."""
    import importlib

    for path in POLICIES.values():
        module, _, attribute = path.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))
    assert set(POLICIES) <= set(names())


def test_a_name_builds_a_fresh_policy():
    """Two builds share nothing."""
    assert isinstance(build("idle", {}), Idle)
    assert build("idle", {}) is not build("idle", {})


def test_an_import_path_builds_a_policy_of_the_users_own():
    """Where its package is allowed. A whole number is a number; a class that takes anything does too."""
    policy = build(f"{HERE}:Silent", {"level": 3, "count": 2}, ALLOWED)
    assert (policy.level, policy.count) == (3.0, 2)
    assert isinstance(policy, Policy)
    assert build(f"{HERE}:Silent", {"level": 1, "label": "y", "strict": True}, ALLOWED).level == 1.0
    assert build(f"{HERE}:Choosy", {"mode": "mean", "limits": {"a": 1}}, ALLOWED).limits == {"a": 1}
    assert build(f"{HERE}:Anything", {"whatever": 1}, ALLOWED).parameters == {"whatever": 1}


def test_policies_nest():
    """A wrapper takes its inner policies as mappings with `use`, to any depth."""
    inner = {"use": "patient", "patience_s": 5, "policy": {"use": "idle"}}
    first = build("first_of", {"policies": [inner, {"use": "scoped", "policy": {"use": "idle"}, "targets": ["a*"]}]})
    assert isinstance(first, FirstOf)
    assert [type(each) for each in first.policies] == [Patient, Scoped]
    assert first.policies[1].targets == ("a*",)
    assert isinstance(build("patient", {"patience_s": 1.0, "policy": Idle()}).policy, Idle)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("idel", "unknown policy 'idel'; did you mean 'idle'? known are"),
        ("zzz", "unknown policy 'zzz'; known are aiad, clamped, cool_down,"),
        (
            "no.such.module:Policy",
            "policy 'no.such.module:Policy' can not be imported: ModuleNotFoundError: No module named",
        ),
        (":Policy", "policy ':Policy' is neither a registered name nor package.module:Class"),
        (f"{HERE}:Silnt", "has no class 'Silnt'; did you mean 'Silent'?"),
        (f"{HERE}:Mute", "has no method propose; expected a class with propose(...)"),
        (f"{HERE}:quick", "is no class; expected one with propose(...)"),
    ],
)
def test_an_unknown_policy_is_named_with_its_nearest_neighbour(use, message):
    """The error says what is known."""
    with pytest.raises(UnknownPolicy) as error:
        build(use, {}, (*ALLOWED, "no.such"))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("use", "parameters", "message"),
    [
        ("idle", {"x": 1}, "policy 'idle' has no parameter 'x'; it takes no parameters"),
        (
            f"{HERE}:Silent",
            {"levl": 1},
            "has no parameter 'levl'; did you mean 'level'? it takes level, label, strict, count",
        ),
        (f"{HERE}:Silent", {}, "needs the parameter 'level'"),
        (f"{HERE}:Silent", {"level": -1}, "level must be 0 or more, got -1"),
        (f"{HERE}:Silent", {"level": "high"}, "parameter 'level' must be a finite number, got 'high'"),
        (f"{HERE}:Silent", {"level": float("nan")}, "parameter 'level' must be a finite number, got nan"),
        (f"{HERE}:Silent", {"level": True}, "parameter 'level' must be a finite number, got True"),
        (f"{HERE}:Silent", {"level": 1, "label": 3}, "parameter 'label' must be text, got 3"),
        (f"{HERE}:Silent", {"level": 1, "strict": "no"}, "parameter 'strict' must be true or false, got 'no'"),
        (f"{HERE}:Silent", {"level": 1, "count": 1.5}, "parameter 'count' must be a whole number or null, got 1.5"),
        (f"{HERE}:Choosy", {"mode": "p99"}, "parameter 'mode' must be one of 'p50', 'mean', got 'p99'"),
        ("patient", {"patience_s": 1, "policy": "idle"}, "must be a policy, a mapping with the key 'use', got 'idle'"),
        ("patient", {"patience_s": -1, "policy": {"use": "idle"}}, "patience_s must be 0 or more, got -1.0"),
        ("patient", {"patience_s": 1, "policy": {"use": "idle", "x": 1}}, "policy 'idle' has no parameter 'x'"),
        ("first_of", {"policies": "idle"}, "parameter 'policies' must be a list, got 'idle'"),
    ],
)
def test_a_wrong_parameter_is_named(use, parameters, message):
    """The error says which parameter, what was expected and what is accepted."""
    with pytest.raises(BadParameter) as error:
        build(use, parameters, ALLOWED)
    assert message in str(error.value)


def test_an_unknown_policy_inside_a_wrapper_is_named():
    """Nesting hides no error."""
    with pytest.raises(UnknownPolicy, match="unknown policy 'nope'"):
        build("patient", {"patience_s": 1, "policy": {"use": "nope"}})


def test_an_installed_package_can_offer_a_policy(monkeypatch):
    """Entry points of the group `homeostat.policies` are known by name, and ours win."""
    from importlib.metadata import EntryPoint

    offered = [EntryPoint("theirs", f"{HERE}:quick", "homeostat.policies"), EntryPoint("idle", f"{HERE}:quick", "x")]
    monkeypatch.setattr("policies.registry.entry_points", lambda group: offered)
    assert "theirs" in names()
    assert isinstance(build("theirs", {}), Silent)
    assert isinstance(build("idle", {}), Idle)


class Half:
    """One of its annotations is for a type checker alone."""

    def __init__(self, size: "int" = 1, other: "Nowhere" = None):  # noqa: F821
        self.size = size

    def propose(self, seen):
        return []


class Open:
    """Takes anything beside what it names."""

    def __init__(self, size: int = 1, **more):
        self.size = size

    def propose(self, seen):
        return []


class Made:
    """Is given its parameters before it is there."""

    def __new__(cls, size: int = 1):
        return object.__new__(cls)

    def propose(self, seen):
        return []


@pytest.mark.parametrize("name", ["Half", "Open", "Made"])
def test_a_plain_annotation_of_a_users_own_policy_is_held(name):
    """Wherever it is written, and whatever the others are."""
    use = f"{__name__}:{name}"
    with pytest.raises(BadParameter) as error:
        build(use, {"size": "big"}, allowed=("tests",))
    assert str(error.value) == f"policy {use!r}: parameter 'size' must be a whole number, got 'big'"
    assert type(build(use, {"size": 3}, allowed=("tests",))).__name__ == name


def test_what_a_policy_takes_beside_its_names_is_not_looked_at():
    """Only it knows what that may be."""
    assert build(f"{__name__}:Open", {"size": 3, "color": "red"}, allowed=("tests",)).size == 3
