"""Is a mixture of experts worth more than each of them alone, and do its intervals cover what they say?

python -m benchmarks.forecasting [--days-11 N] [--days-14 N] [--jobs N] [--json FILE]

Requests per minute of ten jobs over 11 days of 360 minutes, and of ten functions over 14 days of 1,440. Every forecaster is a
`policies.forecasting.mixture.Mixture`: `mixture` of `policies.forecasting.recipes`, which the policies use; each of its experts alone;
Holt-Winters and SNARIMAX of River alone, guarded; and `mixture_with_river` of all of these. So all have quantiles, made the same way.
The first `WARM_DAYS` days are learned from and do not count. Only the first days of a trace are played, since River takes long.

- pinball: loss of the quantiles 1 to 7 minutes ahead, mean over levels, distances and minutes, as a part of each series' mean
  rate, mean over series; `pinball_by_minute` has the distances one by one. Less is better.
- coverage_90: the part of values between the 5 % and the 95 % quantile; the series with the least and with the most stand beside it.
- spoke: how often it had a forecast at all. One that was silent is judged by what it said, and so by easier minutes than the others.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from policies.forecasting.experts import Array, Expert
from policies.forecasting.mixture import LEVELS, Mixture
from policies.forecasting.pinball import pinball_loss
from policies.forecasting.recipes import experts
from policies.forecasting.river_experts import HoltWinters, Snarimax
from simulators.arrival_traces import CountTrace, load_trace

HORIZON = 7
WARM_DAYS = 3
MINUTE_S = 60.0
TINY = 1e-6
SPEAKS = 0.95
"""Who is silent more often stands below the others, since what it says is about other minutes."""
MIXTURE, WITH_RIVER = "mixture", "mixture_with_river"


@dataclass(frozen=True)
class Trace:
    path: str
    season_steps: int
    days: int
    """That are played unless told otherwise."""


TRACES = {
    "11 days": Trace("traces/02_faro_train_test_10jobs_11days_360slots.csv.gz", 360, 8),
    "14 days": Trace("traces/03_azure_functions2019_10fn_14d_permin.csv.gz", 1440, 4),
}


def forecasters(season_steps: int) -> dict[str, tuple[list[Expert], int]]:
    """name -> (experts, how many steps they look back on), fresh."""

    def ours() -> tuple[list[Expert], int]:
        return experts(HORIZON, season_steps)

    def river() -> list[Expert]:
        return [HoltWinters(season_steps), Snarimax(season_steps)]

    both, steps = ours()
    alone = {_name(each): ([each], steps) for each in [*ours()[0], *river(), HoltWinters()]}
    return {MIXTURE: (both, steps), WITH_RIVER: ([*ours()[0], *river()], steps), **alone}


def _name(expert: Expert) -> str:
    kind = type(expert).__name__
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")
    if kind == "MovingAverage":
        return f"{words}_{expert.steps}"  # type: ignore[attr-defined]
    return words if kind != "HoltWinters" or expert.warm_steps > HORIZON else f"{words}_plain"  # type: ignore[attr-defined]


def play(trace: str, forecaster: str, days: int) -> dict[str, Any]:
    """One forecaster through one trace."""
    known = TRACES[trace]
    values = rates(known)[: days * known.season_steps]
    chosen, steps = forecasters(known.season_steps)[forecaster]
    mixture = Mixture(chosen, horizon=HORIZON, history_steps=steps)
    mixture.select(np.full(values.shape[1], -1, dtype=np.int64))
    began = time.perf_counter()
    told = []
    for row in values:
        mixture.learn(row)
        told.append(mixture.forecast().astype(np.float32))
    wall_s = time.perf_counter() - began
    return {
        "trace": trace,
        "forecaster": forecaster,
        **scored(values, told, WARM_DAYS * known.season_steps),
        "wall_s": wall_s,
    }


def scored(values: Array, told: Sequence[Any], first: int) -> dict[str, Any]:
    """Of forecasts made at step `first` and later; `told[t]` is [distance, level, series] for the steps after t."""
    losses, inside, spoken = [], [], []
    levels = np.asarray(LEVELS)[:, None]
    for ahead in range(HORIZON):
        quantiles = np.stack(told[first : len(values) - HORIZON])[:, ahead]
        came = values[first + ahead + 1 : len(values) - HORIZON + ahead + 1]
        spoken.append(np.isfinite(quantiles[:, 0]))
        losses.append(_mean_of(pinball_loss(came[:, None], quantiles, levels).mean(axis=1), spoken[-1]))
        within = (quantiles[:, 0] <= came + TINY) & (came <= quantiles[:, -1] + TINY)
        inside.append(_mean_of(within, spoken[-1]))
    by_minute = np.array(losses) / values[first:].mean(axis=0)
    heard = np.any(spoken, axis=(0, 1))
    coverage = np.nanmean(np.array(inside)[:, heard], axis=0)
    return {
        "pinball": float(np.nanmean(by_minute)),
        "pinball_by_minute": np.nanmean(by_minute, axis=1).tolist(),
        "coverage_90": float(np.nanmean(coverage)),
        "coverage_90_min": float(np.nanmin(coverage)),
        "coverage_90_max": float(np.nanmax(coverage)),
        "spoke": float(np.mean(spoken)),
    }


def _mean_of(values: Array, counts: Array) -> Array:
    """[series] mean over minutes of what counts, NaN where nothing does."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counts, values, 0.0).sum(axis=0) / counts.sum(axis=0))


def rates(known: Trace) -> Array:
    """Requests/s, [minute, series]."""
    trace = load_trace(folder() / known.path)
    if not isinstance(trace, CountTrace):
        raise TypeError(f"{known.path} holds no counts")
    return np.asarray(trace.counts / MINUTE_S, dtype=np.float64)


def folder() -> Path:
    """Where the recorded counts are."""
    return Path(os.environ.get("HOMEOSTAT_DATA", "."))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, known in TRACES.items():
        parser.add_argument(
            f"--days-{name.split()[0]}", type=int, default=known.days, help=f"days of the {name} to play"
        )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    days = {name: getattr(given, f"days_{name.split()[0]}") for name in TRACES}
    if min(days.values()) <= WARM_DAYS:
        parser.error(f"days must be more than the {WARM_DAYS} that are learned from, got {min(days.values())}")
    if gone := [known.path for known in TRACES.values() if not (folder() / known.path).is_file()]:
        sys.exit(f"{', '.join(gone)}: not under HOMEOSTAT_DATA")
    rows = _played(
        [(name, each, days[name]) for name, known in TRACES.items() for each in forecasters(known.season_steps)],
        given.jobs,
    )
    _tell(rows, days)
    if given.json:
        given.json.write_text(json.dumps({"days": days, "warm_days": WARM_DAYS, "rows": rows}, indent=2))
    return 0


def _played(games: Sequence[tuple[str, str, int]], processes: int) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(processes) as pool:
        work = [pool.submit(play, *game) for game in games]
        console = Console(stderr=True)
        done = [each.result() for each in track(as_completed(work), "forecasting", len(work), console=console)]
    return sorted(done, key=lambda row: (row["trace"], row["spoke"] < SPEAKS, row["pinball"]))


def _tell(rows: Sequence[dict[str, Any]], days: dict[str, int]) -> None:
    for name in TRACES:
        title = f"{name}: {WARM_DAYS} to learn from, {days[name] - WARM_DAYS} that count"
        table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for head in ("forecaster", "pinball", "1 min", "7 min", "in 90 %", "least", "most", "spoke %", "wall s"):
            table.add_column(head, justify="left" if head == "forecaster" else "right", no_wrap=True)
        for row in (row for row in rows if row["trace"] == name):
            table.add_row(
                row["forecaster"],
                *(
                    f"{each:.4f}"
                    for each in (row["pinball"], row["pinball_by_minute"][0], row["pinball_by_minute"][-1])
                ),
                *(f"{100 * row[each]:.1f}" for each in ("coverage_90", "coverage_90_min", "coverage_90_max")),
                f"{100 * row['spoke']:.0f}",
                f"{row['wall_s']:.0f}",
            )
        Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
