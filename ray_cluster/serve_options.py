"""What may stand in `policy_kwargs` of `ray_cluster.serve_policy:ServePolicy`. Strict: unknown keys are errors."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from agent.refusals import expected
from agent.settings import PolicySettings, Seconds, Strict
from policies import registry
from policies.imports import packages
from policies.policy import Policy


class Options(Strict):
    policy: PolicySettings
    """Which policy, as in a list of policies in the settings of an agent: `use` and its parameters; or its name alone."""
    allow_imports: tuple[str, ...] = ()
    """Packages whose classes may be named by import path. Serve's own configuration names code that it runs, so it may allow ours too."""
    decide_every_s: Seconds = 1.0
    """The policy is asked at most so often; between two decisions the last one stands."""
    budget: Annotated[int, Field(ge=1)] | None = None
    """Replicas of all deployments that the policy sees together, where the policy has no budget of its own."""
    slo_latency_s: Seconds | dict[str, Seconds] | None = None
    """What a request may take; one number for all, or one for each deployment by its name."""
    zero_after_s: Seconds = 15.0
    """Serve says 0 requests also where nobody reported any, so a 0 is unknown until it has lasted for so long."""

    @field_validator("policy", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    def build(self) -> Policy:
        """The policy, fresh. Raises ValueError."""
        return registry.build(self.policy.use, self.policy.parameters, packages(self.allow_imports))

    def slo_of(self, deployment: str) -> float | None:
        return self.slo_latency_s.get(deployment) if isinstance(self.slo_latency_s, dict) else self.slo_latency_s


def options(policy_kwargs: Mapping[str, Any]) -> Options:
    """Raises ValueError that names the key, what was expected and what was given."""
    try:
        return Options.model_validate(dict(policy_kwargs))
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {expected(e, e['loc'])}, got {e['input']!r}" for e in error.errors()
        )
        raise ValueError(f"policy_kwargs: {reasons}") from error


def check(policy_kwargs: Mapping[str, Any]) -> None:
    """Whether a policy can be made of `policy_kwargs`; raises ValueError where not.

    For whoever deploys, or a test in front of that: in Serve's controller nothing may be raised, and a policy that can not be made holds.
    """
    options(policy_kwargs).build()
