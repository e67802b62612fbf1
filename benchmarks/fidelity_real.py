"""The real side of `benchmarks.fidelity`: three applications on a local Ray Serve, their replicas watched while they are loaded."""

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.fidelity_load import Answer, Machine, Request, play, poisson

REPLICAS = {"one": 1, "two": 2, "four": 4}
DEPLOYMENT = "Model"
MAX_ONGOING = 2
TOKEN_S = 0.001
LEAD_S = 1.0
"""From the decision to begin until the first request may be due."""
LOOK_S = 0.1
LIMIT_S = 60.0
WARM_S = 6.0
"""What is measured of a low load in its first seconds does not count: connections and routers are made then."""


@dataclass
class Watch:
    """How many replicas run and how many there are at all, by application, whenever either changes; times are Unix times."""

    dashboard_url: str
    seen: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        from ray_cluster.serve_rest import ServeAway, ServeRest  # noqa: PLC0415

        rest = ServeRest(self.dashboard_url)
        while not self._ended.wait(LOOK_S):
            try:
                self._look(rest.details()["applications"])
            except ServeAway:
                continue

    def _look(self, applications: Mapping[str, Any]) -> None:
        now_s = time.time()
        for name in REPLICAS:
            rows = applications.get(name, {}).get("deployments", {}).get(DEPLOYMENT, {}).get("replicas", [])
            running = [each["actor_name"] for each in rows if each["state"] == "RUNNING"]
            self.names[name] = running
            before = self.seen.setdefault(name, [])
            if not before or before[-1][1:] != (len(running), len(rows)):
                before.append((now_s, len(running), len(rows)))

    def now(self, name: str) -> tuple[int, int]:
        """(running, there at all)."""
        found = self.seen.get(name)
        return found[-1][1:] if found else (0, 0)

    def stop(self) -> None:
        self._ended.set()


@contextmanager
def watching(dashboard_url: str) -> Iterator[Watch]:
    watch = Watch(dashboard_url)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def deploy() -> None:
    """The applications, scaled from outside; returns when they run."""
    from ray import serve  # noqa: PLC0415 - the environment comes first
    from starlette.requests import Request as HttpRequest  # noqa: PLC0415

    class Model:
        """A request waits TOKEN_S for each of its tokens, as if for an accelerator, and is told how long it was here."""

        async def __call__(self, request: HttpRequest) -> str:
            return f"{await self.serve(int(request.query_params['tokens'])):.6f}"

        async def serve(self, tokens: int) -> float:
            began = time.perf_counter()
            await asyncio.sleep(tokens * TOKEN_S)
            return time.perf_counter() - began

    made = serve.deployment(Model).options(
        ray_actor_options={"num_cpus": 0.1},
        max_ongoing_requests=MAX_ONGOING,
        health_check_period_s=1,
        graceful_shutdown_wait_loop_s=0.1,
    )
    serve.run_many(
        [
            serve.RunTarget(
                made.options(num_replicas=count).bind(),
                name=name,
                route_prefix=f"/{name}",
                external_scaler_enabled=True,
            )
            for name, count in REPLICAS.items()
        ]
    )


@dataclass
class Stage:
    """A Serve that runs, what is watched of it, and a process that loads it."""

    http_url: str
    watch: Watch
    scale: Callable[[str, int], None]
    client: ProcessPoolExecutor

    def kill(self, application: str) -> None:
        """One running replica dies at once."""
        import ray  # noqa: PLC0415

        ray.kill(ray.get_actor(self.watch.names[application][0], namespace="serve"), no_restart=True)

    def load(self, requests: Sequence[Request], deeds: Sequence[tuple[float, Callable[[], None]]] = ()) -> "Seen":
        """Play `requests`, and do each of `deeds` at its time; returns when everybody was answered."""
        begin_at_s = time.time() + LEAD_S
        machine = Machine().begin()
        playing = self.client.submit(play, self.http_url, requests, begin_at_s)
        done_s = []
        for at_s, deed in deeds:
            time.sleep(max(0.0, begin_at_s + at_s - time.time()))
            done_s.append(time.time() - begin_at_s)
            deed()
        answers = playing.result()
        return Seen(begin_at_s, answers, dict(machine.shares()), done_s)

    def until(self, holds: Callable[[], bool], what: str) -> float:
        """Seconds until `holds`. TimeoutError after LIMIT_S."""
        began = time.time()
        while not holds():
            if time.time() - began > LIMIT_S:
                raise TimeoutError(f"waited {LIMIT_S:.0f} s until {what}")
            time.sleep(LOOK_S / 2)
        return time.time() - began


@dataclass(frozen=True)
class Seen:
    """One block of load. `done_s`: when its deeds were done, since its begin."""

    begin_at_s: float
    answers: list[Answer]
    machine: dict[str, float]
    done_s: list[float]


@contextmanager
def stage(local: Any) -> Iterator[Stage]:
    from ray_cluster.serve_rest import ServeRest  # noqa: PLC0415

    deploy()
    rest = ServeRest(local.dashboard_url)
    with (
        watching(local.dashboard_url) as watch,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as client,
    ):
        made = Stage(local.http_url, watch, lambda name, n: rest.scale(f"{name}/{DEPLOYMENT}", n), client)
        made.until(lambda: all(watch.now(name) == (n, n) for name, n in REPLICAS.items()), "all replicas run")
        yield made


def restore(stage: Stage) -> None:
    """As many replicas as in the beginning."""
    for name, count in REPLICAS.items():
        stage.scale(name, count)
    stage.until(lambda: all(stage.watch.now(name) == (n, n) for name, n in REPLICAS.items()), "all replicas run")


def lifecycle(stage: Stage, *, starts: int, deaths: int) -> dict[str, list[float]]:
    """How long idle replicas take to come when they are wanted, and to go, and until a dead one is missed.

    What replaces a dead one comes sooner than what is ordered, by the controller's next look; it is no cold start of those.
    """
    found: dict[str, list[float]] = {"cold_start_s": [], "stop_s": [], "noticed_s": []}
    watch = stage.watch
    for _ in range(starts):
        stage.scale("one", 2)
        found["cold_start_s"].append(stage.until(lambda: watch.now("one")[0] == 2, "a replica is added"))
        stage.scale("one", 1)
        found["stop_s"].append(stage.until(lambda: watch.now("one") == (1, 1), "a replica is gone"))
    for _ in range(deaths):
        before = len(watch.seen["two"])
        stage.kill("two")
        killed_at_s = time.time()
        stage.until(lambda: len(watch.seen["two"]) > before, "a death is noticed")  # noqa: B023 - called at once
        found["noticed_s"].append(watch.seen["two"][before][0] - killed_at_s)
        stage.until(lambda: watch.now("two") == (2, 2), "the dead one is replaced")
    return found


def low_load(stage: Stage, *, rate_rps: float, duration_s: float, seed: int) -> dict[str, list[float]]:
    """Answers of the largest application at a low rate for `duration_s`, after WARM_S of it; calls by handle and questions beside them."""
    beside: dict[str, list[float]] = {}
    asking = threading.Thread(target=lambda: beside.update(_ask_beside(stage, WARM_S, duration_s)))
    asking.start()
    seen = stage.load(poisson("four", [(WARM_S + duration_s, rate_rps)], seed))
    asking.join()
    good = [each for each in seen.answers if each.ok and each.request.due_s >= WARM_S]
    return {
        "tokens": [float(each.request.tokens) for each in good],
        "served_s": [each.served_s for each in good],
        "latency_s": [each.latency_s for each in good],
        **beside,
    }


def _ask_beside(stage: Stage, warm_s: float, duration_s: float) -> dict[str, list[float]]:
    import ray  # noqa: PLC0415
    from ray import serve  # noqa: PLC0415

    handle = serve.get_app_handle("four").serve
    actors = [ray.get_actor(name, namespace="serve") for name in stage.watch.names["four"]]
    overhead_s, probe_s = [], []
    drawn = np.random.default_rng(0)
    handle.remote(1).result(timeout_s=LIMIT_S)  # the first call builds the router
    begins = time.perf_counter() + LEAD_S + warm_s
    ends = begins + duration_s
    while time.perf_counter() < ends:
        began = time.perf_counter()
        served_s = handle.remote(100).result(timeout_s=LIMIT_S)
        overhead_s.append(time.perf_counter() - began - served_s)
        time.sleep(drawn.uniform(0.0, 0.1))
        began = time.perf_counter()
        ray.get(actors[len(probe_s) % len(actors)].get_num_ongoing_requests.remote())
        probe_s.append(time.perf_counter() - began)
        time.sleep(drawn.uniform(0.0, 0.1))
        if began < begins:
            overhead_s.clear()
            probe_s.clear()
    return {"handle_overhead_s": overhead_s, "probe_s": probe_s}
