"""The host of the agent: a detached actor that Ray restarts. Its constructor is all that runs again, so everything begins there.

State comes from the journal: a new epoch, and the orders that the last life left open. While the journal is away at the start, it waits,
does nothing, and says so.
"""

import asyncio
import os
import time
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray
import structlog

from agent.calendar import FreezeCalendar
from agent.clock import told
from agent.codec import to_json
from agent.containment import contained
from agent.core import Decision
from agent.journal.forms import all_formed
from agent.journal.record import Entry, Kind
from agent.journal.store import SqlJournal, journal_name
from agent.logs import configure
from agent.loop import Agent, said
from agent.ports import JournalUnavailable, Notifier
from agent.redaction import redacted
from agent.repeats import Repeats, again, mark_of
from agent.settings import Settings
from agent.standing import standing
from policies.action import Alert
from policies.imports import Packages
from policies.observation import Observation
from ray_cluster import notifier
from ray_cluster.figures import Figures
from ray_cluster.report import write_daily_report
from ray_cluster.ticks import every

if TYPE_CHECKING:
    from ray_cluster.life import Life

log = structlog.get_logger()
REPORT_SCHEDULE = "report"


@ray.remote(num_cpus=0, max_restarts=-1)
class AgentHost:
    """One agent. `folder` is where relative paths of the settings begin; `allowed` are the packages that `run` may take classes from."""

    def __init__(self, settings: dict[str, Any], dashboard_url: str, folder: str, allowed: Packages = ()) -> None:
        configure()
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
        self._settings = Settings.model_validate(settings)
        self._dashboard_url = dashboard_url
        self._calendar = FreezeCalendar(self._settings.guards.freeze_windows)
        self._allowed = allowed
        self._life: Life | None = None
        self._notifier = _notifier(self._settings.notify)
        self._figures = Figures()
        self._waiting = "starting"
        self._waiting_mark: Hashable = self._waiting
        self._repeats = Repeats()
        self._waiting_since_s = time.time()
        self._ticks = 0
        self._last: Decision | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._ticking = asyncio.get_running_loop().create_task(every(self._settings.tick_s, self._tick))

    async def status(self) -> dict[str, Any]:
        """Whether it runs, since which epoch, and what it is doing."""
        agent = self._life.agent if self._life else None
        return {
            "name": self._settings.name,
            "journal": journal_name(self._settings.journal.url),
            "folder": os.getcwd(),
            "running": agent is not None,
            "waiting_for": self._waiting,
            "waiting_since_s": self._waiting_since_s,
            "ticks": self._ticks,
            "open_orders": [to_json(order) for order in agent.core.open_orders] if agent else [],
            "problems": list(agent.last_seen.problems) if agent and agent.last_seen else [],
            "last": {} if self._last is None else {"at_s": self._last.at_s, **said(self._last)},
            "standing": await asyncio.to_thread(self._standing),
        }

    def _standing(self) -> dict[str, Any] | None:
        """What it sees and does, for people; None before its first look."""
        life, decided = self._life, self._last
        if life is None or decided is None or life.agent.last_seen is None:
            return None
        seen = to_json(life.agent.last_seen)
        try:
            said_by_people: list[Entry] | None = list(all_formed(life.journal.entries(kinds=(Kind.CONTROL,))))
        except JournalUnavailable:  # who froze it is not known then; that it is frozen was seen
            said_by_people = None
        return standing(
            self._settings.model_dump(mode="json"),
            seen,
            open_orders=[to_json(order) for order in life.agent.core.open_orders],
            awaiting=[to_json(order) for order in decided.awaiting],
            controls=seen["controls"],
            said=said_by_people,
        )

    async def stop(self) -> None:
        """No tick after this one; then the caller may kill the actor."""
        self._ticking.cancel()

    async def _tick(self, lag_s: float) -> None:
        try:
            seen = await asyncio.to_thread(self._tick_contained, lag_s)
            if seen is not None and REPORT_SCHEDULE in seen.due and self._life is not None:
                # Beside the ticks: a long journal takes a while to read.
                reporting = asyncio.to_thread(self._report, self._life.journal, seen.civil_s)
                self._reporting = asyncio.get_running_loop().create_task(reporting)
        except JournalUnavailable as error:
            self._wait_for(f"the journal: {error}", mark_of(error))
            log.error("journal_away", reason=str(error), effect="nothing is done until it is back")
        except Exception as error:  # one bad tick must not end the loop
            self._wait_for(f"a tick that does not fail: {type(error).__name__}: {error}", mark_of(error))
            log.exception("tick_failed")

    def _wait_for(self, what: str, mark: Hashable) -> None:
        """Nothing is done meanwhile; people are told once an hour of each reason, however its words change, and how often it was so."""
        what = redacted(what)
        untold = self._repeats.hear(mark, time.monotonic())
        if untold is not None:
            text = again(f"the agent waits for {what}", untold)
            with suppress(Exception), contained():
                self._notifier.notify(Alert(subject=self._settings.name, text=text, severity="critical"))
        self._is_waiting(what, mark)

    def _is_waiting(self, what: str, mark: Hashable = None) -> None:
        """What it waits for from now on; empty where it goes on. `mark` is what stays the same of a reason."""
        if (mark or what) != self._waiting_mark:
            self._waiting_since_s = time.time()
        self._waiting, self._waiting_mark = what, mark or what

    def _tick_contained(self, lag_s: float) -> Observation | None:
        with contained():
            return self._tick_once(lag_s)

    def _tick_once(self, lag_s: float) -> Observation | None:
        """What was seen at this tick, if anything."""
        if self._life is None:
            self._begin()
        assert self._life is not None  # noqa: S101 - begun above
        life, began = self._life, time.monotonic()
        agent, at_s = life.agent, life.clock.now()
        for step in life.clock.steps():
            agent.remark(told(step), {"note": "clock_step", **to_json(step), "clock": to_json(life.clock.kept())}, at_s)
        self._last = agent.tick(at_s)
        self._is_waiting("" if agent.halted is None else f"the journal: {agent.halted}")
        if _may_act(agent):
            life.actuator.renew(time.time())  # a table goes by the clocks of those who hold it
            life.upkeep.look(at_s, self._frozen(life, at_s))
        self._ticks += 1
        took_s = time.monotonic() - began
        self._figures.tick(self._last, lag_s=lag_s, took_s=took_s, halted=agent.halted is not None)
        if agent.last_seen is not None:
            self._figures.seen(agent.last_seen, self._settings.budget)
        return agent.last_seen if agent.last_seen is not None and agent.last_seen.at_s == at_s else None

    def _frozen(self, life: "Life", at_s: float) -> str | None:
        """Why nothing may be changed at `at_s`, by a person's word or a freeze window."""
        seen = life.agent.last_seen
        if seen is None or seen.controls.frozen:
            return "a person has frozen all changes" if seen is not None else "nothing was seen yet"
        return self._calendar.reason(life.clock.civil_s(at_s))

    def _report(self, journal: SqlJournal, at_s: float) -> None:
        try:
            with contained():
                write_daily_report(journal, at_s)
        except Exception as error:  # a report is worth no tick
            log.error("report_not_written", reason=redacted(f"{type(error).__name__}: {error}"))

    def _begin(self) -> None:
        """Open the journal, take an epoch, and put the agent together. Raises JournalUnavailable; the next tick tries again."""
        # Whoever looks at an actor imports its class: with all that an agent works with, `status` and `stop` would take seconds more.
        from ray_cluster.life import begun  # noqa: PLC0415

        self._life = begun(self._settings, self._dashboard_url, self._notifier, self._allowed)


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
