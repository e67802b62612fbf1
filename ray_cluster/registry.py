"""The model registry: MLflow, on SQLite by default. Champion and challenger are aliases; what was decided is in tags.

A version is one file, a pickled `Fitted`. Its digest is the SHA-256 of that file. `load` reads the bytes once, checks them against the
digest that the journal recorded, and unpickles those very bytes, so nothing can be exchanged between the check and the use.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import cloudpickle
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from agent.recipes.recipe import Fitted
from policies.observation import Version

FOLDER, FILE = "model", "fitted.pkl"
STATE, DIGEST, RECIPE, SCORE, SOURCE, CREATED = (
    f"homeostat.{name}" for name in ("state", "digest", "recipe", "score", "source", "created_at_s")
)
DECISION, PREVIOUS, SINCE = (f"homeostat.{name}" for name in ("decision", "previous", "champion_since_s"))


class RegistryUnavailable(Exception):
    """The registry can not be reached, or does not know what was asked for."""


class DigestMismatch(Exception):
    """The files of a version are not those whose digest was recorded. They were not loaded."""


@dataclass(frozen=True, kw_only=True)
class RegistryView:
    """The versions of one model as the registry has them."""

    champion: Version | None = None
    previous: Version | None = None
    candidates: tuple[Version, ...] = ()
    champion_since_s: float | None = None


class MlflowRegistry:
    """Versions of models behind `tracking_uri`; new files go under `artifact_location` (MLflow's choice where it is None)."""

    def __init__(self, tracking_uri: str, artifact_location: str | None = None) -> None:
        self._uri = tracking_uri
        self._artifacts = artifact_location
        self._lazy: MlflowClient | None = None

    @property
    def _client(self) -> MlflowClient:
        if self._lazy is None:
            if self._uri.startswith("sqlite:///"):
                Path(self._uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            self._lazy = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._lazy

    def register(
        self,
        model: str,
        fitted: Fitted,
        *,
        recipe: str,
        source: str,
        at_s: float,
        score: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        """A new candidate. Raises RegistryUnavailable."""
        payload = cloudpickle.dumps(fitted)
        digest = hashlib.sha256(payload).hexdigest()
        described = {STATE: "candidate", DIGEST: digest, RECIPE: recipe, SOURCE: source, CREATED: repr(at_s)}
        if score is not None:
            described[SCORE] = repr(score)
        with self._faults(f"registering a version of {model}"):
            run = self._client.create_run(self._experiment(model), run_name=source)
            for name, value in (parameters or {}).items():
                self._client.log_param(run.info.run_id, name, value)
            for name, value in (metrics or {}).items():
                self._client.log_metric(run.info.run_id, name, value)
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / FILE).write_bytes(payload)
                self._client.log_artifacts(run.info.run_id, folder, FOLDER)
            self._client.set_terminated(run.info.run_id)
            self._registered(model)
            made = self._client.create_model_version(
                model,
                source=f"{run.info.artifact_uri}/{FOLDER}",
                run_id=run.info.run_id,
                tags={**described, **(tags or {})},
            )
        return _version(made)

    def view(self, model: str) -> RegistryView:
        """The versions of `model`; an empty view where it has none. Raises RegistryUnavailable."""
        with self._faults(f"reading {model}"):
            registered = self._find(model)
            if registered is None:
                return RegistryView()
            versions = {str(v.version): v for v in self._client.search_model_versions(f"name='{model}'")}
        champion = versions.get(_alias(registered, "champion"))
        previous = versions.get(registered.tags.get(PREVIOUS, ""))
        waiting = [v for v in versions.values() if v.tags.get(STATE) == "candidate"]
        since_s = registered.tags.get(SINCE)
        return RegistryView(
            champion=_version(champion) if champion else None,
            previous=_version(previous) if previous and previous != champion else None,
            candidates=tuple(_version(v) for v in sorted(waiting, key=lambda v: int(v.version))),
            champion_since_s=float(since_s) if since_s else None,
        )

    def promote(self, model: str, version: str, *, decision: str, at_s: float) -> None:
        """`version` is the champion from now on, and the one before it the previous. Doing it twice changes nothing more."""
        with self._faults(f"promoting version {version} of {model}"):
            registered = self._registered(model)
            former = _alias(registered, "champion") or None
            if former != version:
                # The alias is what readers follow, so it moves last: whatever stops this half way, doing it again completes it.
                if former is not None:
                    self._client.set_registered_model_tag(model, PREVIOUS, former)
                    self._client.set_model_version_tag(model, former, STATE, "retired")
                self._client.set_registered_model_tag(model, SINCE, repr(at_s))
                self._client.set_model_version_tag(model, version, STATE, "champion")
                self._client.set_model_version_tag(model, version, f"{DECISION}.promoted", decision)
                self._client.set_registered_model_alias(model, "champion", version)
            self._drop_challenger(model, version)

    def challenge(self, model: str, version: str, *, decision: str) -> None:
        """`version` is the challenger from now on."""
        with self._faults(f"marking version {version} of {model}"):
            self._client.set_registered_model_alias(model, "challenger", version)
            self._client.set_model_version_tag(model, version, f"{DECISION}.rollout", decision)

    def reject(self, model: str, version: str, *, decision: str) -> None:
        """`version` is no candidate any more and will not be tried again."""
        with self._faults(f"rejecting version {version} of {model}"):
            self._client.set_model_version_tag(model, version, STATE, "rejected")
            self._client.set_model_version_tag(model, version, f"{DECISION}.rejected", decision)
            self._drop_challenger(model, version)

    def digest(self, model: str, version: str) -> str:
        """The digest that `version` was registered with. Raises RegistryUnavailable."""
        with self._faults(f"reading version {version} of {model}"):
            return str(self._client.get_model_version(model, version).tags[DIGEST])

    def load(self, model: str, version: str, digest: str) -> Fitted:
        """What was registered as `version`. Raises DigestMismatch before anything is unpickled, or RegistryUnavailable."""
        with self._faults(f"loading version {version} of {model}"):
            found = self._client.get_model_version(model, version)
            with tempfile.TemporaryDirectory() as folder:
                path = download_artifacts(f"{found.source}/{FILE}", dst_path=folder, tracking_uri=self._uri)
                payload = Path(path).read_bytes()
        actual = hashlib.sha256(payload).hexdigest()
        if actual != digest:
            raise DigestMismatch(
                f"version {version} of {model}: its file has digest {actual[:12]}..., recorded was {digest[:12]}...; not loaded"
            )
        fitted: Fitted = cloudpickle.loads(payload)  # the digest says that these are the bytes that were registered
        return fitted

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found is not None:
            return str(found.experiment_id)
        location = None if self._artifacts is None else _absolute(self._artifacts) + f"/{model}"
        return str(self._client.create_experiment(model, artifact_location=location))

    def _find(self, model: str) -> RegisteredModel | None:
        try:
            return self._client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _registered(self, model: str) -> RegisteredModel:
        return self._find(model) or self._client.create_registered_model(model)

    def _drop_challenger(self, model: str, version: str) -> None:
        if _alias(self._registered(model), "challenger") == version:
            self._client.delete_registered_model_alias(model, "challenger")

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise RegistryUnavailable(f"{doing}: {error}") from error


def _absolute(location: str) -> str:
    return location if "://" in location else str(Path(location).absolute())


def _alias(registered: RegisteredModel, alias: str) -> str:
    """The version behind an alias, "" where there is none. Some of MLflow's stores give numbers, some words."""
    return str(registered.aliases.get(alias, ""))


def _version(found: ModelVersion) -> Version:
    score = found.tags.get(SCORE)
    return Version(
        number=str(found.version),
        digest=found.tags.get(DIGEST, ""),
        created_at_s=float(found.tags.get(CREATED, 0.0)),
        recipe=found.tags.get(RECIPE, ""),
        score=float(score) if score else None,
        source=found.tags.get(SOURCE, ""),
    )


def load(tracking_uri: str, model: str, version: str, digest: str) -> Fitted:
    """What a replica calls to load a version; see `MlflowRegistry.load`."""
    return MlflowRegistry(tracking_uri).load(model, version, digest)
