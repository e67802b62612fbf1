"""Which rows came while a monitor called the data broken, and which of them are not yet kept out of training."""

from collections.abc import Iterable
from dataclasses import dataclass

from policies.observation import Quarantined


@dataclass(slots=True)
class BadRows:
    """The last stretch of broken rows of one model. It is changed by `uncovered` only."""

    since_s: float | None = None
    until_s: float = 0.0
    """Until when they were seen to come."""

    def uncovered(
        self, since_s: float | None, covered: Iterable[Quarantined], at_s: float, *, step_s: float
    ) -> Quarantined | None:
        """What shall be quarantined next, asked at every tick.

        `since_s` is when the rows broke, None where they are whole (again). While they are broken the stretch grows, and is
        given out once `step_s` of it is not covered, at first at once; when it has ended, its rest is given out until covered.
        """
        if since_s is not None:
            if self.since_s is None or since_s > self.until_s:
                self.since_s = since_s
            self.until_s = at_s
        if self.since_s is None:
            return None
        reached_s = self.since_s
        for each in sorted(covered, key=lambda each: each.since_s):
            if each.since_s <= reached_s:
                reached_s = max(reached_s, each.until_s)
        left_s = self.until_s - reached_s
        too_little = since_s is not None and reached_s > self.since_s and left_s < step_s
        if left_s <= 0 and since_s is None:
            self.since_s = None
        if left_s <= 0 or too_little:
            return None
        return Quarantined(since_s=reached_s, until_s=self.until_s)
