"""What a probe sends: rows that were answered, requests that they came in, and labels that came later."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Served:
    """One row as a version answered it. A shadow copy was answered to nobody."""

    key: str
    at_s: float
    features: dict[str, Any]
    prediction: float | None
    """None where the version failed to answer."""
    latency_s: float | None
    version: str
    replica: str
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """One request as a replica answered it, with however many rows."""

    replica: str
    version: str
    at_s: float
    latency_s: float | None
    ok: bool


@dataclass(frozen=True, slots=True)
class Labelled:
    """The truth about the row `key`, known at `at_s`."""

    key: str
    at_s: float
    label: float
