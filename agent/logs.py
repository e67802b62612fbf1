"""Logs by structlog: for a person on a terminal, as JSON lines for a machine. A line about an order carries the order's number."""

import logging
import os
import sys

import structlog

from agent.redaction import redacted

FORMAT_VARIABLE = "HOMEOSTAT_LOG_FORMAT"
LEVEL_VARIABLE = "HOMEOSTAT_LOG_LEVEL"


def configure() -> None:
    """Once per process. HOMEOSTAT_LOG_FORMAT is "console" or "json" (the default where nobody watches a terminal)."""
    wanted = os.environ.get(FORMAT_VARIABLE) or ("console" if sys.stderr.isatty() else "json")
    level = logging.getLevelNamesMapping().get(os.environ.get(LEVEL_VARIABLE, "INFO").upper(), logging.INFO)
    for_person = wanted == "console"
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if for_person
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def without_secrets(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Every text of a log line, tracebacks too, without the secrets of the URLs in it."""
    return {key: redacted(value) if isinstance(value, str) else value for key, value in event.items()}
