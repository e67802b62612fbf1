"""One local Ray with Serve for each process that runs tests; applications are deleted between tests."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ray_cluster.local import LocalRay

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cluster:
    """Where a test finds things."""

    http: str
    local: LocalRay


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[Cluster]:
    # Replicas import the examples, as they would where a user's own code is on the path.
    os.environ["PYTHONPATH"] = str(ROOT)
    local = LocalRay.start(num_cpus=12, num_gpus=2, http_port=free_port())
    os.environ["RAY_ADDRESS"] = local.address  # "auto" means this one, not that of another process
    yield Cluster(http=local.http_url, local=local)
    local.stop()


@pytest.fixture
def cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    yield session_cluster
    import ray
    from ray.util import list_named_actors

    from ray_cluster import names
    from ray_cluster.testing import delete_applications

    # Agents first: they would serve their models again. What a failed test left running must not slow the next one.
    for actor in sorted(list_named_actors(all_namespaces=True), key=lambda each: each["name"]):
        if actor["namespace"] == names.NAMESPACE:
            with suppress(ValueError):  # it has ended by itself since it was listed
                ray.kill(ray.get_actor(actor["name"], names.NAMESPACE), no_restart=True)
    delete_applications()


@pytest.fixture(autouse=True)
def no_ray_by_accident(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that starts a Ray without saying so would be slow for everybody, and flaky where Ray is not."""
    if request.node.get_closest_marker("ray") is None:
        import ray

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("this test starts a Ray; mark it with @pytest.mark.ray")

        monkeypatch.setattr(ray, "init", refuse)
