"""One life of an agent on a cluster: everything it works with, and the agent put together of it."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.assembly import assemble
from agent.clock import AgentClock, Border
from agent.journal.life import begin, last_clock, last_moment
from agent.journal.store import SqlJournal
from agent.loop import Agent
from agent.ports import Notifier
from agent.schedules import Schedules, taken
from agent.settings import Settings
from policies.imports import Packages
from ray_cluster.actuator import ClusterActuator
from ray_cluster.epochs import highest_epoch
from ray_cluster.managed import Upkeep, make, missing
from ray_cluster.prometheus import ServeMetrics, gap_s, metrics_addresses, window_s
from ray_cluster.quarantine import quarantined
from ray_cluster.registry import MlflowRegistry
from ray_cluster.sensor import ClusterSensor
from ray_cluster.serve_rest import ServeRest
from ray_cluster.training import TuneTrainer

log = structlog.get_logger()
BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
KEY_BYTES = 4
"""Of chance in the keys of a life's orders."""


@dataclass(frozen=True)
class Life:
    """What lives from one start of the agent's process to the next."""

    clock: AgentClock
    agent: Agent
    actuator: ClusterActuator
    upkeep: Upkeep
    journal: SqlJournal


def begun(settings: Settings, dashboard_url: str, notifier: Notifier, allowed: Packages = ()) -> Life:
    """A life in a new epoch, with the orders that the last one left open and what it saw last. Raises JournalUnavailable.

    `allowed` are the packages whose classes may be named by import path.
    """
    journal = SqlJournal(settings.journal.url)
    clock = AgentClock(time.time, steady_s, not_before_s=last_moment(journal), boot=boot(), kept=last_clock(journal))
    schedules = Schedules(settings.schedules, taken(journal, settings.schedules, clock.civil_s(clock.now())))
    beginning = begin(
        journal,
        settings,
        clock.now(),
        above=highest_epoch(settings.name),
        key_prefix=f"{secrets.token_hex(KEY_BYTES)}-",
        clock=clock.kept(),
    )
    registry = MlflowRegistry(settings.registry.tracking_uri, settings.registry.artifact_location)
    rest = ServeRest(dashboard_url)
    trainer = TuneTrainer(settings, quarantined, allowed)
    actuator = ClusterActuator(settings, rest=rest, registry=registry, epoch=beginning.epoch)
    sensor = ClusterSensor(
        settings,
        rest=rest,
        metrics=ServeMetrics(
            metrics_addresses,
            window_s(settings.tick_s),
            gap_s(settings.tick_s),
            own_s=clock.own_s,
            civil_s=clock.civil_s,
        ),
        registry=registry,
        trainer=trainer,
        controls=journal.controls,
        due=schedules.due,
    )
    border = Border(clock, sensor=sensor, actuator=actuator, trainer=trainer)
    agent = assemble(
        settings,
        sensor=border,
        actuator=border.actuator,
        trainer=border.trainer,
        notifier=notifier,
        journal=journal,
        beginning=beginning,
        allowed=allowed,
    )
    upkeep = Upkeep(
        settings,
        lambda name: missing(settings, name, registry, rest, allowed),
        lambda name, what: make(settings, name, what, beginning.epoch, allowed),
        note=agent.note,
        notifier=notifier,
    )
    log.info("agent_started", name=settings.name, epoch=beginning.epoch, open_orders=len(beginning.open_orders))
    return Life(clock, agent, actuator, upkeep, journal)


def steady_s() -> float:
    """Seconds that nobody can set. They go on while the machine is suspended, where it can tell: that time has passed, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def boot() -> str:
    """Names the start of this machine, from which `steady_s` counts; empty where that can not be told."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return ""
    try:
        return BOOT_FILE.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
