"""Can the tests of the deciding core fail? Each mutant is one small change of the code; a test that fails kills it.

python -m benchmarks.mutants [--sample N] [--seed S] [--json FILE]

Plays mutmut over the files that pyproject.toml names, prints a table by file and each survivor that `mutants.toml` gives no reason for,
and exits with 1 where fewer than LEAST_KILLED of the mutants are killed or a survivor has no reason. With --sample N only N of the
mutants are tried, drawn by the seed; then the exit code asks only that LEAST_KILLED of them are killed or explained, for a change of
the code changes the draw, too. Writes into the folder `mutants`, where `mutmut browse` shows each of them.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

REASONS = Path(__file__).parent / "mutants.toml"
LEAST_KILLED = 0.9
KILLED = frozenset({"killed", "timeout"})
"""A mutant that hangs is noticed, too."""
FIRST = "*x_*__mutmut_1"
"""Some mutants of every file: asked for to have all of them written and every test timed."""
FOUND = re.compile(r"^\s*(?P<name>\S+): (?P<status>[\w ]+?)\s*$")
console = Console()


@dataclass(frozen=True)
class Reason:
    """Why a survivor is no fault of the tests: `function` and `change` are regular expressions of its name and of its added line."""

    function: str
    change: str
    reason: str

    def covers(self, name: str, change: str) -> bool:
        return bool(re.search(self.function, name) and re.search(self.change, change))


def mutmut(*arguments: str) -> str:
    """What mutmut prints. Raises CalledProcessError where it fails, after showing its last words."""
    done = subprocess.run([sys.executable, "-m", "mutmut", *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        console.print("\n".join((done.stdout + done.stderr).splitlines()[-30:]), markup=False)
        done.check_returncode()
    return done.stdout


def statuses() -> dict[str, str]:
    """What became of each mutant so far, by name."""
    lines = (FOUND.match(line) for line in mutmut("results", "--all", "true").splitlines())
    return {line["name"]: line["status"] for line in lines if line}


def change(name: str) -> str:
    """The lines that the mutant takes out and puts in."""
    lines = mutmut("show", name).splitlines()
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def tried(sample: int | None, seed: int) -> dict[str, str]:
    """Play all mutants, or `sample` of them; what became of those."""
    mutmut("run", FIRST)
    names = sorted(statuses())
    if sample is not None and sample < len(names):
        names = random.Random(seed).sample(names, sample)  # noqa: S311 - dice, not secrets
    mutmut("run", *names)
    found = statuses()
    return {name: found[name] for name in names}


def by_file(found: dict[str, str]) -> dict[str, Counter[str]]:
    files: dict[str, Counter[str]] = {}
    for name, status in found.items():
        files.setdefault(name.split(".x")[0], Counter())[status] += 1
    return files


def show(files: dict[str, Counter[str]]) -> None:
    table = Table("file", "mutants", "killed", "survived", "without a test", "share killed")
    for name, counts in (*sorted(files.items()), ("all", sum(files.values(), Counter()))):
        dead = sum(counts[status] for status in KILLED)
        figures = (counts.total(), dead, counts["survived"], counts["no tests"])
        table.add_row(name, *map(str, figures), f"{dead / counts.total():.1%}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    reasons = [Reason(**row) for row in tomllib.loads(REASONS.read_text(encoding="utf-8"))["survivors"]]
    found = tried(arguments.sample, arguments.seed)
    files = by_file(found)
    show(files)
    survivors = {name: change(name) for name, status in found.items() if status not in KILLED}
    unexplained = {n: text for n, text in survivors.items() if not any(r.covers(n, text) for r in reasons)}
    for name, text in unexplained.items():
        console.print(f"\n{name} is alive, and nothing says why that is right:\n{text}", markup=False)
    share, known = 1.0 - len(survivors) / len(found), 1.0 - len(unexplained) / len(found)
    if arguments.json:
        row = {"mutants": len(found), "share_killed": share, "unexplained": sorted(unexplained), "files": files}
        arguments.json.write_text(json.dumps(row, indent=2))
    enough = known >= LEAST_KILLED if arguments.sample else share >= LEAST_KILLED and not unexplained
    sys.exit(0 if enough else 1)


if __name__ == "__main__":
    main()
