"""Whatever is wanted, approved, refused, frozen, killed or cut off by a crash: the rules hold over lives, in journal and world."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.assembly import build_core
from agent.codec import from_json
from agent.core import Core
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind, verify
from agent.loop import lines_of
from agent.order import Order
from agent.settings import Settings
from policies.action import Action, Evidence, Hold, Proposal, RollBack, Scale, SetTraffic, StartRollout, Target, target
from policies.observation import Capacity, Controls, Observation, Resources, Rollout
from policies.testing import deployment, model, observation, rollout, version

BUDGET = 8
TICK_S = 20.0
ROOM = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
NAMES = ("a/a", "b/b")


@dataclass(frozen=True)
class Day:
    """One tick: what policies want and people say, and what the world and fate do with the orders that come of it."""

    wants: tuple[Action, ...] = ()
    approves: bool = False
    denies: bool = False
    frozen: bool = False
    killed: bool = False
    refuses: bool = False
    """The world takes no scale-down."""
    slow: bool = False
    """Orders take effect one tick later."""
    crashes_after: int | None = None
    """The agent dies when it has sent so many of its orders; another life begins."""


@dataclass
class World:
    """Two deployments and a rollout, which do what they are told, later or not at all."""

    wanted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 2))
    canary: Rollout | None = None
    late: list[Order] = field(default_factory=list)
    worst: int = 0

    def see(self, at_s: float, controls: Controls) -> Observation:
        challenged = model("m", candidates=(version("2"),), rollout=self.canary)
        rows = [deployment(name, replicas=count, min_replicas=0) for name, count in self.wanted.items()]
        return observation(at_s, *rows, challenged, capacity=ROOM, controls=controls)

    def told(self, order: Order, day: Day) -> str | None:
        """Why it refuses, or None."""
        action = order.action
        if day.refuses and isinstance(action, Scale) and action.replicas < self.wanted[action.deployment]:
            return "not today"
        if day.slow:
            self.late.append(order)
        else:
            self.do(action)
        return None

    def do(self, action: Action) -> None:
        match action:
            case Scale():
                self.wanted[action.deployment] = action.replicas
            case StartRollout():
                self.canary = rollout(action.version)
            case SetTraffic() if self.canary is not None:
                self.canary = replace(self.canary, share=action.share, shadow=action.shadow)
            case RollBack():
                self.canary = None
        self.worst = max(self.worst, sum(self.wanted.values()))


class Told:
    def __init__(self) -> None:
        self.wants: tuple[Action, ...] = ()

    def propose(self, seen: Observation) -> list[Proposal]:
        return [Proposal(action=action, because=(Evidence(name="test"),)) for action in self.wants]


def lived(days: list[Day], asks: str) -> tuple[MemoryJournal, World]:
    """All of `days`; `asks` is the kind of action that waits for a person."""
    chosen = Settings.model_validate(
        {"autonomy": {"default": "act", asks: "approve"}, "budget": {"replicas": BUDGET, "orders_per_minute": 4},
         "journal": {"warm_start_s": 0}, "guards": {"foreign_change_respected_s": 0}}
    )  # fmt: skip
    journal, world, policy = MemoryJournal(), World(), Told()
    core = reborn(journal, chosen, policy, 0.0)
    waiting: tuple[Order, ...] = ()
    for n, day in enumerate(days, 1):
        at_s = n * TICK_S
        numbers = tuple(order.number for order in waiting)
        controls = Controls(
            frozen=day.frozen,
            killed=day.killed,
            approved=numbers if day.approves else (),
            denied=numbers[:1] if day.denies else (),
        )
        late, world.late = world.late, []
        for order in late:
            world.do(order.action)
        policy.wants = day.wants
        seen = world.see(at_s, controls)
        decision = core.step(seen)
        journal.append(lines_of(decision, seen))
        waiting = decision.awaiting
        for sent, order in enumerate(decision.orders):
            if sent == day.crashes_after:
                break
            refusal = world.told(order, day)
            if refusal is not None:
                journal.append([(Kind.REFUSED, at_s, {"number": order.number, "reason": refusal})])
                core.refused(order.number, refusal)
        if day.crashes_after is not None:
            core = reborn(journal, chosen, policy, at_s + 1.0)
    return journal, world


def reborn(journal: MemoryJournal, chosen: Settings, policy: Told, at_s: float) -> Core:
    core = build_core(chosen, begin(journal, chosen, at_s))
    core._policies = (("told", policy),)
    return core


WISHES = st.one_of(
    st.builds(Scale, deployment=st.sampled_from(NAMES), replicas=st.integers(0, 9)),
    st.just(StartRollout(model="m", version="2", digest="sha-2")),
    st.builds(SetTraffic, model=st.just("m"), version=st.just("2"), share=st.sampled_from([0.1, 0.5])),
    st.just(RollBack(model="m", version="2", to="1", to_digest="sha-1")),
    st.builds(Hold, subject=st.sampled_from(NAMES)),
)
SELDOM = st.sampled_from([False, False, False, True])
DAYS = st.lists(
    st.builds(
        Day,
        wants=st.lists(WISHES, max_size=4).map(tuple),
        approves=st.booleans(),
        denies=SELDOM,
        frozen=SELDOM,
        killed=SELDOM,
        refuses=SELDOM,
        slow=SELDOM,
        crashes_after=st.sampled_from([None, None, 0, 1, 2]),
    ),
    max_size=14,
)


def orders_of(journal: MemoryJournal) -> Iterator[tuple[str, Any]]:
    """What becomes of orders, in order: ("intent", order) and ("outcome", number); and ("observed", controls)."""
    for entry in journal.kept:
        if entry.kind == Kind.INTENT:
            yield "intent", from_json(Order, entry.payload)
        elif entry.kind == Kind.OUTCOME:
            yield "outcome", entry.payload["number"]
        elif entry.kind == Kind.OBSERVED:
            yield "observed", from_json(Observation, entry.payload)


@pytest.mark.parametrize("asks", ["scale", "roll_back", "promote"])
@settings(max_examples=60, deadline=None)
@given(days=DAYS)
@example(days=[Day(wants=(Scale(deployment="a/a", replicas=0), Scale(deployment="b/b", replicas=8)), refuses=True)])
def test_over_lives_the_rules_hold(asks: str, days: list[Day]) -> None:
    """One order per target, no intent after its outcome, nothing while stopped but the end of a canary, never over the budget."""
    journal, world = lived(days, asks)
    open_orders: dict[Target, int] = {}
    ended: set[int] = set()
    seen: Observation | None = None
    for kind, what in orders_of(journal):
        if kind == "observed":
            seen = what
        elif kind == "outcome":
            assert what not in ended
            ended.add(what)
            open_orders = {key: number for key, number in open_orders.items() if number != what}
        else:
            assert what.number not in ended
            assert open_orders.setdefault(target(what.action), what.number) == what.number
            assert seen is not None
            assert not seen.controls.killed
            assert not seen.controls.frozen or isinstance(what.action, RollBack)
    assert world.worst <= BUDGET
    assert verify(journal.kept).ok


@pytest.mark.parametrize("asks", ["scale", "roll_back"])
@settings(max_examples=30, deadline=None)
@given(days=DAYS)
def test_an_approval_is_good_for_one_order_in_a_life(asks: str, days: list[Day]) -> None:
    """What waits for a person is sent after a word for its number only, and once in each life."""
    journal, _ = lived(days, asks)
    approved: set[int] = set()
    sent: set[tuple[int, int]] = set()
    for kind, what in orders_of(journal):
        if kind == "observed":
            approved |= set(what.controls.approved)
        elif kind == "intent" and what.action.kind == asks:
            assert what.number in approved
            assert (what.number, what.epoch) not in sent
            sent.add((what.number, what.epoch))
