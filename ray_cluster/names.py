"""Names under which the parts of a fleet find each other on a cluster. All actors live in one Ray namespace."""

from agent import application_names

NAMESPACE = "homeostat"
AGENT = "agent:"
CHALLENGER_SUFFIX = application_names.CHALLENGER_SUFFIX
SERVER_DEPLOYMENT = application_names.SERVER_DEPLOYMENT


def agent_actor(name: str) -> str:
    """The agent itself; `name` is `Settings.name`."""
    return f"{AGENT}{name}"


def table_actor(model: str) -> str:
    """The keeper of the traffic table of `model`."""
    return f"table:{model}"


def shard_actor(model: str) -> str:
    """The monitor shard of `model`, or of the probe of that name."""
    return f"monitor:{model}"


def training_actor(model: str) -> str:
    """The one training job that may run for `model`."""
    return f"training:{model}"
