"""The agents of a cluster, from outside: start one, find it, end it."""

import time
from typing import Any

import ray

from agent.settings import Settings
from policies.imports import Packages
from ray_cluster import names
from ray_cluster.places import rooted

GONE_S = 10.0
"""Ray keeps a name for a moment after its actor was killed."""
POLL_S = 0.1


class AgentRuns(Exception):
    """An agent of that name is on the cluster already."""


def start_agent(
    settings: Settings, dashboard_url: str, folder: str, allowed: Packages = (), *, replace: bool = False
) -> Any:
    """The agent named in `settings`, as a detached actor. Raises AgentRuns where there is one of that name, unless it shall be replaced.

    `allowed` are the packages whose classes may be named by import path.
    """
    from ray_cluster.host import AgentHost  # noqa: PLC0415 - it brings all that an agent does; looking at one needs none of it

    if replace:
        stop_agent(settings.name)
    settings = rooted(settings, folder)
    host = AgentHost.options(  # type: ignore[attr-defined]
        name=names.agent_actor(settings.name), namespace=names.NAMESPACE, lifetime="detached"
    )
    try:
        return host.remote(settings.model_dump(mode="json"), dashboard_url, folder, allowed)
    except ValueError as error:  # the name is taken, also by one that was started just now
        raise AgentRuns(settings.name) from error


def find_agent(name: str) -> Any | None:
    """The running agent of that name, if any."""
    try:
        return ray.get_actor(names.agent_actor(name), names.NAMESPACE)
    except ValueError:
        return None


def other_agents(name: str) -> dict[str, Any]:
    """The agents on the cluster that are not called `name`, by their names."""
    actors = ray.util.list_named_actors(all_namespaces=True)
    found = (each["name"] for each in actors if each["namespace"] == names.NAMESPACE)
    others = sorted(each.removeprefix(names.AGENT) for each in found if each.startswith(names.AGENT))
    there = {other: find_agent(other) for other in others if other != name}
    return {other: actor for other, actor in there.items() if actor is not None}


def stop_agent(name: str) -> bool:
    """End the agent of that name; whether there was one. Models serve on."""
    actor = find_agent(name)
    if actor is None:
        return False
    ray.kill(actor, no_restart=True)
    until_s = time.monotonic() + GONE_S
    while find_agent(name) is not None and time.monotonic() < until_s:
        time.sleep(POLL_S)
    return True
