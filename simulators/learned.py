"""From the learning that a scenario writes to one that can be run."""

import math
from pathlib import Path
from typing import Any

from policies.imports import Packages
from policies.observation import Resources
from simulators.changes import Change
from simulators.learning import Learning
from simulators.learning_settings import AnyLearningSettings, ChangeSettings, ModelledSettings, PlayedSettings
from simulators.modelled_learning import ModelledLearning


def learning_of(settings: ModelledSettings | PlayedSettings, folder: Path, allowed: Packages = ()) -> Learning:
    """How a model of a scenario in `folder` learns. Raises DataMissing or StreamError where its rows can not be had.

    `allowed` are the packages whose recipes and detectors may be named by import path.
    """
    if isinstance(settings, PlayedSettings):
        from simulators.played import played_learning  # noqa: PLC0415 - River, scikit-learn and pandas take seconds

        return played_learning(settings, folder, allowed, **shared(settings))
    return ModelledLearning(
        **shared(settings),
        base_loss=settings.base_loss,
        noise=settings.noise,
        window_rows=settings.window_rows,
        rows_needed=settings.rows_needed,
        detection_delay_s=settings.detection_delay_s,
        delta=settings.delta,
    )


def shared(settings: AnyLearningSettings) -> dict[str, Any]:
    """What both fidelities are told."""
    return {
        "label_delay_s": settings.label_delay_s,
        "label_share": settings.label_share,
        "trials": settings.trials,
        "concurrent_trials": settings.concurrent_trials,
        "trial_s": settings.trial_s,
        "trial_resources": Resources(cpus=settings.trial_cpus, gpus=settings.trial_gpus),
        "swap_s": settings.swap_s,
        "changes": tuple(map(_change, settings.changes)),
        "bad_versions": settings.bad_versions,
        "crashing_versions": frozenset(settings.crashing_versions),
    }


def _change(settings: ChangeSettings) -> Change:
    return Change(
        kind=settings.kind,
        at_s=settings.at_s,
        until_s=math.inf if settings.until_s is None else settings.until_s,
        harm=settings.harm,
        period_s=math.inf if settings.period_s is None else settings.period_s,
        broken=settings.broken,
    )
