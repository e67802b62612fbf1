"""What would undo an action, given how things stood before it."""

from policies.action import Action, Promote, RollBack, Scale, SetTraffic, StartRollout
from policies.observation import Observation


def inverse(action: Action, seen: Observation) -> Action | None:
    """The action that takes `action` back to the state in `seen`, or None where nothing does (a restart, a training)."""
    match action:
        case Scale():
            deployment = seen.deployments.get(action.deployment)
            return Scale(deployment=action.deployment, replicas=deployment.replicas_wanted) if deployment else None
        case StartRollout() | Promote():
            model = seen.models.get(action.model)
            if model is None or model.champion is None:
                return None
            to = model.champion
            return RollBack(model=action.model, version=action.version, to=to.number, to_digest=to.digest)
        case SetTraffic():
            model = seen.models.get(action.model)
            rollout = model.rollout if model else None
            if rollout is None or rollout.version != action.version:
                return None
            return SetTraffic(model=action.model, version=action.version, share=rollout.share, shadow=rollout.shadow)
        case _:
            return None
