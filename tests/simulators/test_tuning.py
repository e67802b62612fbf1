"""Tuning keeps what was finished, repeats itself, gives up only what is hopeless, and never sees its hold-out."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import TrialState
from typer.testing import CliRunner, Result

from agent.cli import app
from simulators import cli
from simulators.scenario import load_policies
from simulators.tuning import Tuning
from simulators.tuning_choice import front
from simulators.tuning_outcome import TuningOutcome, concluded
from simulators.tuning_problem import Problem, load
from simulators.tuning_study import FINISHED, StudyRefused, study_of
from tests.simulators.tuned import SPACE, Died, Known, problem, written

ONE_OBJECTIVE = ("  - measure: replica_hours\n", "")
BY_CHANCE = ("kind: tpe", "kind: random")
SIX_SEEDS = ("seeds: [1, 2, 3]", "seeds: [1, 2, 3, 4, 5, 6]")
Trials = list[tuple[int, str, dict[str, Any], list[float] | None]]


def journal_of(asked: Problem, name: str = "small") -> str:
    """A storage that costs a test less than a database."""
    return f"journal:///{Path(asked.file).parent}/{name}.log"


def tuned(asked: Problem, workers: Known, *, trials: int = 12, storage: str = "", **options: Any) -> Trials:
    """All finished trials of the study after tuning went on in it: number, state, parameters, values."""
    with study_of(asked, storage or journal_of(asked)) as study:
        tuning = Tuning(asked, study, workers, trials=trials, **options)
        tuning.before()
        tuning.run()
        return finished(study)


def finished(study: Any) -> Trials:
    return [(each.number, each.state.name, each.params, each.values) for each in study.get_trials(states=FINISHED)]


def concluded_with(asked: Problem, workers: Known) -> TuningOutcome | None:
    storage = journal_of(asked)
    with study_of(asked, storage) as study:
        tuning = Tuning(asked, study, workers, trials=12)
        tuning.before()
        return concluded(tuning, tuning.run(), storage=storage, date="2030-01-02")


def test_hold_out_is_played_once_a_trial_is_chosen(tmp_path: Path) -> None:
    """Until the choice only the runs of tuning are played; then the hold-out, under the untuned settings and under the chosen."""
    asked, workers = problem(tmp_path), Known()
    tuned(asked, workers)
    assert set(workers.asked) == {("tuned", 1), ("tuned", 2), ("tuned", 3)}
    after = Known()
    outcome = concluded_with(asked, after)
    assert outcome is not None
    assert after.asked == [("held_out", 1), ("held_out", 9)] * 2
    assert [(each["scenario"], each["seed"]) for each in outcome.hold_out.runs] == [("held_out", 1), ("held_out", 9)]


def test_one_seed_gives_one_row_of_trials(tmp_path: Path) -> None:
    """With one worker, the trials depend on the problem only; another seed of the sampler gives others."""
    asked = problem(tmp_path)
    first = tuned(asked, Known(), storage=f"sqlite:///{tmp_path}/first.db")
    assert tuned(asked, Known(), storage=f"sqlite:///{tmp_path}/second.db") == first
    assert tuned(asked, Known(), storage=f"journal:///{tmp_path}/third.log") == first
    other = problem(tmp_path, ("seed: 3", "seed: 4"))
    assert tuned(other, Known(), storage=journal_of(other, "other")) != first


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_a_study_that_died_goes_on_as_if_it_had_not(tmp_path: Path, scheme: str) -> None:
    """Dying at any run, again and again, changes no trial, and no run of a trial that was kept is played again."""
    asked, unbroken = problem(tmp_path), Known()
    whole = tuned(asked, unbroken, storage=journal_of(asked, "whole"))
    broken, storage, played = whole[:0], f"{scheme}:///{tmp_path}/broken.study", 0
    for dies_at in (1, 4, 2, 5, 3, None):
        workers = Known(dies_at=dies_at)
        try:
            broken = tuned(asked, workers, storage=storage)
        except Died:
            with study_of(asked, storage) as study:
                assert finished(study) == whole[: len(finished(study))]
        played += len(workers.asked)
    assert broken == whole
    assert (
        played == len(unbroken.asked) + 1
    )  # the runs before tuning are kept together, so one of theirs was played twice


def test_untuned_settings_are_the_first_trial_and_cost_nothing(tmp_path: Path) -> None:
    """Their runs were played to know what was before."""
    workers = Known()
    (first, *_) = tuned(problem(tmp_path), workers, trials=1)
    assert first[2] == {"policies[0].target": 0.9, "target_utilization.down_window_s": 20}
    assert len(workers.asked) == 3


def test_equal_parameters_are_not_played_again(tmp_path: Path) -> None:
    """A trial that repeats another takes its values."""
    low = ("{low: 0.2, high: 0.95}", "{choices: [0.5, 0.9]}")
    asked, workers = problem(tmp_path, low, ("{low: 10, high: 100, int: true}", "{choices: [20, 30]}")), Known()
    trials = tuned(asked, workers)
    assert len(trials) == 12
    assert len(workers.asked) <= 4 * 3


def test_pruning_by_bounds_loses_no_trial_of_the_front(tmp_path: Path) -> None:
    """With bounds that nothing can beat, trials are given up, and the front is that of a study that plays all of them."""
    fronts, counts = [], []
    for kind in ("none", "dominated"):
        pruner = f"pruner: {{kind: {kind}, startup_trials: 1}}"
        asked = problem(tmp_path, BY_CHANCE, SIX_SEEDS, ("trials: 12", pruner))
        with study_of(asked, journal_of(asked, kind)) as study:
            tuning = Tuning(asked, study, Known(), trials=25)
            tuning.before()
            tuning.run()
            fronts.append(front(asked.settings.objectives, tuning.points()))
            counts.append(sum(each.state is TrialState.PRUNED for each in study.get_trials()))
    assert fronts[0] == fronts[1]
    assert counts[0] == 0
    assert counts[1] > 0


def test_pruning_by_what_was_seen_gives_up_more(tmp_path: Path) -> None:
    """The best that any trial had in a run is a nearer bound than zero."""
    pruned = []
    for assume in ("bound", "seen"):
        pruner = f"pruner: {{kind: dominated, startup_trials: 1, assume: {assume}}}"
        asked = problem(tmp_path, BY_CHANCE, ("trials: 12", pruner))
        trials = tuned(asked, Known(), trials=25, storage=journal_of(asked, assume))
        pruned.append(sum(state == "PRUNED" for _, state, _, _ in trials))
    assert pruned[0] < pruned[1]


@pytest.mark.parametrize("kind", ["median", "percentile", "wilcoxon"])
def test_pruners_of_optuna_see_every_run_of_one_objective(tmp_path: Path, kind: str) -> None:
    """They give trials up, and keep the best of a study that gives up none."""
    pruner = f"pruner: {{kind: {kind}, warmup_runs: 2}}"
    asked = problem(tmp_path, BY_CHANCE, SIX_SEEDS, ONE_OBJECTIVE, ("trials: 12", pruner))
    trials = tuned(asked, Known(), trials=20)
    whole = problem(tmp_path, BY_CHANCE, SIX_SEEDS, ONE_OBJECTIVE, ("trials: 12", "pruner: {kind: none}"))
    best = min(values for *_, values in tuned(whole, Known(), trials=20, storage=journal_of(whole, "whole")) if values)
    assert any(state == "PRUNED" for _, state, *_ in trials)
    assert min(values for _, state, _, values in trials if state == "COMPLETE" and values) == best


def test_a_run_that_breaks_fails_its_trial_only(tmp_path: Path) -> None:
    """The reason is kept; the other trials go on, and none that failed is chosen."""
    asked = problem(tmp_path)
    workers = Known(fails=lambda task: task.scenario.settings.policies[0].parameters["target"] < 0.5)
    with study_of(asked, journal_of(asked)) as study:
        tuning = Tuning(asked, study, workers, trials=12)
        tuning.before()
        tuning.run()
        failed = study.get_trials(states=(TrialState.FAIL,))
        assert {each.user_attrs["why"] for each in failed} == {"it broke"}
        assert all(each.params["policies[0].target"] < 0.5 for each in failed)
        assert len(failed) + len(tuning.points()) + len(study.get_trials(states=(TrialState.PRUNED,))) == 12


def test_no_trial_goes_on_once_time_is_over(tmp_path: Path) -> None:
    """Each look at the clock is a second; what was finished within the time is there, and the rest waits for the next call."""
    asked, seconds = problem(tmp_path), iter(range(10_000))
    within = tuned(asked, Known(), timeout_s=20.0, clock=lambda: float(next(seconds)))
    assert 1 <= len(within) < 12
    assert tuned(asked, Known())[: len(within)] == within


def test_study_of_another_problem_is_refused(tmp_path: Path) -> None:
    """Trials of other runs or ranges can not be compared; more trials of the same may join."""
    tuned(problem(tmp_path), Known(), trials=1)
    assert len(tuned(problem(tmp_path, ("trials: 12", "trials: 2")), Known(), trials=2)) == 2
    other = problem(tmp_path, ("seeds: [1, 2, 3]", "seeds: [1, 2]"))
    with pytest.raises(StudyRefused, match="begun with other policies, parameters, scenarios, seeds"):
        tuned(other, Known())


def test_study_in_use_is_refused(tmp_path: Path) -> None:
    """Two processes would both take up the trials that run."""
    asked = problem(tmp_path)
    with study_of(asked, journal_of(asked)), pytest.raises(StudyRefused, match="another process tunes this study"):
        tuned(asked, Known())


def test_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    """Nothing is written over."""
    file = tmp_path / "notes.db"
    file.write_text("these are notes, and no database" * 100)
    before = file.read_bytes()
    with pytest.raises(StudyRefused, match="can not be opened as a study"):
        tuned(problem(tmp_path), Known(), storage=f"sqlite:///{file}")
    assert file.read_bytes() == before


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    if "sim" not in {group.name for group in app.registered_groups}:
        cli.register(app)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> Result:
        return CliRunner().invoke(app, ["sim", *words])

    return call


def test_tuning_writes_policies_that_sim_run_plays(command: Any, tmp_path: Path) -> None:
    """The file holds the chosen policies, where they came from, and nothing that `sim run --policy` refuses."""
    written(tmp_path)
    told = command(
        "tune",
        "SPACE.yaml",
        "--trials",
        "3",
        "--jobs",
        "1",
        "--json",
        "o.json",
        "--report",
        "r",
        "--date",
        "2030-01-02",
    )
    assert told.exit_code == 0, told.output
    outcome = json.loads((tmp_path / "o.json").read_text())
    text = (tmp_path / "small.tuned.yaml").read_text()
    chosen = outcome["chosen"]["parameters"]
    assert load_policies(tmp_path / "small.tuned.yaml") == load(tmp_path / "SPACE.yaml").tuned(chosen)
    for words in (
        "on 2030-01-02",
        "small, in small.study.db",
        f"trial:      {outcome['chosen']['trial']} of 3",
        "seeds 1, 9",
    ):
        assert words in text
    assert command("run", "held_out.scenario.yaml", "--policy", "small.tuned.yaml", "--json", "run.json").exit_code == 0
    played = json.loads((tmp_path / "run.json").read_text())["totals"]
    assert outcome["trials"] == {"complete": 3, "pruned": 0, "failed": 0, "running": 0}
    assert set(outcome["hold_out"]) == {"before", "after", "improvement", "runs"}
    assert set(played) >= set(outcome["hold_out"]["after"])
    page = (tmp_path / "r" / "index.html").read_text()
    for title in (
        "Pareto front",
        "Importance of parameters for replica_hours",
        "History of",
        "Before and after on the hold-out",
    ):
        assert title in page
    assert "<script src=" not in page
    assert "<link" not in page


def test_processes_change_no_result(command: Any, tmp_path: Path) -> None:
    """Trials by chance are the same trials in one process or in two."""
    written(tmp_path, BY_CHANCE)
    values = []
    for jobs in ("1", "2"):
        words = ("--storage", f"sqlite:///{jobs}.db", "--json", f"{jobs}.json", "--jobs", jobs, "--trials", "4")
        assert command("tune", "SPACE.yaml", *words).exit_code == 0
        told = json.loads((tmp_path / f"{jobs}.json").read_text())
        values.append({key: told[key] for key in ("front", "chosen", "training", "hold_out")})
    assert values[0] == values[1]


def test_nothing_finished_is_said(command: Any, tmp_path: Path) -> None:
    """Without time there is no trial to choose; the exit code is 1, and no policy file is written."""
    written(tmp_path)
    told = command("tune", "SPACE.yaml", "--jobs", "1", "--timeout-s", "0")
    assert told.exit_code == 1
    assert "no trial was played whole; expected more time" in told.stderr
    assert not (tmp_path / "small.tuned.yaml").exists()


def rows(file: Path) -> list[tuple[int, str]]:
    """Finished trials, as the file of a study tells them while another process writes it."""
    if not file.is_file():
        return []
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as kept:
        query = "select number, state from trials where state in ('COMPLETE', 'PRUNED', 'FAIL') order by number"
        try:
            return kept.execute(query).fetchall()
        except sqlite3.OperationalError:  # no tables yet
            return []


def test_kill_loses_no_finished_trial(command: Any, tmp_path: Path) -> None:
    """After kill -9 the same command goes on: finished trials are as they were, and none is left running."""
    written(tmp_path)
    storage = f"sqlite:///{tmp_path}/killed.db"
    words = ["sim", "tune", "SPACE.yaml", "--jobs", "1", "--trials", "100000", "--storage", storage]
    code = "from agent.cli import main; main()"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=tmp_path, stdout=log, stderr=log)
        try:
            deadline_s = time.monotonic() + 120.0
            while len(rows(tmp_path / "killed.db")) < 3 and process.poll() is None and time.monotonic() < deadline_s:
                time.sleep(0.05)  # a process of its own has no clock that could be stepped
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    asked = load(tmp_path / "SPACE.yaml")
    with study_of(asked, storage) as study:
        kept = finished(study)
    assert len(kept) >= 3, (tmp_path / "log").read_text()
    told = command("tune", "SPACE.yaml", "--jobs", "1", "--storage", storage, "--trials", str(len(kept) + 2))
    assert told.exit_code == 0, told.output
    assert f"going on with study small: {len(kept)} complete" in told.stderr
    with study_of(asked, storage) as study:
        assert finished(study)[: len(kept)] == kept
        assert len(finished(study)) == len(study.trials) == len(kept) + 2


# -- what is wrong with a SPACE.yaml -----------------------------------------------------------------------------

BAD = [
    ("trials: 12", "trails: 12", 13, "trails: unknown key; did you mean 'trials'?"),
    ("trials: 12", "trials: 0", 13, "trials: found 0; expected at least 1"),
    ("low: 0.2, high: 0.95", "low: 0.95, high: 0.2", 5, "expected low below high, got low 0.95 and high 0.2"),
    ("low: 0.2, high: 0.95", "low: 0, high: 0.95", 5, "parameters.policies[0].target: found 0.0; "),
    ("low: 0.2, high: 0.95", "low: 0, high: 0.95, log: true", 5, "expected low above 0 and no step where log is true"),
    ("low: 0.2, high: 0.95", "low: 0.2, high: 0.95, step: 0.2", 5, "expected steps of 0.2 to lead from 0.2 to 0.95"),
    ("low: 0.2, high: 0.95", "low: 0.2, choices: [1, 2]", 5, "expected either low and high, or choices"),
    ("low: 10, high: 100, int", "low: 10.5, high: 100, int", 6, "expected whole numbers for low, high and step"),
    ("policies[0].target", "policies[3].target", 5, "there are 1 policies"),
    ("target_utilization.down", "joint_utilization.down", 6, "no policy is called 'joint_utilization'"),
    ("target_utilization.down_window_s", "target_utilization.down", 6, "target_utilization.down: found 10; "),
    ("policies[0].target", "target", 5, "expected a path such as policies[0].target or target_utilization.target"),
    ("[tuned.scenario.yaml]", "[none-*.yaml]", 7, "found 'none-*.yaml', which no file in"),
    ("[tuned.scenario.yaml]", "['']", 7, "found '', which no file in"),
    ("seeds: [1, 9]", "seeds: []", 9, "hold_out.seeds: found []; "),
    ("{scenarios: [held_out.scenario.yaml], ", "{", 9, "seed 1 is played in tuning too"),
    ("measure: replica_hours", "measure: replica_ours", 12, "there is no measure 'replica_ours'"),
    ("measure: replica_hours", "measure: models.bank.replica_hours", 12, "there is no measure 'models.bank.replica_hours'"),
    ("measure: replica_hours", "measure: slo_violation_rate", 10, "found 'slo_violation_rate' 2 times"),
    ("trials: 12", "pruner: {kind: median}", 13, "found 'median', which knows one objective"),
    ("low: 0.2, high: 0.95", "choices: [0.5, 0.5]", 5, "choices: found [0.5, 0.5]; expected each value once, and 0.5 is there"),
    ("low: 0.2, high: 0.95", "choices: [[1], 2]", 5, "choices[0]: found [1]; expected true or false, a whole number, a number or text"),
    ("low: 0.2, high: 0.95", "choices: 3", 5, "parameters.policies[0].target.choices: found 3; expected a list, such as [3]"),
    ("low: 0.2, high: 0.95", "choices: []", 5, "found {'choices': []}; expected either low and high, or choices"),
    ("low: 0.2, high: 0.95", "low: 0.2", 5, "policies[0].target: found {'low': 0.2}; expected high beside it, or choices"),
    ("policies[0].target", "policies[0].targt", 5, "has no parameter 'targt'; did you mean 'target'?"),
    ("seeds: [1, 2, 3]", "seeds: [1, 2, 1]", 8, "seeds: found [1, 2, 1]; expected each value once, and 1 is there twice"),
    ("seeds: [1, 9]", "seeds: [9, 9]", 9, "hold_out.seeds: found [9, 9]; expected each value once, and 9 is there twice"),
    ("scenarios: [held_out.scenario.yaml]", "scenarios: []", 9, "hold_out.scenarios: found []; expected at least 1 value"),
    ("[tuned.scenario.yaml]", "[]", 7, "scenarios: found []; expected at least 1 value"),
    ("[tuned.scenario.yaml]", "[a.yaml, a.yaml]", 7, "expected each value once, and 'a.yaml' is there twice"),
    ("kind: tpe", "kind: TPE", 14, "sampler.kind: found 'TPE'; expected one of tpe, random or nsga2; did you mean 'tpe'?"),
    ("trials: 12", "choose: kne", 13, "choose: found 'kne'; expected knee, or a mapping with least or most, and where"),
    ("trials: 12", "storage: mysql://there", 13, "expected sqlite:///FILE or journal:///FILE"),
    ("trials: 12", "choose: {least: p99_s}", 13, "found 'p99_s'; expected one of the objectives: slo_violation_rate, "),
    ("trials: 12", "choose: {least: replica_hours, where: [cheap]}", 13, "expected a measure, a comparison and a number"),
    ("trials: 12", "choose: {where: [replica_hours < 3]}", 13, "expected least or most beside where"),
    ("trials: 12", "policy_file: no.yaml\ntrials: 12", 2, "expected either policies or policy_file"),
    ("use: target_utilization, target: 0.9", "use: target_utilisation, target: 0.9", 3, "policies[0]: unknown policy 'target_uti"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[new for _, new, *_ in BAD])
def test_bad_space_is_told_by_file_line_and_key(command: Any, tmp_path: Path, bad: tuple[str, str, int, str]) -> None:
    """Exit code 2, before anything is played or written."""
    old, new, line, told = bad
    written(tmp_path, (old, new))
    found = command("tune", "SPACE.yaml")
    assert found.exit_code == 2, found.output
    assert any(each.startswith(f"SPACE.yaml:{line}: ") and told in each for each in found.stderr.splitlines()), (
        found.stderr
    )
    assert not list(tmp_path.glob("*.db*"))


def test_bad_options_are_told(command: Any, tmp_path: Path) -> None:
    """What the command line says is checked as strictly."""
    written(tmp_path)
    found = command("tune", "SPACE.yaml", "--storage", "redis://x")
    assert (found.exit_code, "--storage: found 'redis://x'" in found.stderr) == (2, True)
    for number in ("1e400", "inf"):
        found = command("tune", "SPACE.yaml", "--timeout-s", number)
        told = " ".join(found.stderr.replace("│", " ").split())
        assert (found.exit_code, "expected a finite number" in told) == (2, True), told
    found = command("tune", "nothing.yaml")
    assert (found.exit_code, "nothing.yaml: can not be read" in found.stderr) == (2, True)


def test_schema_knows_every_key(command: Any) -> None:
    """`--schema` serves editors; what it lists is what a SPACE.yaml may hold."""
    told = json.loads(command("tune", "--schema").stdout)
    assert set(yaml.safe_load(SPACE)) <= set(told["properties"])
    assert "int" in told["$defs"]["ParameterSettings"]["properties"]
