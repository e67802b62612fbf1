"""What the demo itself does while the agent works: a bad challenger, a burst, a kill, a slow replica. One after the other."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
import structlog
from ray import serve

from agent.monitoring.rows import Labelled, Served
from agent.recipes import registry as recipes
from agent.recipes.scoring import fit
from ray_cluster.datalog import DataLog
from ray_cluster.demo.outcome import Fault
from ray_cluster.demo.plan import REPLICAS_MIN
from ray_cluster.demo.standing import CHAMPION, MODEL, Standing
from ray_cluster.registry import MlflowRegistry
from ray_cluster.serve_rest import ServeRest

log = structlog.get_logger()

FIRST_RECIPE = "hist_gradient_boosting"
FIRST_PARAMETERS = {"learning_rate": 0.08, "max_iter": 100, "max_leaf_nodes": 31, "l2_regularization": 1.0}
SLOW_S = 1.0
HISTORY_EVERY_S = 0.001
HISTORY_ENDS_S = 60.0
AGENT_STARTS_S = 90.0
LOOK_EVERY_S = 0.25
BURST_MAX_S = 240.0
"""A burst that has added no replica by then adds none."""
SLOW_TRIES = 4


class Player:
    """The client's process, and the lines that it says."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        path = folder / "client.json"
        path.write_text(json.dumps(config))
        self.lines: list[dict[str, Any]] = []
        self._telling = threading.Lock()
        self._log = (folder / "client.log").open("w")
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "ray_cluster.demo.client", str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def playing(self) -> bool:
        return self._process.poll() is None

    def wait_until_it_plays(self) -> float:
        """When it began, in POSIX seconds. Raises RuntimeError where it ended before."""
        while not self.lines and self.playing:
            time.sleep(LOOK_EVERY_S)
        if not self.lines:
            raise RuntimeError(f"the client of the demo ended before it began; see {self._log.name}")
        return float(self.lines[0]["at_s"])

    def burst(self, on: bool) -> None:
        self._tell({"burst": on})

    def pace(self, rows_per_s: float, until: int) -> None:
        """The stream goes on at `rows_per_s`, and stands still at row `until`."""
        self._tell({"rows_per_s": rows_per_s, "until": until})

    def _tell(self, command: dict[str, Any]) -> None:
        with self._telling, suppress(BrokenPipeError):  # it may have ended just now
            if self._process.stdin is not None and self.playing:
                self._process.stdin.write(json.dumps(command) + "\n")
                self._process.stdin.flush()

    def end(self) -> None:
        """Wait for its last words; it plays for a bounded time."""
        self._process.wait(timeout=120)
        self._reader.join(timeout=10)
        self._log.close()

    def stop(self) -> None:
        if self.playing:
            self._process.terminate()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.lines.append(json.loads(line))


def first_version(registry: MlflowRegistry, frame: pd.DataFrame, columns: list[str]) -> None:
    """Fit version 1 on `frame` and make it the champion: the model that somebody deployed one day."""
    known = frame[frame["label"].notna()]
    fitted = fit(recipes.build(FIRST_RECIPE), known[columns], known["label"], FIRST_PARAMETERS, 0)
    version = registry.register(
        MODEL, fitted, recipe=FIRST_RECIPE, source="demo", at_s=time.time(), parameters=FIRST_PARAMETERS
    )
    registry.promote(MODEL, version.number, decision="demo", at_s=time.time())


def write_history(url: str, frame: pd.DataFrame, columns: list[str]) -> None:
    """Put the rows that the first model was fitted on into the data log, as if they had been served just before."""
    began_s = time.time() - len(frame) * HISTORY_EVERY_S - HISTORY_ENDS_S
    log = DataLog(url, MODEL)
    records = frame[columns].astype(object).where(frame[columns].notna(), None).to_dict(orient="records")
    keys, labels = frame["key"].tolist(), frame["label"].tolist()
    for index, (key, features, label) in enumerate(zip(keys, records, labels, strict=True)):
        at_s = began_s + index * HISTORY_EVERY_S
        log.rows([Served(key, at_s, {str(n): v for n, v in features.items()}, None, 0.0, "", "history")])
        if not math.isnan(label):
            log.labels([Labelled(key, at_s, label)])
    log.flush()


def wait_for_ticks(actor: Any) -> None:
    """Until the agent has taken its first steps. Raises TimeoutError."""
    deadline = time.monotonic() + AGENT_STARTS_S
    while time.monotonic() < deadline:
        if ray.get(actor.status.remote(), timeout=AGENT_STARTS_S)["ticks"] >= 2:
            return
        time.sleep(0.5)
    raise TimeoutError(f"the agent did not begin within {AGENT_STARTS_S:.0f} s")


def bad_version(registry: MlflowRegistry, frame: pd.DataFrame, columns: list[str]) -> str:
    """Register a challenger that was fitted on shuffled labels."""
    known = frame[frame["label"].notna()]
    shuffled = pd.Series(np.random.default_rng(0).permutation(known["label"].to_numpy()), index=known.index)
    fitted = fit(recipes.build(FIRST_RECIPE), known[columns], shuffled, FIRST_PARAMETERS | {"learning_rate": 0.3}, 0)
    return registry.register(MODEL, fitted, recipe=FIRST_RECIPE, source="demo-shuffled-labels", at_s=time.time()).number


class Story(threading.Thread):
    """Does its acts in order, each when what was before is over. What it waits for is what the agent sees, never a time.

    `look` gives the newest look of the agent, None before the first; `treated` the replicas that the agent has ordered to be replaced.
    `said` is what the story did, for the timeline.
    """

    def __init__(
        self,
        *,
        registry: MlflowRegistry,
        rest: ServeRest,
        player: Player,
        look: Callable[[], Standing | None],
        treated: Callable[[], Collection[str]],
        sample: pd.DataFrame,
        columns: list[str],
    ) -> None:
        super().__init__(name="story", daemon=True)
        self._registry = registry
        self._rest = rest
        self._player = player
        self._look = look
        self._treated = treated
        self._sample = sample
        self._columns = columns
        self.acting = False
        """Whether it waits for what an act of its own does, or needs calm for the next one: not for what the stream brings."""
        self.faults: list[Fault] = []
        self.bad: str | None = None
        self.burst: tuple[float, float] | None = None
        self.said: list[tuple[float, str]] = []

    def run(self) -> None:
        """Faults need a calm moment only; the bad challenger comes after a first promotion, so that both are seen apart.

        The burst comes early: a cheaper version would bear it as it is, and a training beside it would have few cores left.
        """
        for act in (self._kill, self._burst, self._slow):
            self._do(act)
        self._until(lambda now: now.previous is not None)
        self._do(self._bad_challenger)

    def _do(self, act: Callable[[], None]) -> None:
        """One act, and what comes of it; where it fails the next one is tried all the same, and people read why."""
        self.acting = True
        try:
            self._until(lambda now: now.under_way is None and now.wanted == REPLICAS_MIN)
            if self._player.playing:
                act()
        except Exception as error:
            log.exception("act_failed", act=act.__name__)
            self._say(f"could not finish its act {act.__name__.strip('_')}: {type(error).__name__}: {error}")
        self.acting = False

    def _say(self, text: str) -> None:
        self.said.append((time.time(), text))

    def _until(self, claim: Callable[[Standing], bool], within_s: float = math.inf) -> bool:
        """Wait until a look that the agent took from now on bears the claim out; whether one did."""
        began_s = time.time()
        while self._player.playing and time.time() - began_s < within_s:
            now = self._look()
            if now is not None and now.at_s > began_s and claim(now):
                return True
            time.sleep(LOOK_EVERY_S)
        return False

    def _champion(self) -> dict[str, Any]:
        application, deployment = CHAMPION.split("/")
        row: dict[str, Any] = self._rest.details()["applications"][application]["deployments"][deployment]
        return row

    def _kill(self) -> None:
        replica = self._champion()["replicas"][0]
        name = replica["replica_id"]
        self.faults.append(Fault(fault="killed", replica=name, at_s=time.time()))
        os.kill(replica["pid"], signal.SIGKILL)
        self._say(f"kills replica {name}")
        self._replaced(name)

    def _burst(self) -> None:
        began_s = time.time()
        self._say("sends many times the requests")
        self._player.burst(True)
        self._until(lambda now: now.whole and len(now.running) > REPLICAS_MIN, within_s=BURST_MAX_S)
        self._player.burst(False)
        self.burst = (began_s, time.time())
        self._say("ends the burst")
        self._until(lambda now: now.whole and now.wanted == REPLICAS_MIN)

    def _slow(self) -> None:
        """A slow replica that a scale-down takes away before the agent found it out shows nothing: then another one is made slow."""
        for _ in range(SLOW_TRIES):
            fault = self._make_slow()
            self._replaced(fault.replica)
            if fault.replica in self._treated() or not self._player.playing:
                return
            self.faults.remove(fault)
            self._say(f"sees replica {fault.replica} leave before it was found to be slow, and tries again")

    def _replaced(self, replica: str) -> None:
        self._until(lambda now: replica not in now.replicas and now.whole)

    def _make_slow(self) -> Fault:
        replica = self._champion()["replicas"][0]["replica_id"]
        handle = serve.get_deployment_handle("ModelServer", MODEL)
        fault = Fault(fault="slow", replica=replica, at_s=time.time())
        self.faults.append(fault)
        for answer in handle.broadcast("inject_delay", replica, SLOW_S).results(timeout_s=60):
            assert answer  # noqa: S101 - the server was started with fault injection
        self._say(f"makes replica {replica} {SLOW_S:g} s slow")
        return fault

    def _bad_challenger(self) -> None:
        bad = self.bad = bad_version(self._registry, self._sample, self._columns)
        self._say(f"registers version {bad}, fitted on shuffled labels")
        self._until(lambda now: bad in now.candidates or now.rollout == bad)
        self._until(lambda now: bad not in now.candidates and now.rollout != bad)
