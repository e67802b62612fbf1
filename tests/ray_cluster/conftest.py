"""One local Ray with Serve for the whole session; applications are deleted between tests."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ray_cluster.local import LocalRay


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
    local = LocalRay.start(num_cpus=12, http_port=free_port())
    yield Cluster(http=local.http_url, local=local)
    local.stop()


@pytest.fixture
def cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    yield session_cluster
    from ray import serve

    for name in list(serve.status().applications):
        serve.delete(name)


def wait_until(claim, timeout_s: float = 30.0, every_s: float = 0.1):
    """The first true value of `claim()`, or a failed test after `timeout_s`. For effects of a real cluster only."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        value = claim()
        if value:
            return value
        time.sleep(every_s)
    raise AssertionError(f"not seen within {timeout_s} s: {claim}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.chdir(tmp_path)
    return tmp_path
