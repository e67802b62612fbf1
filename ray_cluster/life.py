"""One life of an agent on a cluster: everything it works with, and the agent put together of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent.assembly import assemble
from agent.journal.life import begin
from agent.journal.store import SqlJournal
from agent.loop import Agent
from agent.ports import Notifier
from agent.settings import Settings
from ray_cluster.actuator import ClusterActuator, highest_epoch
from ray_cluster.managed import Upkeep
from ray_cluster.prometheus import ServeMetrics, metrics_addresses, window_s
from ray_cluster.quarantine import quarantined
from ray_cluster.registry import MlflowRegistry
from ray_cluster.sensor import ClusterSensor
from ray_cluster.serve_rest import ServeRest
from ray_cluster.training import TuneTrainer

log = structlog.get_logger()


@dataclass(frozen=True)
class Life:
    """What lives from one start of the agent's process to the next."""

    agent: Agent
    actuator: ClusterActuator
    upkeep: Upkeep
    journal: SqlJournal


def begun(settings: Settings, dashboard_url: str, notifier: Notifier, due: Callable[[], tuple[str, ...]]) -> Life:
    """A life in a new epoch, with the orders that the last one left open and what it saw last. Raises JournalUnavailable.

    `due` gives, once each, the names of the schedules that fell due.
    """
    journal = SqlJournal(settings.journal.url)
    beginning = begin(journal, settings, time.time(), above=highest_epoch(settings.name))
    registry = MlflowRegistry(settings.registry.tracking_uri, settings.registry.artifact_location)
    rest = ServeRest(dashboard_url)
    trainer = TuneTrainer(settings, quarantined)
    actuator = ClusterActuator(settings, rest=rest, registry=registry, epoch=beginning.epoch)
    sensor = ClusterSensor(
        settings,
        rest=rest,
        metrics=ServeMetrics(metrics_addresses, window_s(settings.tick_s)),
        registry=registry,
        trainer=trainer,
        controls=journal.controls,
        due=due,
    )
    agent = assemble(
        settings,
        sensor=sensor,
        actuator=actuator,
        trainer=trainer,
        notifier=notifier,
        journal=journal,
        beginning=beginning,
    )
    upkeep = Upkeep(settings, registry, beginning.epoch, notifier)
    log.info("agent_started", name=settings.name, epoch=beginning.epoch, open_orders=len(beginning.open_orders))
    return Life(agent, actuator, upkeep, journal)
