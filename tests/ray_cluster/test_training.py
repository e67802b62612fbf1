"""A training on Ray Tune with Optuna: what it registers, and how it ends."""

import math
import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray
from ray.util import placement_group_table

from agent.monitoring.rows import Labelled, Served
from agent.order import Order
from agent.ports import Refused
from agent.settings import Settings
from policies.action import Retrain, StopTraining
from policies.observation import JobState, Quarantined, Resources, TrainingJob
from ray_cluster import names
from ray_cluster.datalog import DataLog
from ray_cluster.registry import MlflowRegistry
from ray_cluster.testing import rows_of, settings_of, wait_until
from ray_cluster.training import TuneTrainer, read_record

pytestmark = pytest.mark.ray
NUMBERS = count()


def prepared(
    folder: Path,
    recipes: list[str],
    *,
    rows: int = 400,
    trials: int = 4,
    gpus: float = 0.0,
    labelled: Callable[[float], float] | None = None,
    **more: Any,
) -> Settings:
    """Settings of a model of its own, and `rows` labelled rows in its data log; `labelled` makes the label of `x`."""
    model = f"t{next(NUMBERS)}"
    training = {
        "recipes": recipes, "trials": trials, "time_budget_s": 60, "trial_cpus": 0.5, "trial_gpus": gpus,
        "study_url": f"sqlite:///{folder}/studies.db",
    }  # fmt: skip
    settings = settings_of(model, folder, models={model: {"training": training}}, **more)
    log = DataLog(settings.data_log.url, model)
    features, labels = rows_of(rows)
    for n, (x, label) in enumerate(zip(features["x"], labels, strict=True)):
        log.rows([Served(str(n), float(n), {"x": x}, 0.5, 0.0, "1", "r1")])
        log.labels([Labelled(str(n), float(n), label if labelled is None else labelled(x))])
    log.flush()
    return settings


def order(settings: Settings, action: Any, number: int = 1) -> Order:
    return Order(
        number=number, epoch=1, key=f"{settings.name}-{number}", action=action, because=(), policy="test",
        issued_at_s=time.time(), deadline_s=time.time() + 100.0,
    )  # fmt: skip


def model_of(settings: Settings) -> str:
    return next(iter(settings.models))


def ended(trainer: TuneTrainer, model: str) -> TrainingJob:
    def job() -> TrainingJob | None:
        found = trainer.job(model)
        return found if found is not None and found.state is not JobState.RUNNING else None

    return wait_until(job, timeout_s=120.0)


def leaked(job: str) -> list[str]:
    return [
        row["name"]
        for row in placement_group_table().values()
        if row["state"] == "CREATED" and row["name"].startswith(f"__tune_{job}")
    ]


def test_a_search_over_two_families_registers_its_best_and_the_next_goes_on_from_it(cluster, tmp_path: Path) -> None:
    """Both recipes are tried, the best becomes a candidate with a digest, and the study keeps the trials for the next search."""
    settings = prepared(tmp_path, ["logistic", "river_logistic"])
    model, trainer = model_of(settings), TuneTrainer(settings)
    trainer.start(order(settings, Retrain(model=model)))
    job = ended(trainer, model)
    record = read_record(model)
    assert (job.state, job.trials_done, job.rows, job.message) == (JobState.SUCCEEDED, 4, 400, "")
    assert set(record.recipes_tried) == {"logistic", "river_logistic"}
    registry = MlflowRegistry(settings.registry.tracking_uri)
    candidate = registry.view(model).candidates[0]
    assert (candidate.number, candidate.recipe, candidate.source) == (job.version, record.best_recipe, job.id)
    assert 0.0 < registry.load(model, candidate.number, candidate.digest).predict([{"x": 0.9}])[0] < 1.0
    trainer.start(order(settings, Retrain(model=model), 2))
    ended(trainer, model)
    storage = settings.models[model].training.study_url
    (name,) = [each for each in optuna.get_all_study_names(storage) if each.startswith(f"{model}-")]
    study = optuna.load_study(study_name=name, storage=storage)
    assert len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) == 8


def test_a_training_that_is_stopped_ends_soon_and_leaves_nothing_behind(cluster, tmp_path: Path) -> None:
    """Its finished trials are kept, no version is registered, and no resources stay reserved."""
    settings = prepared(tmp_path, ["hist_gradient_boosting"], trials=200)
    model, trainer = model_of(settings), TuneTrainer(settings)
    trainer.start(order(settings, Retrain(model=model)))
    wait_until(lambda: trainer.job(model).trials_done >= 1)
    trainer.start(order(settings, StopTraining(model=model), 2))
    job = ended(trainer, model)
    assert (job.state, job.version) == (JobState.STOPPED, None)
    assert MlflowRegistry(settings.registry.tracking_uri).view(model).candidates == ()
    wait_until(lambda: not leaked(job.id), timeout_s=15.0)


def test_a_training_whose_process_is_killed_has_failed_and_frees_what_it_held(cluster, tmp_path: Path) -> None:
    """Ray keeps a dead search's placement groups; the trainer removes them when it sees the death."""
    settings = prepared(tmp_path, ["hist_gradient_boosting"], trials=200)
    model, trainer = model_of(settings), TuneTrainer(settings)
    trainer.start(order(settings, Retrain(model=model)))
    wait_until(lambda: trainer.job(model).trials_done >= 1)
    ray.kill(ray.get_actor(names.training_actor(model), names.NAMESPACE), no_restart=True)
    job = ended(trainer, model)
    assert (job.state, job.message) == (JobState.FAILED, "its process died")
    wait_until(lambda: not leaked(job.id), timeout_s=15.0)


def test_a_training_whose_process_dies_is_resumed_from_its_study(cluster, tmp_path: Path) -> None:
    """Ray starts it again; it goes on counting where it was, tries what is left, and registers a version."""
    settings = prepared(tmp_path, ["hist_gradient_boosting"], trials=16)
    model, trainer = model_of(settings), TuneTrainer(settings)

    trainer.start(order(settings, Retrain(model=model)))
    # The runner itself is asked: a list of all actors can take longer than all trials, and then it is gone.
    runner = ray.get_actor(names.training_actor(model), names.NAMESPACE)
    pid = ray.get(runner.__ray_call__.remote(lambda _: os.getpid()))
    wait_until(lambda: trainer.job(model).trials_done >= 2, every_s=0.02)
    before = trainer.job(model).trials_done
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: trainer.job(model).trials_done > before) >= 1
    job = ended(trainer, model)
    assert (job.state, job.trials_done, job.version) == (JobState.SUCCEEDED, 16, "1")
    wait_until(lambda: not leaked(job.id), timeout_s=15.0)


def test_a_training_that_hangs_ends_itself_at_its_deadline(cluster, tmp_path: Path) -> None:
    """Nobody needs to stop it: it gives back what it holds, and the reason names the setting."""
    settings = prepared(tmp_path, ["tests.ray_cluster.odd_recipes:Hangs"], deadlines={"retrain_s": 4.0})
    model, trainer = model_of(settings), TuneTrainer(settings, allowed=("tests", "examples"))
    trainer.start(order(settings, Retrain(model=model)))
    job = ended(trainer, model)
    assert job.state in {JobState.FAILED, JobState.STOPPED}
    assert "4 s (deadlines.retrain_s)" in job.message
    wait_until(lambda: not leaked(job.id), timeout_s=15.0)


def test_a_trial_holds_the_cpus_and_gpus_of_the_settings_and_no_more_run_at_once_than_the_order_allows(
    cluster, tmp_path: Path
) -> None:
    """Ray is asked for a part of a GPU; the job's resources are those of the trials that the ledger has left room for."""
    settings = prepared(tmp_path, ["tests.ray_cluster.odd_recipes:TellsWhatItHolds"], gpus=0.5)
    model, trainer = model_of(settings), TuneTrainer(settings, allowed=("tests", "examples"))
    trainer.start(order(settings, Retrain(model=model, concurrent_trials=1)))
    job = ended(trainer, model)
    assert "CPU 0.5, GPU 0.5" in job.message
    assert job.resources == Resources(cpus=0.5, gpus=0.5)


def test_a_recipe_that_raises_fails_the_training_with_its_words(cluster, tmp_path: Path) -> None:
    """The message holds the recipe's own error; nothing is registered. The shop's recipe wants a column that is not there."""
    settings = prepared(tmp_path, ["examples.shop_managed.recipe:Threshold"])
    model, trainer = model_of(settings), TuneTrainer(settings, allowed=("tests", "examples"))
    trainer.start(order(settings, Retrain(model=model)))
    job = ended(trainer, model)
    assert job.state is JobState.FAILED
    assert "the rows have no column 'amount'" in job.message
    assert MlflowRegistry(settings.registry.tracking_uri).view(model).candidates == ()


def test_a_regression_of_a_users_own_is_trained_and_scored_in_its_units_where_nobody_names_a_loss(
    cluster, tmp_path: Path
) -> None:
    """`loss: auto` scores prices absolutely, the champion too; the recipe of the base rate beside it is the worse one."""
    settings = prepared(
        tmp_path,
        ["tests.ray_cluster.odd_recipes:Slope", "prior"],
        labelled=lambda x: 0.0 if math.isnan(x) else 900.0 * x,
    )
    model, trainer = model_of(settings), TuneTrainer(settings, allowed=("tests",))
    trainer.start(order(settings, Retrain(model=model)))
    job = ended(trainer, model)
    assert (job.state, job.message, read_record(model).best_recipe) == (JobState.SUCCEEDED, "", "slope")
    assert job.best_score == pytest.approx(0.0, abs=1e-6)
    registry = MlflowRegistry(settings.registry.tracking_uri)
    (candidate,) = registry.view(model).candidates
    assert registry.load(model, candidate.number, candidate.digest).predict([{"x": 0.5}]) == [pytest.approx(450.0)]


def test_what_no_trial_can_learn_ends_the_training_before_its_search(cluster, tmp_path: Path) -> None:
    """With counts and what to do; no trial is begun."""
    settings = prepared(tmp_path, ["logistic"], labelled=lambda x: 2.0 if x > 0.5 else 1.0)
    model, trainer = model_of(settings), TuneTrainer(settings)
    trainer.start(order(settings, Retrain(model=model)))
    job = ended(trainer, model)
    assert (job.state, job.trials_done) == (JobState.FAILED, 0)
    assert "no search was begun: the labels hold " in job.message
    assert "loss brier is for classes 0 and 1: send 1 for the positive class" in job.message


def test_too_few_rows_fail_the_training_and_quarantined_ones_do_not_count(cluster, tmp_path: Path) -> None:
    """The message says how many there are and how many are needed."""
    settings = prepared(tmp_path, ["logistic"])
    model = model_of(settings)
    trainer = TuneTrainer(settings, lambda model: (Quarantined(since_s=30.0, until_s=1e9),))
    trainer.start(order(settings, Retrain(model=model)))
    job = ended(trainer, model)
    assert job.state is JobState.FAILED
    assert "only 30 labelled rows may be trained on; at least 50 are needed" in job.message


def test_a_model_without_a_recipe_is_refused(cluster, tmp_path: Path) -> None:
    """And the refusal names the key that is missing."""
    settings = settings_of("bare", tmp_path)
    with pytest.raises(Refused, match=r"models\.bare\.training"):
        TuneTrainer(settings).start(order(settings, Retrain(model="bare")))
