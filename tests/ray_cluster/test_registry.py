"""What the registry remembers of versions, on MLflow's SQLite store."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from agent.recipes import registry as recipes
from agent.recipes.scoring import fit
from ray_cluster.registry import DigestMismatch, MlflowRegistry, RegistryUnavailable


@pytest.fixture
def registry(tmp_path: Path) -> MlflowRegistry:
    return MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/artifacts")


def register(registry: MlflowRegistry, shift: float = 0.0) -> str:
    rows = pd.DataFrame({"x": [n / 50 + shift for n in range(50)]})
    fitted = fit(recipes.build("logistic"), rows, (rows["x"] > 0.5).astype(float), {"C": 1.0}, 0)
    return registry.register("m", fitted, recipe="logistic", source="test", at_s=1.0).number


def test_a_promotion_remembers_the_champion_before_it(registry: MlflowRegistry) -> None:
    """What a rollback goes back to; the new champion is nobody's challenger, and what is promoted is no candidate."""
    first, second = register(registry), register(registry, 0.1)
    registry.promote("m", first, decision="1", at_s=10.0)
    registry.challenge("m", second, decision="2")
    registry.promote("m", second, decision="3", at_s=20.0)
    view = registry.view("m")
    assert view.champion is not None
    assert view.previous is not None
    assert (view.champion.number, view.previous.number, view.candidates) == (second, first, ())
    assert view.champion_since_s == 20.0
    again = registry.view("m")
    registry.promote("m", second, decision="3", at_s=30.0)
    assert registry.view("m") == again


def test_a_version_carries_the_numbers_of_the_decisions_about_it(registry: MlflowRegistry) -> None:
    """An auditor finds the order in the journal from the version in MLflow; the aliases say who is who now."""
    first, second = register(registry), register(registry, 0.1)
    registry.promote("m", first, decision="1", at_s=10.0)
    registry.challenge("m", second, decision="2")
    client = MlflowClient(tracking_uri=registry._uri, registry_uri=registry._uri)
    aliases = {name: str(number) for name, number in client.get_registered_model("m").aliases.items()}
    assert aliases == {"champion": first, "challenger": second}
    registry.reject("m", second, decision="3")
    told = {
        number: {
            k.rpartition(".")[2]: v for k, v in client.get_model_version("m", number).tags.items() if "decision" in k
        }
        for number in (first, second)
    }
    assert told == {first: {"promoted": "1"}, second: {"rollout": "2", "rejected": "3"}}


def test_a_promotion_that_was_cut_off_is_completed_by_doing_it_again(registry: MlflowRegistry, monkeypatch) -> None:
    """The alias moves last, so nobody follows a promotion that is half done, and the former champion is not forgotten."""
    first, second = register(registry), register(registry, 0.1)
    registry.promote("m", first, decision="1", at_s=10.0)
    moved = registry._client.set_registered_model_alias

    def away(*_: object) -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr(registry._client, "set_registered_model_alias", away)
    with pytest.raises(RegistryUnavailable, match="promoting version 2 of m: the disk is away"):
        registry.promote("m", second, decision="2", at_s=20.0)
    cut = registry.view("m")
    assert cut.champion is not None
    assert (cut.champion.number, cut.previous) == (first, None)
    monkeypatch.setattr(registry._client, "set_registered_model_alias", moved)
    registry.promote("m", second, decision="2", at_s=20.0)
    view = registry.view("m")
    assert view.champion is not None
    assert view.previous is not None
    assert (view.champion.number, view.previous.number) == (second, first)


def test_a_rejected_version_is_no_candidate_any_more(registry: MlflowRegistry) -> None:
    """It will not be tried again."""
    first, second, third = register(registry), register(registry, 0.1), register(registry, 0.2)
    registry.promote("m", first, decision="1", at_s=10.0)
    assert [v.number for v in registry.view("m").candidates] == [second, third]
    registry.reject("m", second, decision="2")
    assert [v.number for v in registry.view("m").candidates] == [third]


def test_files_that_changed_since_they_were_registered_are_not_loaded(registry: MlflowRegistry, tmp_path: Path) -> None:
    """Before anything of them is read as an object: the digest decides."""
    number = register(registry)
    digest = registry.digest("m", number)
    assert registry.load("m", number, digest).predict([{"x": 1.0}])[0] > 0.5
    (file,) = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file() and path.stat().st_size > 200]
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(DigestMismatch):
        registry.load("m", number, digest)


def test_a_registry_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    """What was to be done with it is in the words."""
    (tmp_path / "mlflow.db").write_text(
        "this is no database, and was never one; it only has the length of a first page"
    )
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(RegistryUnavailable, match="reading m"):
        registry.view("m")
