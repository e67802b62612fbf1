"""Recipes with a bad day, for trials: they run in other processes and are imported there by name."""

import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
import ray
from optuna.distributions import BaseDistribution


class TellsWhatItHolds:
    """Fails with the resources that Ray has given to its trial."""

    name = "tells_what_it_holds"

    def space(self) -> dict[str, BaseDistribution]:
        return {}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> Any:
        held = ray.get_runtime_context().get_assigned_resources()
        raise ValueError(f"CPU {held.get('CPU')}, GPU {held.get('GPU')}")


class Hangs:
    """Never comes to an end by itself."""

    name = "hangs"

    def space(self) -> dict[str, BaseDistribution]:
        return {}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> Any:
        while True:
            time.sleep(1.0)
