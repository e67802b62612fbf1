"""The terminal is for the person: what Ray, its workers and libraries print meanwhile goes to a file in the run's folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.terminal import Terminal

STREAMS = (1, 2)
"""File descriptors of standard output and standard error: below Python, so that nothing that is linked in gets past."""


@contextmanager
def kept_clean(log: Path) -> Iterator[Terminal]:
    """A terminal on the real standard output; all else that this process and its children print is appended to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in STREAMS]
    with log.open("a") as file, os.fdopen(os.dup(kept[0]), "w", encoding="utf-8") as terminal:
        for stream in STREAMS:
            os.dup2(file.fileno(), stream)
        try:
            yield Terminal(file=terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, real in zip(STREAMS, kept, strict=True):
                os.dup2(real, stream)
                os.close(real)
