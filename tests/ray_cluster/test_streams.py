"""The demo's streams: what a model may learn from."""

import os
from pathlib import Path

import pytest

from ray_cluster.demo.plan import features
from ray_cluster.streams import DATA_VARIABLE, STREAMS, stream

HERE = [name for name in STREAMS if name != "flights"]


@pytest.mark.parametrize("name", HERE)
def test_no_feature_is_a_clock(name: str) -> None:
    """Nothing of what a model learned of such a value comes again: it errs on all that comes after."""
    if not (Path(os.environ.get(DATA_VARIABLE, ".")) / "streams").exists():
        pytest.skip(f"{DATA_VARIABLE} names no folder with streams")
    rows = stream(name)
    clocks = rows[features(rows)].corrwith(rows["at_s"], method="spearman")
    assert list(clocks[clocks.abs() > 0.95].index) == []
