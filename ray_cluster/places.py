"""Where things lie: relative places of the settings begin in the folder of their file, also for replicas, shards and trials.

Those run in processes with folders of their own, perhaps on other nodes; a place that is relative would mean another one to each.
"""

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from agent.settings import ModelSettings, Settings


def rooted(settings: Settings, folder: str | Path) -> Settings:
    """The same settings with every relative path and SQLite file made absolute, from `folder`."""
    root = Path(folder).absolute()
    registry = settings.registry
    artifacts = None if registry.artifact_location is None else _path(registry.artifact_location, root)
    models = {name: _model(model, root) for name, model in settings.models.items()}
    return settings.model_copy(
        update={
            "journal": settings.journal.model_copy(update={"url": _database(settings.journal.url, root)}),
            "registry": registry.model_copy(
                update={"tracking_uri": _database(registry.tracking_uri, root), "artifact_location": artifacts}
            ),
            "data_log": settings.data_log.model_copy(update={"url": _path(settings.data_log.url, root)}),
            "models": models,
        }
    )


def _model(model: ModelSettings, root: Path) -> ModelSettings:
    if model.training is None:
        return model
    study = {"study_url": _database(model.training.study_url, root)}
    return model.model_copy(update={"training": model.training.model_copy(update=study)})


def _path(place: str, root: Path) -> str:
    return place if "://" in place else str(root / place)


def _database(url: str, root: Path) -> str:
    try:
        parsed = make_url(url)
    except ArgumentError:
        return _path(url, root)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return url
    return parsed.set(database=str(root / parsed.database)).render_as_string(hide_password=False)
