"""What a challenger can carry beside its champion: it is judged by its latency and errors, so it must not get more for each replica."""

import math
from dataclasses import dataclass

from policies.observation import Deployment, Observation


def slot(model: str, name: str, seen: Observation) -> Deployment | None:
    """The deployment of one slot of `model`, where it is seen."""
    return next((each for each in seen.deployments.values() if each.model == model and each.slot == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Running replicas of both slots of one model; None where a deployment is not seen."""

    champions: int | None = None
    challengers: int | None = None
    challenger: str | None = None
    """The challenger's deployment, where it may be scaled."""

    @classmethod
    def of(cls, model: str, seen: Observation) -> "Room":
        champion, challenger = slot(model, "champion", seen), slot(model, "challenger", seen)
        return cls(
            champions=len(champion.running) if champion is not None else None,
            challengers=len(challenger.running) if challenger is not None else None,
            challenger=challenger.name if challenger is not None and challenger.scalable else None,
        )

    def needed(self, share: float) -> int:
        """Challengers that carry `share` of the keys as the champion's replicas carry all of them; 1 where those are not seen."""
        return max(1, math.ceil(round(share * (self.champions or 0), 9)))

    def copies(self, shadow: float, share: float, challengers: int) -> float:
        """The part of the champion's rows, at most `shadow`, of which `challengers` can take copies besides answering `share`."""
        if not self.champions or share >= 1:
            return shadow
        spare = (challengers / self.champions - share) / (1 - share)
        return max(0.0, min(shadow, math.floor(100 * spare) / 100))
