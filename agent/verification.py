"""Whether the world shows what an order wanted, or would want. An order is judged by what is seen, not by its own word."""

from agent.order import Order, Outcome, Status
from policies.action import (
    Action,
    Promote,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
)
from policies.observation import JobState, Model, Observation, ReplicaState, Rollout

Verdict = tuple[Status, str]
CLOCK_SLACK_S = 1.0
"""A world's clock may differ from the agent's by so much when it says when a job began."""


def outcome(order: Order, seen: Observation) -> Outcome | None:
    """The end of `order` as `seen` shows it, or None while it is under way.

    An observation taken when the order was issued, or before, says nothing about it.
    """
    if seen.at_s <= order.issued_at_s:
        return None
    verdict = _verdict(order, seen)
    if verdict is None and seen.at_s >= order.deadline_s:
        verdict = (Status.EXPIRED, f"not seen to be done {seen.at_s - order.issued_at_s:.0f} s after it was issued")
    return Outcome(number=order.number, status=verdict[0], at_s=seen.at_s, detail=verdict[1]) if verdict else None


def changes_nothing(action: Action, seen: Observation) -> bool:
    """Whether the world is told already what `action` would tell it: to wish that again is agreement, and no order."""
    match action:
        case Scale(deployment=name):
            deployment = seen.deployments.get(name)
            return deployment is not None and deployment.replicas_wanted == action.replicas
        case StopTraining() | StartRollout() | SetTraffic() | Promote() | RollBack() | Quarantine():
            model = seen.models.get(action.model)
            return model is not None and _as_wanted(action, model)
        case _:
            return False


def _as_wanted(
    action: StopTraining | StartRollout | SetTraffic | Promote | RollBack | Quarantine, model: Model
) -> bool:
    rollout = model.rollout
    match action:
        case StopTraining():
            idle = model.training is None or model.training.state is not JobState.RUNNING
            return idle and "training" not in model.unread
        case StartRollout():
            return rollout is not None and rollout.version == action.version
        case SetTraffic():
            return rollout is not None and _set(action, rollout)
        case Quarantine():
            return _quarantine_verdict(action, model) is not None
        case Promote() | RollBack():
            return _rollout_verdict(action, model) is not None


def _set(action: SetTraffic, rollout: Rollout) -> bool:
    return (rollout.version, rollout.share, rollout.shadow) == (action.version, action.share, action.shadow)


def under_way(order: Order, seen: Observation) -> bool:
    """Whether the world shows that it was told `order` already, so that it need not be sent again.

    Steps of a rollout are: what a world that stopped half way has left undone can not be seen.
    """
    action = order.action
    match action:
        case Restart():
            deployment = seen.deployments.get(action.deployment)
            here = deployment.replicas if deployment is not None else None
            return here is not None and all(
                replica.id != action.replica or replica.state is ReplicaState.STOPPING for replica in here
            )
        case Retrain():
            job = seen.models[action.model].training if action.model in seen.models else None
            return job is not None and job.id == order.key
        case Scale() | SetTraffic():
            return changes_nothing(action, seen)
        case _:
            return False


def _verdict(order: Order, seen: Observation) -> Verdict | None:
    match order.action:
        case Scale() | Restart() as action:
            return _deployment_verdict(action, seen)
        case Retrain() | StopTraining() as action:
            model = seen.models.get(action.model)
            return _training_verdict(action, order, model) if model else None
        case StartRollout() | SetTraffic() | Promote() | RollBack() as action:
            model = seen.models.get(action.model)
            return _rollout_verdict(action, model) if model else None
        case Quarantine() as action:
            model = seen.models.get(action.model)
            return _quarantine_verdict(action, model) if model else None
        case _:
            return (Status.SUCCEEDED, "told")


def _deployment_verdict(action: Scale | Restart, seen: Observation) -> Verdict | None:
    deployment = seen.deployments.get(action.deployment)
    if deployment is None:
        return None
    if isinstance(action, Scale):
        there = deployment.replicas_wanted == action.replicas and len(deployment.running) == action.replicas
        return (Status.SUCCEEDED, f"{action.replicas} replicas run") if there else None
    gone = all(replica.id != action.replica for replica in deployment.replicas)
    full = len(deployment.running) >= deployment.replicas_wanted
    return (Status.SUCCEEDED, "replaced") if gone and full else None


def _training_verdict(action: Retrain | StopTraining, order: Order, model: Model) -> Verdict | None:
    job = model.training
    if "training" in model.unread:
        return None
    if isinstance(action, StopTraining):
        stopped = job is None or job.state is not JobState.RUNNING
        return (Status.SUCCEEDED, "no training runs") if stopped else None
    if job is None or (job.id != order.key and job.started_at_s < order.issued_at_s - CLOCK_SLACK_S):
        return None
    match job.state:
        case JobState.RUNNING:
            return None
        case JobState.SUCCEEDED:
            return (Status.SUCCEEDED, f"version {job.version} after {job.trials_done} trials")
        case JobState.FAILED | JobState.STOPPED:
            return (Status.FAILED, job.message or job.state.value)


def _rollout_verdict(action: StartRollout | SetTraffic | Promote | RollBack, model: Model) -> Verdict | None:
    rollout, champion = model.rollout, model.champion
    if isinstance(action, Promote):
        done = rollout is None and champion is not None and champion.number == action.version
        return (Status.SUCCEEDED, f"version {action.version} is the champion") if done else None
    if isinstance(action, RollBack):
        waits = any(candidate.number == action.version for candidate in model.candidates)
        away = (rollout is None or rollout.version != action.version) and not waits
        done = away and champion is not None and champion.number == action.to
        return (Status.SUCCEEDED, f"version {action.to} serves") if done else None
    if rollout is None or rollout.version != action.version:
        return None
    if rollout.failed:
        return (Status.FAILED, rollout.failed)
    if isinstance(action, StartRollout):
        return (Status.SUCCEEDED, "the challenger is ready") if rollout.ready else None
    return (Status.SUCCEEDED, f"share {action.share:g}") if rollout.ready and rollout.share == action.share else None


def _quarantine_verdict(action: Quarantine, model: Model) -> Verdict | None:
    covered = any(q.since_s <= action.since_s and q.until_s >= action.until_s for q in model.quarantined)
    return (Status.SUCCEEDED, "the rows are set aside") if covered else None
