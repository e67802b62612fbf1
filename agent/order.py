"""Order: a decision made to last. Outcome: what the world showed of it by its deadline."""

from dataclasses import dataclass
from enum import StrEnum

from policies.action import Action, Evidence, Proposal


class Autonomy(StrEnum):
    """How far the agent may go with one kind of action, from nothing to everything."""

    OFF = "off"
    """Do not even propose."""
    OBSERVE = "observe"
    """Write the proposal down."""
    SUGGEST = "suggest"
    """Write it down and tell people."""
    APPROVE = "approve"
    """Wait for a person's approval, then act."""
    ACT = "act"


class Status(StrEnum):
    SUCCEEDED = "succeeded"
    """The world shows the state that was wanted."""
    FAILED = "failed"
    """The world refused, or shows that it went wrong."""
    EXPIRED = "expired"
    """The deadline passed and the world shows neither."""
    SUPERSEDED = "superseded"
    """Another order for the same target took its place, the kill switch ended it, or it may not be sent any more."""
    DENIED = "denied"
    """A person said no, or nobody said yes in time."""
    WITHDRAWN = "withdrawn"
    """It waited for a person, and is not wanted any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A numbered, idempotent instruction to a world.

    `key` is equal for orders that want the same state for the same reason: a world that was sent a key does not do it twice.
    `epoch` counts the lives of the agent: a world refuses an order of a lower epoch than the highest it has seen.
    """

    number: int
    epoch: int
    key: str
    action: Action
    because: tuple[Evidence, ...]
    policy: str
    issued_at_s: float
    deadline_s: float
    """Absolute time at which the order is given up."""
    inverse: Action | None = None
    """What undoes it, where something does."""

    @property
    def proposal(self) -> Proposal:
        """What it was made of."""
        return Proposal(action=self.action, because=self.because, policy=self.policy)


JOURNAL_WAS_AWAY = "the journal was away when it was decided"
UNWRITABLE = "it can not be written down"
NEVER_SENT = frozenset({f"refused: {JOURNAL_WAS_AWAY}", f"refused: {UNWRITABLE}"})
"""Details of outcomes by which no world was asked: they say nothing of whether it would have done it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    number: int
    status: Status
    at_s: float
    detail: str = ""
