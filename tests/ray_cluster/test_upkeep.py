"""Having managed models served: one that can not be does not stop the others, and people hear of it once."""

from pathlib import Path

import pytest

from agent.settings import DriftSettings, ServerSettings, Settings
from agent.testing import RecordingNotifier
from policies.imports import Packages
from ray_cluster import managed
from ray_cluster.managed import RETRY_S, Upkeep
from ray_cluster.registry import MlflowRegistry, RegistryUnavailable


def test_what_can_not_be_served_is_tried_again_and_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away, away, no champion yet, served: two alerts, and no further try after the last."""
    answers = {"good": iter([True]), "bad": iter([_away, _away, False, True])}
    tried: list[str] = []

    def ensure(settings: Settings, name: str, registry: MlflowRegistry, epoch: int, allowed: Packages) -> bool:
        tried.append(name)
        answer = next(answers[name])
        return answer() if callable(answer) else answer

    monkeypatch.setattr(managed, "ensure_served", ensure)
    notifier = RecordingNotifier()
    settings = Settings.model_validate({"models": {"good": {}, "bad": {}}})
    upkeep = Upkeep(settings, MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db"), 1, notifier)
    for n in range(8):
        upkeep.look(n * RETRY_S)
        upkeep.look(n * RETRY_S + 1.0)
        for future in upkeep._tries.values():
            future.exception(timeout=10)
    assert (tried.count("good"), tried.count("bad")) == (1, 4)
    assert [alert.text.partition("again: ")[2] for alert in notifier.alerts] == [
        "RegistryUnavailable: the database is away",
        "the registry has no champion of it: register a first version and promote it",
    ]


def _away() -> bool:
    raise RegistryUnavailable("the database is away")


def test_server_settings_that_are_not_applied_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is served, so nothing is tried again; what differs is named, and how to have it applied."""
    kept: dict[bytes, bytes] = {b"server:m": ServerSettings(max_ongoing_requests=5).model_dump_json().encode()}
    monkeypatch.setattr(managed, "_internal_kv_get", lambda key, namespace: kept.get(key))
    tried: list[str] = []

    def ensure(settings: Settings, name: str, *_: object) -> bool:
        tried.append(name)
        managed.check_server(name, settings.models[name].server)
        return True

    monkeypatch.setattr(managed, "ensure_served", ensure)
    notifier = RecordingNotifier()
    settings = Settings.model_validate({"models": {"m": {"server": {"max_ongoing_requests": 7}}, "other": {}}})
    upkeep = Upkeep(settings, MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db"), 1, notifier)
    for n in range(4):
        upkeep.look(n * RETRY_S)
        for future in upkeep._tries.values():
            future.exception(timeout=10)
    assert sorted(tried) == ["m", "other"]
    (alert,) = notifier.alerts
    assert (alert.subject, alert.severity) == ("m", "warning")
    assert "max_ongoing_requests: 5 (now 7)" in alert.text


def test_a_probe_is_watched_as_its_deployment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A regression at level L1: its loss is said beside its probe; deployments without a word about it are left alone."""
    watched: list[tuple[str, str]] = []

    def ensure(probe: str, drift: DriftSettings, allowed: Packages) -> bool:
        watched.append((probe, drift.loss))
        return True

    monkeypatch.setattr(managed, "ensure_watched", ensure)
    given = {"a/A": {"probe": "price", "drift": {"loss": "absolute"}}, "b/B": {"probe": "fraud"}, "c/C": {}}
    settings = Settings.model_validate({"deployments": given})
    upkeep = Upkeep(settings, MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db"), 1, RecordingNotifier())
    for n in range(3):
        upkeep.look(n * RETRY_S)
        for future in upkeep._tries.values():
            future.exception(timeout=10)
    assert watched == [("price", "absolute")]
    with pytest.raises(ValueError, match="there is no probe"):
        Settings.model_validate({"deployments": {"c/C": {"drift": {"loss": "absolute"}}}})
