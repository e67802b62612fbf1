"""Scenarios, configurations and journals are handed around: what stands in them runs no code, by whatever command they are read."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from agent import cli
from agent.journal.life import Beginning, started
from agent.journal.store import SqlJournal
from agent.settings import Settings
from simulators import cli as simulator
from simulators import record_command, tuning_command
from tests.simulators.test_pytest_plugin import played

POLICY = 'policies: [{use: "subprocess:Popen", args: [touch, ran]}]\n'
MONITOR = '{kind: error_drift, use: "subprocess:Popen", parameters: {args: [touch, ran]}}'
SCENARIO = """\
name: from a stranger
duration_s: 60
cluster: {nodes: [{count: 1, cpus: 4}]}
models:
  shop:
    traffic: [{kind: steady, rate_rps: 5}]
    service: {kind: constant, seconds: 0.05}
    slo_latency_s: 0.5
"""
LEARNING = '    learning: {fidelity: played, generate: {}, recipes: ["%s"], drift: {monitors: [%s]}}\n'
SPACE = """\
name: small
parameters: {"policies[0].x": {choices: [1, 2]}}
scenarios: [stranger.scenario.yaml]
seeds: [1]
hold_out: {seeds: [2]}
objectives: [{measure: dropped}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "shop.py").write_text(
        "from policies.idle import Idle\nfrom subprocess import Popen\n\n\nclass Mine(Idle):\n    pass\n"
    )
    return tmp_path


def said(*words: str) -> Result:
    app = typer.Typer()
    sim_app = typer.Typer()
    app.registered_commands += cli.app.registered_commands
    app.add_typer(cli.config_app, name="config")
    sim_app.command("run")(simulator.sim_run)
    app.add_typer(sim_app, name="sim")
    record_command.register(app, sim_app)
    tuning_command.register(app, sim_app)
    return CliRunner().invoke(app, words)


FILES = {
    "homeostat.yaml": POLICY,
    "monitor.yaml": f"models: {{m: {{drift: {{monitors: [{MONITOR}]}}}}}}\n",
    "recipe.yaml": 'models: {m: {training: {recipes: ["subprocess:Popen"]}}}\n',
    "stranger.scenario.yaml": SCENARIO + POLICY,
    "monitor.scenario.yaml": SCENARIO + LEARNING % ("logistic", MONITOR),
    "recipe.scenario.yaml": SCENARIO + LEARNING % ("subprocess:Popen", ""),
    "SPACE.yaml": SPACE + POLICY,
}
READ_BY = {
    "homeostat.yaml": ("config", "validate"),
    "monitor.yaml": ("config", "validate"),
    "recipe.yaml": ("config", "validate"),
    "SPACE.yaml": ("sim", "tune"),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("allowed", [(), ("--allow-imports", "shop"), ("--allow-imports", "subprocess")])
def test_a_file_of_a_stranger_runs_nothing(folder: Path, file: str, allowed: tuple[str, ...]) -> None:
    """Nor where the package is allowed: what is found there is no policy, no detector and no recipe."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    result = said(*READ_BY.get(file, ("sim", "run")), file, *allowed)
    assert (result.exit_code, (folder / "ran").exists()) == (2, False), result.output
    assert "subprocess:Popen" in result.stderr


def test_collecting_tests_runs_nothing(folder: Path) -> None:
    """`pytest --collect-only` of a repository reads its scenarios."""
    (folder / "stranger.scenario.yaml").write_text(SCENARIO + POLICY)
    result = played(folder, "--collect-only")
    assert ("'subprocess:Popen' is an import path" in result.stdout, (folder / "ran").exists()) == (True, False)


def test_ones_own_policies_are_played_as_tests_where_their_package_is_allowed(folder: Path) -> None:
    """By an option, or by a key of the ini file."""
    (folder / "mine.scenario.yaml").write_text(SCENARIO + 'policies: [{use: "shop:Mine"}]\n')
    assert played(folder).returncode == 2
    assert played(folder, "--homeostat-allow-imports", "shop").returncode == 0
    (folder / "pytest.ini").write_text("[pytest]\nhomeostat_allow_imports = shop\n")
    assert played(folder).returncode == 0


def test_a_journal_of_a_stranger_runs_nothing(folder: Path) -> None:
    """Settings stand in journals; whoever replays one says which packages its policies may come from."""
    for use, allowed, code in (
        ("subprocess:Popen", (), 2),
        ("subprocess:Popen", ("--allow-imports", "subprocess"), 2),
        ("policies.idle:Idle", (), 2),
        ("policies.idle:Idle", ("--allow-imports", "policies"), 0),
    ):
        parameters = {"args": ["touch", "ran"]} if use == "subprocess:Popen" else {}
        settings = Settings.model_validate({"policies": [{"use": use, **parameters}]})
        (folder / "homeostat.db").unlink(missing_ok=True)
        kept = SqlJournal(f"sqlite:///{folder}/homeostat.db")
        kept.append([("started", 0.0, started(Beginning(epoch=1, next_number=1, open_orders=()), settings))])
        result = said("replay", "homeostat.db", *allowed)
        assert (result.exit_code, (folder / "ran").exists()) == (code, False), result.output


def test_nobody_is_kept_from_an_agent_by_a_policy_that_is_not_here(folder: Path) -> None:
    """`freeze` and others find the journal in a configuration whose own policies need not be built for that."""
    (folder / "homeostat.yaml").write_text('policies: [{use: "elsewhere:Policy"}]\njournal: {url: "sqlite:///j.db"}\n')
    SqlJournal(f"sqlite:///{folder}/j.db").append([])
    assert said("freeze").exit_code == 0
