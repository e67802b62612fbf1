"""Predictive alerts: a model that is well now and will not be. They say what is coming; what to do about it is others' opinion."""

import math
from collections.abc import Sequence

from policies.action import Alert, Evidence, Proposal


def will_miss(
    name: str, latency_s: Sequence[float], slo_s: float, step_s: float, first_s: float = 0.0
) -> Proposal | None:
    """An alert where the latencies to come, one a step, pass the SLO; None where they do not, or do so now.

    `first_s` is when the first step begins, from now. A model that is late in the first step is late already: that is for
    others to say. A latency that is not known is no miss.
    """
    late = [n for n, each in enumerate(latency_s) if math.isfinite(each) and each > slo_s]
    if not late or late[0] == 0:
        return None
    in_s = first_s + late[0] * step_s
    minutes = max(1, round(in_s / 60.0))
    text = f"{name} will miss its SLO in {minutes} minute{'s' if minutes > 1 else ''} at this rate"
    why = Evidence(name="latency_predicted_s", value=latency_s[late[0]], threshold=slo_s, window_s=in_s)
    return Proposal(action=Alert(subject=name, text=text), because=(why,))
