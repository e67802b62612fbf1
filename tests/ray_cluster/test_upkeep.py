"""Having managed models served: one that can not be does not stop the others, and people hear of it once."""

from pathlib import Path

import pytest

from agent.settings import Settings
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
