"""The played fidelity: real answers, late labels, rows that may be trained on, pairs, and what a run as a whole is."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.journal.record import Kind
from agent.monitoring.intake import LABEL
from agent.monitoring.losses import brier
from agent.settings import DriftSettings
from policies.observation import JobState, Quarantined
from simulators.changes import Change
from simulators.learning import LOOK_S, seed_of
from simulators.played_learning import PlayedLearning, PlayedModel
from simulators.row_streams import FileStream, GeneratedStream
from simulators.run import Simulation
from simulators.scenario import ScenarioError, parse_scenario
from tests.simulators.counted import counters

RATE = 20
SCENARIO = """\
name: played
seed: 4
duration_s: 1500
tick_s: 10
cluster: {nodes: [{count: 1, cpus: 8}]}
lifecycle: {cold_start: {kind: constant, seconds: 3}}
models:
  m:
    traffic: [{kind: steady, rate_rps: 4}]
    service: {kind: constant, seconds: 0.01}
    slo_latency_s: 0.5
    learning:
      fidelity: played
      generate: {features: 4}
      changes: [{kind: harmful, at_s: 400, harm: 0.8}]
      trials: 2
      trial_s: 10
      label_delay_s: 20
      first_rows: 400
      drift: {window_rows: 200}
policies:
  - {use: staged, stage_min_s: 20, min_rows: 100, steps: [0.5], error_margin: 0.05}
  - {use: on_drift, min_rows: 200, min_rows_after_drift: 200, settle_s: 60}
"""


class Mean:
    """A recipe that answers the mean of the labels, and keeps the rows that it was fitted on."""

    name = "mean"
    fitted: list[pd.DataFrame] = []  # noqa: RUF012 - emptied by each test that reads it

    def space(self) -> dict:
        return {}

    def fit(self, rows, labels, parameters, seed):
        Mean.fitted.append(rows)
        return Constant(float(labels.mean()))


class Constant:
    columns = ("number",)

    def __init__(self, answer: float) -> None:
        self.answer = answer

    def predict(self, rows) -> list[float]:
        return [self.answer] * len(rows)


class Course:
    """A model that learns means of a stream whose label turns from 0 to 1 at row 500; `RATE` requests a look, a row each."""

    def __init__(self, **learning) -> None:
        numbers = pd.DataFrame({"number": np.arange(2000.0)})
        labels = (np.arange(2000) >= 500).astype(float)
        rows = FileStream(features=numbers, labels=labels)
        plain = {
            "stream": lambda seed: rows,
            "recipes": (f"{__name__}:Mean",),
            "drift": DriftSettings(window_rows=50),
            "first_rows": 100,
            "label_delay_s": 20.0,
            "trials": 1,
        }
        self.model: PlayedModel = PlayedLearning(**(plain | learning), allowed=(__name__,)).model(
            "m", np.random.SeedSequence(0)
        )
        self.at_s = 0.0
        self.champion = self.copies = 0

    def until(self, at_s: float, *, copied: bool = False) -> None:
        while self.at_s < at_s:
            self.at_s += LOOK_S
            self.champion += RATE
            self.copies += RATE if copied else 0
            beside = counters(self.at_s, self.copies) if self.model.rollout is not None else None
            self.model.counted(self.at_s, counters(self.at_s, self.champion), beside, (0, self.copies))

    def train(self, since_s: float | None = None) -> str | None:
        Mean.fitted.clear()
        self.model.train("job", self.at_s, since_s, None)
        self.model.end_training(self.at_s, JobState.SUCCEEDED)
        return self.model.job.version

    @property
    def report(self):
        return self.model.seen(self.at_s).report


def test_rows_are_consumed_in_order_as_requests_are_answered() -> None:
    """Losses are those of the real answers to the real rows: version 1 says 0, and from row 500 on the truth is 1."""
    course = Course()
    course.until(400.0)
    assert (course.model.loss_rows, course.model.loss_total) == (800, 400.0)
    assert course.model.frozen_total == 400.0
    assert course.report.rows == 800


@pytest.mark.parametrize(("rows_per_request", "rows"), [(0.5, 400), (0.33, 264), (2.0, 1600)])
def test_a_request_may_stand_for_a_part_of_a_row_or_for_several(rows_per_request: float, rows: int) -> None:
    course = Course(rows_per_request=rows_per_request)
    course.until(400.0)
    assert course.report.rows == rows


def test_a_stream_that_has_ended_gives_no_rows_more() -> None:
    """1,900 rows after the first 100; the requests go on."""
    course = Course()
    course.until(2000.0)
    assert course.model.loss_rows == 1900


def test_labels_come_by_key_after_their_delay() -> None:
    """Some never come; those that are away wait; those that are lost can not be trained on."""
    course, some = Course(), Course(label_share=0.5)
    for each in (course, some):
        each.until(20.0)
        assert each.report.labelled_rows == 0
        each.until(30.0)
    assert course.report.labelled_rows == RATE
    some.until(500.0)
    assert some.report.labelled_rows == pytest.approx(480, abs=60)
    course.model.labels_away = True
    course.until(100.0)
    held = course.report.labelled_rows
    course.model.labels_away, course.model.labels_lost = False, True
    course.until(110.0)
    course.model.labels_lost = False
    course.until(120.0)
    assert (held, course.report.labelled_rows) == (RATE, 2 * RATE)


def test_a_training_takes_the_labelled_rows_that_were_not_set_aside() -> None:
    """Exactly those: by arrival, since the asked moment, none of the quarantine, none whose label is still to come."""
    course = Course()
    course.until(100.0)
    course.model.quarantined = (Quarantined(since_s=50.0, until_s=60.0),)
    assert course.train(since_s=40.0) == "2"
    taken = Mean.fitted[-1]["number"].tolist()
    assert taken == [100.0 + n for n in (*range(80, 100), *range(120, 160))]
    assert (course.model.job.rows, course.model.job.best_score) == (60, 0.0)
    assert course.model.job_spans == [(40.25, 50.0), (60.0, pytest.approx(79.75))]


def test_a_training_that_can_make_nothing_fails_and_says_why() -> None:
    """Too few rows are told with their number."""
    course = Course()
    course.until(50.0)
    course.model.quarantined = (Quarantined(since_s=0.0, until_s=20.0),)
    assert course.train() is None
    assert course.model.job.message == "only 20 labelled rows may be trained on; at least 50 are needed"


def test_the_paired_comparison_is_that_of_real_answers_to_copies() -> None:
    """Version 1 says 0, version 2 what it was taught; the truth is 1. Nothing is known before the labels of the copies come."""
    course = Course()
    course.until(400.0)
    version = course.train(since_s=250.0)
    assert version == "2"
    answer = course.model._fitted["2"].answer
    course.model.begin_rollout(version, course.at_s)
    course.model.set_rollout(ready=True, shadow=1.0)
    course.until(420.0, copied=True)
    assert course.model.rollout.comparison.paired_loss.n == 0
    course.until(500.0, copied=True)
    paired = course.model.rollout.comparison.paired_loss
    assert (paired.n, paired.mean) == (8 * RATE, pytest.approx(brier(answer, 1.0) - 1.0))
    course.model.promote(version, course.at_s)
    frozen, lost = course.model.frozen_total, course.model.loss_total
    course.until(600.0)
    assert course.model.loss_total - lost == pytest.approx(10 * RATE * brier(answer, 1.0))
    assert course.model.frozen_total - frozen == pytest.approx(10 * RATE)
    assert course.report.version == "2"


def test_a_defect_makes_a_version_answer_the_opposite_in_part() -> None:
    """By a fifth: 0.2 where it would have said 0."""
    course = Course(bad_versions={1: 0.2})
    course.until(100.0)
    assert course.model.loss_total == pytest.approx(10 * RATE * 0.04)


def test_what_is_remembered_is_bounded() -> None:
    """The newest `rows_max` labelled rows, and models of the newest versions."""
    course = Course(rows_max=100, first_rows=50)
    for at_s in range(100, 1600, 100):
        course.until(float(at_s))
        course.model.candidates = ()
        course.train()
    assert len(course.model._log) == 100
    assert len(course.model._fitted) <= 10
    assert len(course.model._waiting) <= 3 * RATE


def test_an_incident_shows_in_the_monitors_as_broken_rows_and_a_harmless_shift_as_one_of_features() -> None:
    """The agent's own monitors say so, none of them told."""
    kinds = {}
    for kind in ("incident", "harmless"):
        change = Change(kind=kind, at_s=1000.0, harm=1.0)

        def generated(seed, change=change):
            return GeneratedStream(seed=seed_of(seed, "x"), features=4, changes=(change,))

        course = Course(stream=generated, recipes=("prior",), drift=DriftSettings(window_rows=200))
        course.until(1000.0)
        assert course.report.symptoms == ()
        course.until(1600.0)
        kinds[kind] = {each.kind for each in course.report.symptoms}
    assert kinds == {"incident": {"data_quality"}, "harmless": {"feature_drift"}}


# -- whole runs --------------------------------------------------------------------------------------------------


def played(seed: int = 4, *, cuts: int = 0) -> Simulation:
    simulation = Simulation(parse_scenario(SCENARIO, "played.yaml", Path()), seed)
    for n in range(cuts):
        at_s = 1500.0 * (n + 0.37) / cuts
        simulation.engine.at(at_s, "somebody looks", simulation.world.catch_up)
    return simulation


def test_an_agent_learns_again_and_beats_the_model_that_stays_and_the_cut_changes_nothing() -> None:
    """One seed, one journal, in however many pieces it is played; another seed gives another."""
    runs = [played(), played(cuts=101), played(seed=5)]
    results = [each.run() for each in runs]
    hashes = [each.journal_sha256 for each in results]
    assert (hashes[0] == hashes[1], hashes[0] == hashes[2]) == (True, False)
    model = results[0].measures["models"]["m"]
    assert (model["retrainings"] >= 1, model["promotions"] >= 1) == (True, True)
    assert model["mean_loss"] < 0.75 * model["frozen_loss"]
    assert math.isclose(results[0].measures["mean_loss"], results[1].measures["mean_loss"])


def test_wild_labels_are_refused_at_the_door_of_the_real_monitors() -> None:
    """1e150 is the label of nothing: every one is counted with its reason, the loss stays that of the rows, and all can be written."""
    wild = SCENARIO.replace("policies:", "faults: [{kind: labels_wild, at_s: 100, for_s: 200}]\npolicies:")
    simulation = Simulation(parse_scenario(wild, "played", Path()), 4)
    simulation.engine.run(400.0)
    report = simulation.world.observe(400.0).models["m"].report
    assert report is not None
    assert list(report.refused) == [LABEL]
    assert report.refused[LABEL] == pytest.approx(800, abs=80)
    assert 0.0 <= report.loss <= 1.0
    assert simulation.journal.last(Kind.OBSERVED).at_s == 400.0


def test_broken_rows_are_set_aside_all_of_them_and_nothing_is_learned_from_them() -> None:
    """Half of the features are missing from 400 s to 700 s: quarantine, no training, and the first version serves on."""
    text = SCENARIO.replace("kind: harmful, at_s: 400, harm: 0.8", "kind: incident, at_s: 400, until_s: 700, harm: 1")
    simulation = Simulation(parse_scenario(text, "played.yaml", Path()), 4)
    measures = simulation.run().measures["models"]["m"]
    assert (measures["retrainings"], measures["promotions"]) == (0, 0)
    aside = simulation.world.served["m"].model.quarantined
    assert aside[0].since_s <= 400.0
    assert aside[-1].until_s >= 700.0
    assert all(earlier.until_s == later.since_s for earlier, later in pairwise(aside))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "generate: {features: 4}",
            "generate: {features: 2}",
            r"played.yaml:14: .*features: found 2; expected at least 3",
        ),
        ("generate: {features: 4}", "generat: 4", r"played.yaml:14: .*generat: unknown key; did you mean 'generate'"),
        ("generate: {features: 4}", "target: y", r"played.yaml:12: .*expected either a stream or generate"),
        ("generate: {features: 4}", "stream: rows.csv", "a stream needs a target"),
        ("fidelity: played", "fidelity: real", "played.yaml:12: .*expected fidelity: modelled or"),
        (
            "trials: 2",
            "recipes: [logistik]",
            r"played.yaml:16: .*recipes\[0\]: unknown recipe 'logistik'.*did you mean",
        ),
        ("harm: 0.8", "harm: 1.8", "harm of a played change is a part, up to 1"),
        ("kind: harmful, at_s: 400", "kind: recurring, at_s: 400", "a recurring change needs it"),
        (
            "drift: {window_rows: 200}",
            "drift: {loss: absolute}",
            "the loss of a binary task is brier, log_loss or zero_one",
        ),
        ("drift: {window_rows: 200}", "drift: {label_wait_s: 10}", "label_wait_s must be above label_delay_s"),
    ],
)
def test_a_scenario_that_can_not_be_played_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    """File, line, key, what was found and what was expected."""
    assert old in SCENARIO
    with pytest.raises(ScenarioError, match=message):
        parse_scenario(SCENARIO.replace(old, new), "played.yaml", Path())


def test_a_stream_is_checked_where_it_is_at_hand(tmp_path: Path) -> None:
    """A wrong column, too few rows, and changes that a real stream can not have; a file that is not here is no fault of the scenario."""
    (tmp_path / "rows.csv").write_text("x,y\n" + "1,0\n0,1\n" * 300)
    given = SCENARIO.replace("generate: {features: 4}", "stream: rows.csv\n      target: y").replace(
        "changes: [{kind: harmful, at_s: 400, harm: 0.8}]", "rows_max: 500"
    )
    assert parse_scenario(given, "p.yaml", tmp_path).settings.models["m"].learning.target == "y"
    wrong = {
        given.replace("target: y", "target: z"): r"p.yaml:14: models.m.learning.stream: .*no column 'z'",
        given.replace("first_rows: 400", "first_rows: 600"): "has 600 rows; expected more than first_rows, 600",
        given.replace(
            "rows_max: 500", "changes: [{kind: season, at_s: 1, until_s: 9}]"
        ): "only an incident can be played",
    }
    for text, message in wrong.items():
        with pytest.raises(ScenarioError, match=message):
            parse_scenario(text, "p.yaml", tmp_path)
    absent = given.replace("rows.csv", "none.csv")
    assert parse_scenario(absent, "p.yaml", tmp_path).settings.models["m"].learning.stream == "none.csv"


@pytest.mark.parametrize(
    ("rows", "changed", "message"),
    [
        ("1,1\n2,2\n", {}, r"p.yaml:15: models.m.learning.target: column 'y' holds 1, 2; expected 0 and 1, or give"),
        ("1,-1\n2,1\n", {}, r"p.yaml:15: .*column 'y' holds -1, 1"),
        ("1,350.5\n2,120\n3,7\n4,8\n5,9\n6,10\n", {}, r"column 'y' holds 7, 8, 9, 10, 120 \.\.\.; expected 0 and 1"),
        ("1,1\n2,1\n", {}, r"p.yaml:15: .*column 'y' holds 1 only; two classes are needed"),
        (
            "1,350.5\n2,120\n",
            {"drift: {window_rows: 200}": "drift: {loss: absolute}\n      task: regression\n      recipes: [logistic]"},
            r"recipes\[0\]: recipe 'logistic' is for labels of 0 and 1, and the task is regression",
        ),
    ],
)
def test_labels_that_no_recipe_can_learn_are_told_before_anything_runs(
    tmp_path: Path, rows: str, changed: dict, message: str
) -> None:
    """At the line of the column or the recipe, with what was found."""
    (tmp_path / "rows.csv").write_text("x,y\n" + rows * 300)
    given = SCENARIO.replace("generate: {features: 4}", "stream: rows.csv\n      target: y").replace(
        "changes: [{kind: harmful, at_s: 400, harm: 0.8}]", "rows_max: 500"
    )
    for old, new in changed.items():
        given = given.replace(old, new)
    with pytest.raises(ScenarioError, match=message):
        parse_scenario(given, "p.yaml", tmp_path)


def test_first_rows_of_one_class_are_told_with_the_row_of_the_other(tmp_path: Path) -> None:
    """A rare class: no first version can be fitted, and people learn how many rows it takes."""
    (tmp_path / "rows.csv").write_text("x,y\n" + "1,0\n" * 500 + "2,1\n" + "1,0\n" * 100)
    given = SCENARIO.replace("generate: {features: 4}", "stream: rows.csv\n      target: y").replace(
        "changes: [{kind: harmful, at_s: 400, harm: 0.8}]", "rows_max: 500"
    )
    told = "learning.first_rows: the first 400 rows hold one class only, 0; the first 1 is row 501"
    with pytest.raises(ScenarioError, match=told):
        parse_scenario(given, "p.yaml", tmp_path)


def test_rows_whose_label_nobody_knows_are_answered_and_neither_judged_nor_learned_from() -> None:
    """Every second label is missing: half of the rows are lost or learned, all of them are watched."""
    numbers = pd.DataFrame({"number": np.arange(2000.0)})
    labels = np.where(np.arange(2000) % 2 == 0, np.nan, 1.0)
    course = Course(stream=lambda seed: FileStream(features=numbers, labels=labels), first_rows=200)
    assert [len(each) for each in Mean.fitted[-1:]] == [100]
    course.until(500.0)
    report = course.model._report(500.0)
    assert (course.model.loss_rows, report.rows) == (report.rows // 2, report.rows)
    assert 0 < report.labelled_rows <= report.rows // 2
    assert report.unknown_labels == 0
    course.train()
    assert Mean.fitted[-1]["number"].mod(2).eq(1).all()
