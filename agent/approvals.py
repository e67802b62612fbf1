"""Orders that wait for a person's word, from when they were wished for to when they are let go, refused or withdrawn. Pure.

An order waits as long as the wish for it stands, and is sent only while it does. How a wish stands at one moment:

1. It is heard: a policy wants it, or more of it in the same direction.
2. Nobody knows: a policy holds, or could not be asked, or what it is about can not be seen. That takes back nothing.
3. Nobody wants it any more, or something else is wanted. A wish that flickers must not get a new number at every tick, and some policies
   decide now and then only: it is withdrawn after a while of that, counted anew in each life of the agent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.arbiter import ARBITER, replaces
from agent.guards import autonomy
from agent.order import Autonomy, Order, Outcome, Status
from agent.proposals import Asked
from agent.settings import AutonomySettings
from policies.action import Action, Hold, Proposal, Quarantine, Retrain, RollBack, Scale, Target, target
from policies.observation import Observation
from policies.policy import Policy

WITHDRAWN_AFTER_S = 60.0
"""A wish that nobody has had for so long, or for two decisions of a policy that decides more rarely, is gone."""
LEVELS = {Autonomy.APPROVE, Autonomy.ACT}
"""With a level below these the agent would not have asked."""


@dataclass
class Approvals:
    settings: AutonomySettings
    decide_every_s: float = 0.0
    """The longest time between two decisions of a policy; silence in between says nothing."""
    waiting: dict[Target, Order] = field(default_factory=dict)
    _heard_s: dict[int, float] = field(default_factory=dict)
    """Number -> when the wish for it was last known to stand, or when this life first looked."""
    _stands: set[int] = field(default_factory=set)
    """Those whose wish stands now."""
    _kept: set[int] = field(default_factory=set)
    """Those that the last decision came to again: the arbiter's own wishes are heard of no policy."""

    def wait(self, order: Order) -> None:
        """`order` waits from now on, in the place of another for its target."""
        self.waiting[target(order.action)] = order
        self._heard_s[order.number] = order.issued_at_s
        self._kept.add(order.number)

    def hear(self, asked: Asked, seen: Observation) -> tuple[Outcome, ...]:
        """Take in what policies and people say now; the ends of those that nobody will let go any more."""
        self._listen(asked, seen)
        ended = [
            Outcome(number=order.number, status=status, at_s=seen.at_s, detail=detail)
            for order in self.waiting.values()
            for status, detail in self._ends(order, seen)
        ]
        self._forget({outcome.number for outcome in ended})
        return tuple(ended)

    def let_go(self, seen: Observation, open_orders: Mapping[Target, Order]) -> tuple[Order, ...]:
        """Orders that a person approved and that are still wanted; not beside an order in flight, unless they replace that."""
        return tuple(
            order
            for key, order in self.waiting.items()
            if order.number in seen.controls.approved and order.number in self._stands
            if key not in open_orders or replaces(order.action, open_orders[key].action)
        )

    def keeps(self, proposal: Proposal, seen: Observation) -> bool:
        """Whether an order that waits already stands for `proposal`, which was chosen."""
        waiting = self.waiting.get(target(proposal.action))
        if waiting is None or not _on_the_way(waiting.action, proposal.action, seen):
            return False
        self._kept.add(waiting.number)
        return True

    def takes_back(self, wanted: Action) -> bool:
        """Whether a rollback waits where `wanted` would go forward: while it does, nothing goes any further."""
        waiting = self.waiting.get(target(wanted))
        return waiting is not None and isinstance(waiting.action, RollBack) and not isinstance(wanted, RollBack)

    def _listen(self, asked: Asked, seen: Observation) -> None:
        self._stands.clear()
        for order in self.waiting.values():
            last_s = self._heard_s.setdefault(order.number, seen.at_s)
            if _wanted(order, asked, seen) or (order.policy == ARBITER and order.number in self._kept):
                self._heard_s[order.number] = seen.at_s
                self._stands.add(order.number)
            elif seen.at_s - last_s < self.decide_every_s and not _contradicted(order, asked):
                self._stands.add(order.number)
        self._kept.clear()

    def _ends(self, order: Order, seen: Observation) -> Iterator[tuple[Status, str]]:
        """How `order` ends now, if it does: at most one way."""
        lasts_s = max(WITHDRAWN_AFTER_S, 2 * self.decide_every_s)
        if order.number in seen.controls.denied:
            yield Status.DENIED, "a person said no"
        elif seen.at_s - order.issued_at_s >= self.settings.approval_expires_s:
            yield Status.DENIED, "nobody approved it in time"
        elif autonomy(order.action, self.settings) not in LEVELS:
            yield Status.WITHDRAWN, "the settings no longer let the agent do it"
        elif seen.at_s - self._heard_s[order.number] >= lasts_s:
            yield Status.WITHDRAWN, f"no policy has wanted it for {seen.at_s - self._heard_s[order.number]:.0f} s"

    def _forget(self, numbers: set[int]) -> None:
        self.waiting = {key: order for key, order in self.waiting.items() if order.number not in numbers}
        kept = {order.number for order in self.waiting.values()}
        self._heard_s = {number: at_s for number, at_s in self._heard_s.items() if number in kept}
        self._stands &= kept


def decide_every_s(policies: Iterable[Policy]) -> float:
    """The longest time between two decisions of any of them, in seconds; 0 where all are heard at every tick."""
    return max((_pause_s(policy) for policy in policies), default=0.0)


def _pause_s(policy: Any) -> float:
    """A policy that decides now and then says so by `decide_every_s`; wrappers are looked into."""
    several = getattr(policy, "policies", ())
    inner = [getattr(policy, "policy", None), *(several if isinstance(several, Sequence) else ())]
    own = getattr(policy, "decide_every_s", 0.0)
    mine_s = float(own) if isinstance(own, int | float) else 0.0
    return max([mine_s, *(_pause_s(each) for each in inner if isinstance(each, Policy))])


def _wanted(order: Order, asked: Asked, seen: Observation) -> bool:
    """Whether the wish stands, or nobody knows."""
    if order.policy in asked.unsure or not _visible(order.action, seen) or seen.problems:
        return True
    name = target(order.action)[1]
    return any(
        _on_the_way(order.action, each.action, seen)
        or (isinstance(each.action, Hold) and (each.action.subject == name or _of_all(each, order, seen)))
        for each in asked.proposals
    )


def _of_all(hold: Proposal, order: Order, seen: Observation) -> bool:
    """Whether a policy that wanted `order` holds as a whole, rather than for another deployment or model."""
    subject = hold.action.subject if isinstance(hold.action, Hold) else ""
    return hold.policy == order.policy and subject not in seen.deployments and subject not in seen.models


def _contradicted(order: Order, asked: Asked) -> bool:
    return any(target(each.action) == target(order.action) for each in asked.proposals)


def _on_the_way(waiting: Action, wanted: Action, seen: Observation) -> bool:
    """Whether to do `waiting` is to do `wanted`, or a part of it: never more replicas than are wanted, nor fewer."""
    match waiting, wanted:
        case Scale(), Scale() if waiting.deployment == wanted.deployment and waiting.deployment in seen.deployments:
            now = seen.deployments[waiting.deployment].replicas_wanted
            return now < waiting.replicas <= wanted.replicas or wanted.replicas <= waiting.replicas < now
        case Retrain(), Retrain():
            return waiting.model == wanted.model
        case Quarantine(), Quarantine() if waiting.model == wanted.model:
            return wanted.since_s <= waiting.since_s and waiting.until_s <= wanted.until_s
        case _:
            return waiting == wanted


def _visible(action: Action, seen: Observation) -> bool:
    aspect, name = target(action)
    return name in (seen.deployments if aspect == "deployment" else seen.models)
