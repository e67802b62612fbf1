"""Idle: the policy that wants nothing. The off switch, and the floor of every benchmark."""

from policies.action import Proposal
from policies.observation import Observation


class Idle:
    """Whatever is seen, nothing is wanted."""

    def propose(self, seen: Observation) -> tuple[Proposal, ...]:
        del seen
        return ()
