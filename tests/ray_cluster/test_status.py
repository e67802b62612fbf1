"""`homeostat status` without a cluster: what a person reads, what a machine reads, and exit codes. With one: test_agent_on_cluster."""

import json
import os
import time
from pathlib import Path

import pytest
import ray
import typer
from typer.testing import CliRunner, Result

from agent.journal.controls import said as control
from agent.journal.life import Beginning, started
from agent.journal.store import SqlJournal
from ray_cluster import cli
from tests.agent.test_standing import NOTHING, SETTINGS, order, seen

NOBODY = "127.0.0.1:1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", NOBODY)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("HOMEOSTAT_JOURNAL", raising=False)
    (tmp_path / "homeostat.yaml").write_text("name: shop\nbudget: {replicas: 6}\n")
    return tmp_path


@pytest.fixture
def journal(folder: Path) -> SqlJournal:
    kept = SqlJournal(f"sqlite:///{folder}/homeostat.db")
    now_s = time.time()
    kept.append(
        [
            ("started", now_s - 100, started(Beginning(), SETTINGS)),
            ("observed", now_s - 65, seen(now_s - 65) | {"problems": ["the registry: it is away"]}),
            ("intent", now_s - 65, order(1)),
            ("decided", now_s - 65, NOTHING | {"awaiting": [order(2)]}),
            ("control", now_s - 3600, control("freeze", by="ann", reason="peak")),
        ]
    )
    return kept


def status(*words: str) -> Result:
    app = typer.Typer()
    app.command()(cli.stop)
    app.command()(cli.status)
    return CliRunner().invoke(app, ["status", *words])


def test_all_that_there_is_to_know_is_on_one_page(journal: SqlJournal, folder: Path) -> None:
    """Replicas, latency beside its SLO, rate, budget, drift, rows not taken, orders, controls with since and by whom, the last tick."""
    result = status("--journal", str(folder / "homeostat.db"))
    parts = [
        "shop: as its journal says", "(1 min 5 s ago)", "frozen since", "(1 h) by ann: peak", "not yet seen by the agent: freeze since",
        "fraud/Fraud", "1 of 2",
        "p95 300 ms (200 ms)", "12 requests/s", "5 %", "healthy", "version 3", "feature drift in amount",
        "4 rows with values that are missing or no numbers", "running", "replicas 2 of 6 used, 4 left", "cpus 4 used, no limit",
        "scale fraud/Fraud to 3 replicas", "answer with `homeostat approve 2` or `deny`", "can not be seen: the registry: it is away",
    ]  # fmt: skip
    assert [part for part in parts if part not in result.stdout] == []
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_machine_reads_the_same(journal: SqlJournal, folder: Path) -> None:
    """JSON, with who says so."""
    told = json.loads(status("--journal", str(folder / "homeostat.db"), "--json").stdout)
    assert (told["source"], told["running"], told["name"]) == ("journal", False, "shop")
    assert told["controls"]["frozen"]["by"] == "ann"
    assert [row["replicas_wanted"] for row in told["deployments"]] == [2]


def test_without_a_cluster_the_journal_is_told_and_said_to_be_all(journal: SqlJournal) -> None:
    """Exit 1: whether the agent runs is not known. What to do is said."""
    result = status()
    assert result.exit_code == 1
    assert f"there is no Ray at '{NOBODY}'" in result.stderr
    assert "it can not be asked; this is what it wrote down last" in result.stdout
    assert "fraud/Fraud" in result.stdout


def test_without_a_cluster_and_a_journal_there_is_nothing_to_tell(folder: Path) -> None:
    """Exit 2, and both are named."""
    result = status()
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"there is no Ray at '{NOBODY}'" in result.stderr
    assert "homeostat.db: there is no such journal" in result.stderr.replace("\n", "")


def test_a_journal_that_no_agent_began_with_says_so(folder: Path) -> None:
    """It was made by a freeze, say."""
    SqlJournal(f"sqlite:///{folder}/new.db").append([("control", 1.0, control("freeze", by="ann"))])
    result = status("--journal", "new.db")
    assert (result.exit_code, "no agent has begun with this journal yet" in result.stdout) == (0, True)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_watching_looks_again_until_ctrl_c(
    journal: SqlJournal, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """At every tick; the page in place, or a line of JSON each. Ctrl-C is no failure."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.time, "sleep", sleep)
    result = status("--journal", str(folder / "homeostat.db"), "--watch", *words)
    assert (result.exit_code, waits) == (0, [5.0, 5.0])
    assert "fraud/Fraud" in result.stdout
    if words:
        assert [json.loads(line)["name"] for line in result.stdout.splitlines()] == ["shop", "shop"]


def test_an_objective_that_no_policy_reads_is_said(journal: SqlJournal, folder: Path) -> None:
    """By `status`, and by the doctor below its table: what stands there is hardly meant."""
    text = "name: shop\ndeployments: {fraud/Fraud: {slo_latency_s: 0.2}}\npolicies: [{use: target_utilization}]\n"
    (folder / "homeostat.yaml").write_text(text)
    said = "deployments.fraud/Fraud.slo_latency_s: no policy of this configuration that looks at fraud/Fraud reads it"
    assert f"look again at {said}" in status().stdout
    assert json.loads(status("--json").stdout)["advice"][0].startswith(said)
    app = typer.Typer()
    app.command()(cli.stop)
    app.command()(cli.doctor)
    assert said in CliRunner().invoke(app, ["doctor"]).stderr


HELD = "the journal: epoch 2 has begun, that of the agent 'two'; this agent is of epoch 1 and writes no more"


@pytest.mark.parametrize(
    ("waiting", "for_s", "code", "says"),
    [
        ("starting", 65.0, 0, "shop: starting, 0 ticks"),
        ("starting", 75.0, 1, "shop: starting, 0 ticks"),
        ("", 75.0, 0, "shop: running, 3 ticks"),
        (HELD, 75.0, 1, f"shop: waits for {HELD}, since"),
    ],
)
def test_an_agent_that_does_not_act_is_a_failure_unless_it_has_just_been_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, waiting: str, for_s: float, code: int, says: str
) -> None:
    """`run && status` holds: until the first tick is over a tick and a minute may pass. One that waits for its journal does not act."""
    (folder / "homeostat.yaml").write_text("name: shop\ntick_s: 10\n")
    monkeypatch.setattr(cli.time, "time", lambda: 1000.0)
    monkeypatch.setattr(cli, "_joined", lambda settings: "")
    head = {"name": "shop", "running": waiting != "starting", "waiting_for": waiting, "waiting_since_s": 1000.0 - for_s}
    told = {**head, "ticks": 0 if waiting == "starting" else 3, "standing": None}
    monkeypatch.setattr(cli, "_by_agent", lambda settings: (told, ""))
    result = status()
    assert (result.exit_code, result.stdout.startswith(says)) == (code, True)


REFUSED = "gcs_client.cc: Failed to get cluster ID: Unauthenticated: RPC error: InvalidAuthToken: token is missing or incorrect"


@pytest.mark.parametrize(
    ("printed", "error", "says"),
    [
        (REFUSED, ConnectionError("Failed to connect to the cluster"), "does not take this terminal's token. Set RAY_AUTH_TOKEN"),
        ("", ray.exceptions.AuthenticationError("no token was found"), "does not take this terminal's token. Set RAY_AUTH_TOKEN"),
        ("gcs_client.cc: timed out", ConnectionError("nobody answers"), "there is no Ray at 'auto' (nobody answers). Start one"),
    ],
    ids=["Ray prints the cause", "Ray raises the cause", "no Ray"],
)  # fmt: skip
def test_a_token_that_is_missing_is_told_apart_from_a_cluster_that_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *, printed: str, error: Exception, says: str
) -> None:  # fmt: skip
    """Ray names the cause in what it prints, below Python, or in its error; the terminal is for the person."""

    def joining(**options: object) -> None:
        os.write(2, printed.encode())
        raise error

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(ray, "init", joining)
    result = status()
    assert (result.exit_code, says in result.stderr) == (2, True)
    assert capfd.readouterr().err == ""


def test_an_agent_that_starts_tells_what_was_written_before_its_first_tick(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen nothing yet, and its journal holds the kill already."""
    (folder / "homeostat.yaml").write_text("name: shop\npolicies: [{use: idle}]\n")
    told = {
        "name": "shop",
        "running": False,
        "waiting_for": "starting",
        "waiting_since_s": time.time(),
        "ticks": 0,
        "standing": None,
    }
    monkeypatch.setattr(cli, "_joined", lambda settings: "")
    monkeypatch.setattr(cli, "_by_agent", lambda settings: (told, ""))
    assert status().stdout == "shop: starting, 0 ticks\n"
    SqlJournal(f"sqlite:///{folder}/homeostat.db").append([("control", 1.0, control("kill", by="ann"))])
    assert status().stdout == (
        "shop: starting, 0 ticks\nthe kill switch is on, so it decides nothing; `homeostat resume` lets it decide again\n"
    )
