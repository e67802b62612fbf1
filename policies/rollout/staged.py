"""Staged: shadow, canary steps, full; forward on evidence only, back at once.

What a stage must show is in `policies.rollout.gates`; why the statistics may be read at every tick is in
`policies.sequential`. This module knows the stages and the ways back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist

from policies.action import Action, Alert, Evidence, Hold, Promote, Proposal, RollBack, Scale, SetTraffic, StartRollout
from policies.observation import Comparison, Model, Observation, Rollout, Version
from policies.parameters import inside_unit, not_negative, positive, share
from policies.rollout.gates import Gate, Verdict, error_gate, knowledge_gate, latency_gate, loss_gate, tail_gate
from policies.rollout.room import Room, slot
from policies.rollout.watch import Normal, does_not_run, regression

Because = tuple[Evidence, ...]


@dataclass(kw_only=True, eq=False)
class Staged:
    """Bring the newest candidate of each managed model to its users step by step, or keep it from them.

    At every tick, for each model, the first of these that applies:

    1. A person asked for a rollback: the running rollout ends, or else the champion goes back to `previous`. Once per request.
    2. A rollout runs:
       a. it can not serve, or it is in shadow and a newer candidate waits, or some gate failed: roll back;
       b. every gate passed and the stage lasted `stage_min_s`: go to the next of `steps`, after the last one promote; where
          too few challengers run to carry the step as the champion's replicas would, scale them up first;
       c. no verdict after `stage_timeout_s`: roll back, inconclusive;
       d. else, and whenever the comparison is missing or stale: hold.
    3. The champion was promoted within `watch_s`, and either its error drifted since, to a loss above all that it was promoted with
       (an upper confidence bound), or its replicas do not run, for `crashing_s` and ever since: roll back to `previous`, unless that
       one was judged bad before.
    4. Candidates wait: those judged bad or overtaken by a newer one are rejected, the newest starts in shadow.

    All gates of one rollout together raise a false alarm with probability `alpha` at most: a third each for loss (half of it beside the
    champion, half beside a constant), errors and latency; errors and latency are counted afresh in every stage, so their third is shared
    among the stages.
    """

    steps: tuple[float, ...] = (0.1, 0.5)
    """The parts of the keys that the challenger answers, stage by stage; shadow comes before, promotion after."""
    shadow: float = 1.0
    """The part of the champion's rows that is copied to the challenger, in shadow and in the canary steps; fewer where its replicas
    would get more than each of the champion's, for a challenger that is overrun says nothing about its version."""
    margin: float = 0.01
    """How much worse the challenger's mean loss may be, in units of the loss."""
    error_margin: float = 0.02
    """How much higher its error rate may be. Two clean arms show 0.02 after about 700 requests each, 0.01 after 1,500."""
    latency_factor: float = 1.5
    """How many times the champion's latency it may take, in the mean and at the 95th percentile."""
    latency_floor_s: float = 0.005
    """Differences of latency up to this never count: half as much again of a millisecond is nothing."""
    min_rows: int = 200
    """Labelled rows before the loss is judged."""
    alpha: float = 0.05
    stage_min_s: float = 60.0
    stage_timeout_s: float = 3600.0
    watch_s: float = 3600.0
    normal_s: float = 86400.0
    """What the champion lost over any full window within so long before a promotion is no regression afterwards."""
    crashing_s: float = 60.0
    """So long most of a new champion's replicas must have failed to run."""
    stale_after_s: float = 300.0
    """A comparison or report older than this counts as missing."""

    _judged: dict[tuple[str, str], Because] = field(default_factory=dict, init=False, repr=False)
    """(model, version) -> why it must not serve; kept until the version has left the scene."""
    _chosen: dict[str, tuple[str, Because]] = field(default_factory=dict, init=False, repr=False)
    """Model -> the version that passed its last stage, and the evidence. A promotion takes more than one tick."""
    _loss_then: dict[tuple[str, str], float] = field(default_factory=dict, init=False, repr=False)
    """(model, version) -> the loss above which going back from it is worth while.

    It is the challenger's own when it was chosen, or the champion's where that was worse: a champion that lost much because the world had
    changed is no remedy for a new one that drifts a little. What few rows showed may have been luck, so bounds of both count; and a stage
    is short beside the moods of the world, so the worst full window that the champion had within `normal_s` counts, too.
    """
    _normal: dict[str, Normal] = field(default_factory=dict, init=False, repr=False)
    _down_since_s: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    """Model -> since when its champion's replicas do not run."""
    _asked: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    """Model -> the version that a person wanted gone, while the request stands."""

    def __post_init__(self) -> None:
        positive(latency_factor=self.latency_factor, min_rows=self.min_rows, stage_timeout_s=self.stage_timeout_s)
        positive(stale_after_s=self.stale_after_s)
        share(error_margin=self.error_margin)
        not_negative(margin=self.margin, latency_floor_s=self.latency_floor_s)
        not_negative(stage_min_s=self.stage_min_s, watch_s=self.watch_s, crashing_s=self.crashing_s)
        not_negative(normal_s=self.normal_s)
        inside_unit(alpha=self.alpha)
        if any(not 0 < step < 1 for step in self.steps) or list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps must rise, each above 0 and below 1, got {list(self.steps)}")
        if not 0 < self.shadow <= 1:
            raise ValueError(f"shadow must be above 0 and at most 1, got {self.shadow}")

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        proposals = []
        for model in (seen.models[name] for name in sorted(seen.models)):
            if model.managed:
                self._forget(model)
                self._normal.setdefault(model.name, Normal()).see(model)
                self._look_whether_it_runs(model, seen)
                wish = self._by_hand(model, seen) or self._by_evidence(model, Room.of(model.name, seen), seen.at_s)
                proposals += [wish] if wish is not None else []
        return proposals

    def _by_evidence(self, model: Model, room: Room, at_s: float) -> Proposal | None:
        if model.rollout is not None:
            return self._running(model, model.rollout, room, at_s)
        return self._watching(model, at_s) or self._waiting(model, room)

    def _forget(self, model: Model) -> None:
        """Drop what was kept of versions that are no longer on the scene."""
        known = {each.number for each in (*model.candidates, model.champion, model.previous) if each is not None}
        if model.rollout is not None:
            known.add(model.rollout.version)
        for kept in (self._judged, self._loss_then):
            for key in [key for key in kept if key[0] == model.name and key[1] not in known]:
                del kept[key]
        if model.rollout is None or self._chosen.get(model.name, ("", ()))[0] != model.rollout.version:
            self._chosen.pop(model.name, None)

    def _look_whether_it_runs(self, model: Model, seen: Observation) -> None:
        if does_not_run(slot(model.name, "champion", seen)):
            self._down_since_s.setdefault(model.name, seen.at_s)
        else:
            self._down_since_s.pop(model.name, None)

    # 1. by hand

    def _by_hand(self, model: Model, seen: Observation) -> Proposal | None:
        if model.name not in seen.controls.rollbacks:
            self._asked.pop(model.name, None)
            return None
        champion, rollout = model.champion, model.rollout
        first = model.name not in self._asked
        serving = rollout.version if rollout is not None else champion.number if champion is not None else ""
        unwanted = self._asked.setdefault(model.name, serving)
        because = (Evidence(name="asked_by_hand", note=f"a person asked to roll {model.name} back"),)
        if rollout is not None and rollout.version == unwanted:
            return self._back(model, unwanted, champion, because)
        if champion is not None and champion.number == unwanted and model.previous is not None:
            return self._back(model, unwanted, model.previous, because)
        if first:
            text = f"{model.name} can not be rolled back: there is no version to go back to"
            return Proposal(action=Alert(subject=f"rollback of {model.name}", text=text), because=because)
        return None

    # 2. a rollout runs

    def _running(self, model: Model, rollout: Rollout, room: Room, at_s: float) -> Proposal:
        gates = self._gates(rollout.comparison, at_s)
        against = self._against(model, rollout, gates)
        if against:
            return self._back(model, rollout.version, model.champion, against)
        if model.name in self._chosen:
            return self._promote(model, rollout.version, self._chosen[model.name][1])
        stage_s = at_s - rollout.stage_since_s
        lasted = Evidence(name="stage_s", value=stage_s, threshold=self.stage_min_s, note=f"at share {rollout.share:g}")
        because = (*(each.evidence for each in gates), lasted) if gates else (self._no_comparison(rollout, at_s),)
        if not rollout.ready:
            because = (Evidence(name="ready", note="the challenger is not ready everywhere yet"), *because)
        elif gates and all(each.verdict is Verdict.PASSED for each in gates) and stage_s >= self.stage_min_s:
            return self._forward(model, rollout, room, at_s, because)
        if stage_s >= self.stage_timeout_s:
            slow = Evidence(name="stage_timeout_s", value=stage_s, threshold=self.stage_timeout_s, note="inconclusive")
            return self._back(model, rollout.version, model.champion, (slow, *because))
        return Proposal(action=Hold(subject=model.name), because=because)

    def _against(self, model: Model, rollout: Rollout, gates: tuple[Gate, ...]) -> Because:
        """Why the rollout must end now; nothing where it may go on."""
        if rollout.failed is not None:
            return (Evidence(name="rollout_failed", note=rollout.failed),)
        if (model.name, rollout.version) in self._judged:
            return self._judged[model.name, rollout.version]
        newer = _newer(model, rollout.version)
        if rollout.share == 0 and newer is not None:
            return (_overtaken(newer),)
        return tuple(each.evidence for each in gates if each.verdict is Verdict.FAILED)

    def _gates(self, comparison: Comparison | None, at_s: float) -> tuple[Gate, ...]:
        if comparison is None or at_s - comparison.measured_at_s > self.stale_after_s:
            return ()
        third = self.alpha / 3
        per_stage = third / (1 + len(self.steps))
        factor, floor_s = self.latency_factor, self.latency_floor_s
        tail = tail_gate(comparison, factor=factor, floor_s=floor_s)
        knows = knowledge_gate(comparison, min_rows=self.min_rows, alpha=third / 2)
        return (
            loss_gate(comparison, margin=self.margin, min_rows=self.min_rows, alpha=third / 2),
            *((knows,) if knows is not None else ()),
            error_gate(comparison, margin=self.error_margin, alpha=per_stage),
            latency_gate(comparison, factor=factor, floor_s=floor_s, alpha=per_stage),
            *((tail,) if tail is not None else ()),
        )

    def _no_comparison(self, rollout: Rollout, at_s: float) -> Evidence:
        age_s = None if rollout.comparison is None else at_s - rollout.comparison.measured_at_s
        return Evidence(name="comparison_age_s", value=age_s, threshold=self.stale_after_s, note="no fresh comparison")

    def _forward(self, model: Model, rollout: Rollout, room: Room, at_s: float, because: Because) -> Proposal:
        for step in self.steps:
            if step > rollout.share:
                return self._step(model, rollout, step, room, because)
        self._chosen[model.name] = (rollout.version, because)
        if rollout.comparison is not None and rollout.comparison.challenger.loss.n:
            losses = (
                *_bounds(rollout.comparison, self.alpha),
                self._normal[model.name].worst_since(at_s - self.normal_s),
            )
            self._loss_then[model.name, rollout.version] = max(loss for loss in losses if loss is not None)
        return self._promote(model, rollout.version, because)

    def _step(self, model: Model, rollout: Rollout, share: float, room: Room, because: Because) -> Proposal:
        needed, there = room.needed(share), room.challengers
        if room.challenger is not None and there is not None and there < needed:
            few = Evidence(name="challengers", value=there, threshold=needed, note=f"before it answers {share:g}")
            return Proposal(action=Scale(deployment=room.challenger, replicas=needed), because=(few, *because))
        shadow = room.copies(self.shadow, share, needed if there is None else there)
        action = SetTraffic(model=model.name, version=rollout.version, share=share, shadow=shadow)
        return Proposal(action=action, because=because)

    def _promote(self, model: Model, version: str, because: Because) -> Proposal:
        found = next((each for each in model.candidates if each.number == version), None)
        if found is None:
            lost = Evidence(name="version", note=f"version {version} is not among the candidates of the registry")
            return Proposal(action=Hold(subject=model.name), because=(lost, *because))
        return Proposal(action=Promote(model=model.name, version=version, digest=found.digest), because=because)

    # 3. the champion is new

    def _watching(self, model: Model, at_s: float) -> Proposal | None:
        champion, previous = model.champion, model.previous
        if champion is None or previous is None or (model.name, previous.number) in self._judged:
            return None
        loss_then = self._loss_then.get((model.name, champion.number))
        because = self._crashes(model, at_s) or regression(
            model, at_s, watch_s=self.watch_s, stale_after_s=self.stale_after_s, loss_then=loss_then
        )
        return None if because is None else self._back(model, champion.number, previous, because)

    def _crashes(self, model: Model, at_s: float) -> Because | None:
        """Why the champion should not have been promoted: since then its replicas run no more."""
        since_s, promoted_s = self._down_since_s.get(model.name), model.champion_since_s
        if since_s is None or promoted_s is None or since_s < promoted_s:
            return None
        down_s, age_s = at_s - since_s, at_s - promoted_s
        if down_s < self.crashing_s or age_s > self.watch_s:
            return None
        return (
            Evidence(name="promoted_s_ago", value=age_s, threshold=self.watch_s, note="newly promoted"),
            Evidence(
                name="crashing_s", value=down_s, threshold=self.crashing_s, note="most of its replicas do not run"
            ),
        )

    # 4. candidates wait

    def _waiting(self, model: Model, room: Room) -> Proposal | None:
        if not model.candidates:
            return None
        newest, champion = model.candidates[-1], model.champion
        if champion is None:
            alone = Evidence(
                name="champion", note="there is no champion to compare with; promote the first version by hand"
            )
            return Proposal(action=Hold(subject=model.name), because=(alone,))
        for candidate in model.candidates:
            judged = self._judged.get((model.name, candidate.number))
            if judged is not None or candidate is not newest:
                return self._back(model, candidate.number, champion, judged or (_overtaken(newest),))
        shadow = room.copies(self.shadow, 0.0, challengers=1)
        action = StartRollout(model=model.name, version=newest.number, digest=newest.digest, shadow=shadow)
        new = Evidence(name="candidate", value=newest.score, note=f"version {newest.number} is the newest candidate")
        return Proposal(action=action, because=(new,))

    def _back(self, model: Model, version: str, to: Version | None, because: Because) -> Proposal:
        """`version` is judged: it is proposed to be rolled back until it is gone, and never started again."""
        self._judged[model.name, version] = because
        action: Action = Hold(subject=model.name)
        if to is None:
            because = (*because, Evidence(name="champion", note="unknown: there is no version to go back to"))
        else:
            action = RollBack(model=model.name, version=version, to=to.number, to_digest=to.digest)
        return Proposal(action=action, because=because)


def _bounds(seen: Comparison, alpha: float) -> list[float]:
    """The most that each arm's mean loss may be: one-sided upper confidence bounds; normal, for a gate has asked for rows enough."""
    spread = NormalDist().inv_cdf(1.0 - alpha)
    arms = (each for each in (seen.champion.loss, seen.challenger.loss) if each.n)
    return [each.mean + spread * sqrt(each.variance / each.n) for each in arms]


def _newer(model: Model, version: str) -> Version | None:
    """The newest candidate, where the registry lists it after `version`."""
    numbers = [each.number for each in model.candidates]
    return model.candidates[-1] if version in numbers[:-1] else None


def _overtaken(newer: Version) -> Evidence:
    return Evidence(name="superseded", note=f"version {newer.number} is newer")
