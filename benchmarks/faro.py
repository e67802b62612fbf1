"""Many models under one budget of replicas: the scaling policies on the public protocol of Faro (EuroSys 2025), beside what it published.

python -m benchmarks.faro [--setting 10|20|100] [--policies a,b|all] [--budgets 36,32,16] [--seeds 24,32,40,42,62] [--jobs N] [--json FILE]

Lost utility is the number of models less the mean over minutes of the sum of min(1, SLO / p99), where a dropped request is infinitely
late. Needs the recorded counts under HOMEOSTAT_DATA; see `benchmarks.faro_protocol`.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.faro_protocol import FLOOR, HISTORY, SEEDS, SETTINGS, TRACE, Setting, contenders, missing, scenario
from simulators.run import Simulation

MEANS = ("lost_utility", "violation_rate", "dropped", "replicas_mean", "requests", "wall_s")
HEADS = ("policy", "budget", "lost\nutility", "sd", "paper", "late\n%", "paper\n%", "dropped", "mean\nused", "wall\ns")


def play(policy: str, budget: int, seed: int, jobs: int = 10) -> dict[str, Any]:
    """One day under one policy from one seed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    setting = SETTINGS[jobs]
    began = time.perf_counter()
    result = Simulation(scenario(contenders(budget)[policy], budget, setting), seed).run()
    found = result.measures
    return {
        "policy": policy, "budget": budget, "seed": seed, "lost_utility": found["lost_utility"],
        "violation_rate": found["slo_violation_rate"], "dropped": found["dropped"],
        "replicas_mean": found["replicas_mean"], "requests": result.requests, "wall_s": time.perf_counter() - began,
        "journal_sha256": result.journal_sha256,
    }  # fmt: skip


def summary(runs: Sequence[dict[str, Any]], setting: Setting = SETTINGS[10]) -> list[dict[str, Any]]:
    """A row for each policy and budget, over its seeds."""
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run["seed"]):
        grouped[run["policy"], run["budget"]].append(run)
    return [_row(policy, budget, found, setting) for (policy, budget), found in grouped.items()]


def _row(policy: str, budget: int, found: Sequence[dict[str, Any]], setting: Setting) -> dict[str, Any]:
    utility, rate = setting.published.get(policy, {}).get(budget, (None, None))
    spread = float(np.std([run["lost_utility"] for run in found], ddof=1)) if len(found) > 1 else 0.0
    return {
        "policy": policy,
        "budget": budget,
        "seeds": [run["seed"] for run in found],
        **{name: float(np.mean([run[name] for run in found])) for name in MEANS},
        "lost_utility_sd": spread,
        "published_lost_utility": utility,
        "published_violation_rate": rate,
        "journals_sha256": [run["journal_sha256"] for run in found],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", type=int, choices=sorted(SETTINGS), default=10, help="how many models")
    parser.add_argument("--policies", default="fair_share,aiad,one_shot,mark", help="names of rows, or all")
    parser.add_argument("--budgets", type=_numbers, help="replicas; without it those of the setting")
    parser.add_argument("--seeds", type=_numbers, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    setting = SETTINGS[given.setting]
    budgets = given.budgets or list(setting.budgets)
    if min(budgets) < setting.jobs:
        parser.error(f"a budget must be at least one replica for each of {setting.jobs} models, got {min(budgets)}")
    policies = _policies(parser, given.policies)
    if gone := missing(TRACE, *([HISTORY] if "static" in policies else [])):
        sys.exit(gone)
    days = [(name, budget, seed, setting.jobs) for budget in budgets for name in policies for seed in given.seeds]
    rows = summary(_played(days, given.jobs), setting)
    _tell(rows, setting)
    if given.json:
        given.json.write_text(json.dumps({"setting": setting.jobs, "rows": rows}, indent=2))


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _policies(parser: argparse.ArgumentParser, text: str) -> list[str]:
    known = list(contenders(1))
    wanted = [name for name in known if name != FLOOR] if text == "all" else text.split(",")
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"unknown policies {', '.join(unknown)}; expected all, or some of {', '.join(known)}")
    return wanted


def _played(days: Sequence[tuple[str, int, int, int]], processes: int) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(processes) as pool:
        work = [pool.submit(play, *day) for day in days]
        console = Console(stderr=True)
        return [each.result() for each in track(as_completed(work), "playing days", len(work), console=console)]


def _tell(rows: Sequence[dict[str, Any]], setting: Setting) -> None:
    title = f"{setting.jobs} models, six hours, one budget of replicas"
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, title=title)
    for head in HEADS:
        table.add_column(head, justify="left" if head == "policy" else "right", no_wrap=True)
    for row in sorted(rows, key=lambda row: (-row["budget"], row["lost_utility"])):
        utility, rate = row["published_lost_utility"], row["published_violation_rate"]
        table.add_row(
            row["policy"],
            str(row["budget"]),
            f"{row['lost_utility']:.3f}",
            f"{row['lost_utility_sd']:.3f}",
            "" if utility is None else f"{utility:.2f}",
            f"{100 * row['violation_rate']:.2f}",
            "" if rate is None else f"{100 * rate:.2f}",
            f"{row['dropped']:.0f}",
            f"{row['replicas_mean']:.1f}",
            f"{row['wall_s']:.0f}",
        )
    console = Console()
    console.print(table)
    seeds = ", ".join(str(seed) for seed in rows[0]["seeds"])
    console.print(f"Means over the seeds {seeds}. Published figures: {setting.source}.")


if __name__ == "__main__":
    main()
