"""Where an agent's new life begins: a new epoch, the orders that the last one left open, and what still counts of those before."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from agent.back_off import BackOff, Failures
from agent.clock import Kept
from agent.codec import from_json, to_json
from agent.guards import DAY_S, MINUTE_S, counted_s
from agent.journal.controls import accepted
from agent.journal.owed import owed
from agent.journal.record import Entry, Kind
from agent.journal.warm_start import Readable, first_seen_again
from agent.order import Order, Outcome
from agent.ports import Journal
from agent.redaction import redacted_settings
from agent.settings import Settings
from agent.versions import FIRST_SEEN, Versions
from policies.action import Action, Promote, Retrain, RollBack, StartRollout, target
from policies.observation import Observation

log = structlog.get_logger()
FOLLOWED = (Kind.INTENT, Kind.OUTCOME, Kind.DECIDED, Kind.CONTROL, Kind.NOTE)


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What a core is built from besides its settings. Without a journal before it: the first life."""

    epoch: int = 1
    next_number: int = 1
    key_prefix: str = ""
    """What the keys of this life's orders begin with. Numbers begin at 1 again with a journal that was made anew, and so would keys: a
    job of before would pass for one of now."""
    open_orders: tuple[Order, ...] = ()
    remembered: tuple[Order, ...] = ()
    """Orders of earlier lives that count against cool-downs and budgets, oldest first."""
    awaiting: tuple[Order, ...] = ()
    """Orders that wait for a person's approval."""
    digests: tuple[tuple[str, str, str], ...] = ()
    """(model, version, digest) of versions as they were first seen, or accepted by a person."""
    rejected: tuple[tuple[str, str], ...] = ()
    """(model, version) that were taken back, and not promoted again since."""
    rejected_before: tuple[tuple[str, str, bool], ...] = ()
    """(model, version, whether it was rejected) before the rollback or promotion of it that is open."""
    failed_promotions: tuple[tuple[str, str, int], ...] = ()
    """(model, version, times)."""
    failures: tuple[tuple[str, tuple[str, str], str, int, float, str], ...] = ()
    """(kind of order, target, thing, times in a row, when last, why) of orders that failed."""
    owed: tuple[Observation, ...] = ()
    """What was seen when schedules were taken that were not done, and that are older than what follows. The policies are shown it first."""
    seen_again_from: int | None = None
    """The policies are shown the observations from this entry of the journal on, before anything else."""

    def versions(self) -> Versions:
        """What there is to know of versions."""
        return Versions(
            digests={(model, version): digest for model, version, digest in self.digests},
            rejected=set(self.rejected),
            rejected_before={(model, version): was for model, version, was in self.rejected_before},
            failed={(model, version): times for model, version, times in self.failed_promotions},
        )

    def back_off(self) -> BackOff:
        """What there is to know of orders that failed."""
        return BackOff(
            {
                (kind, on, which): Failures(times=times, last_s=last_s, reason=reason)
                for kind, on, which, times, last_s, reason in self.failures
            }
        )


class Lived(Journal, Readable, Protocol):
    """A journal that knows epochs and can be read: all that a life of the agent needs."""

    def begin(self, at_s: float, *, above: int = 0) -> int: ...
    def last(self, kind: Kind) -> Entry | None: ...


def last_moment(journal: Lived) -> float:
    """The agent's time when it last wrote; minus infinity where it never has. A life begins no earlier. Raises JournalUnavailable."""
    entries = (journal.last(Kind.STARTED), journal.last(Kind.OBSERVED))
    return max((entry.at_s for entry in entries if entry is not None), default=-math.inf)


def last_clock(journal: Lived) -> Kept | None:
    """How the clock of an earlier life stood when that was last written down. Raises JournalUnavailable."""
    found = None
    for entry in journal.entries(kinds=(Kind.STARTED, Kind.NOTE)):
        if "clock" in entry.payload:
            with suppress(ValidationError):  # of another version of the agent
                found = from_json(Kept, entry.payload["clock"])
    return found


def begin(
    journal: Lived,
    settings: Settings,
    at_s: float,
    *,
    above: int = 0,
    key_prefix: str = "",
    clock: Kept | None = None,
) -> Beginning:
    """Take the next epoch, higher than `above`, and write down what this life starts from. Raises JournalUnavailable.

    `above` is the highest epoch that the world has seen: a journal that was begun anew must not leave its agent powerless. `key_prefix`
    is one that no life before it had, in this journal or another. `clock` is how the agent's stands, for the life after this one.
    """
    epoch = journal.begin(at_s, above=above)
    past = _Past(at_s, settings.guards.cool_down_s)
    past.follow(journal.entries(kinds=FOLLOWED))
    beginning = replace(past.beginning(epoch), key_prefix=key_prefix)
    if settings.journal.warm_start_s > 0:
        since_s = at_s - settings.journal.warm_start_s
        beginning = replace(beginning, seen_again_from=first_seen_again(journal, since_s))
    beginning = replace(beginning, owed=owed(journal, at_s, beginning.seen_again_from))
    payload = started(beginning, settings) | ({} if clock is None else {"clock": to_json(clock)})
    journal.append([(Kind.STARTED, at_s, payload)], durable=True)
    return beginning


def started(beginning: Beginning, settings: Settings) -> dict[str, Any]:
    """The payload from which a replay builds the same core again: settings without secrets, which decide nothing."""
    return {**to_json(beginning), "settings": redacted_settings(settings.model_dump(mode="json"))}


@dataclass
class _Past:
    """What a journal's entries leave to a life that begins at `at_s`.

    What has ended has ended: an intent that was written after the outcome of its order opens nothing again.
    """

    at_s: float
    cool_down_s: Mapping[Any, float] = field(default_factory=dict)
    """By kind of order."""
    open_orders: dict[int, Order] = field(default_factory=dict)
    awaiting: Sequence[Mapping[str, Any]] = ()
    """Orders that waited for a person when last something was said of them, as they were written."""
    ended: set[int] = field(default_factory=set)
    last: dict[Any, Order] = field(default_factory=dict)
    """The last order of each kind on each target."""
    lately: dict[int, Order] = field(default_factory=dict)
    """Retrainings of the last day, and whatever was issued in the last minute."""
    versions: Versions = field(default_factory=Versions)
    back_off: BackOff = field(default_factory=BackOff)
    highest: int = 0

    def follow(self, entries: Iterable[Entry]) -> None:
        """Take in entries of FOLLOWED, in order. One that can not be read, as of another version, gives nothing but its number."""
        for entry in entries:
            self.highest = max([self.highest, *_numbers(entry.payload)])
            try:
                self._follow(entry)
            except (KeyError, TypeError, ValueError) as error:  # a ValidationError is a ValueError
                if entry.kind in {Kind.INTENT, Kind.OUTCOME} and isinstance(entry.payload.get("number"), int):
                    self.ended.add(entry.payload["number"])
                    self.open_orders.pop(entry.payload["number"], None)
                log.warning("entry_not_followed", entry=entry.seq, kind=entry.kind, reason=str(error).splitlines()[0])

    def _follow(self, entry: Entry) -> None:
        if entry.kind == Kind.INTENT:
            self._issued(from_json(Order, entry.payload))
        elif entry.kind == Kind.OUTCOME:
            self._ended(from_json(Outcome, entry.payload))
        elif entry.kind == Kind.DECIDED:
            self.awaiting = tuple(entry.payload["awaiting"])
        elif entry.kind == Kind.CONTROL:
            for model, version, digest in accepted(entry.payload):
                self.versions.accept((model, version), digest)
        elif entry.kind == Kind.NOTE and entry.payload.get("note") == FIRST_SEEN:
            for model, version, digest in entry.payload["versions"]:
                self.versions.digests.setdefault((model, version), digest)

    def _issued(self, order: Order) -> None:
        if order.number not in self.ended:
            self.open_orders[order.number] = order
        self.last[(order.action.kind, target(order.action))] = order
        age_s = self.at_s - order.issued_at_s
        if age_s < MINUTE_S or (isinstance(order.action, Retrain) and age_s < DAY_S):
            self.lately[order.number] = order
        for model, version, digest in _digests(order):
            self.versions.digests.setdefault((model, version), digest)
        self.versions.issue(order.action)

    def _ended(self, outcome: Outcome) -> None:
        self.ended.add(outcome.number)
        order = self.open_orders.pop(outcome.number, None)
        if order is not None:
            self.versions.end(order.action, outcome.status, outcome.detail)
            self.back_off.end(order, replace(outcome, at_s=min(outcome.at_s, self.at_s)))

    def beginning(self, epoch: int) -> Beginning:
        self.back_off.forget(self.at_s)
        counted = self.lately | {order.number: order for order in self.last.values() if self._counts(order)}
        over = self.ended | self.open_orders.keys()
        waiting = [order for order in map(_order, self.awaiting) if order is not None and order.number not in over]
        versions = self.versions
        return Beginning(
            epoch=epoch,
            next_number=self.highest + 1,
            open_orders=tuple(map(self._not_later, self.open_orders.values())),
            remembered=tuple(
                self._not_later(counted[number]) for number in sorted(counted.keys() - self.open_orders.keys())
            ),
            awaiting=tuple(map(self._not_later, waiting)),
            digests=tuple((*key, digest) for key, digest in sorted(versions.digests.items())),
            rejected=tuple(sorted(versions.rejected)),
            rejected_before=tuple((*key, was) for key, was in sorted(versions.rejected_before.items())),
            failed_promotions=tuple((*key, times) for key, times in sorted(versions.failed.items())),
            failures=tuple(
                (*thing, each.times, each.last_s, each.reason) for thing, each in sorted(self.back_off.failed.items())
            ),
        )

    def _counts(self, order: Order) -> bool:
        return self.at_s - order.issued_at_s < counted_s(order.action.kind, self.cool_down_s)

    def _not_later(self, order: Order) -> Order:
        """`order` as issued now where a clock that was wrong dated it after this life's beginning."""
        late_s = order.issued_at_s - self.at_s
        return replace(order, issued_at_s=self.at_s, deadline_s=order.deadline_s - late_s) if late_s > 0 else order


def _order(plain: Mapping[str, Any]) -> Order | None:
    """The order that was written as `plain`; None where another version wrote it in another way."""
    try:
        return from_json(Order, plain)
    except ValidationError:
        return None


def _numbers(payload: Mapping[str, Any]) -> Iterator[int]:
    """Every number of an order in an entry, as far as it can be read: no later life may give it again."""
    waiting = payload.get("awaiting")
    for each in (payload, *(waiting if isinstance(waiting, list) else ())):
        number = each.get("number") if isinstance(each, Mapping) else None
        if isinstance(number, int):
            yield number


def _digests(order: Order) -> Iterator[tuple[str, str, str]]:
    actions: tuple[Action | None, ...] = (order.action, order.inverse)
    for action in actions:
        match action:
            case StartRollout() | Promote():
                yield action.model, action.version, action.digest
            case RollBack():
                yield action.model, action.to, action.to_digest
