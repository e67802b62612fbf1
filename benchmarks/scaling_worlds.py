"""What the comparison of scaling policies is played on: the shipped scenarios that scale, and recorded traffic scaled to a cluster.

Of a scenario only the scaling policy is replaced; what heals, rolls out and retrains stays, and so do faults, guards and budget.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.settings import PolicySettings
from policies.registry import names
from policies.scaling.static import fitted
from simulators.arrival_traces import CountTrace, load_trace
from simulators.scenario import Scenario, load
from simulators.served import SERVER
from simulators.settings import ScenarioSettings

SHIPPED = (
    "a_flash_crowd_is_met",
    "a_foreign_hand_scales",
    "a_neighbour_is_noisy",
    "a_node_is_lost_at_the_peak",
    "a_week_has_days_and_nights",
    "fifty_models_share_one_budget",
    "nothing_can_be_measured",
    "serving_goes_before_training",
    "spot_nodes_are_taken_away",
    "starts_are_slow_when_they_are_needed",
    "the_actuator_lies",
    "the_controller_is_away",
    "there_is_less_than_everybody_wants",
)
LEFT_OUT = (
    "Left out, since they are about learning under one steady rate that the first replicas carry: a_new_champion_crashes, "
    "a_real_stream_drifts_and_the_agent_retrains, a_season_is_no_drift, broken_rows_are_not_learned_from, "
    "drift_that_does_harm_is_learned, drift_that_does_no_harm_is_left_alone, "
    "insects_change_by_degrees_and_the_agent_learns_again, labels_come_late, the_agent_dies_in_the_middle_of_a_canary; "
    "since people or clocks decide there what scaling may do: a_canary_is_taken_back_while_changes_are_frozen, a_clock_steps_back_an_hour, "
    "a_clock_steps_forward_a_day, a_freeze_outlasts_a_restart, a_kill_is_heeded_until_somebody_lets_it_go_on, "
    "a_rollback_is_asked_for_by_hand, an_approval_comes_after_a_restart, somebody_says_no, two_approvals_come_at_once; "
    "and a_replica_is_grey, which has no scaling policy."
)
SCENARIOS = Path(__file__).parent.parent / "scenarios"
FUNCTIONS = "traces/03_azure_functions2019_10fn_14d_permin.csv.gz"
TOKENS = {
    "llm_conversation": "traces/04_azure_llm2023_conv_raw.csv.gz",
    "llm_code": "traces/05_azure_llm2023_code_raw.csv.gz",
    "mooncake": "traces/06_mooncake_conversation_raw.csv.gz",
}
SCALING = frozenset({
    "aiad", "fair_share", "faro_fair_sum", "faro_sum", "joint", "mark", "one_shot", "panic", "queue_length", "static", "target_utilization",
})  # fmt: skip
FLOOR = "idle"
"""It wants nothing: every deployment keeps the replicas that it began with."""
DAY_MINUTES = 1440
FUNCTION_SERVICE = {"kind": "lognormal", "shift_s": 0.08, "scale_s": 0.07, "shape": 0.42}
FUNCTION_MEAN_S = 0.156
FUNCTION_SLO_S = 0.75
FUNCTION_PEAK_RPS = 20.0
FUNCTION_SCALE_MAX = 5.0
FUNCTION_BUDGET = 30
FUNCTION_DAY, FUNCTION_FROM_MINUTE, FUNCTION_MINUTES = 8, 360, 240


@dataclass(frozen=True)
class World:
    """A scenario, and the split that history was best served by where it has one."""

    scenario: Scenario
    static: Callable[[], dict[str, int]] | None = None

    @property
    def budget(self) -> int:
        """Its budget of replicas, or as many of its largest replica as the cluster holds."""
        told = self.scenario.settings
        if told.budget.replicas is not None:
            return told.budget.replicas
        cpus = sum(kind.count * kind.cpus for kind in told.cluster.nodes)
        gpus = sum(kind.count * kind.gpus for kind in told.cluster.nodes)
        needs = [(cpus, max(model.cpus for model in told.models.values()))]
        needs += [(gpus, max(model.gpus for model in told.models.values()))]
        return int(min(have / need for have, need in needs if need > 0))

    def under(self, policy: str) -> Scenario:
        """The scenario with `policy` in the place of its own scaling policy."""
        kept = [each for each in self.scenario.settings.policies if each.use not in SCALING]
        own = PolicySettings.model_validate({"use": policy, **self._parameters(policy)})
        return self.scenario.with_policies([*kept, own])

    def _parameters(self, policy: str) -> dict[str, Any]:
        """Defaults everywhere; the budget where a policy takes one."""
        if policy == "static":
            return {"replicas": self.static() if self.static else {}}
        return {} if policy in ("queue_length", "target_utilization", FLOOR) else {"budget": self.budget}


def contenders(world: World) -> list[str]:
    """The policies that are played: all that are registered, the split only where there is a history to fit it on."""
    known = (SCALING & set(names())) | {FLOOR}
    return sorted(known if world.static else known - {"static"})


def worlds() -> dict[str, World]:
    """All scenarios by name. Those of recorded traffic are built whether it is there or not; see `missing`."""
    shipped = {name: World(load(SCENARIOS / f"{name}.scenario.yaml")) for name in SHIPPED}
    found = {**shipped, "functions_morning": World(_of(_functions()), _functions_split) if not missing() else None}
    found |= {name: World(_of(settings)) for name, settings in _token_services().items()} if not missing() else {}
    return {name: world for name, world in found.items() if world is not None}


def folder() -> Path:
    """Where the recorded traffic is."""
    return Path(os.environ.get("HOMEOSTAT_DATA", "."))


def missing() -> str | None:
    """What to tell where recorded traffic is not there."""
    gone = [path for path in (FUNCTIONS, *TOKENS.values()) if not (folder() / path).is_file()]
    return f"{', '.join(gone)}: not under HOMEOSTAT_DATA; left out" if gone else None


def _of(settings: dict[str, Any]) -> Scenario:
    return Scenario(ScenarioSettings.model_validate(settings), folder(), "benchmarks/scaling.py")


# -- ten functions, a morning ------------------------------------------------------------------------------------


def _counts() -> CountTrace:
    trace = load_trace(folder() / FUNCTIONS)
    if not isinstance(trace, CountTrace):
        raise TypeError(f"{FUNCTIONS} holds no counts")
    return trace


def _morning(day: int) -> slice:
    begin = day * DAY_MINUTES + FUNCTION_FROM_MINUTE
    return slice(begin, begin + FUNCTION_MINUTES)


def _scales(trace: CountTrace) -> Sequence[float]:
    """So that the busiest minute of the same hours of the day before is at `FUNCTION_PEAK_RPS`; sparse functions stay sparse."""
    before = trace.counts[_morning(FUNCTION_DAY - 1)].max(axis=0) / 60.0
    return [float(np.clip(FUNCTION_PEAK_RPS / max(peak, 1e-9), 0.01, FUNCTION_SCALE_MAX)) for peak in before]


def _functions() -> dict[str, Any]:
    trace = _counts()
    hours = _morning(FUNCTION_DAY)
    models = {
        name: {
            "traffic": [
                {
                    "kind": "trace", "path": FUNCTIONS, "column": name, "scale": scale,
                    "from_s": hours.start * 60.0, "until_s": hours.stop * 60.0,
                }
            ],
            "service": FUNCTION_SERVICE,
            "replicas": 1,
            "max_ongoing_requests": 4,
            "max_queued_requests": 100,
            "slo_latency_s": FUNCTION_SLO_S,
        }
        for name, scale in zip(trace.names, _scales(trace), strict=True)
    }  # fmt: skip
    return {
        "name": "functions_morning",
        "duration_s": FUNCTION_MINUTES * 60.0,
        "tick_s": 10.0,
        "cluster": {"nodes": [{"name": "cpu", "count": 5, "cpus": 8}]},
        "lifecycle": {"cold_start": {"kind": "lognormal", "scale_s": 20.0, "shape": 0.3}, "stop_s": 1.0},
        "telemetry": {"by_replica": False},
        "models": models,
        "budget": {"replicas": FUNCTION_BUDGET, "orders_per_minute": 100},
    }


def _functions_split() -> dict[str, int]:
    """Fitted on the same hours of the day before."""
    trace = _counts()
    hours = trace.counts[_morning(FUNCTION_DAY - 1)] / 60.0
    past = {
        f"{name}/{SERVER}": (hours[:, n] * scale).tolist()
        for n, (name, scale) in enumerate(zip(trace.names, _scales(trace), strict=True))
    }
    split = fitted(past, budget=FUNCTION_BUDGET, service_s=FUNCTION_MEAN_S, slo_latency_s=FUNCTION_SLO_S)
    return dict(split.replicas)


# -- language models, an hour each -------------------------------------------------------------------------------


def _token_services() -> dict[str, dict[str, Any]]:
    """A replica reads 5,000 tokens/s and writes 50 for each of the requests that it works on at once."""
    return {
        "llm_conversation": _tokens("llm_conversation", scale=1.0, concurrency=4, slo_s=25.0),
        "llm_code": _tokens("llm_code", scale=2.0, concurrency=2, slo_s=10.0),
        "mooncake": _tokens("mooncake", scale=1.0, concurrency=6, slo_s=60.0),
    }


def _tokens(name: str, *, scale: float, concurrency: int, slo_s: float) -> dict[str, Any]:
    model = {
        "traffic": [{"kind": "trace", "path": TOKENS[name], "scale": scale}],
        "service": {"kind": "tokens", "prompt_token_s": 0.0002, "output_token_s": 0.02},
        "concurrency": concurrency,
        "max_ongoing_requests": 2 * concurrency,
        "replicas": 2,
        "max_replicas": 14,
        "gpus": 1.0,
        "slo_latency_s": slo_s,
    }
    return {
        "name": name,
        "duration_s": 3600.0,
        "tick_s": 10.0,
        "cluster": {"nodes": [{"name": "gpu", "count": 4, "cpus": 8, "gpus": 4}]},
        "lifecycle": {"cold_start": {"kind": "lognormal", "scale_s": 45.0, "shape": 0.2}, "stop_s": 1.0},
        "models": {"llm": model},
        "budget": {"replicas": 14},
    }


def seeded(world: World, seed: int) -> World:
    """The same with another seed."""
    told = world.scenario.settings.model_copy(update={"seed": seed})
    return replace(world, scenario=replace(world.scenario, settings=told))
