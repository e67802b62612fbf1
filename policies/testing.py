"""What tests of policies import: short builders of observations, and the checks that every policy must pass."""

from policies.builders import (
    arm,
    comparison,
    deployment,
    model,
    observation,
    replica,
    report,
    rollout,
    symptom,
    traffic,
    version,
)
from policies.checks import PolicyChecks

__all__ = [
    "PolicyChecks",
    "arm",
    "comparison",
    "deployment",
    "model",
    "observation",
    "replica",
    "report",
    "rollout",
    "symptom",
    "traffic",
    "version",
]
