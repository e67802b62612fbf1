"""The host of the agent: a detached actor that Ray restarts. Its constructor is all that runs again, so everything begins there.

State comes from the journal: a new epoch, and the orders that the last life left open. While the journal is away at the start, it waits,
does nothing, and says so.
"""

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import ray
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from agent.calendar import cron
from agent.codec import to_json
from agent.core import Decision
from agent.logs import configure
from agent.loop import Agent, said
from agent.ports import JournalUnavailable, Notifier
from agent.settings import Settings
from policies.action import Alert
from ray_cluster import notifier
from ray_cluster.figures import Figures
from ray_cluster.report import write_daily_report

if TYPE_CHECKING:
    from ray_cluster.life import Life

log = structlog.get_logger()
REPORT_SCHEDULE = "report"


@ray.remote(num_cpus=0, max_restarts=-1)
class AgentHost:
    """One agent. `folder` is where relative paths of the settings begin."""

    def __init__(self, settings: dict[str, Any], dashboard_url: str, folder: str) -> None:
        configure()
        # A late tick is a figure of the agent (loop lag), not a line in its log for each.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
        self._settings = Settings.model_validate(settings)
        self._dashboard_url = dashboard_url
        self._life: Life | None = None
        self._notifier = _notifier(self._settings.notify)
        self._figures = Figures()
        self._waiting = "starting"
        self._due: list[str] = []
        self._ticks = 0
        self._expected_s = time.monotonic()
        self._last: Decision | None = None
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        # A job that is late is done late, however late: APScheduler's own grace of one second would drop a nightly retraining.
        late = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        self._scheduler.add_job(self._tick, "interval", seconds=self._settings.tick_s, **late)
        for name, expression in self._settings.schedules.items():
            self._scheduler.add_job(self._fall_due, cron(expression), [name], **late)
        self._scheduler.start()

    async def status(self) -> dict[str, Any]:
        """Whether it runs, since which epoch, and what it is doing."""
        agent = self._life.agent if self._life else None
        return {
            "name": self._settings.name,
            "running": agent is not None,
            "waiting_for": self._waiting,
            "ticks": self._ticks,
            "open_orders": [to_json(order) for order in agent.core.open_orders] if agent else [],
            "problems": list(agent.last_seen.problems) if agent and agent.last_seen else [],
            "last": {} if self._last is None else {"at_s": self._last.at_s, **said(self._last)},
        }

    async def stop(self) -> None:
        """No tick after this one; then the caller may kill the actor."""
        self._scheduler.shutdown(wait=False)

    async def _fall_due(self, name: str) -> None:
        self._due.append(name)
        if name == REPORT_SCHEDULE and self._life is not None:
            try:
                await asyncio.to_thread(write_daily_report, self._life.journal, time.time())
            except (JournalUnavailable, OSError) as error:
                log.error("report_not_written", reason=str(error))

    async def _tick(self) -> None:
        now = time.monotonic()
        lag_s, self._expected_s = max(0.0, now - self._expected_s), now + self._settings.tick_s
        try:
            await asyncio.to_thread(self._tick_once, lag_s)
        except JournalUnavailable as error:
            self._wait_for(f"the journal: {error}")
            log.error("journal_away", reason=str(error), effect="nothing is done until it is back")
        except Exception as error:  # one bad tick must not end the loop
            self._wait_for(f"a tick that does not fail: {type(error).__name__}: {error}")
            log.exception("tick_failed")

    def _wait_for(self, what: str) -> None:
        """Nothing is done meanwhile; people are told once of each reason."""
        if what != self._waiting:
            self._notifier.notify(
                Alert(subject=self._settings.name, text=f"the agent waits for {what}", severity="critical")
            )
        self._waiting = what

    def _tick_once(self, lag_s: float) -> None:
        if self._life is None:
            self._begin()
        assert self._life is not None  # noqa: S101 - begun above
        agent = self._life.agent
        began = time.monotonic()
        self._last = agent.tick(time.time())
        self._waiting = "" if agent.halted is None else f"the journal: {agent.halted}"
        if _may_act(agent):
            self._life.actuator.renew(time.time())
            self._life.upkeep.look(time.time())
        self._ticks += 1
        took_s = time.monotonic() - began
        self._figures.tick(self._last, lag_s=lag_s, took_s=took_s, halted=agent.halted is not None)
        if agent.last_seen is not None:
            self._figures.seen(agent.last_seen, self._settings.budget)

    def _begin(self) -> None:
        """Open the journal, take an epoch, and put the agent together. Raises JournalUnavailable; the next tick tries again."""
        # Whoever looks at an actor imports its class: with all that an agent works with, `status` and `stop` would take seconds more.
        from ray_cluster.life import begun  # noqa: PLC0415

        self._life = begun(self._settings, self._dashboard_url, self._notifier, self._take_due)

    def _take_due(self) -> tuple[str, ...]:
        due, self._due = tuple(self._due), []
        return due


def _may_act(agent: Agent) -> bool:
    """Not while the record can not be kept, nor while the kill switch is on: then canaries end by themselves."""
    return agent.halted is None and not (agent.last_seen and agent.last_seen.controls.killed)


def _notifier(variables: tuple[str, ...]) -> Notifier:
    """As the settings want it; where that can not be, the log, loudly: an agent without a pager still heals."""
    try:
        return notifier.build(variables)
    except notifier.NotifierError as error:
        log.error("notifications_off", reason=str(error))
        return notifier.LogNotifier()
