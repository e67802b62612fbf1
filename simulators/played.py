"""From the played learning that a scenario writes to one that can be run: its rows, and whether its recipes are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.monitoring import detectors
from agent.recipes import registry
from agent.recipes.registry import UnknownRecipe
from agent.yaml_nodes import Fault
from policies.imports import Packages
from simulators.changes import Change
from simulators.data_files import DataMissing, data_path
from simulators.learning import seed_of
from simulators.learning_settings import GenerateSettings, PlayedSettings
from simulators.played_learning import PlayedLearning
from simulators.row_streams import FileStream, GeneratedStream, RowStream, StreamError, read_stream

VALUES_SHOWN = 5


@dataclass(frozen=True)
class Generated:
    """Makes generated rows from a seed."""

    settings: GenerateSettings
    changes: tuple[Change, ...]

    def __call__(self, seed: np.random.SeedSequence) -> RowStream:
        told = self.settings
        return GeneratedStream(
            seed=seed_of(seed, "generated"), features=told.features, signal=told.signal, changes=self.changes
        )


def played_learning(settings: PlayedSettings, folder: Path, allowed: Packages, **shared: Any) -> PlayedLearning:
    """Raises DataMissing or StreamError where the rows of the stream can not be had."""
    source = Generated(settings.generate, shared["changes"]) if settings.generate is not None else None
    if source is None:
        read = file_stream(settings, folder, shared["changes"])
    return PlayedLearning(
        **shared,
        stream=source or (lambda seed: read),
        recipes=settings.recipes,
        drift=settings.drift,
        first_rows=settings.first_rows,
        rows_per_request=settings.rows_per_request,
        rows_max=settings.rows_max,
        validation_share=settings.validation_share,
        allowed=allowed,
    )


def file_stream(settings: PlayedSettings, folder: Path, changes: tuple[Change, ...] = ()) -> FileStream:
    """The rows of the file that `settings` name. Raises DataMissing where it is not here, StreamError where it can not be played."""
    path = data_path(settings.stream or "", folder, "stream")
    found = read_stream(
        path, target=settings.target or "", positive=settings.positive, drop=settings.drop, changes=changes
    )
    if len(found.labels) <= settings.first_rows:
        raise StreamError(f"{path}: has {len(found.labels)} rows; expected more than first_rows, {settings.first_rows}")
    return found


def faults(settings: PlayedSettings, folder: Path, allowed: Packages = ()) -> Iterator[Fault]:
    """What no type can forbid; keys begin below `learning`. That a file is not here is said where it is to be played."""
    for index, use in enumerate(settings.recipes):
        try:
            recipe = registry.build(use, allowed)
        except UnknownRecipe as error:
            yield ("recipes", index), str(error)
        else:
            if settings.task == "regression" and getattr(recipe, "task", None) == "binary":
                yield ("recipes", index), f"recipe {use!r} is for labels of 0 and 1, and the task is regression"
    yield from _version_faults(settings)
    for index, monitor in enumerate(settings.drift.monitors or ()):
        try:
            detectors.build(monitor.use, monitor.parameters, allowed=allowed)
        except ValueError as error:
            yield ("drift", "monitors", index), str(error)
    try:
        if settings.stream is not None:
            yield from _label_faults(settings, file_stream(settings, folder).labels)
    except DataMissing:
        return
    except StreamError as error:
        yield ("stream",), str(error)


def _version_faults(settings: PlayedSettings) -> Iterator[Fault]:
    for number, part in settings.bad_versions.items():
        if part > 1:
            yield ("bad_versions", str(number)), f"found {part:g}; expected a part of its answers, from 0 to 1"


def _label_faults(settings: PlayedSettings, labels: NDArray[np.float64]) -> Iterator[Fault]:
    """Of a binary task: labels are 0 and 1, and both are among the first rows, since the first version is fitted on those."""
    if settings.task != "binary":
        return
    places = np.flatnonzero(np.isfinite(labels))
    first = labels[places[places < settings.first_rows]]
    values = np.unique(labels[places])
    if not set(values.tolist()) <= {0.0, 1.0}:
        some = ", ".join(f"{value:g}" for value in values[:VALUES_SHOWN]) + (
            " ..." if len(values) > VALUES_SHOWN else ""
        )
        yield (
            ("target",),
            f"column {settings.target!r} holds {some}; expected 0 and 1, or give the values of 1 as `positive`",
        )
    elif len(values) == 1:
        yield ("target",), f"column {settings.target!r} holds {values[0]:g} only; two classes are needed"
    elif not len(first):
        yield (
            ("first_rows",),
            f"none of the first {settings.first_rows} rows has a label; the first that has is row {places[0] + 1}",
        )
    elif (first == first[0]).all():
        other = int(places[np.argmax(labels[places] != first[0])])
        told = f"the first {settings.first_rows} rows hold one class only, {first[0]:g}; the first {1 - first[0]:g} is row {other + 1}"
        yield ("first_rows",), told
