"""Does the demo keep its promise every time? Runs it N times in a row, with some of the cores kept busy by other work.

python -m benchmarks.demo_runs [--runs N] [--busy-cores K] [--stream NAME] [--quick] [--out DIR] [--json FILE]

Each run is `homeostat demo` as a person starts it, in a process of its own. A busy core is one more process at the same priority that
never rests, from the first run to the end of the last. Exit 0 if every run ended with exit 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ray_cluster.streams import STREAMS


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run. `frozen` and `agent` are mean losses on the same rows. What is not known, since it did not come to its end, is None."""

    stream: str
    quick: bool
    busy_cores: int
    exit: int
    wall_s: float
    frozen: float | None
    agent: float | None
    promoted: int | None
    """Retrained challengers that became the champion."""
    rejected: int | None
    """Challengers that were kept out or taken back, the bad one among them."""
    failed: int | None
    """Requests without an answer."""
    lost_by_agent: int | None


def main() -> int:
    arguments = _arguments()
    runs: list[Run] = []
    with _busy(arguments.busy_cores), tempfile.TemporaryDirectory(prefix="demo-runs-") as folder:
        for number in range(1, arguments.runs + 1):
            out = (arguments.out or Path(folder)) / f"run-{number}"
            runs.append(_one(arguments.stream, arguments.quick, arguments.busy_cores, out))
            if arguments.json:  # what was measured is kept, whatever becomes of the next run
                arguments.json.write_text(json.dumps({"runs": [asdict(each) for each in runs]}, indent=2))
    _show(runs)
    return 0 if all(each.exit == 0 for each in runs) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--busy-cores", type=int, default=0)
    parser.add_argument("--stream", choices=STREAMS, default="flights")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="keep what the runs write, in a folder for each")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _one(stream: str, quick: bool, busy_cores: int, out: Path) -> Run:
    out.mkdir(parents=True, exist_ok=True)
    homeostat = "from agent.cli import main; main()"
    command = [sys.executable, "-c", homeostat, "demo", "--stream", stream, "--out", str(out)]
    began = time.monotonic()
    with (out / "terminal.txt").open("w") as terminal:
        done = subprocess.run(  # noqa: S603 - our own command
            [*command, *(["--quick"] if quick else [])], stdout=terminal, stderr=subprocess.STDOUT, check=False
        )
    wall_s = time.monotonic() - began
    result = out / "result.json"
    said = json.loads(result.read_text()) if result.exists() else None
    return Run(
        stream=stream, quick=quick, busy_cores=busy_cores, exit=done.returncode, wall_s=round(wall_s, 1), **_told(said)
    )


def _told(result: dict[str, Any] | None) -> dict[str, Any]:
    """What a run's result.json says, in the words of `Run`."""
    if result is None:
        return dict.fromkeys(("frozen", "agent", "promoted", "rejected", "failed", "lost_by_agent"))
    verdicts = [rollout["verdict"] for rollout in result["rollouts"]]
    return {
        "frozen": result["quality"]["frozen"],
        "agent": result["quality"]["agent"],
        "promoted": verdicts.count("promoted"),
        "rejected": verdicts.count("rolled back"),
        "failed": result["requests"]["failed"],
        "lost_by_agent": result["requests"]["lost_by_agent"],
    }


@contextmanager
def _busy(cores: int) -> Iterator[None]:
    """So many processes that compute without a pause."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.wait()


def _show(runs: list[Run]) -> None:
    table = Table(
        "stream", "busy cores", "exit", "seconds", "frozen", "agent", "promoted", "rejected", "failed", "lost"
    )
    for each in runs:
        table.add_row(
            each.stream + (", quick" if each.quick else ""),
            *(str(value) for value in (each.busy_cores, each.exit, f"{each.wall_s:.0f}")),
            *("-" if value is None else f"{value:.4f}" for value in (each.frozen, each.agent)),
            *(
                "-" if value is None else str(value)
                for value in (each.promoted, each.rejected, each.failed, each.lost_by_agent)
            ),
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
