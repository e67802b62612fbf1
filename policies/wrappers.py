"""Policies made of policies: slower, bounded, silent, or for a part of the fleet only.

A wrapper asks its inner policies at every tick, also when it lets nothing through, so that their state follows the world.
`Alert` and `Hold` change nothing and always pass.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from policies.action import Action, Alert, Evidence, Hold, Proposal, Quarantine, Retrain, Scale, Target, target
from policies.observation import Deployment, Observation
from policies.parameters import not_negative
from policies.policy import Policy


def _changes_nothing(action: Action) -> bool:
    return isinstance(action, Alert | Hold)


@dataclass(kw_only=True, eq=False)
class Scoped:
    """Shows its policy only deployments and models whose name matches one of the globs `targets`.

    A deployment that serves a model is shown wherever its model is.
    """

    policy: Policy
    targets: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets must name at least one glob; without targets everything is shown")

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        return self.policy.propose(
            replace(
                seen,
                deployments={name: each for name, each in seen.deployments.items() if self._shows(each)},
                models={name: each for name, each in seen.models.items() if self._matches(name)},
            )
        )

    def _shows(self, deployment: Deployment) -> bool:
        return self._matches(deployment.name) or (deployment.model is not None and self._matches(deployment.model))

    def _matches(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in self.targets)


@dataclass(kw_only=True, eq=False)
class Patient:
    """Lets through only what its policy has wanted at every tick for `patience_s`.

    Wanting more replicas is one wish, however many; so are wanting fewer, retraining a model and quarantining its rows.
    Everything else must be wanted unchanged.
    """

    policy: Policy
    patience_s: float
    _since: dict[Hashable, float] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        not_negative(patience_s=self.patience_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        proposals = tuple(self.policy.propose(seen))
        wishes = [_wish(each.action, seen) for each in proposals]
        self._since = {wish: self._since.get(wish, seen.at_s) for wish in wishes}
        return tuple(
            each
            for each, wish in zip(proposals, wishes, strict=True)
            if _changes_nothing(each.action) or seen.at_s - self._since[wish] >= self.patience_s
        )


def _wish(action: Action, seen: Observation) -> Hashable:
    match action:
        case Scale():
            deployment = seen.deployments.get(action.deployment)
            more = deployment is not None and action.replicas > deployment.replicas_wanted
            return (target(action), action.kind, "more" if more else "fewer")
        case Retrain() | Quarantine():
            return (target(action), action.kind)
        case _:
            return action


@dataclass(kw_only=True, eq=False)
class Clamped:
    """Bounds the replica counts that its policy asks for: between `min_replicas` and `max_replicas`, by at most `step_max`."""

    policy: Policy
    min_replicas: int = 0
    max_replicas: int | None = None
    step_max: int | None = None
    """At most so many replicas more or fewer than are wanted now."""

    def __post_init__(self) -> None:
        not_negative(min_replicas=self.min_replicas)
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas must be at least min_replicas ({self.min_replicas}), got {self.max_replicas}"
            )
        if self.step_max is not None and self.step_max < 1:
            raise ValueError(f"step_max must be 1 or more, got {self.step_max}")

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        return tuple(kept for each in self.policy.propose(seen) if (kept := self._clamp(each, seen)) is not None)

    def _clamp(self, proposal: Proposal, seen: Observation) -> Proposal | None:
        action = proposal.action
        if not isinstance(action, Scale) or (deployment := seen.deployments.get(action.deployment)) is None:
            return proposal
        now, replicas = deployment.replicas_wanted, action.replicas
        if self.step_max is not None:
            replicas = max(now - self.step_max, min(now + self.step_max, replicas))
        replicas = max(self.min_replicas, replicas)
        if self.max_replicas is not None:
            replicas = min(self.max_replicas, replicas)
        if replicas == action.replicas:
            return proposal
        if replicas == now:
            return None
        clamped = Evidence(name="clamped", value=action.replicas, threshold=replicas, note="more than its bounds allow")
        return replace(proposal, action=replace(action, replicas=replicas), because=(*proposal.because, clamped))


@dataclass(kw_only=True, eq=False)
class CoolDown:
    """After an action on a target, holds every other action on it for `cool_down_s`. The same action may be repeated."""

    policy: Policy
    cool_down_s: float
    _last: dict[Target, tuple[Action, float]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        not_negative(cool_down_s=self.cool_down_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        return tuple(self._cooled(each, seen.at_s) for each in self.policy.propose(seen))

    def _cooled(self, proposal: Proposal, at_s: float) -> Proposal:
        action = proposal.action
        if _changes_nothing(action):
            return proposal
        key = target(action)
        last, since_s = self._last.get(key, (action, at_s))
        if action != last and at_s - since_s < self.cool_down_s:
            waited = Evidence(name="cool_down_s", value=at_s - since_s, threshold=self.cool_down_s, note="too soon")
            return replace(proposal, action=Hold(subject=key[1]), because=(waited, *proposal.because))
        if action != last or key not in self._last:
            self._last[key] = (action, at_s)
        return proposal


@dataclass(kw_only=True, eq=False)
class FirstOf:
    """For every target the first policy of the list that wants something there gets its way. A `Hold` is no wish."""

    policies: tuple[Policy, ...]

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        taken: set[Target] = set()
        chosen: list[Proposal] = []
        for policy in self.policies:
            proposals = tuple(policy.propose(seen))
            chosen += [each for each in proposals if _changes_nothing(each.action) or target(each.action) not in taken]
            taken |= {target(each.action) for each in proposals if not _changes_nothing(each.action)}
        return tuple(chosen)


@dataclass(kw_only=True, eq=False)
class Shadowed:
    """Follows `policy`, and tells what `shadow` would have done, without doing it.

    1. A proposal of `policy` carries what `shadow` wanted for the same target as evidence.
    2. Where only `shadow` wants something, an `Alert` (info) says so when the wish appears or changes.
    """

    policy: Policy
    shadow: Policy
    _told: dict[Target, Action] = field(default_factory=dict, init=False, repr=False)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        wishes = {target(p.action): p for p in self.shadow.propose(seen) if not _changes_nothing(p.action)}
        proposals = tuple(self._beside(each, wishes) for each in self.policy.propose(seen))
        followed = {target(each.action) for each in proposals}
        silent = {key: wish for key, wish in wishes.items() if key not in followed}
        alerts = tuple(_would_have(wish) for key, wish in silent.items() if self._told.get(key) != wish.action)
        self._told = {key: wish.action for key, wish in silent.items()}
        return (*proposals, *alerts)

    def _beside(self, proposal: Proposal, wishes: dict[Target, Proposal]) -> Proposal:
        wish = wishes.get(target(proposal.action))
        if wish is None or wish.action == proposal.action:
            return proposal
        return replace(proposal, because=(*proposal.because, Evidence(name="shadow", note=f"would want {wish.action}")))


def _would_have(wish: Proposal) -> Proposal:
    subject = f"shadow policy on {target(wish.action)[1]}"
    alert = Alert(subject=subject, text=f"the shadow policy would want {wish.action}", severity="info")
    return Proposal(action=alert, because=wish.because)
