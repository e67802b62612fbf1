"""Standing: how the demo's model stands in one look of its agent, as the journal keeps it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODEL = "demo"
CHAMPION = f"{MODEL}/ModelServer"
WATCHED_S = 10.0
"""So long the agent watches a new champion."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What one observation says of the demo's model. Unknown is None, and then something is under way."""

    at_s: float
    training: bool
    candidates: tuple[str, ...]
    rollout: str | None
    """The version that is being rolled out."""
    previous: str | None
    """The champion before this one; None while the first is the champion."""
    champion_since_s: float | None
    wanted: int | None
    """Replicas of the champion, as the agent sees them."""
    running: tuple[str, ...]
    replicas: tuple[str, ...]

    @classmethod
    def of(cls, seen: Mapping[str, Any]) -> "Standing":
        """From the payload of an observation."""
        model = seen["models"].get(MODEL) or {}
        training, rollout, previous = model.get("training"), model.get("rollout"), model.get("previous")
        deployment = seen["deployments"].get(CHAMPION)
        replicas = deployment["replicas"] if deployment else ()
        return cls(
            at_s=seen["at_s"],
            training=training is not None and training["state"] == "running",
            candidates=tuple(each["number"] for each in model.get("candidates") or ()),
            rollout=rollout["version"] if rollout else None,
            previous=previous["number"] if previous else None,
            champion_since_s=model.get("champion_since_s"),
            wanted=deployment["replicas_wanted"] if deployment else None,
            running=tuple(each["id"] for each in replicas if each["state"] == "running"),
            replicas=tuple(each["id"] for each in replicas),
        )

    @property
    def judging(self) -> bool:
        """A version is on its way to the users, or came to them just now: that takes rows to judge by."""
        new = self.champion_since_s is not None and self.at_s - self.champion_since_s < WATCHED_S
        return self.rollout is not None or bool(self.candidates) or new

    @property
    def whole(self) -> bool:
        """All replicas that are wanted run, and no others are left."""
        return self.wanted is not None and len(self.running) == self.wanted == len(self.replicas)

    @property
    def under_way(self) -> str | None:
        """What the agent is at, in words; None while it only watches."""
        if self.judging:
            return "a rollout"
        if self.training:
            return "a training"
        return None if self.whole else "replicas come or go"
