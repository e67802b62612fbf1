"""FairShare: the same number of replicas for everyone, for ever. The floor that a policy with eyes must beat."""

from collections.abc import Iterable
from dataclasses import dataclass

from policies.action import Evidence, Proposal, Scale
from policies.observation import Observation
from policies.parameters import positive
from policies.scaling.load import clamp


@dataclass(kw_only=True, eq=False)
class FairShare:
    """floor(`budget` / deployments) replicas each, inside the bounds of the deployment; what is left over stays unused.

    It looks at no traffic. It is "FairShare" of Faro (EuroSys 2025).
    """

    budget: int

    def __post_init__(self) -> None:
        positive(budget=self.budget)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        if not scalable:
            return ()
        share = self.budget // len(scalable)
        note = f"{self.budget} replicas over {len(scalable)} deployments"
        because = (Evidence(name="fair_share", value=float(share), threshold=float(self.budget), note=note),)
        wanted = ((each, clamp(each, share)) for each in scalable)
        return [
            Proposal(action=Scale(deployment=each.name, replicas=count), because=because)
            for each, count in wanted
            if count != each.replicas_wanted
        ]
