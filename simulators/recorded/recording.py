"""What a journal holds of one stretch of time, without a hole that could not be filled. Pure over entries."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from agent.codec import from_json
from agent.journal.record import Entry, Kind, observation, reading
from agent.settings import Settings
from policies.action import Action
from policies.observation import Deployment, Observation

GAP_TICKS = 4
"""So many ticks without an observation are a gap: one that is late or two that are missed are none."""
GAP_LEAST_S = 60.0
GAP_FILLED_S = 900.0
"""Longer gaps part a recording: what traffic did in them is anybody's guess."""
LEAST_S, ALMOST = 1.0, 0.9
"""Less than that, or than about a tick, is no stretch of time that could be played."""
NAMED = 5
"""So many stretches that were left out are named."""
CHALLENGER = "challenger"
Seen = tuple[int, Observation]
"""The number of an entry, and what was seen then."""
Settled = tuple[int, float, Settings]
"""The number and the moment of an entry that begins a life, and its settings."""


class RecordingError(ValueError):
    """A journal of which no scenario can be made, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Nothing was seen between two observations."""

    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.begin_s


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Observations in order, and what was ordered, said and begun between the first and the last of them."""

    settings: Settings
    """Of the last life of the agent in this stretch."""
    seen: Sequence[Observation]
    until_seq: int = 0
    """Of the last entry of the journal that belongs to it."""
    intents: Sequence[tuple[float, Mapping[str, Any]]] = ()
    """(moment, order) as written."""
    starts_s: Sequence[float] = ()
    said: Sequence[tuple[float, Mapping[str, Any]]] = ()
    gaps: Sequence[Gap] = ()
    notes: Sequence[str] = ()
    """What a reader has to know about the choice of this stretch."""

    @property
    def origin_s(self) -> float:
        """The moment that is 0 in the scenario: one tick before the first look, as scenarios begin."""
        return self.seen[0].at_s - self.settings.tick_s

    @property
    def end_s(self) -> float:
        return self.seen[-1].at_s

    @property
    def duration_s(self) -> float:
        return self.end_s - self.origin_s

    def deployments(self) -> dict[str, list[tuple[float, Deployment]]]:
        """(moment, deployment) by name, in order; challengers, which come and go with their rollouts, are left out."""
        found: dict[str, list[tuple[float, Deployment]]] = {}
        for seen in self.seen:
            for name, each in seen.deployments.items():
                if each.slot != CHALLENGER:
                    found.setdefault(name, []).append((seen.at_s, each))
        return found

    def shares(self, deployment: str) -> dict[float, float]:
        """The part of requests that a challenger answered beside `deployment`, by moment, where one did."""
        found = {}
        for seen in self.seen:
            each = seen.deployments.get(deployment)
            model = seen.models.get(each.model or "") if each is not None else None
            if model is not None and model.rollout is not None and model.rollout.share > 0:
                found[seen.at_s] = model.rollout.share
        return found

    def actions(self, kind: str) -> list[tuple[float, Mapping[str, Any]]]:
        """(moment, action) of all orders of one kind."""
        return [(at_s, order["action"]) for at_s, order in self.intents if order["action"]["kind"] == kind]


def read(entries: Iterable[Entry], *, from_s: float | None = None, until_s: float | None = None) -> Recording:
    """The longest stretch of a journal, or of a part of it, in which no gap is too long to fill.

    Raises RecordingError where there is none with traffic, UnreadableEntry where an entry does not hold what it should.
    """
    pile = _Pile()
    for entry in entries:
        with reading(entry):
            pile.take(entry, from_s, until_s)
    return pile.recording()


@dataclass
class _Pile:
    """Everything that was read."""

    entries: int = 0
    settings: list[Settled] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    intents: list[Entry] = field(default_factory=list)
    said: list[Entry] = field(default_factory=list)

    def take(self, entry: Entry, from_s: float | None, until_s: float | None) -> None:
        self.entries += 1
        if entry.kind == Kind.STARTED:  # also before the stretch: it says what the agent in it was told
            self.settings.append((entry.seq, entry.at_s, Settings.model_validate(entry.payload["settings"])))
        if (from_s is not None and entry.at_s < from_s) or (until_s is not None and entry.at_s > until_s):
            return
        match entry.kind:
            case Kind.OBSERVED:
                self.seen.append((entry.seq, observation(entry)))
            case Kind.INTENT:
                from_json(Action, entry.payload["action"])
                self.intents.append(entry)
            case Kind.CONTROL:
                self.said.append(entry)

    def recording(self) -> Recording:
        self._check()
        tick_s = self.settings[-1][2].tick_s
        stretches = list(_stretches(self.seen, tick_s))
        place = max(range(len(stretches)), key=lambda n: stretches[n][-1][1].at_s - stretches[n][0][1].at_s)
        chosen = stretches[place]
        # By their places in the journal, not by their moments: a clock that was set back shows some moments twice.
        begin, end = chosen[0][0], chosen[-1][0]
        after = stretches[place + 1][0][0] if place + 1 < len(stretches) else math.inf
        begin_s = chosen[0][1].at_s
        seen, undated = _dated([each for _, each in chosen])
        _check_traffic(seen, chosen, len(stretches), max(LEAST_S, ALMOST * tick_s))
        lives = [each for each in self.settings if each[0] <= end] or self.settings[:1]
        before = stretches[place - 1][-1][0] if place else 0
        within = [each for each in lives if each[0] > before and each[1] >= begin_s - tick_s] or lives[-1:]
        intents = [each for each in self.intents if begin <= each.seq < after]
        recording = Recording(
            settings=lives[-1][2],
            seen=seen,
            until_seq=max([end, *(each.seq for each in intents)]),
            intents=[(each.at_s, each.payload) for each in intents],
            starts_s=[at_s for _, at_s, _ in within],
            said=[(each.at_s, each.payload) for each in self.said if begin <= each.seq <= end],
            gaps=list(_gaps(seen, tick_s)),
        )
        notes = [*_notes_on_stretches(stretches, place, tick_s), *_notes_on_lives([each for _, _, each in within])]
        if undated:
            notes.append(f"{undated} measurements of traffic were left out, since they are dated to times outside")
        return replace(recording, notes=notes)

    def _check(self) -> None:
        if not self.entries:
            raise RecordingError("the journal is empty: no agent has written to it yet")
        if not self.settings:
            raise RecordingError(
                f"none of its {self.entries} entries is the start of an agent; expected one that `homeostat run` wrote"
            )
        if not self.seen:
            raise RecordingError("nothing was observed in the chosen time; expected at least two ticks of an agent")
        with_traffic = [each for _, each in self.seen if any(d.traffic is not None for d in each.deployments.values())]
        if len(with_traffic) < 2:
            raise RecordingError(
                f"{len(with_traffic)} of {len(self.seen)} observations hold traffic; expected at least two. "
                "Did the agent watch deployments, and could it read Serve's metrics? `homeostat doctor` tells"
            )


def _dated(seen: Sequence[Observation]) -> tuple[list[Observation], int]:
    """`seen` without traffic that was measured long before or after all of it, by what its clock showed; how much was left out."""
    begin_s, end_s = seen[0].at_s - GAP_FILLED_S, seen[-1].at_s + GAP_FILLED_S
    left_out = 0
    kept = []
    for each in seen:
        odd = {
            name: replace(row, traffic=None)
            for name, row in each.deployments.items()
            if row.traffic is not None and not begin_s <= row.traffic.measured_at_s <= end_s
        }
        left_out += len(odd)
        kept.append(replace(each, deployments={**each.deployments, **odd}) if odd else each)
    return kept, left_out


def _check_traffic(seen: Sequence[Observation], chosen: Sequence[Seen], stretches: int, least_s: float) -> None:
    """Raises RecordingError where the clock did not go on between the first and the last traffic of a stretch."""
    moments = sorted({each.at_s for each in seen if any(d.traffic is not None for d in each.deployments.values())})
    if len(moments) < 2 or moments[-1] - moments[0] < least_s:
        entries = f"entries {chosen[0][0]} to {chosen[-1][0]}"
        raise RecordingError(
            f"at_s: the longest of {stretches} stretches without a gap, {entries}, holds traffic of {len(moments)} moments, "
            f"{moments[-1] - moments[0] if moments else 0.0:g} s apart; expected at least two moments {least_s:g} s apart or more, "
            "and traffic measured near them. Did the clock of the agent's machine go on?"
        )


def _stretches(seen: Sequence[Seen], tick_s: float) -> Iterator[list[Seen]]:
    begin = 0
    for place, ((_, before), (_, after)) in enumerate(pairwise(seen), 1):
        if _goes_back(before, after) or after.at_s - before.at_s > max(GAP_FILLED_S, GAP_TICKS * tick_s):
            yield list(seen[begin:place])
            begin = place
    yield list(seen[begin:])


def _goes_back(before: Observation, after: Observation) -> bool:
    return after.at_s < before.at_s


def _gaps(seen: Sequence[Observation], tick_s: float) -> Iterator[Gap]:
    for before, after in pairwise(seen):
        if after.at_s - before.at_s > max(GAP_LEAST_S, GAP_TICKS * tick_s):
            yield Gap(begin_s=before.at_s, end_s=after.at_s)


def _notes_on_stretches(stretches: Sequence[Sequence[Seen]], chosen: int, tick_s: float) -> Iterator[str]:
    others = [
        f"{moment(each[0][1].at_s)} to {moment(each[-1][1].at_s)}"
        for place, each in enumerate(stretches)
        if place != chosen
    ]
    told = "; ".join(others[:NAMED]) + (f"; and {len(others) - NAMED} more" if len(others) > NAMED else "")
    parts = [(before[-1][1], after[0][1]) for before, after in pairwise(stretches)]
    back = sum(_goes_back(before, after) for before, after in parts)
    reasons = []
    if back:
        reasons.append(f"the clock of the agent's machine was set back {back} times")
    if back < len(parts):
        limit_min = max(GAP_FILLED_S, GAP_TICKS * tick_s) / 60
        reasons.append(f"the agent was away for more than {limit_min:g} minutes, {len(parts) - back} times")
    if parts:
        yield f"{' and '.join(reasons)}; the longest stretch without that was taken, and left out: {told}"


def _notes_on_lives(lives: Sequence[Settings]) -> Iterator[str]:
    if any(each != lives[-1] for each in lives):
        yield f"the settings changed {len(lives) - 1} times meanwhile; the last ones are taken for all of it"


def moment(at_s: float) -> str:
    """POSIX seconds as a person reads them, UTC."""
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
