"""Loss of one prediction. Smaller is better; every loss is finite for a finite prediction."""

import math
from collections.abc import Callable

Loss = Callable[[float, float], float]
CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1, so that one certain mistake does not weigh infinitely."""


def brier(prediction: float, label: float) -> float:
    """(p - y)^2 in [0, 1]. Brier, Monthly Weather Review 78 (1950)."""
    return (min(max(prediction, 0.0), 1.0) - label) ** 2


def log_loss(prediction: float, label: float) -> float:
    """-log of the probability given to the label, in nats."""
    p = min(max(prediction, CLIP), 1 - CLIP)
    return -(label * math.log(p) + (1 - label) * math.log(1 - p))


def zero_one(prediction: float, label: float) -> float:
    """1 where the more likely class is not the label."""
    return float((prediction >= 0.5) != (label >= 0.5))


def absolute(prediction: float, label: float) -> float:
    """|prediction - label|, in units of the label."""
    return abs(prediction - label)


def squared(prediction: float, label: float) -> float:
    """(prediction - label)^2."""
    return (prediction - label) ** 2


LOSSES: dict[str, Loss] = {
    "brier": brier,
    "log_loss": log_loss,
    "zero_one": zero_one,
    "absolute": absolute,
    "squared": squared,
}
OF_NUMBERS = frozenset({"absolute", "squared"})
"""Losses of numbers of any size; the others are of probabilities."""
PARTS = frozenset({"brier", "zero_one"})
"""Losses that lie within [0, 1]."""
WRONG_ABOVE = {"brier": 0.25, "log_loss": math.log(2.0), "zero_one": 0.5}
"""A loss above this is that of a class that was wrong; of numbers there is no right and wrong."""
