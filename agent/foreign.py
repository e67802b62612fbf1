"""Replica counts that somebody else has set. Pure: fed with observations and with our own orders, it says what was not ours.

The agent is the one writer of the counts it manages. Somebody who deploys by hand, or a declarative config put once more, can change them
all the same; that is told to people, and respected for a while, rather than silently overwritten.
"""

from dataclasses import dataclass, field

from policies.action import Alert
from policies.observation import Deployment, Observation

CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignChange:
    """Somebody else set the count of `deployment` from `before` to `after`; seen at `at_s`."""

    deployment: str
    before: int
    after: int
    at_s: float


@dataclass
class ForeignChanges:
    """Remembers which counts are accounted for."""

    accepted: dict[str, int] = field(default_factory=dict)
    """The count that each deployment is known to have."""
    ordered: dict[str, int] = field(default_factory=dict)
    """The count that we asked for last; it may come true at any time, after its deadline too."""
    latest: dict[str, ForeignChange] = field(default_factory=dict)

    def order(self, deployment: str, replicas: int) -> None:
        """We have asked for `replicas`."""
        self.ordered[deployment] = replicas

    def see(self, seen: Observation) -> tuple[Alert, ...]:
        """Alerts about counts that changed since the last observation and that we did not ask for."""
        changes = [change for name, row in seen.deployments.items() if (change := self._look(name, row, seen.at_s))]
        for name in self.accepted.keys() - seen.deployments.keys():
            self._forget(name)
        return tuple(_told(change) for change in changes)

    def _look(self, name: str, row: Deployment, at_s: float) -> ForeignChange | None:
        if row.slot == CHALLENGER:  # comes and goes with its rollout
            return None
        before = self.accepted.get(name)
        self.accepted[name] = row.replicas_wanted
        if before is None or row.replicas_wanted == before:
            return None
        if row.replicas_wanted == self.ordered.get(name):
            return None
        change = ForeignChange(deployment=name, before=before, after=row.replicas_wanted, at_s=at_s)
        self.latest[name] = change
        self.ordered.pop(name, None)
        return change

    def _forget(self, name: str) -> None:
        for kept in (self.accepted, self.ordered, self.latest):
            kept.pop(name, None)


def _told(change: ForeignChange) -> Alert:
    text = f"somebody else set {change.deployment} from {change.before} to {change.after} replicas"
    return Alert(subject=change.deployment, text=text, severity="warning")
