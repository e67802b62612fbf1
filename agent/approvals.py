"""Orders that wait for a person's word, from when they were wished for to when they are let go, refused or withdrawn. Pure.

An order waits as long as the wish for it stands, and is sent only while it does. A wish is that of one policy for one target. Whose it is:
the one that was last heard with it, at first the one that proposed the order. How it stands at one moment:

1. It is heard: that policy wants it, or more of it in the same direction; or it is silent, and another wants that and has the wish from
   then on. What the arbiter wants by itself is heard while it comes to it again.
2. Nobody knows: that policy holds (the target, or everything) or could not be asked, or its target can not be seen or read. That takes back
   nothing. What others hold, or raise, and what can not be read of other things says nothing about it.
3. It is gone, or something else is wanted. A wish that flickers must not get a new number at every tick: it is withdrawn after a while of
   that, counted anew in each life of the agent. Until then it is not sent, unless its policy decides now and then only and is between two
   decisions; and not even so where anybody wants something else of the target.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.arbiter import ARBITER, Veto, replaces
from agent.guards import PASSES, autonomy
from agent.order import Autonomy, Order, Outcome, Status
from agent.proposals import Asked
from agent.settings import AutonomySettings
from policies.action import Action, Hold, Proposal, Quarantine, Retrain, RollBack, Scale, StopTraining, Target, target
from policies.observation import Observation
from policies.policy import Policy

WITHDRAWN_AFTER_S = 60.0
"""A wish that has not been heard for so long, or for two decisions of a policy that decides more rarely, is gone."""
LEVELS = {Autonomy.APPROVE, Autonomy.ACT}
"""With a level below these the agent would not have asked."""
PARTS_OF_EVERY_DEPLOYMENT = frozenset({"Serve", "metrics"})
"""Problems with these are problems with whatever is served."""


@dataclass(slots=True)
class _Wish:
    policy: str
    """Whose it is, by the name of the policy in the configuration."""
    last_s: float
    """When it was last known to stand, or when this life first looked."""


@dataclass
class Approvals:
    settings: AutonomySettings
    pauses_s: Mapping[str, float] = field(default_factory=dict)
    """By policy, the longest time between two of its decisions; its silence in between says nothing."""
    waiting: dict[Target, Order] = field(default_factory=dict)
    _wishes: dict[int, _Wish] = field(default_factory=dict)
    """By the number of the order."""
    _stands: set[int] = field(default_factory=set)
    """Those whose wish stands now."""
    _kept: set[int] = field(default_factory=set)
    """Those that the last decision came to again: the arbiter's own wishes are heard of no policy."""
    _authors: Mapping[str, str] = field(default_factory=dict)
    """Author -> policy, as of the last look."""

    def wait(self, order: Order) -> None:
        """`order` waits from now on, in the place of another for its target."""
        self.waiting[target(order.action)] = order
        self._wishes[order.number] = _Wish(self._policy_of(order), order.issued_at_s)
        self._kept.add(order.number)

    def hear(self, asked: Asked, seen: Observation) -> tuple[Outcome, ...]:
        """Take in what policies and people say now; the ends of those that nobody will let go any more."""
        self._authors = asked.authors
        self._listen(asked, seen)
        denied = set(seen.controls.denied)
        ended = [
            Outcome(number=order.number, status=status, at_s=seen.at_s, detail=detail)
            for order in self.waiting.values()
            for status, detail in self._ends(order, seen.at_s, denied)
        ]
        self._forget({outcome.number for outcome in ended})
        return tuple(ended)

    def let_go(self, seen: Observation, open_orders: Mapping[Target, Order]) -> tuple[Order, ...]:
        """Orders that a person approved and that are still wanted; not beside an order in flight, unless they replace that."""
        approved = self._stands.intersection(seen.controls.approved)
        return tuple(
            order
            for key, order in self.waiting.items()
            if order.number in approved
            if key not in open_orders or replaces(order.action, open_orders[key].action)
        )

    def keeps(self, proposal: Proposal, seen: Observation) -> bool:
        """Whether an order that waits already stands for `proposal`, which was chosen."""
        waiting = self.waiting.get(target(proposal.action))
        if waiting is None or not _on_the_way(waiting.action, proposal.action, seen):
            return False
        self._kept.add(waiting.number)
        return True

    def hear_arbiter(self, passed_over: Iterable[Veto]) -> None:
        """Where a guard keeps a scale back for now, it was not tried whether that fits: nobody knows what the arbiter would want then."""
        if any(veto.rule in PASSES and isinstance(veto.proposal.action, Scale | StopTraining) for veto in passed_over):
            self._kept |= {order.number for order in self.waiting.values() if order.policy == ARBITER}

    def takes_back(self, wanted: Action) -> bool:
        """Whether a rollback waits where `wanted` would go forward: while it does, nothing goes any further."""
        waiting = self.waiting.get(target(wanted))
        return waiting is not None and isinstance(waiting.action, RollBack) and not isinstance(wanted, RollBack)

    def _listen(self, asked: Asked, seen: Observation) -> None:
        said = _Said(asked, seen)
        self._stands.clear()
        for order in self.waiting.values():
            wish = self._wishes.setdefault(order.number, _Wish(self._policy_of(order), seen.at_s))
            if self._heard(order, wish, said):
                wish.last_s = seen.at_s
                self._stands.add(order.number)
            elif seen.at_s - wish.last_s < self.pauses_s.get(wish.policy, 0.0) and not said.wishes(order):
                self._stands.add(order.number)
        self._kept.clear()

    def _policy_of(self, order: Order) -> str:
        return self._authors.get(order.policy, order.policy)

    def _heard(self, order: Order, wish: _Wish, said: "_Said") -> bool:
        """Whether `wish` is heard now, be it of another policy than before, or nobody knows."""
        if order.policy == ARBITER and order.number in self._kept:
            return True
        wishers = said.wishers(order)
        if wish.policy not in wishers and said.knows(order, wish.policy) and wishers:
            wish.policy = wishers[0]
        return wish.policy in wishers or not said.knows(order, wish.policy)

    def _ends(self, order: Order, at_s: float, denied: Collection[int]) -> Iterator[tuple[Status, str]]:
        """How `order` ends now, if it does: at most one way."""
        wish = self._wishes[order.number]
        lasts_s = max(WITHDRAWN_AFTER_S, 2 * self.pauses_s.get(wish.policy, 0.0))
        if order.number in denied:
            yield Status.DENIED, "a person said no"
        elif at_s - order.issued_at_s >= self.settings.approval_expires_s:
            yield Status.DENIED, "nobody approved it in time"
        elif autonomy(order.action, self.settings) not in LEVELS:
            yield Status.WITHDRAWN, "the settings no longer let the agent do it"
        elif at_s - wish.last_s >= lasts_s:
            yield Status.WITHDRAWN, f"no policy has wanted it for {at_s - wish.last_s:.0f} s"

    def _forget(self, numbers: set[int]) -> None:
        self.waiting = {key: order for key, order in self.waiting.items() if order.number not in numbers}
        kept = {order.number for order in self.waiting.values()}
        self._wishes = {number: wish for number, wish in self._wishes.items() if number in kept}
        self._stands &= kept


class _Said:
    """What policies say at one moment, by what it is about."""

    def __init__(self, asked: Asked, seen: Observation) -> None:
        self._seen = seen
        self._unsure = asked.unsure
        self._authors = asked.authors
        self._wishes: dict[Target, list[Proposal]] = defaultdict(list)
        self._holds: set[tuple[str, str]] = set()
        """(policy, what it holds)."""
        self._hold_all: set[str] = set()
        """Policies that hold as a whole, rather than for a deployment or a model."""
        for each in asked.proposals:
            if not isinstance(each.action, Hold):
                self._wishes[target(each.action)].append(each)
            elif each.action.subject in seen.deployments or each.action.subject in seen.models:
                self._holds.add((asked.authors[each.policy], each.action.subject))
            else:
                self._hold_all.add(asked.authors[each.policy])
        self._away = {problem.partition(":")[0] for problem in seen.problems}

    def wishes(self, order: Order) -> Sequence[Proposal]:
        """All that anybody wants of the target of `order`."""
        return self._wishes.get(target(order.action), ())

    def wishers(self, order: Order) -> list[str]:
        """Policies that want `order`, or more of it."""
        wishes = (each for each in self.wishes(order) if _on_the_way(order.action, each.action, self._seen))
        return [self._authors[each.policy] for each in wishes]

    def knows(self, order: Order, policy: str) -> bool:
        """Whether silence of `policy` about the target of `order` would mean that it does not want it."""
        aspect, name = target(order.action)
        served = aspect == "deployment"
        if name not in (self._seen.deployments if served else self._seen.models):
            return False
        parts = PARTS_OF_EVERY_DEPLOYMENT if served else frozenset()
        if not self._away.isdisjoint({name, f"{'deployment' if served else 'model'} {name}", *parts}):
            return False
        return not (policy in self._unsure or policy in self._hold_all or (policy, name) in self._holds)


def pauses_s(policies: Iterable[tuple[str, Policy]]) -> dict[str, float]:
    """By the name of each policy that decides now and then only: the longest time between two of its decisions, in seconds."""
    pauses: dict[str, float] = defaultdict(float)
    for name, policy in policies:
        pauses[name] = max(pauses[name], decide_every_s([policy]))
    return {name: pause_s for name, pause_s in pauses.items() if pause_s > 0}


def decide_every_s(policies: Iterable[Policy]) -> float:
    """The longest time between two decisions of any of them, in seconds; 0 where all are heard at every tick."""
    return max((_pause_s(policy) for policy in policies), default=0.0)


def _pause_s(policy: Any) -> float:
    """A policy that decides now and then says so by `decide_every_s`; wrappers are looked into."""
    several = getattr(policy, "policies", ())
    inner = [getattr(policy, "policy", None), *(several if isinstance(several, Sequence) else ())]
    own = getattr(policy, "decide_every_s", 0.0)
    mine_s = float(own) if isinstance(own, int | float) and math.isfinite(own) else 0.0
    return max([mine_s, *(_pause_s(each) for each in inner if isinstance(each, Policy))])


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
