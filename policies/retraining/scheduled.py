"""Scheduled: learn again by the calendar, drift or no drift. When a schedule falls due is the world's part (`Observation.due`)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.action import Evidence, Hold, Proposal, Retrain
from policies.observation import JobState, Model, Observation
from policies.parameters import positive


@dataclass(kw_only=True, eq=False)
class Scheduled:
    """Retrain every managed model whenever the schedule named `schedule` falls due.

    1. A due date is remembered, for each model that is there at that moment, until a training that started since is seen, or
       for `expires_s`. A second due date meanwhile is the same one.
    2. While a training of before runs, a rollout runs or a candidate waits: hold.
    3. Else: retrain.
    """

    schedule: str
    rows_max: int | None = None
    expires_s: float = 86400.0
    _due_since_s: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.schedule:
            raise ValueError("schedule must name one of the schedules")
        positive(rows_max=self.rows_max, expires_s=self.expires_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        managed = [seen.models[name] for name in sorted(seen.models) if seen.models[name].managed]
        if self.schedule in seen.due:
            self._due_since_s |= {each.name: seen.at_s for each in managed if each.name not in self._due_since_s}
        self._due_since_s = {
            each.name: since_s
            for each in managed
            if (since_s := self._due_since_s.get(each.name)) is not None and not self._is_over(each, since_s, seen.at_s)
        }
        return [self._one(each, seen.at_s) for each in managed if each.name in self._due_since_s]

    def _is_over(self, model: Model, since_s: float, at_s: float) -> bool:
        trained = model.training is not None and model.training.started_at_s >= since_s
        return trained or at_s - since_s >= self.expires_s

    def _one(self, model: Model, at_s: float) -> Proposal:
        waited_s = at_s - self._due_since_s[model.name]
        due = Evidence(
            name=f"schedule:{self.schedule}", value=waited_s, threshold=self.expires_s, note="seconds since it was due"
        )
        blocked = _blocked(model)
        if blocked is not None:
            return Proposal(action=Hold(subject=model.name), because=(Evidence(name="blocked", note=blocked), due))
        return Proposal(action=Retrain(model=model.name, rows_max=self.rows_max), because=(due,))


def _blocked(model: Model) -> str | None:
    if model.training is not None and model.training.state is JobState.RUNNING:
        return f"job {model.training.id} runs"
    if model.rollout is not None:
        return f"version {model.rollout.version} is being rolled out"
    return "a candidate waits" if model.candidates else None
