"""Workers on a cluster play the runs of a tuning as processes beside it would."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from ray_cluster.tuning import connect
from simulators import cli
from simulators.tuning_workers import ENTRY_POINT_GROUP
from tests.conftest import Cluster
from tests.simulators.tuned import written

pytestmark = pytest.mark.ray


def refused(number: int) -> int:
    raise ValueError(f"no {number}")


def test_workers_give_results_and_errors(cluster: Cluster) -> None:
    """A future brings what the work returned, or raises what it raised; the cluster stays joined after close."""
    import ray

    workers = connect("auto")
    assert workers.count == 12
    assert workers.submit(divmod, 17, 5).result(60) == (3, 2)
    with pytest.raises(ValueError, match="no 3"):
        workers.submit(refused, 3).result(60)
    workers.close()
    assert ray.is_initialized()


def test_tuning_on_a_cluster_finds_what_it_finds_here(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where runs are played changes no result."""
    if "sim" not in {group.name for group in app.registered_groups}:
        cli.register(app)
    monkeypatch.chdir(tmp_path)
    written(tmp_path, ("kind: tpe", "kind: random"))
    told = []
    for where in (("--cluster", "auto", "--jobs", "2"), ("--jobs", "1")):
        place = len(told)
        words = ("--trials", "3", "--storage", f"sqlite:///{place}.db", "--json", f"{place}.json")
        found = CliRunner().invoke(app, ["sim", "tune", "SPACE.yaml", *where, *words])
        assert found.exit_code == 0, found.output
        told.append(json.loads((tmp_path / f"{place}.json").read_text()))
    keys = ("front", "chosen", "training", "hold_out")
    assert {key: told[0][key] for key in keys} == {key: told[1][key] for key in keys}


def test_workers_are_offered_by_the_installed_package() -> None:
    """The simulator finds them without knowing of Ray."""
    from importlib.metadata import entry_points

    assert [each.value for each in entry_points(group=ENTRY_POINT_GROUP)] == ["ray_cluster.tuning:connect"]
