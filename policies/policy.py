"""Policy: an opinion, asked once per tick."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from policies.action import Proposal
from policies.observation import Observation


@runtime_checkable
class Policy(Protocol):
    """An opinion about what should be done.

    A policy is deterministic: the same observations in the same order give the same proposals. Its state is inside the object,
    picklable, and changed by `propose` only. It reads no clock (`seen.at_s` is the time), throws no dice and does no I/O. Where it
    knows too little it proposes `Hold` with the reason. One that decides now and then only, and is silent in between, says how often by an
    attribute `decide_every_s`, in seconds.
    """

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        """What this policy wants at `seen.at_s`, in order of importance; nothing where all is well."""
        ...
