"""Scenarios as tests in a user's own repository: what is collected, what a failure tells, what is skipped, what is an error.

Each test runs a pytest of its own, as a user would.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

CALM = """\
name: {name}
why: A calm service stays calm.
seed: 7
duration_s: 120
tick_s: 10
cluster: {{nodes: [{{count: 1, cpus: 4}}]}}
models:
  shop:
    traffic: [{traffic}]
    service: {{kind: constant, seconds: 0.05}}
    replicas: 2
    slo_latency_s: 0.5
policies: [{{use: idle}}]
expect: [{expect}]
"""
STEADY = "{kind: steady, rate_rps: 5}"
A_RULE_BREAKS = """\
def pytest_collection_modifyitems():
    import simulators.rules_of_serving as rules

    rules.NeverOverTheBudget.event = lambda self, event: "somebody was greedy" if event.name == "tick" else None
"""


def scenario(folder: Path, stem: str, *, traffic: str = STEADY, expect: str = "dropped == 0") -> Path:
    file = folder / f"{stem}.scenario.yaml"
    file.write_text(CALM.format(name=stem.replace("_", " "), traffic=traffic, expect=expect))
    return file


def played(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """A pytest of its own in `folder`, without the caller's options and data."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "HOMEOSTAT_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and JUnit file of one run over a scenario of each kind."""
    folder = tmp_path_factory.mktemp("repository")
    scenario(folder, "a_calm_day")
    scenario(folder, "too_much_is_hoped", expect='"requests < 10", "models.shop.p99_s < 1"')
    scenario(folder, "data_is_elsewhere", traffic="{kind: trace, path: not_here.csv}")
    scenario(folder, "a_typing_error").write_text("name: broken\nduration: 5\n")
    return played(folder, "--junit-xml", "junit.xml", "--continue-on-collection-errors").stdout, folder / "junit.xml"


def test_each_scenario_is_one_test_named_after_its_file_and_seed(mixed: tuple[str, Path]) -> None:
    """One passes, one fails, one is skipped, one can not be collected."""
    assert "1 failed, 1 passed, 1 skipped, 1 error" in mixed[0]
    names = [case.get("name") for case in ET.parse(mixed[1]).iter("testcase")]  # noqa: S314 - a file that this test made
    assert names[1:] == ["a_calm_day[seed=7]", "data_is_elsewhere[seed=7]", "too_much_is_hoped[seed=7]"]


def test_a_failure_tells_expectation_measure_seed_and_how_to_see_it_again(mixed: tuple[str, Path]) -> None:
    """And nothing of expectations that held, nor of the plugin's own code."""
    told = mixed[0].split("too_much_is_hoped[seed=7] ___")[1].split("===")[0]
    parts = [
        "too much is hoped (seed 7)",
        "A calm service stays calm.",
        "expected requests < 10; measured 5",
        "pytest 'too_much_is_hoped.scenario.yaml::too_much_is_hoped[seed=7]'",
        "too_much_is_hoped.scenario.yaml --seed 7",
    ]
    assert [part for part in parts if part not in told] == []
    assert [word for word in ("p99_s", "pytest_plugin.py", "Traceback") if word in told] == []


def test_a_bad_scenario_is_an_error_of_collection_with_file_and_line(mixed: tuple[str, Path]) -> None:
    """Nobody learns from a traceback of the parser what is wrong in a file."""
    assert "a_typing_error.scenario.yaml:2: duration: unknown key; did you mean 'duration_s'?" in mixed[0]


def test_lacking_data_is_a_reason_to_skip(mixed: tuple[str, Path]) -> None:
    """The scenario may be right; this machine can not tell."""
    assert "the trace not_here.csv is not beside the scenario, nor under HOMEOSTAT_DATA" in mixed[0]


def test_junit_files_hold_seed_journal_and_measures(mixed: tuple[str, Path]) -> None:
    """What CI keeps is enough to find the run again."""
    case = next(each for each in ET.parse(mixed[1]).iter("testcase") if "calm" in str(each.get("name")))  # noqa: S314
    kept = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert (kept["seed"], kept["dropped == 0"], len(str(kept["journal_sha256"]))) == ("7", "0.0", 64)


def test_seeds_and_policies_come_from_the_command_line_or_an_ini_file(tmp_path: Path) -> None:
    """The command line wins; each seed under each set of policies is a test."""
    scenario(tmp_path, "a_calm_day")
    (tmp_path / "still.yaml").write_text("policies: [{use: idle}]\n")
    (tmp_path / "steady.yaml").write_text("policies: [{use: target_utilization}]\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nhomeostat_seeds = 1, 2\nhomeostat_policy =\n    still.yaml\n")
    listed = played(tmp_path, "--collect-only", "-q").stdout.splitlines()[:2]
    stem = "a_calm_day.scenario.yaml::a_calm_day"
    assert listed == [f"{stem}[seed=1,policy=still]", f"{stem}[seed=2,policy=still]"]
    asked = ("--homeostat-seeds", "5", "--homeostat-policy", "still.yaml", "--homeostat-policy", "steady.yaml")
    listed = played(tmp_path, "--collect-only", "-q", *asked).stdout.splitlines()[:2]
    assert listed == [f"{stem}[seed=5,policy=still]", f"{stem}[seed=5,policy=steady]"]


def test_a_seed_that_is_no_number_is_named(tmp_path: Path) -> None:
    """Before anything is played."""
    scenario(tmp_path, "a_calm_day")
    told = played(tmp_path, "--homeostat-seeds", "1,two").stdout
    assert "--homeostat-seeds: found 'two'; expected whole numbers, such as 1,2,3" in told


def test_a_broken_rule_is_told_with_the_events_that_led_there(tmp_path: Path) -> None:
    """Rules are Homeostat's own promises: here one is made to break at the first tick."""
    scenario(tmp_path, "greed")
    (tmp_path / "conftest.py").write_text(A_RULE_BREAKS)
    told = played(tmp_path).stdout
    parts = [
        "greed (seed 7)",
        "the rule NeverOverTheBudget was broken at 10.000 s: somebody was greedy",
        "the last events were",
        "  10.000 s  tick",
    ]
    assert [part for part in parts if part not in told] == []


def test_the_plugin_imports_nothing_but_pytest() -> None:
    """It is loaded in every pytest run of a user, also where there is no scenario."""
    code = "import pytest, sys; before = set(sys.modules); import simulators.pytest_plugin; print(*set(sys.modules) - before)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(found) == ["simulators", "simulators.pytest_plugin"]


def test_our_own_tests_hold_no_scenario_by_accident() -> None:
    """What lies under tests/ would be played in every run of this suite."""
    assert list(Path(__file__).parents[1].rglob("*.scenario.yaml")) == []
