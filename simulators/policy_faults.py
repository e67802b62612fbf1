"""What went wrong with the policies of a run: what they raised, proposed amiss, or wanted of a thing that there is not. Pure.

Without these words a policy that fails at every tick looks like one that has nothing to propose.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.core import Decision
from agent.matching import Known, listed
from agent.words import counted
from policies.action import Action
from policies.observation import Observation
from simulators.progress import clock

CAUSES_MAX = 20
"""More causes than so many are only counted: nobody reads them all."""


@dataclass
class _Cause:
    text: str
    since_s: float
    until_s: float
    times: int = 1

    @property
    def told(self) -> str:
        if self.times == 1:
            return f"{self.text} (once, at {clock(self.since_s)})"
        return f"{self.text} ({self.times:,} times, from {clock(self.since_s)} to {clock(self.until_s)})"


@dataclass
class PolicyFaults:
    """Counts the faults of policies, by cause, over the lives of an agent."""

    known: Known
    _causes: dict[Hashable, _Cause] = field(default_factory=dict)
    _came: set[str] = field(default_factory=set)
    """Deployments and models that were seen at any time, such as challengers."""

    def see(self, decision: Decision, seen: Observation | None, at_s: float) -> None:
        """What was decided on what was `seen`. `at_s` is simulated time, whatever the agent's clock shows."""
        if seen is not None:
            self._came |= {*seen.deployments, *seen.models}
        for mark, alert in decision.faults:
            self._count(mark, alert.text, at_s)
        for text in dict.fromkeys(self._strays(decision)):
            self._count(text, text, at_s)

    def notes(self) -> Iterator[str]:
        """A sentence for each cause, in the order in which they came."""
        causes = list(self._causes.values())
        for cause in causes[:CAUSES_MAX]:
            yield cause.told
        if len(causes) > CAUSES_MAX:
            yield f"and {counted(len(causes) - CAUSES_MAX, 'more cause')} of this kind"

    def _count(self, mark: Hashable, text: str, at_s: float) -> None:
        cause = self._causes.get(mark)
        if cause is None:
            self._causes[mark] = _Cause(text, at_s, at_s)
            return
        cause.times += 1
        cause.until_s = at_s

    def _strays(self, decision: Decision) -> Iterator[str]:
        """Wishes for a thing that the whole run has not."""
        wanted = [each.proposal for each in (*decision.vetoes, *decision.suggestions)]
        wanted += [each.proposal for each in (*decision.orders, *decision.awaiting)]
        for proposal in wanted:
            for kind, names in (("deployment", self.known.deployments), ("model", self.known.models)):
                name = getattr(proposal.action, kind, None)
                if isinstance(name, str) and name not in {*self._came, *names}:
                    yield f"policy {proposal.policy} wanted to {plain(proposal.action)}: {_missing(kind, name, names)}"


def plain(action: Action) -> str:
    """What an action does, without its figures, which may be others at every tick."""
    return action.kind.replace("_", " ")


def _missing(kind: str, name: str, names: Sequence[str]) -> str:
    return f"there is no {kind} {name!r}, but {listed(name, names, 'others')}"
