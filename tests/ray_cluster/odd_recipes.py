"""Recipes with a bad day, for trials: they run in other processes and are imported there by name."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


class Slope:
    """A regression: so many units of the label for one of `x`."""

    name = "slope"

    def space(self) -> dict[str, BaseDistribution]:
        return {}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> "FittedSlope":
        return FittedSlope(float((rows["x"] * labels).sum() / (rows["x"] ** 2).sum()))


@dataclass(frozen=True)
class FittedSlope:
    slope: float
    columns: tuple[str, ...] = ("x",)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        return [self.slope * float(row.get("x") or 0.0) for row in rows]


class Hangs:
    """Never comes to an end by itself."""

    name = "hangs"

    def space(self) -> dict[str, BaseDistribution]:
        return {}

    def fit(self, rows: pd.DataFrame, labels: pd.Series, parameters: Mapping[str, Any], seed: int) -> Any:
        while True:
            time.sleep(1.0)
