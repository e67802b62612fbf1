"""The agent, at level L0, moves replicas of one budget from one application to another as the load moves."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
import ray
from ray import serve

from agent.journal.record import Kind
from agent.journal.store import SqlJournal
from agent.settings import Settings
from benchmarks.open_load import Answer, Phase, ask, schedule
from benchmarks.serve_scaling import AGENT_POLICY
from policies.registry import POLICIES
from ray_cluster.agents import find_agent, start_agent, stop_agent
from ray_cluster.testing import wait_until

pytestmark = pytest.mark.ray
APPLICATIONS = ("ranker", "search", "vision")
BUDGET = 5


class Model:
    """Works on one request at a time, for a tenth of a second."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(1)

    async def __call__(self) -> str:
        async with self.free:
            await asyncio.sleep(0.1)
        return "answered"


def settings(folder: Path) -> Settings:
    """`joint` under one budget, paced for replicas that come up within seconds."""
    policy = AGENT_POLICY | {"policy": AGENT_POLICY["policy"] | {"budget": BUDGET}}
    return Settings.model_validate(
        {
            "name": "one-budget",
            "tick_s": 0.5,
            "autonomy": {"default": "observe", "scale": "act"},
            "budget": {"replicas": BUDGET},
            "journal": {"url": f"sqlite:///{folder}/journal.db"},
            "deployments": {f"{name}/Model": {"slo_latency_s": 0.5} for name in APPLICATIONS},
            "policies": [policy],
        }
    )


def running() -> list[int]:
    applications = serve.status().applications
    return [applications[name].deployments["Model"].replica_states.get("RUNNING", 0) for name in APPLICATIONS]


@contextmanager
def asked(http_url: str, busy: str) -> Iterator[list[Answer]]:
    """18 requests/s on one application, 3 on each of the others, until it is left; the answers so far."""
    load = [Phase(2.0, {name: 18.0 if name == busy else 3.0 for name in APPLICATIONS})]
    urls = {name: f"{http_url}/{name}" for name in APPLICATIONS}
    answers: list[Answer] = []
    ended = Event()

    def ask_on() -> None:
        for seed in count():
            answers.extend(asyncio.run(ask(urls, schedule(load, seed))))
            if ended.is_set():
                return

    thread = Thread(target=ask_on)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join(timeout=90)


@pytest.mark.skipif("joint" not in POLICIES, reason="the policy joint is not registered")
def test_replicas_follow_the_load_from_one_application_to_another_under_one_budget(cluster, tmp_path: Path) -> None:
    """Nothing but Ray's metrics tells the agent of the load; no request is lost, and the journal never shows more than the budget."""
    made = serve.deployment(Model).options(
        num_replicas=1, max_ongoing_requests=2, ray_actor_options={"num_cpus": 0.1}, graceful_shutdown_wait_loop_s=0.1
    )
    serve.run_many(
        [serve.RunTarget(made.bind(), name=n, route_prefix=f"/{n}", external_scaler_enabled=True) for n in APPLICATIONS]
    )
    start_agent(settings(tmp_path), cluster.local.dashboard_url, str(tmp_path))
    for n, busy in ((0, "ranker"), (1, "search")):
        with asked(cluster.http, busy) as answers:
            wait_until(lambda n=n: running()[n] >= 3)
        assert answers
        assert all(each.ok for each in answers)
    ray.get(find_agent("one-budget").stop.remote(), timeout=30)
    stop_agent("one-budget")
    seen = [e.payload for e in SqlJournal(f"sqlite:///{tmp_path}/journal.db").entries(kinds=(Kind.OBSERVED,))]
    wanted = [sum(each["replicas_wanted"] for each in payload["deployments"].values()) for payload in seen]
    assert max(wanted) <= BUDGET
