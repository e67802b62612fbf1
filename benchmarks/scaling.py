"""Do scaling policies hold up away from where they were made? Every one, with the same parameters, on scenarios and recorded traffic.

python -m benchmarks.scaling [--policies a,b|all] [--scenarios a,b|all] [--seeds N] [--jobs N] [--json FILE]

Policies have their defaults and, where they take one, the budget of the scenario; only the scaling policy of a scenario is replaced.
Which scenarios are played, and which not, says `benchmarks.scaling_worlds`; recorded traffic is read from HOMEOSTAT_DATA and left
out where it is not there. Figures are means over seeds: that of the scenario and those after it.

- front: the policies of which no other has both fewer violations and fewer replica-hours (or one fewer, the other the same).
- mean_rank: over scenarios, the mean rank by cost: lost utility * hours + `PRICE` * replica-hours; equal costs share their rank.
  The price says that an hour in which a model is of no use is as bad as 100 replica-hours; it was set before anything was played.
  `mean_rank_at` shows what other prices would say.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import rankdata

from benchmarks.scaling_worlds import LEFT_OUT, contenders, missing, seeded, worlds
from simulators.run import Simulation

PRICE = 0.01
OTHER_PRICES = (0.001, 0.003, 0.01, 0.03, 0.1)
MEANS = ("violation_rate", "replica_hours", "lost_utility", "requests", "dropped", "cost", "wall_s")
HOUR_S = 3600.0
LONG = ("fifty_models_share_one_budget", "functions_morning", "a_week_has_days_and_nights")
"""Played first, so that no process is left alone with them at the end."""
OURS = "joint"

Run = dict[str, Any]


def play(name: str, policy: str, seed: int) -> Run:
    """One scenario under one policy; `seed` is added to that of the scenario."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    began = time.perf_counter()
    world = worlds()[name]
    first = world.scenario.settings.seed
    result = Simulation(seeded(world, first + seed).under(policy), first + seed, checked=False).run()
    found = result.measures
    hours = (world.scenario.settings.duration_s - world.scenario.settings.warm_up_s) / HOUR_S
    return {
        "scenario": name, "policy": policy, "seed": first + seed, "violation_rate": found["slo_violation_rate"],
        "replica_hours": found["replica_hours"], "lost_utility": found["lost_utility"], "hours": hours,
        "cost": cost(found["lost_utility"], hours, found["replica_hours"], PRICE), "dropped": found["dropped"],
        "requests": result.requests, "wall_s": time.perf_counter() - began,
    }  # fmt: skip


def cost(lost_utility: float, hours: float, replica_hours: float, price: float) -> float:
    """In hours of one model's full utility."""
    return lost_utility * hours + price * replica_hours


def summary(runs: Iterable[Run]) -> list[Run]:
    """A row for each scenario and policy, over its seeds."""
    grouped: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run["scenario"], run["policy"], run["seed"])):
        grouped[run["scenario"], run["policy"]].append(run)
    return [
        {
            "scenario": scenario,
            "policy": policy,
            "seeds": [run["seed"] for run in found],
            "hours": found[0]["hours"],
            **{name: float(np.mean([run[name] for run in found])) for name in MEANS},
        }
        for (scenario, policy), found in grouped.items()
    ]


def front(rows: Sequence[Run]) -> list[str]:
    """The policies of one scenario that no other one dominates, by violations."""
    free = [row for row in rows if not any(_dominates(other, row) for other in rows)]
    return [row["policy"] for row in sorted(free, key=lambda row: (row["violation_rate"], row["replica_hours"]))]


def _dominates(one: Run, other: Run) -> bool:
    a, b = ((row["violation_rate"], row["replica_hours"]) for row in (one, other))
    return a != b and a[0] <= b[0] and a[1] <= b[1]


def mean_ranks(by_scenario: dict[str, list[Run]], price: float) -> dict[str, float]:
    """policy -> mean rank (1 is best) over the scenarios that it took part in, best first."""
    ranks: dict[str, list[float]] = defaultdict(list)
    for rows in by_scenario.values():
        costs = [cost(row["lost_utility"], row["hours"], row["replica_hours"], price) for row in rows]
        for row, rank in zip(rows, rankdata(costs), strict=True):
            ranks[row["policy"]].append(float(rank))
    means = {policy: float(np.mean(found)) for policy, found in ranks.items()}
    return dict(sorted(means.items(), key=lambda item: item[1]))


def findings(rows: Sequence[Run]) -> dict[str, Any]:
    """Rows, who is on the front of which scenario, and mean ranks."""
    by_scenario: dict[str, list[Run]] = defaultdict(list)
    for row in rows:
        by_scenario[row["scenario"]].append(row)
    return {
        "price": PRICE,
        "rows": list(rows),
        "front": {name: front(found) for name, found in by_scenario.items()},
        "mean_rank": mean_ranks(by_scenario, PRICE),
        "mean_rank_at": {str(price): mean_ranks(by_scenario, price) for price in OTHER_PRICES},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", default="all", help="names of policies, or all")
    parser.add_argument("--scenarios", default="all", help="names of scenarios, or all")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds for each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if gone := missing():
        print(gone, file=sys.stderr)
    found = findings(summary(_played(_games(parser, given), given.jobs)))
    _tell(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    return 0


def _games(parser: argparse.ArgumentParser, given: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Scenario, policy and seed of every run, the long ones first."""
    known = worlds()
    chosen = list(known) if given.scenarios == "all" else given.scenarios.split(",")
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"--scenarios: found {', '.join(unknown)}; expected some of {', '.join(known)}")
    games = [(name, policy) for name in chosen for policy in contenders(known[name])]
    if given.policies != "all":
        wanted = given.policies.split(",")
        if unknown := set(wanted) - {policy for _, policy in games}:
            expected = ", ".join(sorted({policy for _, policy in games}))
            parser.error(f"--policies: found {', '.join(sorted(unknown))}; expected some of {expected}")
        games = [game for game in games if game[1] in wanted]
    games.sort(key=lambda game: (game[0] not in LONG, game[1] != OURS))
    return [(*game, seed) for game in games for seed in range(given.seeds)]


def _played(games: Sequence[tuple[str, str, int]], processes: int) -> list[Run]:
    with ProcessPoolExecutor(processes) as pool:
        work = [pool.submit(play, *game) for game in games]
        console = Console(stderr=True)
        return [each.result() for each in track(as_completed(work), "playing", len(work), console=console)]


def _tell(found: dict[str, Any]) -> None:
    console = Console()
    for name, on_front in found["front"].items():
        rows = sorted((row for row in found["rows"] if row["scenario"] == name), key=lambda row: row["cost"])
        console.print(_table(name, rows, on_front))
    ranks = Table("policy", *(f"{price:g}" for price in OTHER_PRICES), "on front", box=box.SIMPLE_HEAD)
    ranks.title = "mean rank by cost, at prices per replica-hour"
    ranks.caption = f"{PRICE:g} is what counts"
    for policy in found["mean_rank"]:
        played = [name for name in found["front"] if any(_is(row, name, policy) for row in found["rows"])]
        times = sum(policy in found["front"][name] for name in played)
        at = (f"{found['mean_rank_at'][str(price)][policy]:.2f}" for price in OTHER_PRICES)
        ranks.add_row(policy, *at, f"{times} of {len(played)}")
    console.print(ranks)
    console.print(LEFT_OUT)


def _is(row: Run, scenario: str, policy: str) -> bool:
    return bool(row["scenario"] == scenario and row["policy"] == policy)


def _table(name: str, rows: Sequence[Run], on_front: Sequence[str]) -> Table:
    table = Table(title=name, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for head in ("policy", "late %", "replica-hours", "lost utility", "cost", "front", "wall s"):
        table.add_column(head, justify="left" if head == "policy" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["policy"],
            f"{100 * row['violation_rate']:.2f}",
            f"{row['replica_hours']:.2f}",
            f"{row['lost_utility']:.4f}",
            f"{row['cost']:.3f}",
            "yes" if row["policy"] in on_front else "",
            f"{row['wall_s']:.1f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
