"""What limits a scale-up: the budget, and what is free now, unless the cluster makes room."""

import pytest

from agent.assembly import build_core
from agent.settings import Settings
from policies.action import Action, Scale
from policies.observation import Capacity, Resources
from policies.testing import deployment, observation


def ordered(**budget: object) -> list[Action]:
    """The orders of an agent that wants four replicas where two run and no CPU is free."""
    settings = Settings.model_validate(
        {
            "autonomy": {"default": "act"},
            "budget": budget,
            "policies": [{"use": "static", "replicas": {"*": 4}}],
        }
    )
    full = Capacity(total=Resources(cpus=2.0), free=Resources(cpus=0.0))
    decision = build_core(settings).step(observation(0.0, deployment("m/ModelServer", 2), capacity=full))
    return [order.action for order in decision.orders]


@pytest.mark.parametrize(
    ("budget", "replicas"),
    [({"replicas": 3}, None), ({"replicas": 3, "cluster_makes_room": True}, 3), ({"cluster_makes_room": True}, None)],
)
def test_where_the_cluster_makes_room_only_the_budget_limits(budget, replicas):
    """Nothing is free: no order, or one up to the budget, whose place is on its way; without a budget there is no limit to trust."""
    assert ordered(**budget) == ([] if replicas is None else [Scale(deployment="m/ModelServer", replicas=replicas)])
