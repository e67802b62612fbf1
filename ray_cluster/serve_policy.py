"""Our scaling policies as Ray Serve's own, for those who want no agent: `policy_function: ray_cluster.serve_policy:ServePolicy`.

Serve calls a policy every 0.1 s inside its controller; one that blocks stops the controller, and one that raises stops the deployments
of all applications. So:

1. A call takes what Serve says, leaves the deciding to a thread, and answers with what was decided last. It never waits.
2. It never raises: whatever goes wrong is logged once, and the replica counts stay.
3. What is not known, and a decision that has become old, holds.

This module is pickled by value into the controller, as Serve does with policies; all it needs must be installed there.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from policies.action import Proposal, Scale
from policies.observation import Observation, known
from policies.policy import Policy
from policies.scaling.budget import within
from ray_cluster import serve_context
from ray_cluster.serve_options import Options, options

Counts = dict[str, int]
log = logging.getLogger("ray.serve")
OLD_AFTER_S = 30.0
"""A decision that has not been renewed for so long is none any more."""


def in_background(work: Callable[[], Counts]) -> "Future[Counts]":
    """`work()` in a thread that keeps nobody from ending."""
    promised: Future[Counts] = Future()

    def run() -> None:
        try:
            promised.set_result(work())
        except BaseException as error:  # it belongs to whoever asks for the result
            promised.set_exception(error)

    threading.Thread(target=run, name="homeostat-policy", daemon=True).start()
    return promised


@dataclass
class Zeros:
    """Since when each deployment has had 0 requests without a break."""

    since_s: dict[str, float] = field(default_factory=dict)

    def believed(self, name: str, requests: float | None, at_s: float, after_s: float) -> float | None:
        """`requests`; None for a 0 that has not lasted for `after_s`."""
        if requests != 0:
            self.since_s.pop(name, None)
            return requests
        return requests if at_s - self.since_s.setdefault(name, at_s) >= after_s else None


class ServePolicy:
    """One policy of ours behind the two forms in which Serve asks. See `ray_cluster.serve_options.Options` for the keywords.

    At deployment level it is called with one context, at application level with all contexts of the application by deployment id; it
    answers as Serve expects of each, with counts inside the bounds of the context.
    """

    def __init__(self, start: Callable[[Callable[[], Counts]], "Future[Counts]"] = in_background, **policy_kwargs: Any):
        self._start = start
        self._options: Options | None = None
        self._policy: Policy | None = None
        self._zeros = Zeros()
        self._pending: Future[Counts] | None = None
        self._counts: Counts = {}
        self._decided_s = float("-inf")
        self._asked_s = float("-inf")
        self._said: set[str] = set()
        try:
            self._options = options(policy_kwargs)
        except Exception as error:  # raised here it would stop deployments of other applications
            self._say(f"holds, as it can not be made: {error}")

    def __call__(self, asked: Any) -> tuple[Any, dict[Any, Any]]:
        """(count, state) for one context; (counts by deployment id, states) for a mapping of contexts."""
        if isinstance(asked, Mapping):
            wanted = self._wanted(list(asked.values()))
            return {
                key: wanted[name] for key, each in asked.items() if (name := serve_context.name(each)) in wanted
            }, {}
        wanted = self._wanted([asked])
        return wanted.get(serve_context.name(asked), _unchanged(asked)), {}

    def _wanted(self, contexts: list[Any]) -> Counts:
        """What was decided last, for those of which it is known, inside their bounds."""
        try:
            at_s = known(max(each.current_time for each in contexts)) if contexts else None
            if self._options is None or at_s is None:
                return {}
            self._collect()
            if self._due(at_s, self._options):
                self._ask(contexts, at_s, self._options)
            if at_s - self._decided_s > max(OLD_AFTER_S, 3 * self._options.decide_every_s):
                return {}
            names = {serve_context.name(each): each for each in contexts}
            return {name: _bounded(self._counts[name], each) for name, each in names.items() if name in self._counts}
        except Exception as error:  # raised here it would stop deployments of other applications
            self._say(f"holds: {type(error).__name__}: {error}")
            return {}

    def _due(self, at_s: float, chosen: Options) -> bool:
        """Never two decisions at a time; after a clock that went back at once."""
        if self._pending is not None:
            return False
        return not self._asked_s <= at_s < self._asked_s + chosen.decide_every_s

    def _ask(self, contexts: list[Any], at_s: float, chosen: Options) -> None:
        self._asked_s = at_s
        seen = self._observation(contexts, at_s, chosen)
        self._pending = self._start(lambda: self._decide(seen, chosen))
        self._collect()

    def _collect(self) -> None:
        pending = self._pending
        if pending is None or not pending.done():
            return
        self._pending, self._counts = None, {}
        self._counts = pending.result()
        self._decided_s = self._asked_s

    def _observation(self, contexts: list[Any], at_s: float, chosen: Options) -> Observation:
        found = {}
        for each in contexts:
            name = serve_context.name(each)
            requests = self._zeros.believed(name, known(each.total_num_requests), at_s, chosen.zero_after_s)
            slo_s = chosen.slo_of(each.deployment_name)
            found[name] = serve_context.deployment(each, at_s, ongoing=requests, slo_latency_s=slo_s)
        return Observation(at_s=at_s, deployments=found)

    def _decide(self, seen: Observation, chosen: Options) -> Counts:
        """In the thread. The policy is made here, since making it imports what it needs."""
        if self._policy is None:
            self._policy = chosen.build()
        proposals: list[Proposal] = within(chosen.budget, self._policy.propose(seen), seen)
        counts = {}
        for proposal in proposals:
            if isinstance(proposal.action, Scale):
                # As in an agent, the first proposal for a deployment counts.
                counts.setdefault(proposal.action.deployment, proposal.action.replicas)
        return counts

    def _say(self, text: str) -> None:
        if text not in self._said and len(self._said) < 20:
            self._said.add(text)
            log.error("Homeostat's policy %s", text)


def _bounded(count: int, context: Any) -> int:
    upper = min(count, context.capacity_adjusted_max_replicas)
    return int(max(context.capacity_adjusted_min_replicas, upper))


def _unchanged(context: Any) -> float | int:
    """What Serve makes the present target of, after it has applied its scaling factors to the difference from the running replicas."""
    target, running = context.target_num_replicas, getattr(context, "current_num_replicas", 0)
    try:
        config = context.config
        factor = config.get_upscaling_factor() if target > running else config.get_downscaling_factor()
        return target if running == 0 else running + (target - running) / factor - 1e-9
    except Exception:  # a context without factors has none to undo
        return int(target)
