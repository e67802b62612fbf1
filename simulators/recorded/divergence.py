"""Where other policies would have decided differently, open loop: they see what was seen, and nothing that they order comes true.

Exact up to the first difference; after it the world that they would have made is no longer the one that they are shown.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.codec import from_json, to_json
from agent.core import Core
from agent.journal.record import Entry, Kind, observation, reading
from agent.journal.replay import begun_again
from agent.journal.warm_start import Lately
from agent.settings import AutonomySettings, PolicySettings
from policies.action import Action, Target, target
from policies.imports import Packages

Plain = Mapping[str, Any]
FREE = AutonomySettings.model_validate({"default": "act"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """At one tick, for one target: what was ordered in life and what the other policies order. None: nothing."""

    at_s: float
    seq: int
    """Of the observation in the journal."""
    target: str
    aspect: str
    """Of the target: its deployment, training, rollout or data. One tick may change several of a model."""
    recorded: Plain | None
    other: Plain | None
    why: Plain | None
    """The order whose evidence says why: the other's, or else the recorded one."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """`ticks` were compared and `alike` of them decided the same. `firsts` holds the first difference of each target, in order."""

    ticks: int
    alike: int
    firsts: tuple[Difference, ...]
    recorded: Mapping[str, int]
    """Orders by kind."""
    other: Mapping[str, int]


def divergence(
    entries: Iterable[Entry],
    policies: Sequence[PolicySettings],
    *,
    act: bool = False,
    until_seq: int | None = None,
    allowed: Packages = (),
) -> Divergence:
    """Feed the observations of a journal to cores with `policies`, begun whenever the agent began; with `act` they may act.

    `allowed` are the packages whose classes may be named by import path. Raises BeginsTooLate where the journal lacks what one of its
    lives began with.
    """
    changed: dict[str, Any] = {"policies": tuple(policies)}
    if act:
        changed["autonomy"] = FREE
    compared = _Compared(changed, allowed)
    for entry in entries:
        if until_seq is not None and entry.seq > until_seq:
            break
        compared.take(entry)
    return compared.result()


@dataclass
class _Compared:
    changed: Plain
    allowed: Packages = ()
    core: Core | None = None
    ticks: int = 0
    alike: int = 0
    firsts: dict[Target, Difference] = field(default_factory=dict)
    recorded: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    _lately: Lately = field(default_factory=Lately)
    _seq: int = 0
    _at_s: float = 0.0
    _open: bool = False
    _theirs: dict[Target, Plain] = field(default_factory=dict)
    _ours: dict[Target, Plain] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        match entry.kind:
            case Kind.STARTED:
                self._close()
                self.core = begun_again(entry.payload, self._lately, self.changed, self.allowed)
            case Kind.OBSERVED:
                self._lately.take(entry)
                if self.core is not None:
                    self._decide(entry, self.core)
            case Kind.INTENT:
                with reading(entry):
                    self._ours[_target(entry.payload["action"])] = entry.payload
            case Kind.REFUSED if self.core is not None:
                with reading(entry):
                    self._refuse(entry.payload)

    def _decide(self, observed: Entry, core: Core) -> None:
        self._close()
        self._open, self._seq, self._at_s = True, observed.seq, observed.at_s
        orders = core.step(observation(observed)).orders
        self._theirs = {_target(plain["action"]): plain for plain in map(to_json, orders)}

    def _refuse(self, refusal: Plain) -> None:
        """What the world refused it would have refused the other policies as well."""
        ours = next((each for each in self._ours.values() if each["number"] == refusal["number"]), None)
        theirs = self._theirs.get(_target(ours["action"])) if ours is not None else None
        if self.core is not None and ours is not None and theirs is not None and theirs["action"] == ours["action"]:
            self.core.refused(theirs["number"], refusal["reason"])

    def _close(self) -> None:
        """The tick is over: compare."""
        if self._open:
            self.ticks += 1
            found = list(self._differences())
            self.alike += not found
            for each in found:
                self.firsts.setdefault((each.aspect, each.target), each)
            self.recorded.update(each["action"]["kind"] for each in self._ours.values())
            self.other.update(each["action"]["kind"] for each in self._theirs.values())
        self._open, self._ours, self._theirs = False, {}, {}

    def _differences(self) -> Iterator[Difference]:
        for aim in sorted(self._ours.keys() | self._theirs.keys()):
            ours, theirs = self._ours.get(aim), self._theirs.get(aim)
            mine, other = (each["action"] if each is not None else None for each in (ours, theirs))
            if mine != other:
                why = theirs if theirs is not None else ours
                aspect, name = aim
                yield Difference(
                    at_s=self._at_s, seq=self._seq, target=name, aspect=aspect, recorded=mine, other=other, why=why
                )

    def result(self) -> Divergence:
        self._close()
        return Divergence(
            ticks=self.ticks,
            alike=self.alike,
            firsts=tuple(sorted(self.firsts.values(), key=lambda each: each.seq)),
            recorded=dict(self.recorded),
            other=dict(self.other),
        )


def _target(action: Plain) -> Target:
    """Where two actions meet."""
    read: Action = from_json(Action, action)  # type: ignore[arg-type]
    return target(read)
