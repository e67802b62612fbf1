"""What the simulator must know of a deployment on a real cluster, from measurements at low load. Pure.

1. The time in the replica: measured quantiles, or, where each request says how many tokens it has, a straight line through them.
2. What comes on top until the caller has its answer. One part of it, the way from the router to the replica and back, keeps a place of the
   replica taken; the rest, the proxy and the client's side, does not. A call by handle has the first part only.
3. How long replicas take to come, to go, and to be missed.
The result is a part of a scenario file; `written` gives it as YAML.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

DRAIN_LOOK_S = 0.5
"""The simulator looks so often at replicas that drain, so that much of a stop is in it already."""
LEAST_ANSWERS = 30
_PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


class ThinEvidence(ValueError):
    """Too little was measured to calibrate anything by it."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One low-load run; all in seconds. The first three have one entry for each request that was answered."""

    tokens: Sequence[float]
    served_s: Sequence[float]
    latency_s: Sequence[float]
    handle_overhead_s: Sequence[float]
    """Calls by handle: their latency without the time in the replica."""
    probe_s: Sequence[float]
    """How long a replica takes to say how long its queue is."""
    cold_start_s: Sequence[float]
    stop_s: Sequence[float]
    """From a scale-down of an idle deployment until the replica is gone."""
    noticed_s: Sequence[float]
    """From the death of a replica until another is started in its place."""


def calibrated(measured: Measured) -> dict[str, Any]:
    """`model` and `lifecycle` for a scenario: service, held and outer overhead, probe, refusal, cold start, stop. Raises ThinEvidence."""
    _enough(measured)
    held_s = float(np.median(measured.handle_overhead_s))
    outside = np.maximum(0.0, np.subtract(measured.latency_s, measured.served_s) - held_s)
    return {
        "model": {
            "service": {"kind": "empirical", **_quantiles(np.add(measured.served_s, held_s))},
            "overhead": {"kind": "empirical", **_quantiles(outside)},
            "probe_s": _rounded(np.median(measured.probe_s)),
            # A replica that refuses a request was called for it as for any other.
            "refusal_s": _rounded(held_s),
        },
        "lifecycle": {
            "cold_start": {"kind": "empirical", "seconds": _few(measured.cold_start_s)},
            "stop_s": _rounded(max(0.0, float(np.median(measured.stop_s)) - DRAIN_LOOK_S)),
            "restart_after_s": _rounded(np.mean(measured.noticed_s)),
        },
    }


def by_tokens(measured: Measured) -> dict[str, Any]:
    """The service of a model whose requests say how many tokens they have: the line of least squares, and what holds the place beside it.

    Raises ThinEvidence, also where all requests had the same number.
    """
    _enough(measured)
    if np.ptp(measured.tokens) == 0:
        raise ThinEvidence("all requests had the same number of tokens; a line needs different ones")
    slope, constant = np.polyfit(measured.tokens, measured.served_s, 1)
    held_s = float(np.median(measured.handle_overhead_s))
    return {
        "kind": "tokens",
        "prompt_token_s": 0.0,
        "output_token_s": max(0.0, float(slope)),
        "constant_s": max(0.0, float(constant) + held_s),
    }


def written(settings: dict[str, Any]) -> str:
    """The settings as YAML, to be merged into a scenario."""
    return yaml.safe_dump(settings, sort_keys=False, default_flow_style=None, width=120)


def _enough(measured: Measured) -> None:
    answers = {len(measured.tokens), len(measured.served_s), len(measured.latency_s)}
    if len(answers) != 1:
        raise ValueError(f"tokens, served_s and latency_s must be of one length, not {sorted(answers)}")
    if len(measured.latency_s) < LEAST_ANSWERS:
        raise ThinEvidence(f"a calibration needs {LEAST_ANSWERS} answers or more, not {len(measured.latency_s)}")
    for name in ("handle_overhead_s", "probe_s", "cold_start_s", "stop_s", "noticed_s"):
        if len(getattr(measured, name)) == 0:
            raise ThinEvidence(f"a calibration needs {name}, and nothing was measured of it")
    for name in measured.__dataclass_fields__:
        if not np.isfinite(getattr(measured, name)).all():
            raise ValueError(f"{name} holds a value that is no finite number")


def _quantiles(seconds: Any) -> dict[str, list[float]]:
    found = np.quantile(seconds, _PROBABILITIES)
    return {"seconds": [_rounded(each) for each in found], "probabilities": list(_PROBABILITIES)}


def _few(seconds: Sequence[float]) -> list[float]:
    """All of a few values as quantiles; one alone is given twice, since a distribution has two ends."""
    ascending = [_rounded(each) for each in sorted(seconds)]
    return ascending if len(ascending) > 1 else ascending * 2


def _rounded(seconds: Any) -> float:
    return round(float(seconds), 6)
