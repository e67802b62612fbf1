"""The clock of the stream: a time-lapse that the agent winds. Pure.

Each look of the agent lets the stream go on by so many rows as it may play until the next one: many while the agent only watches, few
while it has something under way. So an agent that is slow, on a machine that has other work to do, sees what a quick one sees between two
of its looks, and what happens does not depend on the machine; how long it takes does.
"""

import math

from ray_cluster.demo.plan import LATEST_S, Plan
from ray_cluster.demo.standing import Standing


class Clock:
    """Winds the stream of a plan. Has no time of its own."""

    def __init__(self, played: Plan) -> None:
        self._plan = played
        self._seen_s = -math.inf
        self._until = 0

    def wound(
        self, now: Standing | None, row: int, passed_s: float, *, acting: bool, over: bool
    ) -> tuple[float, int] | None:
        """(rows per second, row at which the stream stands still) from now on, `passed_s` after the beginning; None: as before.

        `now` is the newest look of the agent, `row` the last one played; `acting` and `over` are as in `Plan.pace`.
        """
        if now is None:
            return None
        pace = self._plan.pace(row, passed_s, now, acting=acting, over=over)
        reach = self._plan.rows_played if passed_s >= LATEST_S else self._plan.reach(row, pace)
        if now.at_s > self._seen_s or passed_s >= LATEST_S:
            self._until = reach
        self._seen_s = max(self._seen_s, now.at_s)
        self._until = min(self._until, reach)
        return pace, self._until
