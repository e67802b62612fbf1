"""A journal as JSON lines, one entry a line, and back; what was exported can be verified without a database."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from agent.codec import canonical
from agent.journal.record import Entry


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
                yield Entry(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{source}:{number}: no journal entry: {error}") from error
