"""Our policies inside a real Serve controller, at both levels, and what a bad one does to the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
import yaml
from ray import serve

from ray_cluster.testing import wait_until

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[2]
QUICK = {"use": "target_utilization", "target": 0.7, "up_window_s": 1, "down_window_s": 2}


class Raises:
    """A user's policy with a defect."""

    def propose(self, seen: Any) -> list[Any]:
        raise RuntimeError("a defect of its own")


def shop() -> dict[str, Any]:
    """The example, quick enough for a test: metrics every second, windows of a second or two."""
    config = yaml.safe_load((ROOT / "examples" / "shop_policy" / "serve.yaml").read_text())
    ranker, fraud = config["applications"]
    for each in (ranker, fraud):
        each["deployments"][0]["graceful_shutdown_wait_loop_s"] = 0.1
        each["deployments"][0]["autoscaling_config"] |= {"metrics_interval_s": 1, "look_back_period_s": 2}
    kwargs = {"policy": QUICK, "zero_after_s": 3}
    ranker["deployments"][0]["autoscaling_config"]["policy"]["policy_kwargs"] = kwargs
    fraud["autoscaling_policy"]["policy_kwargs"] = kwargs | {"budget": 3}
    return config


@contextmanager
def asked(url: str, callers: int = 6) -> Iterator[list[str]]:
    """So many callers, each asking again as soon as it is answered; what failed."""
    failures: list[str] = []
    ended = Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            while not ended.is_set():
                answer = client.get(url)
                if answer.status_code != httpx.codes.OK:
                    failures.append(answer.text[:100])

    threads = [Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=60)


def deploy(config: dict[str, Any]) -> None:
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
    wanted = {app["name"] for app in config["applications"]}
    wait_until(lambda: _running() >= wanted)


def _running() -> set[str]:
    return {name for name, each in serve.status().applications.items() if each.status == "RUNNING"}


def replicas(application: str) -> int:
    states = serve.status().applications[application].deployments["Model"].replica_states
    return states.get("RUNNING", 0)


def test_a_policy_scales_up_under_load_and_down_after_it_at_both_levels(cluster) -> None:
    """At deployment level up to the bounds of the deployment, at application level up to the budget; no request lost."""
    deploy(shop())
    with asked(f"{cluster.http}/ranker") as of_ranker, asked(f"{cluster.http}/fraud") as of_fraud:
        wait_until(lambda: replicas("ranker") == 4 and replicas("fraud") == 3)
    assert (of_ranker, of_fraud) == ([], [])
    wait_until(lambda: replicas("ranker") == 1 and replicas("fraud") == 1)


def test_a_policy_that_raises_or_can_not_be_made_harms_nobody(cluster) -> None:
    """Its own deployments keep their counts and answer; another application is deployed, scaled and changed beside it."""
    config = shop()
    ranker, fraud = config["applications"]
    fraud["autoscaling_policy"]["policy_kwargs"] = {"policy": f"{__name__}:Raises"}
    broken = yaml.safe_load(yaml.safe_dump(ranker)) | {"name": "broken", "route_prefix": "/broken"}
    broken["deployments"][0]["autoscaling_config"]["policy"]["policy_kwargs"] = {"policy": "jont", "every_s": 1}
    deploy({"applications": [fraud, broken]})
    deploy({"applications": [fraud, broken, ranker]})
    with asked(f"{cluster.http}/ranker") as failures:
        wait_until(lambda: replicas("ranker") >= 2)
    assert failures == []
    for name in ("fraud", "broken"):
        assert httpx.get(f"{cluster.http}/{name}", timeout=30).status_code == httpx.codes.OK
        assert replicas(name) == 1
