"""Problems that last: what could not be read for a while becomes an alert, once, and its end another. Pure.

A part of a world that is away for one look is nobody's business. One that stays away makes policies hold in silence, and a name that was
written wrong stays wrong for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.action import Alert
from policies.observation import Observation

LASTS_S = 60.0
REPEAT_S = 3600.0
"""A problem that ends and begins again is not told again for so long."""


@dataclass
class LastingProblems:
    """Knows problems by what they are about: the words before their first colon."""

    since_s: dict[str, float] = field(default_factory=dict)
    told_s: dict[str, float] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    """Those whose end is still to be told."""

    def resume(self, told: Iterable[tuple[float, Alert]]) -> None:
        """What an earlier life told of problems, oldest first: one that lasts is not told again for it, and its end is."""
        for at_s, alert in told:
            if alert.severity == "info":
                self.open.discard(alert.subject)
            else:
                self.open.add(alert.subject)
                self.told_s[alert.subject] = at_s

    def see(self, seen: Observation) -> tuple[Alert, ...]:
        """Alerts about problems that have now lasted for LASTS_S, and about the end of such."""
        now: dict[str, str] = {}
        for problem in seen.problems:
            now.setdefault(_subject(problem), problem)
        self.since_s = {subject: self.since_s.get(subject, seen.at_s) for subject in now}
        self.told_s = {subject: at_s for subject, at_s in self.told_s.items() if seen.at_s - at_s < REPEAT_S}
        lasting = [each for each in now if seen.at_s - self.since_s[each] >= LASTS_S and each not in self.told_s]
        over = sorted(self.open - now.keys())
        self.open = (self.open - set(over)) | set(lasting)
        self.told_s |= dict.fromkeys(lasting, seen.at_s)
        begun = (Alert(subject=each, text=f"for {LASTS_S:g} s: {now[each]}", severity="warning") for each in lasting)
        ended = (Alert(subject=each, text=f"{each}: it is as it should be again", severity="info") for each in over)
        return (*begun, *ended)


def _subject(problem: str) -> str:
    return problem.partition(":")[0]
