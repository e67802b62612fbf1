"""How much a scenario would have to play, known from its file: what would take days is refused before it begins."""

from collections.abc import Iterator

from agent.yaml_nodes import Fault
from simulators.settings import DiurnalSettings, NodesSettings, ScenarioSettings, Traffic

HOUR_S = 3600.0

TICKS_MAX = 10_000_000
"""Three years of a tick every ten seconds."""
REQUESTS_MAX = 5e9
"""Hours of a kernel that plays a million in a second."""
NODES_MAX = 20_000
PREEMPTIONS_MAX = 1_000_000
REPLICAS_MAX = 20_000
"""That a scenario begins with, over all its models."""


def faults(settings: ScenarioSettings) -> Iterator[Fault]:
    """What would not come to its end."""
    ticks = settings.duration_s / settings.tick_s
    if ticks > TICKS_MAX:
        yield ("duration_s",), f"found {ticks:,.0f} ticks of {settings.tick_s:g} s; expected at most {TICKS_MAX:,}"
    nodes = sum(kind.count for kind in settings.cluster.nodes)
    if nodes > NODES_MAX:
        yield ("cluster", "nodes"), f"found {nodes:,} nodes; expected at most {NODES_MAX:,}"
    preemptions = settings.duration_s * sum(kind.count * _preemptions_per_s(kind) for kind in settings.cluster.nodes)
    if preemptions > PREEMPTIONS_MAX:
        told = f"found about {preemptions:,.0f} preemptions in the run; expected at most {PREEMPTIONS_MAX:,}"
        yield ("cluster", "nodes"), told
    replicas = sum(max(model.replicas, model.min_replicas) for model in settings.models.values())
    if replicas > REPLICAS_MAX:
        yield ("models",), f"found {replicas:,} replicas to begin with; expected at most {REPLICAS_MAX:,}"
    requests = settings.duration_s * sum(
        _rate_rps(each) for model in settings.models.values() for each in model.traffic
    )
    if requests > REQUESTS_MAX:
        yield ("duration_s",), f"found up to {requests:.2g} requests; expected at most {REQUESTS_MAX:.2g}"


def _preemptions_per_s(kind: NodesSettings) -> float:
    """How often one node of that kind is taken away, when each time it is told before and comes back after."""
    if not kind.spot or kind.preemptions_per_hour == 0:
        return 0.0
    return 1.0 / (HOUR_S / kind.preemptions_per_hour + kind.preemption_notice_s + kind.back_after_s)


def _rate_rps(traffic: Traffic) -> float:
    """The highest rate of `traffic`; 0 for a trace, whose requests are in a file of bounded size."""
    written = (value for name, value in traffic if name.endswith("_rps"))
    highest = max(
        (rate for value in written for rate in (value if isinstance(value, tuple) else (value,))), default=0.0
    )
    if isinstance(traffic, DiurnalSettings):
        highest *= (1.0 + traffic.swing) * max((1.0, *traffic.weekdays))
    return float(highest)
