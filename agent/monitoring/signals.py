"""Names of what is watched and kept beside features: a feature of such a name keeps a prefix, so that neither is taken for the other."""

from collections.abc import Collection

FEATURE = "feature."
LOSS, PREDICTION, EVERY = "loss", "prediction", "*"
OWN = frozenset({LOSS, PREDICTION, EVERY})
"""Signals that are no features."""


def apart(feature: str, taken: Collection[str]) -> str:
    """The feature's own name, or "feature.NAME" where that is one of `taken`, or could be read as such a name itself."""
    return f"{FEATURE}{feature}" if feature in taken or feature.startswith(FEATURE) else feature


def means(signal: str, feature: str) -> bool:
    """Whether `signal`, as people write it, is that feature: by the name that it is told by, or with the prefix in any case."""
    return signal in {apart(feature, OWN), f"{FEATURE}{feature}"}
