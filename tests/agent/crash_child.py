"""The process that the crash test kills: an agent over a world whose state lies in files, so that it survives the process.

Arguments: journal URL, folder of the world, when the process is killed, and a fault to plant ("none", or a name in FAULTS). It is
killed when the world is told of an order for the N-th time in this life, before ("told:N") or after it has begun ("done:N"), or, from a
thread beside ("tick:N:PART"), when so large a part of a tick has passed since the N-th began: in ticks, since a machine may be busy.
"""

import json
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from agent.assembly import assemble
from agent.journal.life import Beginning, begin, last_moment
from agent.journal.store import SqlJournal
from agent.order import Order
from agent.settings import Settings
from agent.testing import RecordingNotifier
from policies.action import Scale
from policies.observation import (
    Capacity,
    Deployment,
    DeploymentStatus,
    Observation,
    Replica,
    ReplicaState,
    Resources,
    Traffic,
)

SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "policies": [
            {"use": "target_utilization", "target": 0.5, "up_window_s": 0, "down_window_s": 0, "tolerance": 0.0}
        ],
        "deadlines": {"scale_s": 1000},
        "budget": {"orders_per_minute": 100000},
        "guards": {"foreign_change_respected_s": 0},
        "journal": {"warm_start_s": 0},
    }
)
TAKES_S = 5.0
"""From when the world is told of an order to when it can be seen; so many ticks, and nearly all of a life, an order is open."""
FEWEST, MOST = 2, 6


class FileWorld:
    """One deployment that always needs one replica more than it has, or FEWEST again once it has MOST.

    `told.jsonl` has a line for each time that it was told of an order, `effects.jsonl` one for each that it began. A key that it knows it
    does not begin again. What it began can not be seen for TAKES_S, and while one effect is under way another is a double: it is begun all
    the same, as by a cluster that starts a second job, and `doubled` of its line says over which one.
    """

    def __init__(self, folder: Path, dies: str) -> None:
        self._told, self._effects = folder / "told.jsonl", folder / "effects.jsonl"
        self._effects.touch()
        self._dies_when, number, part = (*dies.split(":"), "0")[:3]
        self._dies_in = int(number)
        self._part = float(part)
        self._looked_s = time.monotonic()
        self.at_s = 0.0

    def effects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._effects.read_text().splitlines()]

    def observe(self, at_s: float) -> Observation:
        self.at_s = at_s
        self._look()
        done = [effect for effect in self.effects() if effect["seen_from_s"] <= at_s]
        count = done[-1]["replicas"] if done else FEWEST
        wanted = count + 1 if count < MOST else FEWEST
        deployment = Deployment(
            name="app/model",
            status=DeploymentStatus.HEALTHY,
            replicas_wanted=count,
            replicas=tuple(Replica(id=f"r{n}", state=ReplicaState.RUNNING) for n in range(count)),
            traffic=Traffic(measured_at_s=at_s, window_s=10.0, requests=100, ongoing=0.5 * wanted, latency_mean_s=0.1),
        )
        room = Resources(cpus=64.0)
        return Observation(at_s=at_s, deployments={"app/model": deployment}, capacity=Capacity(total=room, free=room))

    def _look(self) -> None:
        """A tick begins, which takes about as long as the one before took."""
        now_s = time.monotonic()
        tick_s, self._looked_s = now_s - self._looked_s, now_s
        if self._dies_when == "tick":
            self._dies_in -= 1
            if self._dies_in == 0:
                threading.Timer(self._part * tick_s, _die).start()

    def start(self, order: Order) -> None:
        assert isinstance(order.action, Scale)
        if self._dies_when != "tick":
            self._dies_in -= 1
        _write(self._told, {"key": order.key, "epoch": order.epoch})
        self._dies("told")
        known = self.effects()
        if all(effect["key"] != order.key for effect in known):
            under_way = [effect["key"] for effect in known if effect["seen_from_s"] > self.at_s]
            effect = {"key": order.key, "replicas": order.action.replicas, "seen_from_s": self.at_s + TAKES_S}
            _write(self._effects, {**effect, "doubled": under_way})
        self._dies("done")

    def _dies(self, when: str) -> None:
        if self._dies_when == when and self._dies_in == 0:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write(file: Path, line: Mapping[str, Any]) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")
        opened.flush()
        os.fsync(opened.fileno())


class IntentsComeLate:
    """A journal that takes intents with the tick after theirs: a loop that acts first and writes then would leave the same behind."""

    def __init__(self, journal: SqlJournal) -> None:
        self._journal = journal
        self._late: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append(self, lines: Iterable[Any], *, durable: bool = False) -> None:
        now = [*self._late, *lines]
        self._late = [line for line in now[len(self._late) :] if line[0] == "intent"]
        self._journal.append([line for line in now if line not in self._late], durable=durable)


def _keys_changed(beginning: Beginning) -> Beginning:
    fresh = tuple(replace(order, key=f"{order.key}-again") for order in beginning.open_orders)
    return replace(beginning, open_orders=fresh)


FAULTS = {
    "keys_are_changed": (_keys_changed, lambda journal: journal),
    "open_orders_are_forgotten": (lambda beginning: replace(beginning, open_orders=()), lambda journal: journal),
    "intents_come_late": (lambda beginning: beginning, IntentsComeLate),
    "none": (lambda beginning: beginning, lambda journal: journal),
}


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is for "ready"
    journal = SqlJournal(sys.argv[1])
    world = FileWorld(Path(sys.argv[2]), sys.argv[3])
    goes_on_with, written_to = FAULTS[sys.argv[4]]
    clock_s = max(0.0, last_moment(journal))
    agent = assemble(
        SETTINGS,
        sensor=world,
        actuator=world,
        trainer=world,
        notifier=RecordingNotifier(),
        journal=written_to(journal),
        beginning=goes_on_with(begin(journal, SETTINGS, clock_s, key_prefix=f"{secrets.token_hex(4)}-")),
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        clock_s += 1.0
        agent.tick(clock_s)


if __name__ == "__main__":
    main()
