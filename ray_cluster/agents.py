"""The agents of a cluster, from outside: start one, find it, end it."""

from typing import Any

import ray

from agent.settings import Settings
from policies.imports import Packages
from ray_cluster import names
from ray_cluster.places import rooted


def start_agent(settings: Settings, dashboard_url: str, folder: str, allowed: Packages = ()) -> Any:
    """The agent named in `settings`, as a detached actor; a running one of that name is replaced, keeping its journal.

    `allowed` are the packages whose classes may be named by import path.
    """
    from ray_cluster.host import AgentHost  # noqa: PLC0415 - it brings all that an agent does; looking at one needs none of it

    stop_agent(settings.name)
    settings = rooted(settings, folder)
    return AgentHost.options(  # type: ignore[attr-defined]
        name=names.agent_actor(settings.name), namespace=names.NAMESPACE, lifetime="detached"
    ).remote(settings.model_dump(mode="json"), dashboard_url, folder, allowed)


def find_agent(name: str) -> Any | None:
    """The running agent of that name, if any."""
    try:
        return ray.get_actor(names.agent_actor(name), names.NAMESPACE)
    except ValueError:
        return None


def stop_agent(name: str) -> bool:
    """End the agent of that name; whether there was one. Models serve on."""
    actor = find_agent(name)
    if actor is None:
        return False
    ray.kill(actor, no_restart=True)
    return True
