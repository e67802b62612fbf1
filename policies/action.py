"""Actions, the closed set of what can be wanted, and Proposal, an action with the evidence for it.

Every action is a target state, not a step towards one, so that asking twice is the same as asking once.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """`deployment` shall have `replicas` replicas."""

    deployment: str
    replicas: int
    kind: Literal["scale"] = "scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """`replica` of `deployment` shall be drained, stopped and replaced by a new one."""

    deployment: str
    replica: str
    kind: Literal["restart"] = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrain:
    """A new version of `model` shall be fitted on its newest rows, at most `rows_max` and none before `since_s`, and registered.

    `concurrent_trials` is set by the arbiter where fewer trials at a time fit than the settings allow; policies leave it alone.
    """

    model: str
    since_s: float | None = None
    rows_max: int | None = None
    concurrent_trials: int | None = None
    kind: Literal["retrain"] = "retrain"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTraining:
    """The training of `model` shall end and give back its resources; finished trials are kept."""

    model: str
    kind: Literal["stop_training"] = "stop_training"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRollout:
    """`version` shall run in replicas of its own and get copies of the part `shadow` of the rows, but answer none."""

    model: str
    version: str
    digest: str
    shadow: float = 1.0
    kind: Literal["start_rollout"] = "start_rollout"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTraffic:
    """The challenger `version` shall answer the part `share` of the keys and get copies of the part `shadow` of the other rows."""

    model: str
    version: str
    share: float
    shadow: float = 0.0
    kind: Literal["set_traffic"] = "set_traffic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """`version` shall be the champion, and its rollout shall be over."""

    model: str
    version: str
    digest: str
    kind: Literal["promote"] = "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """`version` shall serve nobody: its rollout ends, or, where it is the champion, `to` takes its place."""

    model: str
    version: str
    to: str
    to_digest: str
    kind: Literal["roll_back"] = "roll_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Rows of `model` that arrived in [since_s, until_s) shall never be trained on."""

    model: str
    since_s: float
    until_s: float
    kind: Literal["quarantine"] = "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """People shall read `text`."""

    subject: str
    text: str
    severity: Literal["info", "warning", "critical"] = "warning"
    kind: Literal["alert"] = "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`subject` shall stay as it is, because not enough is known to change it."""

    subject: str
    kind: Literal["hold"] = "hold"


Action = (
    Scale
    | Restart
    | Retrain
    | StopTraining
    | StartRollout
    | SetTraffic
    | Promote
    | RollBack
    | Quarantine
    | Alert
    | Hold
)

Target = tuple[str, str]


def target(action: Action) -> Target:
    """What the action would change, as (aspect, name). Two actions on one target exclude each other within a tick."""
    match action:
        case Scale() | Restart():
            return ("deployment", action.deployment)
        case Retrain() | StopTraining():
            return ("training", action.model)
        case StartRollout() | SetTraffic() | Promote() | RollBack():
            return ("rollout", action.model)
        case Quarantine():
            return ("data", action.model)
        case Alert():
            return ("alert", action.subject)
        case Hold():
            return ("hold", action.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One reason as data: `value` of `name` against `threshold`, over `window_s` seconds or `n` samples. `note` says it in words."""

    name: str
    value: float | None = None
    threshold: float | None = None
    window_s: float | None = None
    n: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    action: Action
    because: tuple[Evidence, ...]
    policy: str = ""
    """The name of the policy that proposed; the core fills it in."""
