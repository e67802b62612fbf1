"""An import path in a file runs nothing, unless whoever calls has allowed its package; and then only a class of the right kind."""

import subprocess
import sys
import types

import pytest

from policies.imports import ImportRefused, found, packages
from policies.registry import BadParameter, UnknownPolicy, build


class Wanted:
    def propose(self, seen):
        return ()


class Unwanted:
    pass


class Fragile(Wanted):
    def __init__(self) -> None:
        raise OSError("the disk is full")


def made() -> Wanted:
    raise AssertionError("nothing but a class is ever called")


@pytest.fixture(autouse=True)
def shop(monkeypatch):
    """A package `shop` with a module that defines some things and has imported others."""
    module = types.ModuleType("shop.policies")
    for each in (Wanted, Unwanted, Fragile):
        monkeypatch.setattr(each, "__module__", "shop.policies")
        setattr(module, each.__name__, each)
    module.made, module.Popen = made, subprocess.Popen
    monkeypatch.setitem(sys.modules, "shop", types.ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.policies", module)


def test_a_class_of_an_allowed_package_is_found():
    """A package allows what lies below it, and nothing whose name only begins alike."""
    assert found("shop.policies:Wanted", ("shop",), ("propose",)) is Wanted
    assert found("shop.policies:Wanted", ("shop.policies",), ("propose",)) is Wanted
    for other in ("sho", "shop.pol", "policies"):
        with pytest.raises(
            ImportRefused, match="is an import path; expected a registered name, or --allow-imports shop"
        ):
            found("shop.policies:Wanted", (other,), ("propose",))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "shop.policies:Unwanted",
            "'shop.policies:Unwanted' has no method propose; expected a class with propose(...)",
        ),
        ("shop.policies:made", "'shop.policies:made' is no class; expected one with propose(...)"),
        ("shop.policies:Popen", "'shop.policies:Popen' is defined in 'subprocess'; expected a class of shop itself"),
        ("shop.policies:Wantd", "shop.policies has no class 'Wantd'; did you mean 'Wanted'?"),
        ("shop.nothing:Wanted", "'shop.nothing:Wanted' can not be imported: ModuleNotFoundError"),
        ("shop.policies:Wanted.propose", "is neither a registered name nor package.module:Class"),
        ("shop.policies:", "is neither a registered name nor package.module:Class"),
        ("../shop:Wanted", "is neither a registered name nor package.module:Class"),
        ("subprocess:Popen", "'subprocess:Popen' is an import path"),
        ("builtins:eval", "'builtins:eval' is an import path"),
    ],
)
def test_what_is_not_of_the_kind_is_refused_before_it_is_called(path, message):
    """What a module of the package has imported from elsewhere is not its own."""
    with pytest.raises(ImportRefused) as error:
        found(path, ("shop",), ("propose",))
    assert message in str(error.value)


@pytest.mark.parametrize("path", ["night_watch_nowhere:NightWatch", "shop.nothing:Wanted"])
def test_a_module_that_is_not_found_says_where_it_has_to_be(path):
    """Here and, for an agent, where Ray is started; what a module that is found wants itself is its own affair."""
    with pytest.raises(
        ImportRefused,
        match=r"; install its package, or .* on PYTHONPATH: .* where Ray is started",
    ):
        found(path, ("night_watch_nowhere", "shop"), ("propose",))


@pytest.mark.parametrize("name", ["", "shop:Wanted", "../shop", "shop.", "shop policies", "--journal"])
def test_what_can_not_be_a_package_is_not_allowed(name):
    """A slip of the hand is said at once."""
    with pytest.raises(ValueError, match="expected the name of a package"):
        packages(["shop", name])


def test_a_policy_inside_a_policy_is_no_way_around():
    """At any depth."""
    inner = {"use": "patient", "patience_s": 1.0, "policy": {"use": "shop.policies:Wanted"}}
    with pytest.raises(UnknownPolicy, match="is an import path"):
        build("patient", {"patience_s": 1.0, "policy": inner})
    assert build("patient", {"patience_s": 1.0, "policy": inner}, ("shop",)).policy.policy.propose(None) == ()


def test_a_constructor_that_raises_is_a_fault_of_the_file():
    """Whatever it raises."""
    with pytest.raises(BadParameter, match=r"policy 'shop.policies:Fragile': OSError: the disk is full"):
        build("shop.policies:Fragile", {}, ("shop",))
