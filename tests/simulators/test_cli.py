"""`homeostat sim run`: exit codes 0 (all holds), 1 (something does not), 2 (bad input), and what is told and written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from junitparser import Failure, JUnitXml, TestSuite
from typer.testing import CliRunner, Result

from agent.cli import app
from simulators import cli

SCENARIO = """\
name: {name}
seed: 5
duration_s: 600
tick_s: 10
cluster: {{nodes: [{{count: 2, cpus: 8}}]}}
models:
  shop:
    traffic: [{{kind: steady, rate_rps: 20}}]
    service: {{kind: exponential, mean_s: 0.05}}
    replicas: 2
    max_replicas: 6
    slo_latency_s: 0.5
policies: [{{use: target_utilization, target: 0.5}}]
expect:
  - {expected}
  - models.shop.replicas_max <= 6
"""
KEYS = {
    "scenario", "seed", "requests", "wall_s", "requests_per_wall_s", "journal_sha256", "totals", "models", "expectations",
    "notes", "interrupted", "file", "policy", "broken_rule", "error",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    if "sim" not in {group.name for group in app.registered_groups}:
        cli.register(app)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def written(folder: Path, file: str = "small.scenario.yaml", *, expected: str = "slo_violation_rate < 0.5") -> str:
    (folder / file).write_text(SCENARIO.format(name=file.split(".", maxsplit=1)[0], expected=expected))
    return file


def said(*words: str) -> Result:
    return CliRunner().invoke(app, ["sim", *words])


# -- what comes of a run -----------------------------------------------------------------------------------------


def test_a_run_whose_expectations_hold_exits_0_and_tells_each_with_its_value(folder: Path) -> None:
    """The JSON of one run is one object with every key that is promised."""
    result = said("run", written(folder), "--json", "out/result.json")
    told = json.loads((folder / "out/result.json").read_text())
    assert result.exit_code == 0, result.output
    assert set(told) == KEYS
    assert (told["scenario"], told["seed"], told["policy"], told["error"]) == ("small", 5, None, None)
    assert [(each["text"], each["held"]) for each in told["expectations"]] == [
        ("slo_violation_rate < 0.5", True),
        ("models.shop.replicas_max <= 6", True),
    ]
    assert told["totals"]["slo_violation_rate"] == told["expectations"][0]["value"]
    assert {"slo_violation_rate", "lost_utility", "dropped", "replica_hours"} <= set(told["totals"])
    assert set(told["models"]) == {"shop"}
    assert re.fullmatch("[0-9a-f]{64}", told["journal_sha256"])
    assert told["requests"] == pytest.approx(20 * 600, rel=0.05)
    assert all(each["text"] in result.stdout for each in told["expectations"])


def test_an_expectation_that_does_not_hold_exits_1(folder: Path) -> None:
    """And JUnit says which and what was measured."""
    result = said("run", written(folder, expected="requests < 10"), "--junit", "result.xml")
    suite = next(iter(JUnitXml.fromfile(str(folder / "result.xml"))))
    assert isinstance(suite, TestSuite)
    found = {case.name: [type(each) for each in case.result] for case in suite}
    assert result.exit_code == 1
    assert found == {
        "every rule is kept": [],
        "requests < 10": [Failure],
        "models.shop.replicas_max <= 6": [],
    }
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 1, 0, 0)


def test_the_same_seed_gives_the_same_journal_however_many_processes_play_it(folder: Path) -> None:
    """Other seeds give others. Several runs are a list in the order of scenarios, policies and seeds."""
    file = written(folder)
    for jobs in ("1", "2"):
        assert (
            said("run", file, "--seeds", "1,2", "--seed", "3", "--jobs", jobs, "--json", f"{jobs}.json").exit_code == 0
        )
    alone, beside = (json.loads((folder / f"{jobs}.json").read_text()) for jobs in ("1", "2"))
    hashes = [each["journal_sha256"] for each in alone["runs"]]
    assert [each["journal_sha256"] for each in beside["runs"]] == hashes
    assert [each["seed"] for each in beside["runs"]] == [3, 1, 2]
    assert len(set(hashes)) == 3
    assert (beside["planned"], beside["held"], beside["interrupted"]) == (3, True, False)


def test_policies_of_files_stand_in_for_those_of_the_scenario(folder: Path) -> None:
    """Two files are two runs of each scenario; a scenario's own policies are given by naming it."""
    file = written(folder)
    (folder / "idle.yaml").write_text("policies: [{use: idle}]\n")
    assert (
        said("run", file, "--policy", file, "--policy", "idle.yaml", "--jobs", "1", "--json", "r.json").exit_code == 0
    )
    assert said("run", file, "--json", "own.json").exit_code == 0
    runs = json.loads((folder / "r.json").read_text())["runs"]
    own = json.loads((folder / "own.json").read_text())
    assert [(each["policy"], each["totals"]["orders"] > 0) for each in runs] == [(file, True), ("idle.yaml", False)]
    assert runs[0]["journal_sha256"] == own["journal_sha256"]


def test_a_policy_of_ones_own_is_found_in_the_folder_where_the_command_is_called(folder: Path) -> None:
    """In every process; a module of the same name as one of ours does not stand in for it."""
    (folder / "night_watch.py").write_text("from policies.idle import Idle\n\n\nclass NightWatch(Idle):\n    pass\n")
    (folder / "agent").mkdir()
    (folder / "agent/__init__.py").write_text("raise ImportError('not the agent')\n")
    (folder / "own.yaml").write_text('policies: [{use: "night_watch:NightWatch"}]\n')
    path = list(sys.path)
    result = said("run", written(folder), "--policy", "own.yaml", "--seeds", "1,2", "--jobs", "2", "--json", "r.json",
                  "--allow-imports", "night_watch")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [each["totals"]["orders"] for each in json.loads((folder / "r.json").read_text())["runs"]] == [0, 0]
    assert sys.path == path


def test_a_folder_stands_for_the_scenarios_in_it(folder: Path) -> None:
    (folder / "all").mkdir()
    for name in ("all/b.scenario.yaml", "all/a.scenario.yaml"):
        written(folder, name)
    (folder / "all/other.yaml").write_text("not: a scenario\n")
    assert said("run", "all", "--jobs", "1", "--json", "r.json").exit_code == 0
    runs = json.loads((folder / "r.json").read_text())["runs"]
    assert [each["file"] for each in runs] == ["all/a.scenario.yaml", "all/b.scenario.yaml"]


def test_a_broken_rule_exits_1_and_tells_rule_seed_time_and_events(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the run had measured until then is written all the same."""
    from simulators.rules_of_serving import RULES_OF_SERVING

    rule = RULES_OF_SERVING[0]
    monkeypatch.setattr(rule, "event", lambda self, event: "planted" if event.at_s >= 100 else None)
    result = said("run", written(folder), "--no-shrink", "--json", "r.json", "--junit", "r.xml", "--report", "pages")
    told = json.loads((folder / "r.json").read_text())
    broken = told["broken_rule"]
    suite = next(iter(JUnitXml.fromfile(str(folder / "r.xml"))))
    assert result.exit_code == 1
    assert (broken["rule"], broken["told"], broken["seed"]) == (rule.__name__, "planted", 5)
    assert 100 <= broken["at_s"] <= 110
    assert broken["events"]
    assert told["requests"] == pytest.approx(20 * 100, rel=0.2)
    for part in (rule.__name__, "planted", "seed 5", "100.000 s", broken["events"][-1], "--seed 5"):
        assert part in result.stdout
    assert [type(each) for each in next(iter(suite)).result] == [Failure]
    assert rule.__name__ in (folder / "pages/index.html").read_text()


def test_a_run_that_falls_over_leaves_the_others_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has every key of the JSON, and its expectations do not hold."""
    from simulators import run

    play = run.Simulation.run

    def falls_from_seed_1(self: run.Simulation) -> run.Result:
        if self.seed == 1:
            raise ZeroDivisionError("planted")
        return play(self)

    monkeypatch.setattr(run.Simulation, "run", falls_from_seed_1)
    result = said("run", written(folder), "--seeds", "1,2", "--jobs", "1", "--json", "r.json", "--junit", "r.xml")
    fallen, other = json.loads((folder / "r.json").read_text())["runs"]
    assert result.exit_code == 1
    assert set(fallen) == set(other) == KEYS
    assert "planted" in fallen["error"]
    assert [each["held"] for each in fallen["expectations"]] == [False, False]
    assert other["error"] is None
    assert JUnitXml.fromfile(str(folder / "r.xml")).errors == 1


# -- bad input ---------------------------------------------------------------------------------------------------

GAP = "minute,calls\n0,5\n1,5\n3,5\n"
TEXT = "minute,calls\n0,5\n1,many\n"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (("tick_s: 10", "tick: 10"), ["bad.scenario.yaml:4: tick: unknown key", "did you mean 'tick_s'"]),
        (("rate_rps: 20", "rate_rps: -20"), ["bad.scenario.yaml:8:", "rate_rps", "-20", "at least 0"]),
        (("slo_latency_s: 0.5", "slo_latency_s: fast"), ["bad.scenario.yaml:12:", "'fast'", "expected seconds"]),
        (("seed: 5", "seed: five"), ["bad.scenario.yaml:2: seed: found 'five'", "a whole number"]),
        (("seed: 5", "seed: 5.5"), ["bad.scenario.yaml:2: seed: found 5.5", "a whole number"]),
        (("slo_violation_rate", "slo_violations"), ["bad.scenario.yaml:15: expect[0]", "no measure 'slo_violations'", "node_cost"]),
        (("models.shop.replicas_max", "models.shop.recovery"), ["bad.scenario.yaml:16: expect[1]", "recovery_s"]),
        (("replicas_max <= 6", "replicas_max around 6"), ["bad.scenario.yaml:16: expect[1]", "a measure, a comparison and a number"]),
        (("use: target_utilization", "use: target_utilisation"), ["bad.scenario.yaml:13: policies[0]", "target_utilization"]),
        (("kind: steady, rate_rps: 20", "kind: trace, path: gap.csv"), ["bad.scenario.yaml:8:", "gap.csv:4", "minute 2", "a gap?"]),
        (("kind: steady, rate_rps: 20", "kind: trace, path: text.csv"), ["bad.scenario.yaml:8:", "text.csv:3", "'many'", "a whole number"]),
        (("kind: steady, rate_rps: 20", "kind: trace, path: none.csv"), ["bad.scenario.yaml:8:", "none.csv", "HOMEOSTAT_DATA"]),
        (("duration_s: 600", "duration_s: [600"), ["bad.scenario.yaml:", "not YAML"]),
    ],
)  # fmt: skip
def test_a_scenario_that_is_wrong_exits_2_with_file_line_and_what_was_expected(
    folder: Path, change: tuple[str, str], parts: list[str]
) -> None:
    (folder / "gap.csv").write_text(GAP)
    (folder / "text.csv").write_text(TEXT)
    text = SCENARIO.format(name="bad", expected="slo_violation_rate < 0.5")
    assert text.count(change[0]) == 1
    (folder / "bad.scenario.yaml").write_text(text.replace(*change))
    result = said("run", "bad.scenario.yaml", "--json", "r.json")
    assert result.exit_code == 2, result.output
    assert [part for part in parts if part not in result.stderr] == []
    assert not (folder / "r.json").exists()


def test_all_faults_of_all_files_are_told_before_anything_runs(folder: Path) -> None:
    """Two faulty scenarios, one that is not there, two faulty policies in one file, two seeds that are none, a target that is a folder."""
    for name in ("one", "two"):
        (folder / f"{name}.scenario.yaml").write_text(
            SCENARIO.format(name=name, expected="requests > 1").replace("tick_s", "tack_s")
        )
    (folder / "policy.yaml").write_text("policies:\n  - use: nobody\n  - use: target_utilization\n    target: -1\n")
    result = said(
        "run", "one.scenario.yaml", written(folder), "two.scenario.yaml", "absent.yaml",
        "--policy", "policy.yaml", "--seed", "7a", "--seeds", "1,,2", "--json", str(folder),
    )  # fmt: skip
    begins = [line.split(": ")[0] for line in result.stderr.splitlines()]
    assert (result.exit_code, result.stdout) == (2, "")
    assert begins == [
        "--json", "one.scenario.yaml:4", "two.scenario.yaml:4", "absent.yaml", "policy.yaml:2", "policy.yaml:4", "--seed", "--seed",
    ]  # fmt: skip
    assert "--seed: found '7a'; expected a whole number" in result.stderr


# -- the process -------------------------------------------------------------------------------------------------


def test_the_schema_knows_every_scenario_that_can_be_read(folder: Path) -> None:
    """`$schema` is one of its keys, and what the reader refuses it refuses too."""
    import yaml

    schema = json.loads(said("schema").stdout)
    good = yaml.safe_load(SCENARIO.format(name="good", expected="requests > 1"))
    jsonschema.validate(good | {"$schema": "scenario.schema.json"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | {"tack_s": 1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | {"duration_s": "long"}, schema)


def test_a_start_loads_no_library_that_the_run_does_not_need_and_the_agent_logs_nothing(folder: Path) -> None:
    """Plotting, experiment tracking and data frames take seconds to import."""
    script = (
        "import sys; from agent.cli import main; sys.argv = ['homeostat', 'sim', 'run', 'small.scenario.yaml']\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "print('loaded', sorted({'plotly', 'mlflow', 'river', 'pandas', 'ray', 'optuna', 'jinja2'} & set(sys.modules)), code)"
    )
    written(folder)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}
    )
    assert done.stdout.splitlines()[-1] == "loaded [] 0"
    assert done.stderr == ""


def test_the_scenario_of_the_documentation_can_be_played(folder: Path) -> None:
    """And it names its measures as they are called."""
    page = (Path(__file__).parents[2] / "docs/simulator.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    (folder / "example.scenario.yaml").write_text(example.replace("duration_s: 3600", "duration_s: 1500"))
    result = said("run", "example.scenario.yaml", "--json", "r.json")
    told = json.loads((folder / "r.json").read_text())
    assert result.exit_code in (0, 1), result.output
    assert len(told["expectations"]) == 3


def test_the_documentation_names_every_measure() -> None:
    from simulators.scenario import OF_MODEL, TOTALS

    page = (Path(__file__).parents[2] / "docs/simulator.md").read_text()
    table = page.split("| measure |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == {*TOTALS, *OF_MODEL}
