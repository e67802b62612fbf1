"""For tests on a real cluster: waiting for effects, steady load that counts, a managed model with the ports of an agent."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from ray import serve

from agent.order import Order
from agent.recipes import registry as recipes
from agent.recipes.scoring import fit
from agent.settings import Settings
from policies.observation import Controls, Observation
from ray_cluster.actuator import ClusterActuator
from ray_cluster.managed import ensure_served, wait_until_served
from ray_cluster.prometheus import ServeMetrics, metrics_addresses
from ray_cluster.registry import MlflowRegistry
from ray_cluster.sensor import ClusterSensor
from ray_cluster.serve_rest import ServeRest
from ray_cluster.training import TuneTrainer


def wait_until(claim: Callable[[], Any], timeout_s: float = 150.0, every_s: float = 0.1) -> Any:
    """The first true value of `claim()`, or a failed test after `timeout_s`. For effects of a real cluster only."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        value = claim()
        if value:
            return value
        time.sleep(every_s)
    raise AssertionError(f"not seen within {timeout_s} s: {claim}")


def delete_applications() -> None:
    """All of them, at once: each waits for its replicas to leave."""
    with ThreadPoolExecutor() as at_once:
        list(at_once.map(serve.delete, serve.status().applications))


@dataclass
class Load:
    """Steady load on one model until `stop`: every answer's moment, version and status; a request is sent once, never again."""

    url: str
    rate_rps: float = 20.0
    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, workers: int = 4) -> "Load":
        for worker in range(workers):
            thread = threading.Thread(target=self._ask, args=(worker, workers), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def versions(self, since_s: float) -> Counter[str]:
        return Counter(version for at_s, version in self.answers if at_s >= since_s)

    def _ask(self, worker: int, workers: int) -> None:
        number = worker
        with httpx.Client(timeout=60) as client:
            while not self._ended.wait(workers / self.rate_rps):
                number += workers
                row = {"key": f"k{number}", "features": {"x": (number % 10) / 10}}
                asked_s = time.time()
                try:
                    answer = client.post(self.url, json={"rows": [row]})
                except httpx.HTTPError as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    continue
                if answer.status_code != httpx.codes.OK:
                    self.failures.append(f"{answer.status_code} {answer.text[:100]}")
                    continue
                self.answers.append((asked_s, answer.json()["predictions"][0]["version"]))


@dataclass
class Managed:
    """A managed model on the cluster, with versions 1 (champion) and 2, and the ports that an agent would use."""

    settings: Settings
    registry: MlflowRegistry
    rest: ServeRest
    actuator: ClusterActuator
    sensor: ClusterSensor
    url: str
    model: str
    epoch: int = 1
    """In which orders are given; each actuator has one of its own."""
    _number: int = 0

    def order(self, action: Any, epoch: int | None = None) -> Order:
        epoch = self.epoch if epoch is None else epoch
        self._number += 1
        now_s = time.time()
        return Order(
            number=self._number, epoch=epoch, key=f"{self.model}-{self._number}", action=action, because=(),
            policy="test", issued_at_s=now_s, deadline_s=now_s + 60.0,
        )  # fmt: skip

    def do(self, action: Any, epoch: int | None = None) -> None:
        self.actuator.start(self.order(action, epoch))

    def close(self) -> None:
        """No order goes on, and nothing is served any more."""
        self.actuator.close()
        delete_applications()

    def seen(self) -> Observation:
        now_s = time.time()
        self.actuator.renew(now_s)
        return self.sensor.observe(now_s)

    @property
    def deployment(self) -> str:
        return f"{self.model}-shop/ModelServer"

    @property
    def challenger(self) -> str:
        """The challenger's application."""
        return f"{self.model}-shop-challenger"


def rows_of(count: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """One feature `x`, and a label that is more likely where it is larger."""
    drawn = np.random.default_rng(seed)
    x = drawn.random(count)
    return pd.DataFrame({"x": x}), pd.Series((drawn.random(count) < x).astype(float))


def settings_of(model: str, folder: Path, **fields: Any) -> Settings:
    plain = {
        "name": f"agent-{model}",
        "tick_s": 0.5,
        "autonomy": {"default": "act"},
        "budget": {"replicas": 8},
        "journal": {"url": f"sqlite:///{folder}/journal.db"},
        "registry": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "artifact_location": f"{folder}/artifacts"},
        "data_log": {"url": f"{folder}/data", "flush_s": 0.5},
        "models": {
            model: {
                "application": f"{model}-shop",
                "deployment": {"min_replicas": 2, "max_replicas": 4},
                "server": {"replica_cpus": 0.1, "fault_injection": True},
                "drift": {"window_rows": 50},
            }
        },
    }
    return Settings.model_validate(plain | fields)


def manage(model: str, http_url: str, dashboard_url: str, folder: Path) -> Managed:
    """Register two versions of `model`, serve the first, and set up the ports."""

    settings = settings_of(model, folder)
    registry = MlflowRegistry(settings.registry.tracking_uri, settings.registry.artifact_location)
    for seed in (0, 1):
        fitted = fit(recipes.build("logistic"), *rows_of(200, seed), {"C": 1.0}, 0)
        registry.register(model, fitted, recipe="logistic", source="test", at_s=time.time())
    registry.promote(model, "1", decision="test", at_s=time.time())
    rest = ServeRest(dashboard_url)
    ensure_served(settings, model, registry, 1, rest)
    wait_until_served(settings, model)
    actuator = ClusterActuator(settings, rest=rest, registry=registry, epoch=1)
    sensor = ClusterSensor(
        settings, rest=rest, metrics=ServeMetrics(metrics_addresses), registry=registry,
        trainer=TuneTrainer(settings), controls=lambda at_s: Controls(),
    )  # fmt: skip
    return Managed(settings, registry, rest, actuator, sensor, f"{http_url}/{model}-shop/", model)
