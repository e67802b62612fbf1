"""How many rows a second does the monitor of a model take, and what of that do its checks at the door cost?

python -m benchmarks.monitor_speed [--blocks N] [--json FILE]

Rows with their labels, through one monitor with its checks and one without, in alternating blocks of one run. In seconds of a core, so that
other work on the machine counts for little; the ratio is the figure.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.monitoring.intake import Intake
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Labelled, Served
from agent.settings import DriftSettings

ROWS = 10_000
BATCH = 100
SHAPES = {"one number": (1, 0), "8 numbers, 1 text": (8, 1), "30 numbers, 10 texts": (30, 10)}
"""Numbers and texts of a row."""


class Open(Intake):
    """A door that looks at nothing."""

    def row(self, served: Served) -> Served:
        return served

    def label(self, labelled: Labelled) -> Labelled:
        return labelled


def rows_of(numbers: int, texts: int) -> list[Served]:
    """Calm rows, made before anything is timed."""
    drawn = np.random.default_rng(0)
    values = drawn.normal(size=(ROWS, numbers)).tolist()
    words = drawn.choice(["red", "green", "blue"], size=(ROWS, texts)).tolist()
    return [
        Served(str(n), float(n), dict(zip(names_of(numbers, texts), [*values[n], *words[n]], strict=True)), 0.5, 0.01, "1", "r")
        for n in range(ROWS)
    ]  # fmt: skip


def names_of(numbers: int, texts: int) -> list[str]:
    return [*(f"x{n}" for n in range(numbers)), *(f"word {n}" for n in range(texts))]


def rate(rows: list[Served], *, checked: bool) -> float:
    """Rows per second of a core, each with its label."""
    monitor = ModelMonitor(DriftSettings())
    if not checked:
        monitor._intake = Open()
    labels = [Labelled(row.key, row.at_s, float(n % 2)) for n, row in enumerate(rows)]
    began = time.process_time()
    for first in range(0, len(rows), BATCH):
        monitor.rows(rows[first : first + BATCH])
        monitor.labels(labels[first : first + BATCH])
    return len(rows) / (time.process_time() - began)


def measure(blocks: int) -> dict[str, dict[str, float]]:
    """Blocks in the order A B B A, so that a machine that gets slower or faster favours neither."""
    found = {}
    for shape, (numbers, texts) in SHAPES.items():
        rows = rows_of(numbers, texts)
        rate(rows, checked=True)  # libraries are imported when they are first needed
        rates: dict[bool, list[float]] = {True: [], False: []}
        for n in range(blocks):
            for checked in (True, False) if n % 2 == 0 else (False, True):
                rates[checked].append(rate(rows, checked=checked))
        ratios = [one / other for one, other in zip(rates[True], rates[False], strict=True)]
        found[shape] = {
            "rows_per_s": median(rates[True]), "unchecked_rows_per_s": median(rates[False]), "checked_over_unchecked": median(ratios),
        }  # fmt: skip
    return found


def table(found: dict[str, dict[str, float]]) -> Table:
    shown = Table("row", "rows/s", "without checks", "ratio")
    for shape, row in found.items():
        rates = (f"{row['rows_per_s']:,.0f}", f"{row['unchecked_rows_per_s']:,.0f}")
        shown.add_row(shape, *rates, f"{row['checked_over_unchecked']:.2f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = measure(given.blocks)
    Console().print(table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
