"""`sim record` and `replay --policy`: what they write and print, and exit codes 0 (well), 2 (bad input)."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from agent import cli
from agent.journal.export import export
from agent.journal.store import SqlJournal
from simulators import record_command
from simulators.recorded.scenario import Recorded
from simulators.scenario import ScenarioError, load

OTHER = "policies: [{use: static, replicas: {shop/ModelServer: 10}}]\n"


def said(*words: str) -> Result:
    """The commands of the agent and of this module, as `main` puts them together."""
    app, sim_app = typer.Typer(), typer.Typer()
    app.registered_commands += cli.app.registered_commands
    app.add_typer(sim_app, name="sim")
    record_command.register(app, sim_app)
    return CliRunner().invoke(app, words)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "other.yaml").write_text(OTHER)
    return tmp_path


def test_record_writes_a_scenario_that_loads_and_its_trace(life: Any, folder: Path) -> None:
    """And says what is in it."""
    result = said("sim", "record", str(life.journal), "--out", "night.scenario.yaml")
    assert result.exit_code == 0
    assert re.match(
        r"night.scenario.yaml: 1800 s of shop \([\d,]+ requests\)\nnight.csv.gz: its traffic", result.stdout
    )
    assert load("night.scenario.yaml").settings.models["shop"].min_replicas == 2


def test_record_reads_an_export_and_a_part_of_it(life: Any, folder: Path) -> None:
    """Ten minutes from the journal as JSON lines."""
    export(life.entries, folder / "life.jsonl")
    chosen = ("--from", "1970-01-01T00:05", "--until", "1970-01-01T00:15")
    assert said("sim", "record", "life.jsonl", *chosen, "--out", "part.scenario.yaml").exit_code == 0
    assert load("part.scenario.yaml").settings.duration_s == 610.0


def test_record_writes_over_nothing_unless_it_is_told_to(life: Any, folder: Path) -> None:
    """A scenario that somebody has filled in by hand is not lost by a second call."""
    (folder / "mine.scenario.yaml").write_text("mine\n")
    refused = said("sim", "record", str(life.journal), "--out", "mine.scenario.yaml")
    assert (refused.exit_code, (folder / "mine.scenario.yaml").read_text()) == (2, "mine\n")
    assert "mine.scenario.yaml: there already; expected another --out, or --force" in refused.stderr
    assert said("sim", "record", str(life.journal), "--out", "mine.scenario.yaml", "--force").exit_code == 0


@pytest.mark.parametrize("words", [("sim", "record"), ("replay", "--policy", "other.yaml")])
def test_a_journal_that_holds_nothing_is_bad_input(folder: Path, words: tuple[str, ...]) -> None:
    """Exit 2 with the file and the reason; no file is written."""
    SqlJournal(f"sqlite:///{folder}/empty.db").close()
    result = said(*words, "empty.db")
    assert (result.exit_code, result.stderr) == (2, "empty.db: the journal is empty: no agent has written to it yet\n")
    assert list(folder.glob("*.scenario.yaml")) == []


@pytest.mark.parametrize("name", ["nowhere.db", "nowhere.jsonl"])
def test_a_journal_that_is_not_there_is_named(folder: Path, name: str) -> None:
    """Exit 2, and none is made."""
    result = said("sim", "record", name)
    assert (result.exit_code, name in result.stderr, (folder / name).exists()) == (2, True, False)


def test_a_line_that_is_no_entry_is_named(folder: Path) -> None:
    """By file and number."""
    (folder / "bad.jsonl").write_text("{}\n")
    result = said("sim", "record", "bad.jsonl")
    assert (result.exit_code, "bad.jsonl:1: no journal entry" in result.stderr) == (2, True)


def test_a_password_in_a_url_is_not_told() -> None:
    """A scenario is shared; a password is not."""
    assert record_command._shown("postgresql://agent:secret@host/db") == "postgresql://agent:***@host/db"


@pytest.fixture
def answered(life: Any, folder: Path) -> dict[str, Any]:
    result = said("replay", str(life.journal), "--policy", "other.yaml", "--seeds", "1,2", "--json")
    assert result.exit_code == 0
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_replay_tells_where_other_policies_part_and_what_would_have_come_of_it(answered: dict[str, Any]) -> None:
    """Ten replicas from the first tick on: one order, fewer violations, more replica-hours."""
    first = answered["decisions"]["firsts"][0]
    assert (first["at_s"], first["recorded"]) == (10.0, None)
    assert first["other"] == {"kind": "scale", "deployment": "shop/ModelServer", "replicas": 10}
    own, other = (answered[side]["totals"] for side in ("recorded", "other"))
    assert other["replica_hours"] > own["replica_hours"]
    assert other["slo_violation_rate"] < own["slo_violation_rate"]
    assert answered["other"]["orders"] == {"scale": 1.0}


def test_replay_says_how_near_the_simulation_of_the_recorded_policy_came_to_life(answered: dict[str, Any]) -> None:
    """Both sides measured alike; replicas and requests to a tenth here, where life was a simulation too."""
    near = answered["calibration"]
    assert set(near["requests"]) == {"life", "simulated", "error"}
    assert {name: abs(near[name]["error"]) < 0.1 for name in ("requests", "replicas_mean")} == {
        "requests": True,
        "replicas_mean": True,
    }
    assert near["violation_rate"]["life"] > 0


def test_replay_prints_both_tables_and_one_sentence_on_trust(life: Any, folder: Path) -> None:
    """For a person."""
    told = said("replay", str(life.journal), "--policy", "other.yaml", "--seeds", "1").stdout
    parts = ["where they part", "what would have happened", "how near the simulation", "points of violations from life"]
    assert [part for part in parts if part not in told] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--policy", "typo.yaml"), "typo.yaml:1: policies[0]: unknown policy 'nobody'"),
        (("--policy", "other.yaml", "--seeds", "1,x"), "--seeds: found 'x'; expected whole numbers"),
    ],
)
def test_bad_input_of_replay_is_named(life: Any, folder: Path, words: tuple[str, ...], told: str) -> None:
    """Exit 2."""
    (folder / "typo.yaml").write_text("policies: [{use: nobody}]\n")
    result = said("replay", str(life.journal), *words)
    assert (result.exit_code, told in result.stderr.replace("\n", " ")) == (2, True), result.stderr


def test_replay_without_a_policy_is_the_check_of_the_agent(life: Any) -> None:
    """Byte for byte, as where no simulator is installed; one command of that name remains."""
    result = said("replay", str(life.journal))
    assert (result.exit_code, result.stdout) == (0, "180 ticks, decided identically\n")


@pytest.fixture
def changed(life: Any, folder: Path) -> int:
    """The number of the entry, an observation, that was changed in the journal afterwards."""
    lines = [json.dumps(asdict(each)) for each in life.entries]
    place = next(n for n, each in enumerate(life.entries) if each.kind == "observed" and n > 50)
    lines[place] = json.dumps(asdict(life.entries[place]) | {"at_s": life.entries[place].at_s + 1})
    (folder / "changed.jsonl").write_text("\n".join(lines))
    return life.entries[place].seq


@pytest.mark.parametrize("words", [("sim", "record"), ("replay", "--policy", "other.yaml", "--seeds", "1")])
def test_a_broken_chain_is_refused_unless_it_is_asked_for(folder: Path, changed: int, words: tuple[str, ...]) -> None:
    """Nobody knows what happened then: exit 1, the entry, and nothing is written; with --broken it is a note."""
    result = said(*words, "changed.jsonl")
    told = f"the chain of the journal is broken, so this is not what was written: entry {changed}: "
    assert (result.exit_code, told in result.stderr, list(folder.glob("*.scenario.yaml"))) == (1, True, [])
    asked = said(*words, "changed.jsonl", "--broken")
    assert (asked.exit_code, f"note: {told}" in asked.stdout.replace("\n", " ")) == (0, True)


@pytest.mark.parametrize("text", ["", "dear diary\n"], ids=["empty", "text"])
@pytest.mark.parametrize("words", [("sim", "record"), ("replay", "--policy", "other.yaml")])
def test_what_is_no_journal_is_named_and_stays_as_it_is(folder: Path, words: tuple[str, ...], text: str) -> None:
    """Exit 2, and nothing is written."""
    (folder / "odd.db").write_text(text)
    result = said(*words, "--journal", "odd.db")
    assert (result.exit_code, "odd.db: " in result.stderr, (folder / "odd.db").read_text()) == (2, True, text)
    assert sorted(each.name for each in folder.iterdir()) == ["odd.db", "other.yaml"]


def clocked(life: Any, folder: Path, clock: Callable[[int, float], Any], measured: bool) -> None:
    """The same life in odd.db under another clock, which its traffic was dated by as well where it is `measured` so."""
    lines, looks = [], 0
    for each in life.entries:
        payload = deepcopy(dict(each.payload))
        at_s = each.at_s
        if each.kind == "observed":
            looks += 1
            payload["at_s"] = clock(looks, at_s)
            traffics = [row["traffic"] for row in payload["deployments"].values() if row["traffic"] and measured]
            for row in traffics:
                row["measured_at_s"] = clock(looks, row["measured_at_s"])
            at_s = payload["at_s"] if isinstance(payload["at_s"], float) else at_s
        lines.append((each.kind, at_s, payload))
    kept = SqlJournal(f"sqlite:///{folder}/odd.db")
    kept.append(lines)
    kept.close()


NOW_S = 1.79e9
HOLDS = "entry {}: it does not hold what a observed entry holds (at_s: found {}; expected POSIX seconds)"
STANDS = "at_s: the longest of {} stretches without a gap, entries "
Clock = tuple[Callable[[int, float], Any], bool, str]
"""By tick and moment, whether the metrics go by it, and what is told."""
CLOCKS: dict[str, Clock] = {
    "stands": (lambda _, at_s: NOW_S, True, STANDS.format(1)),
    "stands at zero": (lambda _, at_s: 0.0, True, STANDS.format(1)),
    "hardly goes": (lambda n, at_s: NOW_S + 1e-6 * n, True, STANDS.format(1)),
    "goes too slowly": (lambda _, at_s: at_s / 1000, True, STANDS.format(1)),
    "runs back": (lambda _, at_s: 1e4 - at_s, True, STANDS.format(180)),
    "leaps at every tick": (lambda _, at_s: at_s * 1000, True, STANDS.format(180)),
    "is not the one of the metrics": (lambda _, at_s: at_s + NOW_S, False, "traffic of 0 moments, 0 s apart"),
    "shows milliseconds": (lambda _, at_s: (at_s + NOW_S) * 1000, True, "at_s: found 1790000010000.0; expected POSIX seconds, not"),
    "shows texts": (lambda _, at_s: str(at_s), False, HOLDS.format(2, "'10.0'")),
    "shows the times of day": (lambda _, at_s: "00:00:10", False, HOLDS.format(2, "'00:00:10'")),
    "shows nothing": (lambda _, at_s: None, False, HOLDS.format(2, None)),
    "shows truth": (lambda _, at_s: True, False, HOLDS.format(2, True)),
    "is before its time": (lambda n, at_s: -5.0 if n == 50 else at_s, False, HOLDS.format(53, -5.0)),
    "is out of this world": (lambda _, at_s: 1e300, False, "at_s: found 1e+300; expected POSIX seconds"),
}  # fmt: skip


@pytest.mark.parametrize("odd", CLOCKS.values(), ids=CLOCKS.keys())
@pytest.mark.parametrize("words", [("sim", "record"), ("replay", "--policy", "other.yaml", "--seeds", "1")])
def test_a_clock_that_makes_no_sense_is_told_by_entry_and_key(
    life: Any, folder: Path, words: tuple[str, ...], odd: Clock
) -> None:
    """Exit 2 with the journal's name; nothing is written that could not be played."""
    clock, measured, told = odd
    clocked(life, folder, clock, measured)
    result = said(*words, "odd.db")
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert result.stderr.startswith("odd.db: ")
    assert told in result.stderr
    assert list(folder.glob("*.scenario.yaml")) == []


def test_a_clock_that_was_wrong_at_first_leaves_what_came_after(life: Any, folder: Path) -> None:
    """From 1970 until somebody set it: the longer stretch is played, and the other named."""
    clocked(life, folder, lambda _, at_s: at_s if at_s < 700 else at_s + NOW_S, measured=True)
    result = said("sim", "record", "odd.db", "--out", "odd.scenario.yaml")
    assert (result.exit_code, load("odd.scenario.yaml").settings.duration_s) == (0, 1110.0)
    assert "left out: 1970-01-01 00:00:10 to 1970-01-01 00:11:30" in result.stdout.replace("\n", " ")


def test_what_is_written_can_be_played(life: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried before: a scenario that fails to load is a word to whoever asks, and no file."""

    def unplayable(self: Recorded, *_: Any) -> None:
        raise ScenarioError("line 12 is odd")

    monkeypatch.setattr(Recorded, "loaded", unplayable)
    result = said("sim", "record", str(life.journal), "--out", "night.scenario.yaml")
    assert (result.exit_code, "nothing is written, since it could not be played: line 12 is odd" in result.stderr) == (
        2,
        True,
    )
    assert list(folder.glob("night.*")) == []
