"""The loop: observe, decide, write down, act. The only meeting of decision and effect.

1. Nothing is started that was not written down, durably, before.
2. When the journal can not be written nothing is started and nothing more is decided. What was decided is kept and written first when
   the journal is back, so that the record has no gap; orders that have waited meanwhile are given up as stale.
3. What can not be written at all is not decided on: a part of an observation that has no plain form is away, and an order that has none is
   given up, so that the core never believes in what the record does not hold.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from agent import schedules
from agent.codec import to_json, writable_text
from agent.containment import contained
from agent.core import Core, Decision
from agent.journal.told import PROBLEM, ToldBefore
from agent.lasting import LastingProblems
from agent.notices import Notices
from agent.order import JOURNAL_WAS_AWAY, UNWRITABLE, Order
from agent.ports import Actuator, Journal, JournalUnavailable, Notifier, Refused, Sensor, Trainer
from agent.redaction import redacted_alert, redacted_part, redacted_seen
from agent.settings import AutonomySettings
from agent.versions import FIRST_SEEN
from agent.writable import plain_or_none, written_down
from policies.action import Alert, Retrain, StopTraining
from policies.observation import Observation

log = structlog.get_logger()

Line = tuple[str, float, Mapping[str, Any]]
"""A journal entry before it is chained: kind, moment, payload."""


def lines_of(decision: Decision, seen: Observation, plain: Any = None) -> list[Line]:
    """What the journal says of one tick, in order: what was seen, what ended, what was said, what is intended. Pure.

    `plain` is the plain form of `seen`, where it is there already. What has none is left out.
    """
    at_s = decision.at_s
    lines: list[Line] = [("observed", at_s, to_json(seen) if plain is None else plain)]
    if seen.due:
        lines.append(("note", at_s, {"note": schedules.NOTE, "names": list(seen.due), "civil_s": seen.civil_s}))
    if decision.first_seen:
        lines.append(("note", at_s, {"note": FIRST_SEEN, "versions": [list(each) for each in decision.first_seen]}))
    lines += [("outcome", at_s, each) for each in map(plain_or_none, decision.outcomes) if each is not None]
    if decision.news:
        lines.append(("decided", at_s, said(decision)))
    lines += [("intent", at_s, each) for each in map(plain_or_none, decision.orders) if each is not None]
    return lines


def said(decision: Decision) -> dict[str, Any]:
    """All of a decision that is neither an order nor an outcome, as far as it can be written."""
    return {
        name: [each for each in map(plain_or_none, getattr(decision, name)) if each is not None]
        for name in ("vetoes", "suggestions", "holds", "alerts", "awaiting")
    }


class Agent:
    """One agent over one world. `tick` is called by whoever keeps the time."""

    def __init__(
        self,
        core: Core,
        *,
        sensor: Sensor,
        actuator: Actuator,
        trainer: Trainer,
        notifier: Notifier,
        journal: Journal,
        notices: Notices | None = None,
    ) -> None:
        self.core = core
        self._sensor = sensor
        self._actuator = actuator
        self._trainer = trainer
        self._notifier = notifier
        self._journal = journal
        self._notices = notices or Notices(AutonomySettings().approval_expires_s)
        self._notices.know(core.open_orders)
        self._problems = LastingProblems()
        self._unwritten: list[Line] = []
        self._unstarted: tuple[Order, ...] = ()
        self.halted: str | None = None
        """Why nothing is done: the journal is away. None while the record can be kept."""
        self.last_seen: Observation | None = None

    def resume(self, told: ToldBefore) -> None:
        """Take what people were told in an earlier life for told."""
        self._notices.resume(self.core.awaiting, told.suggested, told.until_s)
        self._problems.resume(told.problems)

    def tick(self, at_s: float) -> Decision:
        """Once around, at `at_s`. Returns what was decided; an empty decision where the journal is away."""
        if not self._catch_up(at_s):
            return Decision(at_s=at_s)
        try:
            with contained():
                seen = redacted_seen(self._sensor.observe(at_s))
        except JournalUnavailable as error:  # what people want stands there, too
            self._halt(error)
            return Decision(at_s=at_s)
        seen, plain = written_down(seen)
        self.last_seen = seen
        decision = self.core.step(seen)
        lines = lines_of(decision, seen, plain)
        if not self._write(lines, at_s, durable=bool(decision.orders)):
            self._unstarted = decision.orders
            # To tell people needs no record, and the core says nothing twice within the hour.
            for alert in decision.alerts:
                self._tell(alert)
            return Decision(at_s=at_s)
        for alert in (*decision.alerts, *self._notices.of(decision, seen.controls.denied, seen.clock_ahead_s)):
            self._tell(alert)
        for alert in self._problems.see(seen):
            self.remark(alert, {"note": PROBLEM}, at_s)
        intended = {payload["number"] for kind, _, payload in lines if kind == "intent"}
        for order in decision.orders:
            if order.number in intended:
                self._start(order, at_s)
            else:
                self._refuse(order, UNWRITABLE, at_s)
        return decision

    def remark(self, alert: Alert, note: Mapping[str, Any], at_s: float) -> None:
        """Tell people of something that no observation shows, and write it down, as soon as that can be."""
        alert = redacted_alert(alert)
        log.warning("remark", subject=alert.subject, text=alert.text)
        self._tell(alert)
        self._add(("note", at_s, {**note, "alert": to_json(alert)}))

    def note(self, note: Mapping[str, Any], at_s: float) -> bool:
        """Write down, durably, what is done beside the orders, before it is done; whether that could be."""
        return self._catch_up(at_s) and self._write([("note", at_s, note)], at_s, durable=True)

    def _catch_up(self, at_s: float) -> bool:
        """Write what could not be written before, and give up the orders in it; whether the journal is up to date."""
        if not self._unwritten:
            return True
        backlog, self._unwritten = self._unwritten, []
        if not self._write(backlog, at_s, durable=True):
            return False
        stale, self._unstarted = self._unstarted, ()
        for order in stale:
            self._refuse(order, JOURNAL_WAS_AWAY, at_s)
        return not self._unwritten

    def _write(self, lines: list[Line], at_s: float, *, durable: bool) -> bool:
        try:
            self._journal.append(lines, durable=durable)
        except JournalUnavailable as error:
            self._unwritten = lines
            self._halt(error)
            return False
        if self.halted is not None:
            self._tell(Alert(subject="journal", text="the journal is back, and decisions go on", severity="info"))
            self.halted = None
        return True

    def _halt(self, error: JournalUnavailable) -> None:
        reason = redacted_part(str(error))
        log.error("journal_away", reason=reason, effect="nothing is done until it is back")
        if self.halted is None:
            text = f"the journal can not be used, so nothing is done: {reason}"
            self._tell(Alert(subject="journal", text=text, severity="critical"))
        self.halted = reason

    def _start(self, order: Order, at_s: float) -> None:
        port = self._trainer if isinstance(order.action, Retrain | StopTraining) else self._actuator
        try:
            with contained():
                port.start(order)
        except Refused as refusal:
            self._refuse(order, str(refusal), at_s)
        except (
            Exception
        ) as error:  # a world's fault must not end the loop; the order stays open and its verifier judges it
            log.exception("order_start_failed", order=order.number, action=order.action.kind)
            self._refuse(order, f"{type(error).__name__}: {error}", at_s)
        else:
            log.info("order_started", order=order.number, action=order.action.kind, policy=order.policy)

    def _tell(self, alert: Alert) -> None:
        """Best effort: a notifier that fails has told nobody, and costs the loop nothing else."""
        try:
            with contained():
                self._notifier.notify(redacted_alert(alert))
        except Exception as error:
            log.exception("alert_not_sent", subject=alert.subject, reason=type(error).__name__)

    def _refuse(self, order: Order, reason: str, at_s: float) -> None:
        """Tell the core, and the journal so that a replay tells it too."""
        reason = writable_text(redacted_part(reason))  # a world's words may be anything
        log.warning("order_refused", order=order.number, reason=reason)
        self.core.refused(order.number, reason)
        self._add(("refused", at_s, {"number": order.number, "reason": reason}))

    def _add(self, line: Line) -> None:
        """Write one line after what is there already, also after what still waits to be written."""
        if self._unwritten:
            self._unwritten.append(line)
        else:
            self._write([line], line[1], durable=False)
