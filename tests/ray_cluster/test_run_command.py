"""`run` and `stop`: they never take the kill switch back, and leave alone what they were not asked to end. Over a cluster that is acted."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.cli import app
from agent.journal.record import Kind
from agent.journal.store import SqlJournal, journal_name
from agent.settings import Settings
from ray_cluster import agents, cli
from ray_cluster.agents import AgentRuns
from ray_cluster.places import rooted
from ray_cluster.serve_rest import ServeRest


class Cluster:
    """Holds one agent of a name at a time, as Ray does."""

    def __init__(self) -> None:
        self.agents: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []

    def start(
        self, settings: Settings, url: str, folder: str, allowed: Any = (), *, replace: bool = False
    ) -> dict[str, Any]:
        if replace:
            self.stop(settings.name)
        if self.find(settings.name) is not None:
            raise AgentRuns(settings.name)
        journal = journal_name(rooted(settings, folder).journal.url)
        self.agents.append({"name": settings.name, "folder": folder, "journal": journal})
        return self.agents[-1]

    def find(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.agents if each["name"] == name), None)

    def others(self, name: str) -> dict[str, Any]:
        return {each["name"]: each for each in self.agents if each["name"] != name}

    def stop(self, name: str) -> bool:
        there = [each for each in self.agents if each["name"] == name]
        self.ended += there
        self.agents = [each for each in self.agents if each["name"] != name]
        return bool(there)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(agents, "start_agent", made.start)
    monkeypatch.setattr(agents, "find_agent", made.find)
    monkeypatch.setattr(agents, "other_agents", made.others)
    monkeypatch.setattr(agents, "stop_agent", made.stop)
    monkeypatch.setattr(cli, "_connect", lambda settings: None)
    monkeypatch.setattr(cli, "dashboard_url", lambda settings: "http://127.0.0.1:8265")
    monkeypatch.setattr(cli, "_told", lambda actor, timeout_s=0.0: actor)
    monkeypatch.setenv("COLUMNS", "200")
    return made


@pytest.fixture(autouse=True)
def registered() -> None:
    if not any(each.callback is cli.run for each in app.registered_commands):
        cli.register(app)


def configured(folder: Path, name: str = "shop", journal: str = "sqlite:///homeostat.db") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / ("homeostat.yaml" if name == "shop" else f"{name}.yaml")
    file.write_text(f"name: {name}\njournal: {{url: '{journal}'}}\npolicies: [{{use: idle}}]\n")
    return file


def said(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def words(folder: Path) -> list[str]:
    journal = SqlJournal(f"sqlite:///{folder}/homeostat.db")
    return [entry.payload["word"] for entry in journal.entries(kinds=(Kind.CONTROL,))]


def test_an_agent_is_started_and_stopped_and_both_are_on_record(cluster: Cluster, tmp_path: Path) -> None:
    """In the journal beside the configuration; a second `stop` finds none."""
    file = configured(tmp_path / "a")
    started, stopped, again = said("run", file), said("stop", file), said("stop", file)
    assert [each.exit_code for each in (started, stopped, again)] == [0, 0, 0]
    assert started.stdout.startswith("the agent 'shop' runs; its journal is sqlite:///")
    assert again.stdout == "the agent 'shop' was not running\n"
    assert words(tmp_path / "a") == ["run", "stop"]


def test_run_leaves_the_kill_switch_on_and_says_what_takes_it_back(cluster: Cluster, tmp_path: Path) -> None:
    """Killed at night by one person, started in the morning by another; `resume` is a word of its own, said once."""
    file = configured(tmp_path / "a")
    place = ("--journal", tmp_path / "a" / "homeostat.db")
    said("run", file)
    said("stop", file)
    assert said("kill", *place).exit_code == 0
    assert said("freeze", *place).exit_code == 0
    started = said("run", file)
    assert started.exit_code == 0
    assert "the kill switch is on, so it decides nothing; `homeostat resume` lets it decide again" in started.stdout
    assert (
        "all changes are frozen, so it only watches; `homeostat unfreeze` lets changes happen again" in started.stdout
    )
    journal = SqlJournal(f"sqlite:///{tmp_path}/a/homeostat.db")
    assert journal.controls(1.0).killed
    assert said("resume", "--reason", "looked at it", *place).exit_code == 0
    assert not SqlJournal(f"sqlite:///{tmp_path}/a/homeostat.db").controls(1.0).killed
    assert said("resume", *place).stdout == "the kill switch is not on; nothing was written down\n"
    assert words(tmp_path / "a") == ["run", "stop", "kill", "freeze", "run", "resume"]


@pytest.mark.parametrize("other", ["a", "b"])
def test_an_agent_of_that_name_is_replaced_only_where_that_is_asked_for(
    cluster: Cluster, tmp_path: Path, other: str
) -> None:
    """From the same folder, and from another one with another journal: exit 1, whose it is, and what to do; nothing was changed."""
    first, second = configured(tmp_path / "a"), configured(tmp_path / other)
    said("run", first)
    refused = said("run", second)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("an agent 'shop' runs already on this cluster; it was started from ")
    for part in (
        str(tmp_path / "a"),
        "homeostat.db",
        "Nothing was changed",
        "`homeostat run --replace`",
        "two journals (`journal.url`)",
    ):
        assert part in refused.stderr
    assert cluster.ended == []
    assert words(tmp_path / "a") == ["run"]
    assert words(tmp_path / other) == (["run"] if other == "a" else [])
    assert said("run", second, "--replace").exit_code == 0
    assert [each["folder"] for each in cluster.ended] == [str(tmp_path / "a")]
    assert cluster.agents[0]["folder"] == str(tmp_path / other)


def test_run_says_in_a_line_what_the_doctor_finds_and_starts_all_the_same(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment that is not there, and one that nobody may scale; nothing where all is well."""
    found = {"applications": {"bare": {"deployments": {"Model": {"status": "HEALTHY", "target_num_replicas": 1}}}}}
    monkeypatch.setattr(ServeRest, "details", lambda self: found)
    file = configured(tmp_path / "a")
    assert len(said("run", file).stdout.splitlines()) == 1
    file.write_text("name: other\njournal: {url: 'sqlite:///o.db'}\ndeployments: {shop/Typo: {}, bare/Model: {}}\n")
    result = said("run", file)
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (
        0,
        [
            "`homeostat doctor` finds 2 problems: deployment shop/Typo: Serve does not have it; it has bare/Model; "
            "deployment bare/Model: set `external_scaler_enabled: true` on its application"
        ],
    )


@pytest.mark.parametrize("place", ["sqlite:///homeostat.db", "sqlite:///../a/homeostat.db", "sqlite:///link.db"])
def test_a_journal_is_of_one_agent(cluster: Cluster, tmp_path: Path, place: str) -> None:
    """A second agent of another name is refused at the first one's journal, by whatever path; a journal of its own is what it needs."""
    said("run", configured(tmp_path / "a"))
    (tmp_path / "a" / "link.db").symlink_to("homeostat.db")
    for options in ((), ("--replace",)):
        refused = said("run", configured(tmp_path / "a", "two", place), *options)
        assert refused.exit_code == 2
        assert refused.stderr.startswith(f"the agent 'shop', started from {tmp_path / 'a'}, runs with this journal, ")
        for part in ("Nothing was changed", "Give 'two' a journal of its own (`journal.url`", "`homeostat stop`"):
            assert part in refused.stderr
    assert [each["name"] for each in cluster.agents] == ["shop"]
    assert words(tmp_path / "a") == ["run"]
    assert said("run", configured(tmp_path / "a", "two", "sqlite:///two.db")).exit_code == 0
    assert [each["name"] for each in cluster.agents] == ["shop", "two"]


def test_a_silent_agent_keeps_the_journal_that_it_began_with(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can not be asked, and the journal's last start is its own; a journal that it never began with is free."""
    said("run", configured(tmp_path / "a"))
    SqlJournal(f"sqlite:///{tmp_path}/a/homeostat.db").append([("started", 1.0, {"settings": {"name": "shop"}})])
    answers = {"two": {}}
    monkeypatch.setattr(cli, "_told", lambda actor, timeout_s=0.0: answers.get(actor["name"]))
    refused = said("run", configured(tmp_path / "a", "two"))
    assert (refused.exit_code, refused.stderr.split(",")[0]) == (2, "the agent 'shop' runs with this journal")
    assert said("run", configured(tmp_path / "a", "two", "sqlite:///two.db")).exit_code == 0


def test_two_that_are_started_at_once_are_one(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither saw the other; Ray gives the name to one of them, and the other says so."""
    file = configured(tmp_path / "a")
    said("run", file)
    monkeypatch.setattr(agents, "find_agent", lambda name: None)
    late = said("run", file)
    assert (late.exit_code, late.stderr.split(". ")[0]) == (1, "an agent 'shop' runs already on this cluster")
    assert cluster.ended == []


def test_stop_leaves_an_agent_with_another_journal_alone_unless_forced(cluster: Cluster, tmp_path: Path) -> None:
    """And writes nothing into a journal that is not that agent's."""
    first, second = configured(tmp_path / "a"), configured(tmp_path / "b")
    said("run", first)
    refused = said("stop", second)
    assert refused.exit_code == 1
    assert "is another one: it was started from " + str(tmp_path / "a") in refused.stderr
    assert cluster.ended == []
    assert said("stop", second, "--force").exit_code == 0
    assert len(cluster.ended) == 1
    assert words(tmp_path / "a") == ["run"]
    assert words(tmp_path / "b") == []


def test_a_user_without_a_name_can_kill_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run under numbers that nobody has named."""
    SqlJournal(f"sqlite:///{tmp_path}/homeostat.db").append([("note", 1.0, {})])

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000620000")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 1000620000)
    assert said("kill", "--journal", tmp_path / "homeostat.db").exit_code == 0
    entry = SqlJournal(f"sqlite:///{tmp_path}/homeostat.db").last(Kind.CONTROL)
    assert entry is not None
    assert (entry.payload["word"], entry.payload["by"]) == ("kill", "1000620000")
