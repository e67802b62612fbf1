"""Training: the Trainer port on Ray Tune with Optuna.

A job is a detached actor of its own, so that it survives the agent. It reads rows from the data log, searches over all recipes jointly with
TPE, fits the best on all rows and registers it as a candidate. Its record is in the cluster's key-value store; the study is in the
storage that the settings name, so that the next search starts from the last.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import ray
import structlog
from ray._raylet import PlacementGroupID
from ray.util import placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup

from agent.codec import from_json, to_json
from agent.logs import configure
from agent.order import Order
from agent.ports import Refused
from agent.settings import ModelSettings, Settings
from policies.action import Retrain, StopTraining
from policies.imports import Packages
from policies.observation import JobState, Quarantined, Resources, TrainingJob
from ray_cluster import kv, names
from ray_cluster.epochs import refuse_lower
from ray_cluster.reads import within
from ray_cluster.search import SearchFailed, SearchSpec, search

log = structlog.get_logger()
ROWS_MIN = 50
STOP_GRACE_S = 60.0
END_ATTEMPTS, END_RETRY_S = 60, 5.0
RAY_TIMEOUT_S = 10.0
"""For every look at or start of an actor: while Ray's head is away these wait for it."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """All that a training job needs to know; it is the argument of the actor, so a restarted one has it too."""

    id: str
    order: int
    model: str
    settings: ModelSettings
    registry_uri: str
    artifact_location: str | None
    data_url: str
    rows_max: int
    since_s: float | None
    quarantined: tuple[Quarantined, ...]
    concurrent_trials: int
    limit_s: float
    """After so long the job ends itself, so that one that hangs does not hold its resources for ever."""
    grace_s: float
    """So long after that it is ended by force."""
    allowed: Packages = ()
    """Packages whose recipes may be named by import path."""


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """What is known of the last job of a model."""

    job: TrainingJob
    engine: str = "ray.tune"
    search: str = "optuna"
    best_recipe: str | None = None
    recipes_tried: tuple[str, ...] = ()
    wall_s: float | None = None
    champion_score: float | None = None


def read_record(model: str) -> JobRecord | None:
    """The record of the job of `model` that runs or ran last."""
    raw = kv.get(_key(model))
    return from_json(JobRecord, json.loads(raw)) if raw else None


def write_record(model: str, record: JobRecord) -> None:
    raw = json.dumps(to_json(record)).encode()
    kv.put(_key(model), raw)


def _key(model: str) -> str:
    return f"training:{model}"


class TuneTrainer:
    """Starts and stops training jobs. `quarantined` says which rows of a model must not be used."""

    def __init__(self, settings: Settings, quarantined: Any = None, allowed: Packages = ()) -> None:
        self._allowed = allowed
        self._settings = settings
        self._quarantined = quarantined or (lambda model: ())

    def start(self, order: Order) -> None:
        """Start or stop a job and return at once.

        Raises Refused for a lower epoch, where the model has no recipe, or a job runs already.
        """
        refuse_lower(self._settings.name, order.epoch)
        match order.action:
            case Retrain() as action:
                self._retrain(action, order)
            case StopTraining() as action:
                self._stop(action.model)
            case other:
                raise Refused(f"a trainer does not know how to {other.kind}")

    def job(self, model: str) -> TrainingJob | None:
        """The job that runs or ran last; one whose process is gone has failed."""
        record = read_record(model)
        if record is None:
            return None
        if record.job.state is not JobState.RUNNING or self._alive(model):
            return record.job
        return self._buried(model, record)

    @staticmethod
    def _buried(model: str, record: JobRecord) -> TrainingJob | None:
        """The job of `record`, whose process is gone, written down as failed, unless its end or another job was since."""
        now = read_record(model)
        if now is None or now.job.id != record.job.id or now.job.state is not JobState.RUNNING:
            return now.job if now is not None else None
        dead = replace(now.job, state=JobState.FAILED, finished_at_s=time.time(), message="its process died")
        write_record(model, replace(now, job=dead))
        remove_leaked_groups(dead.id)
        return dead

    def _retrain(self, action: Retrain, order: Order) -> None:
        model = self._settings.models.get(action.model)
        if model is None or model.training is None:
            raise Refused(f"no recipe is given for model {action.model!r} (models.{action.model}.training)")
        running = self.job(action.model)
        if running is not None and running.id == order.key:
            return
        if running is not None and running.state is JobState.RUNNING:
            raise Refused(f"training {running.id} of {action.model} still runs")
        spec = self._spec(action, order, model)
        training = model.training
        job = TrainingJob(
            id=order.key,
            state=JobState.RUNNING,
            started_at_s=time.time(),
            resources=Resources(
                cpus=training.trial_cpus * spec.concurrent_trials, gpus=training.trial_gpus * spec.concurrent_trials
            ),  # what the ledger has charged for it
            trials_wanted=training.trials,
        )
        write_record(action.model, JobRecord(job=job))
        self._forget_actor(action.model)
        runner = TrainingRunner.options(  # type: ignore[attr-defined]
            name=names.training_actor(action.model), namespace=names.NAMESPACE, lifetime="detached"
        )
        within(RAY_TIMEOUT_S, lambda: runner.remote(spec), f"the start of the training of {action.model}")

    def _spec(self, action: Retrain, order: Order, model: ModelSettings) -> JobSpec:
        assert model.training is not None  # noqa: S101 - checked by the caller
        return JobSpec(
            id=order.key,
            order=order.number,
            model=action.model,
            settings=model,
            registry_uri=self._settings.registry.tracking_uri,
            artifact_location=self._settings.registry.artifact_location,
            data_url=self._settings.data_log.url,
            rows_max=min(action.rows_max or model.training.rows_max, model.training.rows_max),
            since_s=action.since_s,
            quarantined=tuple(self._quarantined(action.model)),
            concurrent_trials=action.concurrent_trials or model.training.concurrent_trials,
            limit_s=self._settings.deadlines.retrain_s,
            grace_s=min(STOP_GRACE_S, self._settings.deadlines.retrain_s),
            allowed=self._allowed,
        )

    def _stop(self, model: str) -> None:
        actor = _runner(model)
        if actor is not None:
            actor.stop.remote()

    @staticmethod
    def _alive(model: str) -> bool:
        return _runner(model) is not None

    @staticmethod
    def _forget_actor(model: str) -> None:
        """A job that ended but whose process lingers must not keep the name."""
        actor = _runner(model)
        if actor is not None:
            ray.kill(actor)


def _runner(model: str) -> Any | None:
    """The actor of the job of `model`; None where there is none. Raises TimeoutError where Ray does not say."""
    name = names.training_actor(model)
    try:
        return within(RAY_TIMEOUT_S, lambda: ray.get_actor(name, names.NAMESPACE), f"the look for {name}")
    except ValueError:
        return None


@ray.remote(num_cpus=0, max_restarts=1)
class TrainingRunner:
    """One job, in a process of its own. Begins in the constructor, so that a restarted process goes on from the study."""

    def __init__(self, spec: JobSpec) -> None:
        configure()
        self._spec = spec
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._why_stopped = "it was told to stop; its finished trials are kept"
        self._lock = threading.Lock()
        record = read_record(spec.model)
        assert record is not None  # noqa: S101 - written before the actor is made
        self._record = record
        self._done_before = record.job.trials_done
        if record.job.state is JobState.RUNNING:
            threading.Thread(target=self._run, name="training", daemon=True).start()
            threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        """End soon; finished trials are kept in the study."""
        self._stop.set()

    def _watch(self) -> None:
        """End the job when its time is over: first as if it had been told to stop, then, where it hangs, by force."""
        limit_s = self._spec.limit_s
        left_s = self._record.job.started_at_s + limit_s - time.time()
        # Of a job that was begun by a clock that somebody has set since, never more than the whole.
        if self._ended.wait(min(limit_s, max(0.0, left_s))):
            return
        self._why_stopped = f"it was not done after {limit_s:g} s (deadlines.retrain_s); its finished trials are kept"
        self._stop.set()
        if not self._ended.wait(self._spec.grace_s):
            self._end(JobState.FAILED, self._why_stopped, time.monotonic() - limit_s)
            remove_leaked_groups(self._spec.id)
            ray.kill(ray.get_runtime_context().current_actor)

    def _run(self) -> None:
        os.nice(10)  # serving goes first
        began = time.monotonic()
        remove_leaked_groups(self._spec.id)  # of a life of this job that was killed
        try:
            self._search_and_register(began)
        except Exception as error:
            log.exception("training_failed", model=self._spec.model, order=self._spec.order)
            if isinstance(error, SearchFailed) and self._stop.is_set():
                # It found nothing because it was stopped, and why it was stopped is what people need to know.
                self._end(JobState.STOPPED, self._why_stopped, began)
            else:
                self._end(JobState.FAILED, f"{type(error).__name__}: {error}", began)
        self._ended.set()
        ray.kill(ray.get_runtime_context().current_actor)  # the record is written, and the name is free again

    def _search_and_register(self, began: float) -> None:
        from agent.recipes.scoring import loss_for  # noqa: PLC0415 - with the recipes come scikit-learn and River
        from ray_cluster import datalog  # noqa: PLC0415 - keeps pyarrow out of the trainer's own process
        from ray_cluster.registry import MlflowRegistry  # noqa: PLC0415 - MLflow takes a second to import

        spec = self._spec
        rows = _training_rows(spec)
        self._update(rows=len(rows))
        training = spec.settings.training
        assert training is not None  # noqa: S101 - checked by the trainer
        features, labels = datalog.features(rows), rows["label"]
        loss = loss_for(spec.settings.drift.loss, labels)
        found = search(
            SearchSpec(
                name=spec.id,
                study=spec.model,
                settings=training,
                loss=loss,
                concurrent_trials=spec.concurrent_trials,
                trials=max(1, training.trials - self._done_before),
                allowed=spec.allowed,
            ),
            features,
            labels,
            stopped=self._stop.is_set,
            progress=lambda done: self._update(trials_done=self._done_before + done),
        )
        if self._stop.is_set():
            self._end(JobState.STOPPED, self._why_stopped, began)
            return
        registry = MlflowRegistry(spec.registry_uri, spec.artifact_location)
        champion_score = _champion_score(registry, spec, found.validation, loss)
        version = registry.register(
            spec.model,
            found.fitted,
            recipe=found.recipe,
            source=spec.id,
            at_s=time.time(),
            score=found.score,
            parameters=found.parameters,
            metrics={"validation_loss": found.score}
            | ({} if champion_score is None else {"champion_loss": champion_score}),
            tags={"homeostat.order": str(spec.order), "homeostat.rows": str(len(rows))},
        )
        with self._lock:
            self._record = replace(
                self._record, best_recipe=found.recipe, recipes_tried=found.tried, champion_score=champion_score
            )
        self._update(best_score=found.score, version=version.number, trials_done=self._done_before + found.trials)
        self._end(JobState.SUCCEEDED, "", began)

    def _update(self, **changes: Any) -> bool:
        """Whether it could be written down; if not, the next update does. A store that is away must not end a training."""
        with self._lock:
            self._record = replace(self._record, job=replace(self._record.job, **changes))
            try:
                write_record(self._spec.model, self._record)
            except Exception as error:
                log.warning("record_not_written", model=self._spec.model, reason=f"{type(error).__name__}: {error}")
                return False
        return True

    def _end(self, state: JobState, message: str, began: float) -> None:
        """Write the end down, trying for a while: a job that ends without a word counts as failed."""
        with self._lock:
            self._record = replace(self._record, wall_s=time.monotonic() - began)
        ended = {"state": state, "message": message, "finished_at_s": time.time()}
        for _ in range(END_ATTEMPTS):
            if self._update(**ended):
                return
            time.sleep(END_RETRY_S)


def _training_rows(spec: JobSpec) -> pd.DataFrame:
    """Labelled rows that may be trained on. Raises SearchFailed where there are too few."""
    from ray_cluster import datalog  # noqa: PLC0415 - keeps pyarrow out of the trainer's own process

    rows = datalog.read(
        spec.data_url,
        spec.model,
        since_s=spec.since_s,
        rows_max=spec.rows_max,
        labelled_only=True,
        quarantined=spec.quarantined,
    )
    if len(rows) < ROWS_MIN:
        raise SearchFailed(f"only {len(rows)} labelled rows may be trained on; at least {ROWS_MIN} are needed")
    return rows


def _champion_score(
    registry: Any, spec: JobSpec, validation: tuple[pd.DataFrame, pd.Series], loss: str
) -> float | None:
    """The champion's loss on the rows that validated the trials; None where it can not be had."""
    from agent.recipes.scoring import score  # noqa: PLC0415 - with the recipes come scikit-learn and River

    champion = registry.view(spec.model).champion
    if champion is None:
        return None
    try:
        fitted = registry.load(spec.model, champion.number, champion.digest)
        return score(fitted, *validation, loss)
    except Exception as error:  # a comparison for the record; the rollout judges on live rows
        log.warning("champion_not_scored", model=spec.model, reason=str(error))
        return None


def remove_leaked_groups(job: str) -> None:
    """Free the placement groups that a killed search left behind: Ray keeps them until the owning job ends."""

    for found, row in placement_group_table().items():
        if row["state"] == "CREATED" and row["name"].startswith(f"__tune_{job}"):
            remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(found)))


def details(model: str) -> Mapping[str, Any]:
    """The record of the last job as plain values."""
    record = read_record(model)
    return {} if record is None else asdict(record)
