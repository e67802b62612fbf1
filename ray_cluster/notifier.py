"""Where alerts go: always to the log, and to the services that the settings name, by Apprise. Never raises, never blocks.

The URLs carry secrets, so they come from environment variables of the agent's own process and are written nowhere.
"""

import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from agent.containment import contained
from agent.ports import Notifier
from agent.redaction import redacted_alert
from policies.action import Alert

log = structlog.get_logger()
TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


class NotifierError(ValueError):
    """The settings ask for a notification that can not be sent; says what is missing."""


class LogNotifier:
    """Alerts go to the log; a log shipper takes them further."""

    def notify(self, alert: Alert) -> None:
        log.warning("alert", subject=alert.subject, text=alert.text, severity=alert.severity)


class AppriseNotifier:
    """Hands alerts to one thread that sends them; what could not be sent is in the log, as every alert is."""

    def __init__(self, services: Any) -> None:
        self._services = services
        self._log = LogNotifier()
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="notifier")

    def notify(self, alert: Alert) -> None:
        self._log.notify(alert)
        self._sender.submit(self._send, redacted_alert(alert))

    def _send(self, alert: Alert) -> None:
        try:
            with contained():
                sent = self._services.notify(
                    body=alert.text, title=f"homeostat: {alert.subject}", notify_type=TYPES[alert.severity]
                )
        except Exception as error:  # whatever a service does, the loop goes on
            log.error("alert_not_sent", subject=alert.subject, reason=type(error).__name__)
        else:
            if not sent:
                log.error("alert_not_sent", subject=alert.subject, reason="a service did not take it")


def build(variables: Iterable[str]) -> Notifier:
    """A notifier for the URLs in the environment variables that are named. Raises NotifierError."""
    named = tuple(variables)
    if not named:
        return LogNotifier()
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise NotifierError("notify: needs the extra, `pip install homeostat[notify]`") from error
    # It would log a URL that it can not read, and what stands in one is a secret.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    services = apprise.Apprise()
    for name in named:
        url = os.environ.get(name)
        if not url:
            raise NotifierError(f"notify: the environment variable {name} is not set where the agent runs")
        if not services.add(url):
            raise NotifierError(f"notify: what {name} holds is not a URL that Apprise knows")
    return AppriseNotifier(services)
