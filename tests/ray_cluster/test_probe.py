"""A probe that no Ray hears: what is told to it never raises."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ray_cluster.probe import Probe


class Torn(Mapping[str, Any]):
    """A mapping whose store is away."""

    def __getitem__(self, name: str) -> Any:
        raise ConnectionError(name)

    def __iter__(self) -> Iterator[str]:
        raise ConnectionError

    def __len__(self) -> int:
        raise ConnectionError


@pytest.mark.parametrize("features", [Torn(), None, 5, [1, 2], "x"])
def test_telling_a_probe_of_features_that_can_not_be_read_costs_no_request(features: Any) -> None:
    """It is counted, and nothing is kept of it."""
    probe = Probe("m", replica="r", flush_s=1e6)
    probe.record(key="a", features=features, prediction=0.5)
    assert (probe.refused, len(probe._rows)) == (1, 0)
