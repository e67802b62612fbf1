"""The public protocol for many models under one budget of replicas (Faro, EuroSys 2025): the day, who plays it, and what was published.

Mechanics are those of the paper's own simulator: ten models, six hours, requests by recorded counts per minute; a router that handles one
thing at a time; a queue of 50; replicas that come after 35 s (3 s in a pod of one's own that is still warm) and whose pods are released
30 s after they were told to stop. Larger settings repeat the ten models under other names: same counts, other gaps and service times.
"""

import csv
import gzip
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.registry import names
from policies.scaling.static import fitted
from simulators.scenario import Scenario
from simulators.served import SERVER
from simulators.settings import ScenarioSettings

TRACE = "traces/01_faro_bench_10jobs_6h_permin.csv.gz"
HISTORY = "traces/02_faro_train_test_10jobs_11days_360slots.csv.gz"
HISTORY_DAYS = 10
"""Days to learn from; the eleventh of the file is the day that is played."""
FORECASTING = frozenset({"mark", "faro_sum", "faro_fair_sum", "joint"})
REMEMBERED_DAYS = 4
COLUMNS = 10
SEEDS = (24, 32, 40, 42, 62)
MINUTES = 360
SLO_S = 0.72
TOLD_S = 0.18
"""What the published policies are told that a request takes; on average it is 0.154 s."""
ROUTER = {"kind": "lognormal", "shift_s": 0.003485, "scale_s": 0.000988, "shape": 0.4808}
SERVICE = {"kind": "lognormal", "shift_s": 0.0793, "scale_s": 0.0686, "shape": 0.4225}

Figures = Mapping[str, Mapping[int, tuple[float, float]]]
"""policy -> budget -> (lost utility, violation rate)."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """So many models; `published` are means over five seeds. `source` says of what."""

    jobs: int
    budgets: tuple[int, ...]
    source: str
    published: Figures

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which policies that serve the first first serve them."""
        width = len(str(self.jobs - 1))
        return tuple(f"job{n:0{width}d}" for n in range(self.jobs))


SETTINGS = {
    10: Setting(
        jobs=10,
        budgets=(36, 32, 16),
        source="the paper's simulator",
        published={
            "fair_share": {36: (2.08, 0.1629), 32: (2.08, 0.1629), 16: (9.22, 0.9100)},
            "one_shot": {36: (3.87, 0.3217), 32: (4.37, 0.3693), 16: (8.05, 0.7738)},
            "aiad": {36: (1.39, 0.0719), 32: (1.71, 0.0953), 16: (8.15, 0.7781)},
            "mark": {36: (0.64, 0.0350), 32: (1.77, 0.1421), 16: (7.43, 0.6964)},
            "faro_sum": {36: (0.37, 0.0136), 32: (0.91, 0.0514), 16: (6.01, 0.5732)},
            "faro_fair_sum": {36: (0.37, 0.0133), 32: (0.78, 0.0314), 16: (7.85, 0.7453)},
        },
    ),
    20: Setting(
        jobs=20,
        budgets=(70,),
        source="the paper's real cluster",
        published={
            "fair_share": {70: (3.48, 0.1399)},
            "one_shot": {70: (8.67, 0.3698)},
            "aiad": {70: (2.37, 0.0673)},
            "mark": {70: (1.77, 0.0755)},
            "faro_sum": {70: (0.53, 0.0163)},
            "faro_fair_sum": {70: (0.63, 0.0168)},
        },
    ),
    100: Setting(
        jobs=100,
        budgets=(320,),
        source="the paper's simulator (Faro: all jobs at once)",
        published={
            "fair_share": {320: (20.82, 0.1630)},
            "one_shot": {320: (53.37, 0.4839)},
            "aiad": {320: (16.72, 0.0942)},
            "mark": {320: (16.24, 0.1255)},
            "faro_sum": {320: (9.71, 0.0617)},
            "faro_fair_sum": {320: (8.30, 0.0392)},
        },
    ),
}


@dataclass(frozen=True)
class Contender:
    """A policy of the table, as a scenario names it."""

    use: str
    parameters: dict[str, Any]


FLOOR = "idle"
"""It wants nothing: every job keeps the one replica that it began with."""


def contenders(budget: int) -> dict[str, Contender]:
    """Every policy of the table at `budget`, by the name of its row; those that are not registered are left out."""
    told = {"budget": budget, "service_s": TOLD_S}
    # As in the protocol, nothing more is asked of a job while what was asked before is under way.
    own = {"budget": budget, "raise_while_starting": False}
    rows = {
        FLOOR: Contender("idle", {}),
        "fair_share": Contender("fair_share", {"budget": budget}),
        "static": Contender("static", {"replicas": {}}),
        "aiad": Contender("aiad", {"budget": budget}),
        "one_shot": Contender("one_shot", {"budget": budget}),
        "mark": Contender("mark", {**told, "utilization": SLO_S}),
        # Ray Serve's own rule, a deployment on its own, with its default target; and as well as it can be set here.
        "queue_length": Contender("queue_length", {"target_ongoing_requests": 2.0}),
        "queue_length_capped": Contender("queue_length", {"target_ongoing_requests": 1.0, "max_replicas": 6}),
        "panic": Contender("panic", {"budget": budget}),
        "target_utilization": Contender("target_utilization", {}),
        "faro_sum": Contender("faro_sum", told),
        "faro_fair_sum": Contender("faro_fair_sum", told),
        "joint": Contender("joint", {**own, "objective": "sum"}),
        "oracle": Contender("oracle", {**own, "objective": "sum"}),
        "joint_fair": Contender("joint", {**own, "objective": "fair"}),
    }
    known = set(names())
    return {name: row for name, row in rows.items() if row.use in known or ":" in row.use}


def scenario(
    contender: Contender | None, budget: int, setting: Setting = SETTINGS[10], replicas: int | None = None
) -> Scenario:
    """The protocol's day. Without a contender nobody decides anything; without `replicas` each begins with what the protocol says."""
    fair = contender is not None and contender.use == "fair_share"
    first = replicas or (max(1, budget // setting.jobs) if fair else 1)
    settings = {
        "name": f"faro {contender.use if contender else 'alone'} {budget}",
        "duration_s": MINUTES * 60.0,
        "tick_s": 10.0,
        # A look before the first request, so that the first ten seconds are measured as all others.
        "first_tick_s": 0.0,
        "cluster": {"nodes": [{"name": "cpu", "count": 1, "cpus": budget}]},
        "lifecycle": {
            "cold_start": {"kind": "constant", "seconds": 35.0}, "warm_start_s": 3.0, "warm_s": 30.0, "warm_look_s": 5.0,
            "stop_s": 3.0, "drains_in_place": False, "capacity_retry_s": 5.0,
        },
        "telemetry": {"window_s": 30.0, "mean_latency_counts_lost": True, "by_replica": False},
        "models": {job: _model(n % COLUMNS, first) for n, job in enumerate(setting.names)},
        "budget": {"replicas": budget, "cluster_makes_room": True, "orders_per_minute": 100_000},
        "policies": [{"use": contender.use, **_parameters(contender, budget, setting)}] if contender else [],
    }  # fmt: skip
    return Scenario(ScenarioSettings.model_validate(settings), folder(), "benchmarks/faro.py")


def folder() -> Path:
    """Where the recorded counts are."""
    return Path(os.environ.get("HOMEOSTAT_DATA", "."))


def missing(*paths: str) -> str | None:
    """What to tell where one of the files of recorded counts is not there."""
    gone = [path for path in paths if not (folder() / path).is_file()]
    return (
        f"{', '.join(gone)}: not under HOMEOSTAT_DATA; the counts are in the repository beomyeol/faro" if gone else None
    )


def _model(column: int, replicas: int) -> dict[str, Any]:
    return {
        "traffic": [{"kind": "trace", "path": TRACE, "column": f"job{column}", "gaps": "exponential_gaps"}],
        "service": SERVICE,
        "router": ROUTER,
        "routing": "round_robin",
        "max_ongoing_requests": 4,
        "max_queued_requests": 50,
        "dispatcher_holds": 1,
        "replicas": replicas,
        "slo_latency_s": SLO_S,
    }


def _parameters(contender: Contender, budget: int, setting: Setting) -> dict[str, Any]:
    """A static split is that which served the ten days before best; those who forecast remember the last days and their length."""
    past = history()
    if contender.use == "oracle":
        return {**contender.parameters, "future": future(setting)}
    if contender.use in FORECASTING:
        rates = {
            f"{job}/{SERVER}": past[n % COLUMNS][-REMEMBERED_DAYS * MINUTES :] for n, job in enumerate(setting.names)
        }
        return {**contender.parameters, "past": rates, "season_steps": MINUTES}
    if contender.use != "static":
        return contender.parameters
    rates = {f"{job}/*": past[n % COLUMNS] for n, job in enumerate(setting.names)}
    return {"replicas": dict(fitted(rates, budget=budget, service_s=TOLD_S, slo_latency_s=SLO_S).replicas)}


def future(setting: Setting) -> dict[str, list[float]]:
    """Requests/s in every minute of the day that is played, by deployment."""
    with gzip.open(folder() / TRACE, "rt") as lines:
        day = list(csv.DictReader(lines))
    rates = [[float(row[f"job{column}"]) / 60.0 for row in day] for column in range(COLUMNS)]
    return {f"{job}/{SERVER}": rates[n % COLUMNS] for n, job in enumerate(setting.names)}


def history() -> Sequence[Sequence[float]]:
    """Requests/s in every minute of the days to learn from, by column."""
    with gzip.open(folder() / HISTORY, "rt") as lines:
        days = [row for row in csv.DictReader(lines) if int(row["day"]) <= HISTORY_DAYS]
    return [[float(row[f"job{column}"]) / 60.0 for row in days] for column in range(COLUMNS)]
