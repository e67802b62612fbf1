"""A journal as JSON lines, one entry a line, and back; what was exported can be verified without a database."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from agent.codec import canonical
from agent.journal.record import Entry

TIME_MAX_S = 253_402_300_800.0
"""The end of the year 9999."""


def export(entries: Iterable[Entry], target: Path) -> int:
    """Write `entries` to `target`, which appears only when it is whole, for its owner only; how many there were. Raises OSError."""
    hidden = target.with_name(f".{target.name}.part")
    count = 0
    hidden.unlink(missing_ok=True)
    with open(hidden, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        for entry in entries:
            file.write(canonical(asdict(entry)) + b"\n")
            count += 1
    hidden.replace(target)
    return count


def exported(source: Path) -> Iterator[Entry]:
    """The entries that were written to `source`. Raises ValueError, naming the line, for one that is none."""
    with source.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = Entry(**json.loads(line))
                _check(entry)
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(f"{source}:{number}: no journal entry: {error}") from error
            yield entry


def _check(entry: Entry) -> None:
    """Raises ValueError where a field is of another type than was written; what is in the payload is not looked at."""
    for name, kind in (("seq", int), ("kind", str), ("payload", dict), ("previous_hash", str), ("hash", str)):
        found = getattr(entry, name)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise ValueError(f"{name}: found {found!r:.60}; expected {kind.__name__}")
    if isinstance(entry.at_s, bool) or not isinstance(entry.at_s, int | float) or not abs(entry.at_s) < TIME_MAX_S:
        raise ValueError(f"at_s: found {entry.at_s!r:.60}; expected POSIX seconds")
