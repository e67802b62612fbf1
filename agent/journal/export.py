"""A journal as JSON lines, one entry a line, and back; what was exported can be verified without a database."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from agent.codec import canonical
from agent.journal.controls import KINDS, ControlFold
from agent.journal.record import Entry, Kind, UnreadableEntry, check
from agent.journal.schema import NoJournal, NothingThere
from policies.observation import Controls

SUFFIX = ".jsonl"


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
                check(entry)
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(f"{source}:{number}: no journal entry: {error}") from error
            yield entry


class ExportedJournal:
    """What was exported to `file`, to be read like the journal itself. Raises NoJournal where there is no such file."""

    def __init__(self, file: Path) -> None:
        self.name = str(file)
        self._file = file
        if not file.exists():
            raise NothingThere("there is no such file", self.name)
        if not file.is_file():
            raise NoJournal("it is no file; expected what `homeostat journal export` wrote", self.name)

    def entries(
        self, *, since_seq: int = 0, since_s: float | None = None, kinds: Sequence[Kind] | None = None
    ) -> Iterator[Entry]:
        """See `agent.journal.store.SqlJournal.entries`. Raises NoJournal for a file whose first line is no entry, UnreadableEntry later."""
        before = None
        try:
            for entry in exported(self._file):
                before = entry.seq
                late = since_s is None or entry.at_s >= since_s
                if entry.seq > since_seq and late and (kinds is None or entry.kind in kinds):
                    yield entry
        except OSError as error:
            raise NoJournal(f"it can not be read: {error.strerror}", self.name) from None
        except ValueError as error:
            if before is None:
                raise NoJournal(f"expected what `homeostat journal export` wrote: {error}", self.name) from None
            raise UnreadableEntry(before + 1, str(error)) from None

    def last(self, kind: Kind) -> Entry | None:
        """The last entry of `kind`."""
        last = None
        for entry in self.entries(kinds=(kind,)):
            last = entry
        return last

    def controls(self, at_s: float) -> Controls:
        """How the controls stand at `at_s`."""
        fold = ControlFold()
        fold.follow(self.entries(kinds=KINDS), at_s)
        return fold.controls(at_s)
