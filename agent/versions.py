"""What is remembered of models' versions: the files each was first seen with, which were judged bad, which could not be promoted. Pure.

A world shows what is; that a version was tried before and taken back, or that its files were others once, only the agent knows. Policies
are shown the world with that knowledge in it, so that none of them needs a memory of its own for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from agent.order import NEVER_SENT, Status
from policies.action import Action, Alert, Promote, RollBack
from policies.observation import Model, Observation, Version

PROMOTION_TRIES = 3
"""A promotion that has failed so often is given up, and its rollout counts as failed."""

FIRST_SEEN = "first_seen"
"""The note of the journal on versions and their files that were seen for the first time: a later life knows them by it."""

Key = tuple[str, str]
"""(model, version)"""


@dataclass
class Versions:
    digests: dict[Key, str] = field(default_factory=dict)
    """As first seen, or as a person has accepted since."""
    rejected: set[Key] = field(default_factory=set)
    """Taken back, and not promoted again since."""
    failed: dict[Key, int] = field(default_factory=dict)
    """How often a promotion has failed or run out of time."""
    rejected_before: dict[Key, bool] = field(default_factory=dict)
    """Whether a version was rejected before the rollback or promotion of it that is in flight."""
    new: tuple[tuple[str, str, str], ...] = ()
    """(model, version, digest) of those that were seen for the first time in what was seen last."""

    def see(self, seen: Observation) -> tuple[Alert, ...]:
        """Remember new versions, and what a person has accepted. Alerts about files that are not those that were first seen."""
        for model, version, digest in seen.controls.accepted:
            self.accept((model, version), digest)
        known = set(self.digests)
        alerts = tuple(
            _told(name, version, first)
            for name, model in seen.models.items()
            for version in versions_of(model)
            if (first := self.digests.setdefault((name, version.number), version.digest)) != version.digest
        )
        self.new = tuple((*key, digest) for key, digest in self.digests.items() if key not in known)
        return alerts

    def accept(self, key: Key, digest: str) -> None:
        """A person says that these are the files. Other files than before are another version, of which nothing is known."""
        if self.digests.get(key) != digest:
            self.digests[key] = digest
            self.rejected.discard(key)
            self.failed.pop(key, None)

    def issue(self, action: Action) -> None:
        """An order was issued: what is rolled back was judged bad, until it is promoted again."""
        if isinstance(action, RollBack | Promote):
            key = (action.model, action.version)
            self.rejected_before.setdefault(key, key in self.rejected)
            self._reject(key, rejected=isinstance(action, RollBack))

    def end(self, action: Action, status: Status, detail: str = "") -> None:
        """How an order ended. One that the world did not do has judged nothing.

        A promotion that failed is counted until one succeeds, but for those that no world was asked for.
        """
        if not isinstance(action, RollBack | Promote):
            return
        key = (action.model, action.version)
        before = self.rejected_before.pop(key, None)
        if before is not None and status is Status.FAILED:
            self._reject(key, rejected=before)
        if isinstance(action, RollBack) or detail in NEVER_SENT:
            return
        if status is Status.SUCCEEDED:
            self.failed.pop(key, None)
        elif status in {Status.FAILED, Status.EXPIRED}:
            self.failed[key] = self.failed.get(key, 0) + 1

    def _reject(self, key: Key, *, rejected: bool) -> None:
        if rejected:
            self.rejected.add(key)
        else:
            self.rejected.discard(key)

    def shown(self, seen: Observation) -> Observation:
        """`seen` as policies are shown it: a version that was judged bad is nothing to go back to, and a rollout whose promotion was
        given up has failed."""
        fresh = {name: shown for name, model in seen.models.items() if (shown := self._shown(model)) is not model}
        return replace(seen, models={**seen.models, **fresh}) if fresh else seen

    def _shown(self, model: Model) -> Model:
        previous, rollout = model.previous, model.rollout
        if previous is not None and (model.name, previous.number) in self.rejected:
            model = replace(model, previous=None)
        tries = 0 if rollout is None else self.failed.get((model.name, rollout.version), 0)
        if rollout is not None and rollout.failed is None and tries >= PROMOTION_TRIES:
            model = replace(model, rollout=replace(rollout, failed=f"its promotion failed {tries} times"))
        return model


def versions_of(model: Model) -> Iterator[Version]:
    """The versions of `model` that can be seen."""
    seen: Iterable[Version | None] = (model.champion, model.previous, *model.candidates)
    return (version for version in seen if version is not None)


def _told(model: str, version: Version, first: str) -> Alert:
    text = (
        f"version {version.number} of {model} has other files than when it was first seen (digest {version.digest[:12]} instead of "
        f"{first[:12]}), so nothing is done with it; if the registry was made anew, say `homeostat accept {model}`"
    )
    return Alert(subject=model, text=text, severity="critical")
