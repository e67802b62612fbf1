"""Silence in simulated runs: the agent logs each order as in life, which no reader can follow a thousand times faster.

Who wants to read it all the same sets HOMEOSTAT_LOG_LEVEL.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from agent.logs import LEVEL_VARIABLE, configure


def silence() -> None:
    """For the rest of this process."""
    if LEVEL_VARIABLE in os.environ:
        configure()
        return
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )


@contextmanager
def silenced() -> Iterator[None]:
    """For as long as it lasts."""
    before = structlog.get_config()
    silence()
    try:
        yield
    finally:
        structlog.configure(**before)
