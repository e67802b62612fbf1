"""A relative place means the same file to every process of the cluster."""

from pathlib import Path

from agent.settings import Settings
from ray_cluster.places import rooted


def test_relative_places_begin_in_the_folder_of_the_settings(tmp_path: Path) -> None:
    """SQLite files, artifacts, data log and studies; everything else stays as it is."""
    given = Settings.model_validate(
        {
            "journal": {"url": "sqlite:///journal.db"},
            "registry": {"tracking_uri": "sqlite:///runs/mlflow.db", "artifact_location": "runs/artifacts"},
            "data_log": {"url": "data"},
            "models": {"a": {"training": {"recipes": ["logistic"], "study_url": "sqlite:///s.db"}}, "b": {}},
        }
    )
    plain = given.model_dump()
    plain["journal"]["url"] = f"sqlite:///{tmp_path}/journal.db"
    plain["registry"] = {
        "tracking_uri": f"sqlite:///{tmp_path}/runs/mlflow.db",
        "artifact_location": f"{tmp_path}/runs/artifacts",
    }
    plain["data_log"]["url"] = f"{tmp_path}/data"
    plain["models"]["a"]["training"]["study_url"] = f"sqlite:///{tmp_path}/s.db"
    assert rooted(given, tmp_path).model_dump() == plain


def test_places_elsewhere_and_absolute_ones_are_left_alone(tmp_path: Path) -> None:
    """Servers, object stores, absolute files; a password is not lost on the way."""
    given = Settings.model_validate(
        {
            "journal": {"url": "postgresql+psycopg://agent:secret@db/homeostat"},
            "registry": {"tracking_uri": "http://mlflow:5000", "artifact_location": "s3://models"},
            "data_log": {"url": "s3://rows"},
            "models": {"a": {"training": {"recipes": ["logistic"], "study_url": "sqlite:////var/s.db"}}},
        }
    )
    assert rooted(given, tmp_path) == given
