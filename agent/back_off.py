"""Back-off: what has just failed is not tried again at once, and ever more rarely while it goes on failing. Pure.

1. Remembered are failures in a row of one kind of order on one thing: a replica, a version, a model's training, a deployment at one replica
   count. Another replica or version, or a count that has changed, is another thing; a success ends the row, and so does a long silence.
2. After the first failure it is tried again at once, for a hiccup must cost no time. After n failures, two or more, the next try waits
   FIRST_S * 2 ** (n - 2) seconds from the last one on, at most LONGEST_S: 10, 20, 40 s and so on. Steps that make things safe wait for
   SAFE_LONGEST_S at most, and a training, which costs much each time, up to TRAINING_LONGEST_S.
3. An order that ran out of time has waited long enough, and one that no world was asked for, as the journal was away, is no failure.
   Promotions are not counted here: they are given up after a few tries (`agent.versions`).
"""

from dataclasses import dataclass, field

from agent.order import JOURNAL_WAS_AWAY, Order, Outcome, Status
from policies.action import (
    Action,
    Promote,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
    Target,
    target,
)
from policies.observation import Observation

FIRST_S = 10.0
LONGEST_S = 300.0
SAFE_LONGEST_S = 30.0
TRAINING_LONGEST_S = 3600.0
FORGOTTEN_AFTER_S = 7200.0
DOUBLINGS_MAX = 20
"""More change nothing, and two to the power of a large number is no number of seconds."""

Thing = tuple[str, Target, str]
"""(kind of order, target, which of its things)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """So many in a row, the last of them at `last_s`, for `reason`."""

    times: int
    last_s: float
    reason: str


@dataclass
class BackOff:
    failed: dict[Thing, Failures] = field(default_factory=dict)

    def end(self, order: Order, outcome: Outcome) -> None:
        """How `order` ended."""
        before = order.inverse.replicas if isinstance(order.inverse, Scale) else None
        thing = _thing(order.action, before)
        if outcome.status is Status.SUCCEEDED:
            self.failed.pop(thing, None)
        elif outcome.status is Status.FAILED and _counts(order.action, outcome.detail):
            times = self.failed[thing].times if thing in self.failed else 0
            self.failed[thing] = Failures(times=times + 1, last_s=outcome.at_s, reason=outcome.detail)

    def forget(self, at_s: float) -> None:
        """Drop what is too old to matter at `at_s`."""
        self.failed = {thing: each for thing, each in self.failed.items() if at_s - each.last_s < FORGOTTEN_AFTER_S}

    def failures(self, action: Action, seen: Observation) -> Failures | None:
        """Those of `action` as things stand in `seen`, if any."""
        deployment = seen.deployments.get(action.deployment) if isinstance(action, Scale) else None
        return self.failed.get(_thing(action, None if deployment is None else deployment.replicas_wanted))


def pause_s(action: Action, times: int) -> float:
    """How long `action` waits after it has failed so many times in a row, in seconds."""
    longest_s = LONGEST_S
    if isinstance(action, RollBack | StopTraining):
        longest_s = SAFE_LONGEST_S
    elif isinstance(action, Retrain):
        longest_s = TRAINING_LONGEST_S
    return 0.0 if times < 2 else min(longest_s, FIRST_S * 2.0 ** min(times - 2, DOUBLINGS_MAX))


def _counts(action: Action, detail: str) -> bool:
    return not isinstance(action, Promote) and detail != f"refused: {JOURNAL_WAS_AWAY}"


def _thing(action: Action, replicas: int | None) -> Thing:
    """What `action` is done to; `replicas` are those that its deployment wants, or wanted, before."""
    match action:
        case Restart():
            which = action.replica
        case StartRollout() | SetTraffic() | Promote() | RollBack():
            which = action.version
        case Scale():
            which = "" if replicas is None else str(replicas)
        case _:
            which = ""
    return (action.kind, target(action), which)
