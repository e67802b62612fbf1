"""Replay: the observations of a journal, fed to a fresh core, must give its decisions again, byte for byte."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.assembly import AssemblyError, build_core
from agent.codec import canonical, from_json
from agent.core import Core
from agent.journal.life import Beginning
from agent.journal.record import BROKEN, Entry, Kind, observation, reading
from agent.journal.warm_start import BeginsTooLate, Lately
from agent.loop import Line, lines_of
from agent.settings import Settings
from policies.imports import Packages

BESIDE = {"settings", "clock"}
"""What stands in the entry that begins a life, besides what its core is built from."""
DECIDED_KINDS = {Kind.OUTCOME, Kind.DECIDED, Kind.INTENT}


@dataclass(frozen=True, kw_only=True)
class Replay:
    """`identical` where all `ticks` came out as recorded; else what was `recorded` and what came instead, at entry `seq`."""

    ticks: int
    identical: bool
    seq: int | None = None
    recorded: tuple[str, ...] = ()
    replayed: tuple[str, ...] = ()


@dataclass
class _Tick:
    observed: Entry
    decided: list[bytes] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)

    def take(self, entry: Entry) -> None:
        """What was decided, or refused."""
        if entry.kind in DECIDED_KINDS:
            self.decided.append(_bytes(entry.kind, entry.payload))
        elif entry.kind == Kind.REFUSED:
            self.refusals.append((int(entry.payload["number"]), str(entry.payload["reason"])))


def replay(entries: Iterable[Entry], allowed: Packages = ()) -> Replay:
    """Run the journal's observations through cores built from its own settings and compare.

    A journal may come from anywhere, so its import paths count for nothing unless they lead into the packages of `allowed`. Raises
    AssemblyError where its policies can not be built, and BeginsTooLate where the journal does not begin with the start of an agent,
    or lacks what a later start went on from.
    """
    core: Core | None = None
    ticks = 0
    for item in _grouped(entries, allowed):
        if isinstance(item, Core):
            core = item
            continue
        if core is None:
            raise BeginsTooLate(f"entry {item.observed.seq} is an observation before any agent has started")
        ticks += 1
        seen = observation(item.observed)
        with reading(item.observed):
            lines = lines_of(core.step(seen), seen)
        replayed = [_bytes(kind, payload) for kind, _, payload in lines if kind in DECIDED_KINDS]
        if replayed != item.decided:
            return Replay(
                ticks=ticks,
                identical=False,
                seq=item.observed.seq,
                recorded=tuple(line.decode() for line in item.decided),
                replayed=tuple(line.decode() for line in replayed),
            )
        for number, reason in item.refusals:
            core.refused(number, reason)
    return Replay(ticks=ticks, identical=True)


def _grouped(entries: Iterable[Entry], allowed: Packages) -> Iterator[Core | _Tick]:
    """A fresh core for each start, and each observation with all that was decided on it."""
    tick: _Tick | None = None
    lately = Lately()
    for entry in entries:
        if entry.kind in {Kind.STARTED, Kind.OBSERVED} and tick is not None:
            yield tick
            tick = None
        if entry.kind == Kind.STARTED:
            yield begun_again(entry.payload, lately, allowed=allowed)
        elif entry.kind == Kind.OBSERVED:
            with reading(entry):
                lately.take(entry)
            tick = _Tick(entry)
        elif tick is not None:
            with reading(entry):
                tick.take(entry)
    if tick is not None:
        yield tick


def begun_again(
    payload: Mapping[str, Any],
    lately: Lately,
    changed: Mapping[str, Any] | None = None,
    allowed: Packages = (),
) -> Core:
    """The core of a life that began with `payload`, after what `lately` holds; `changed` are settings that it shall have instead.

    Raises AssemblyError, also where it can not be read what the life began with.
    """
    try:
        beginning = from_json(Beginning, {name: value for name, value in payload.items() if name not in BESIDE})
        settings = Settings.model_validate(payload["settings"]).model_copy(update=dict(changed or {}))
        again = lately.seen_again(beginning.seen_again_from)
    except BeginsTooLate:
        raise
    except BROKEN as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise AssemblyError(f"it can not be read what a life of the agent began with ({told:.200})") from error
    return build_core(settings, beginning, again, allowed)


def _bytes(kind: str, payload: Line | Any) -> bytes:
    return kind.encode() + b" " + canonical(payload)
