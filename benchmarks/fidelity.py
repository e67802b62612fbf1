"""How near is the simulator to a real Ray Serve?

python -m benchmarks.fidelity [--block-s S] [--repeats N] [--seed N] [--runs N] [--json FILE] [--calibration FILE]

Three applications of 1, 2 and 4 replicas on a local Ray, loaded over HTTP one at a time, and the same requests in the simulator. One at a
time, since the simulator plays no processor: side by side they share one proxy and what processors there are.
The simulator is calibrated by a separate run at a fifth of what the largest application bears, and by replicas that come, go and die
without load. The service of the model is a wait as for an accelerator, so long as the request has tokens, so that two cores carry it.

`simulated` has the very tokens of each request; `simulated_drawn` draws service times from the calibration's quantiles, as for a model of
which no more is known: its distance holds the chance of one short run too. Both are medians over `--runs` seeds.

Every block is played `--repeats` times, each time with other requests. A case's figures and errors are the medians over its plays, so
that one hitch of the machine, or one unlucky play, is not taken for the simulator's error; `plays` in the JSON has every single one.
"""

import argparse
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.fidelity_compare import LAG_MAX_S, errors, medians, middle_error, real_side, within
from benchmarks.fidelity_load import poisson
from benchmarks.fidelity_real import MAX_ONGOING, REPLICAS, Seen, Stage, lifecycle, low_load, restore, stage
from benchmarks.fidelity_sim import Case, Side, middle, simulated
from ray_cluster.calibration import Measured, by_tokens, calibrated, written

SLO_S = 0.4
BEARS_RPS = {"one": 10.0, "two": 22.0, "four": 45.0}
"""About what Serve answers at most with MAX_ONGOING at a time per replica while its queue is short; places stay empty for a while."""
SATURATED = 1.2
CALIBRATION_RPS, CALIBRATION_S, STARTS, DEATHS = 10.0, 40.0, 5, 3
DEED_AT = 1 / 3
SATURATED_S = 10.0
"""The longest that more is asked than can be answered: in Serve a long queue takes the processor."""


@dataclass(frozen=True)
class Block:
    """What the applications are asked, each in its turn: rate by application in equal pieces of time; deeds as faults of a scenario."""

    name: str
    rates_rps: Mapping[str, Sequence[float]]
    deeds: Mapping[str, Mapping[str, Any]]
    duration_s: float

    @property
    def saturated(self) -> bool:
        return self.name == _level(SATURATED)


def _level(share: float) -> str:
    return f"at {share:.0%}"


def blocks(duration_s: float) -> list[Block]:
    """Rates, not in order, so that a machine that gets slower is not taken for load; a step, the deeds, and saturation last."""
    at_s = duration_s * DEED_AT
    levels = [
        Block(_level(share), {name: [share * most] for name, most in BEARS_RPS.items()}, {}, each_s)
        for share, each_s in (
            (0.6, duration_s),
            (0.4, duration_s),
            (0.75, duration_s),
            (SATURATED, min(SATURATED_S, duration_s)),
        )
    ]
    step = Block("a step", {name: [0.3 * most, 0.7 * most] for name, most in BEARS_RPS.items()}, {}, duration_s)
    deeds = Block(
        "deeds",
        {"one": [7.0], "two": [9.0], "four": [16.0]},
        {
            "one": {"kind": "foreign_scale", "at_s": at_s, "replicas": 2},
            "two": {"kind": "replica_crash", "at_s": at_s},
            "four": {"kind": "foreign_scale", "at_s": at_s, "replicas": 2},
        },
        duration_s,
    )
    return [*levels[:-1], step, deeds, levels[-1]]


NAMES = {"one": "1 replica", "two": "2 replicas", "four": "4 replicas"}
DEEDS = {"one": "1 replica, one added", "two": "2 replicas, one killed", "four": "4 replicas, two taken away"}


def cases(block: Block, seed: int) -> dict[str, Case]:
    """The case of each application in a block."""
    found = {}
    for name, rates in block.rates_rps.items():
        pieces = [(block.duration_s / len(rates), rate) for rate in rates]
        deed = block.deeds.get(name)
        found[name] = Case(
            name=DEEDS[name] if deed else f"{NAMES[name]}, {block.name}",
            requests=poisson(name, pieces, seed),
            replicas=REPLICAS[name],
            max_ongoing=MAX_ONGOING,
            duration_s=block.duration_s,
            slo_s=SLO_S,
            deeds=[deed] if deed else [],
            saturated=block.saturated,
        )
    return found


def _deeds(stage: Stage, name: str, faults: Sequence[Mapping[str, Any]]) -> list[tuple[float, Callable[[], None]]]:
    def deed(fault: Mapping[str, Any]) -> Callable[[], None]:
        if fault["kind"] == "replica_crash":
            return lambda: stage.kill(name)
        return lambda: stage.scale(name, fault["replicas"])

    return [(fault["at_s"], deed(fault)) for fault in faults]


def watched(stage: Stage, name: str, seen: Seen, planned: Case) -> list[tuple[float, int]]:
    """(moment since the block began, running replicas) whenever their number changed."""
    events = [(0.0, planned.replicas)]
    for at_s, running, _ in stage.watch.seen[name]:
        if at_s > seen.begin_at_s and running != events[-1][1]:
            events.append((at_s - seen.begin_at_s, running))
    return events


@dataclass(frozen=True)
class Play:
    """A case that was played once on the real side. `client_lag_p99_ms` says how late the client was, `machine` how idle all was."""

    case: Case
    real: Side
    client_lag_p99_ms: float
    machine: Mapping[str, float]

    @property
    def measurable(self) -> bool:
        return self.client_lag_p99_ms <= LAG_MAX_S * 1e3


def measure(local: Any, duration_s: float, repeats: int, seed: int) -> tuple[Measured, dict[str, list[Play]]]:
    """The calibration, and the plays of each case, by its name."""
    found: dict[str, list[Play]] = {}
    with stage(local) as ready:
        _told("the replicas come and go")
        lives = lifecycle(ready, starts=STARTS, deaths=DEATHS)
        _told("a low load")
        measured = Measured(
            **low_load(ready, rate_rps=CALIBRATION_RPS, duration_s=CALIBRATION_S, seed=seed + 1), **lives
        )
        for repeat in range(1, repeats + 1):
            for n, block in enumerate(blocks(duration_s)):
                _told(f"{block.name}, {repeat} of {repeats}")
                for name, case in cases(block, seed + 100 * repeat + n).items():
                    found.setdefault(case.name, []).append(_played(ready, name, case))
    return measured, found


def _played(stage: Stage, name: str, case: Case) -> Play:
    restore(stage)
    seen = stage.load(case.requests, _deeds(stage, name, case.deeds))
    real = real_side(seen.answers, case.duration_s, SLO_S, watched(stage, name, seen, case))
    lag_s = float(np.quantile([each.lag_s for each in seen.answers], 0.99))
    return Play(case, real, lag_s * 1e3, seen.machine)


def compared(measured: Measured, seen: Mapping[str, Sequence[Play]], runs: int) -> dict[str, Any]:
    """Everything that was found, as it is written to JSON."""
    settings = calibrated(measured)
    services = {"simulated": by_tokens(measured), "simulated_drawn": settings["model"]["service"]}
    rows = [_row([_laid(each, settings, services, runs) for each in plays]) for plays in seen.values()]
    drawn_rows = [{**each, "error": each["error_drawn"]} for each in rows]
    return {
        "cases": rows,
        "median_error": medians(rows),
        "median_error_drawn": medians(drawn_rows),
        "calibration": settings,
        "calibration_tokens": services["simulated"],
        "calibration_measured": {name: list(map(float, values)) for name, values in asdict(measured).items()},
    }


def _laid(
    play: Play, settings: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]], runs: int
) -> dict[str, Any]:
    """One play, with the simulated sides beside the real one."""
    sides = {name: middle(simulated(play.case, settings, service, range(runs))) for name, service in services.items()}
    found = errors(play.real, sides["simulated"])
    return {
        "name": play.case.name,
        "requests": len(play.case.requests),
        "saturated": play.case.saturated,
        "measurable": play.measurable,
        "real": play.real,
        **sides,
        "error": found,
        "error_drawn": errors(play.real, sides["simulated_drawn"]),
        "within": within(found),
        "client_lag_p99_ms": play.client_lag_p99_ms,
        "machine": dict(play.machine),
    }


def _row(plays: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A case: the medians over those of its plays in which the client kept its times, where most are so."""
    good = [each for each in plays if each["measurable"]]
    measurable = 2 * len(good) > len(plays)
    counted = good if measurable else plays
    sides = {name: middle([each[name] for each in counted]) for name in ("real", "simulated", "simulated_drawn")}
    found = middle_error([each["error"] for each in counted])
    return {
        "name": plays[0]["name"],
        "requests": sum(each["requests"] for each in plays),
        "saturated": plays[0]["saturated"],
        "measurable": measurable,
        **{name: asdict(side) for name, side in sides.items()},
        "error": found,
        "error_drawn": middle_error([each["error_drawn"] for each in counted]),
        "within": within(found),
        "plays_within": sum(each["within"] for each in counted),
        "client_lag_p99_ms": float(np.median([each["client_lag_p99_ms"] for each in plays])),
        "idle": float(np.median([each["machine"]["idle"] for each in plays])),
        "plays": [{**each, **{name: asdict(each[name]) for name in sides}} for each in plays],
    }


def _told(text: str) -> None:
    Console(stderr=True).print(f"[dim]{text}")


def _pair(row: Mapping[str, Any], figure: str, form: str) -> str:
    return f"{row['real'][figure]:{form}} | {row['simulated'][figure]:{form}}"


COLUMNS = (
    *("case", "p50 ms", "p95 ms", "p99 ms", "rps", "late %"),
    *("p50 off", "p95 off", "replicas off s", "lag ms", "idle", "within"),
)


def _verdict(row: Mapping[str, Any]) -> str:
    if not row["measurable"]:
        return "not measurable"
    if row["saturated"]:
        return "saturated"
    return f"{'yes' if row['within'] else 'no'}, {row['plays_within']} of {len(row['plays'])}"


def show(found: Mapping[str, Any]) -> None:
    table = Table(
        title="real | simulated, medians over plays; errors of p50 and p95, in brackets with drawn service times"
    )
    for column in COLUMNS:
        table.add_column(column)
    for row in found["cases"]:
        error, drawn = row["error"], row["error_drawn"]
        apart = "another course" if error["events_s"] is None else f"{error['events_s']:.2f}"
        table.add_row(
            row["name"],
            *(_pair(row, f"p{n}_ms", ".0f") for n in (50, 95, 99)),
            _pair(row, "throughput_rps", ".1f"),
            f"{100 * row['real']['violation_rate']:.1f} | {100 * row['simulated']['violation_rate']:.1f}",
            f"{error['p50']:+.1%} ({drawn['p50']:+.0%})",
            f"{error['p95']:+.1%} ({drawn['p95']:+.0%})",
            apart if len(row["real"]["events"]) > 1 else "",
            f"{row['client_lag_p99_ms']:.1f}",
            f"{row['idle']:.0%}",
            _verdict(row),
        )
    console = Console(width=190)
    console.print(table)
    for key, text in (("median_error", "the same tokens"), ("median_error_drawn", "drawn service times")):
        error = found[key]
        if error["p50"] is not None:
            console.print(f"median error with {text}: p50 {error['p50']:.1%}, p95 {error['p95']:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--block-s", type=float, default=30.0, help="how long each of the six blocks of load lasts")
    parser.add_argument("--repeats", type=int, default=3, help="how often each block is played")
    parser.add_argument("--seed", type=int, default=1, help="of the requests")
    parser.add_argument("--runs", type=int, default=15, help="simulated runs of each play")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--calibration", type=Path, help="write what was calibrated, as YAML")
    arguments = parser.parse_args()
    from ray_cluster.local import LocalRay  # noqa: PLC0415 - it brings ray

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    local = LocalRay.start(num_cpus=4, http_port=port)
    try:
        measured, seen = measure(local, arguments.block_s, arguments.repeats, arguments.seed)
    finally:
        local.stop()
    found = compared(measured, seen, arguments.runs)
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    if arguments.calibration:
        arguments.calibration.write_text(written(found["calibration"]))


if __name__ == "__main__":
    main()
