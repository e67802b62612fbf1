"""Streams that the demo can play, all in one shape: key, at_s, label, label_at_s, and the features."""

import os
from pathlib import Path

import pandas as pd

from ray_cluster.flights import flights

LABEL_DELAY_ROWS = 500
STREAMS = ("flights", "insects", "elec2")
DATA_VARIABLE = "HOMEOSTAT_DATA"


class StreamUnavailable(Exception):
    """The rows of a stream are not on this machine; says where they are looked for."""


def stream(name: str) -> pd.DataFrame:
    """The stream `name` in time order. Raises StreamUnavailable."""
    if name == "flights":
        return flights()
    if name == "elec2":
        # No day of the past comes again: of its date a model learns only where the past ends, and errs on whatever comes after.
        return _stationed(_read("elec2").drop(columns="date"), "class", positive="UP")
    if name == "insects":
        # Six species; the question is whether it is one of the first three, which keeps the classes about even.
        table = _read("insects_gradual_balanced")
        return _stationed(table.assign(**{"class": table["class"].astype(int) <= 2}), "class", positive=True)
    raise StreamUnavailable(f"unknown stream {name!r}; expected one of {', '.join(STREAMS)}")


def _read(name: str) -> pd.DataFrame:
    folder = os.environ.get(DATA_VARIABLE)
    path = Path(folder or ".") / "streams" / f"{name}.csv.gz"
    if folder is None or not path.exists():
        raise StreamUnavailable(
            f"{name} is not at hand: set {DATA_VARIABLE} to a folder that holds streams/{name}.csv.gz"
        )
    return pd.read_csv(path)


def _stationed(table: pd.DataFrame, target: str, *, positive: object) -> pd.DataFrame:
    """One row a minute; the label comes LABEL_DELAY_ROWS rows later, NaN where there is none."""
    at_s = pd.Series(range(len(table)), dtype=float) * 60.0
    return pd.DataFrame(
        {
            "key": "row-" + pd.Series(range(len(table))).astype(str),
            "at_s": at_s,
            "label": (table[target] == positive).astype(float).where(table[target].notna()),
            "label_at_s": at_s + LABEL_DELAY_ROWS * 60.0,
            **{name: table[name] for name in table.columns if name != target},
        }
    )
