"""The tutorial is true: its commands are played, to the letter, on a Ray of their own, and print what it shows."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import pytest
import ray
import yaml

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
LOOKS = re.compile(r"curl |homeostat (status|plan|why|orders|alerts|doctor|config|journal)|serve status")
"""Commands that change nothing: who does not see yet what the tutorial shows looks again."""
PATIENCE_S = 180.0
SILENCE_S = 240.0
"""No command takes longer."""
OURS = {"RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "PYTHONPATH", "HOMEOSTAT_JOURNAL"}
"""What other tests set for Rays of theirs."""


RAYS_OWN = re.compile(r"\[\d{4}-\d\d-\d\d [\d:,]+ [IWE] \d+ \d+\] ")
"""How Ray's own processes begin a line of their logs: such as that this machine has no way to the internet."""


@dataclass
class Step:
    """A command, and the lines that the tutorial shows below it; `...` is anything."""

    command: str
    shown: list[str] = field(default_factory=list)

    def fits(self, printed: str) -> bool:
        lines = [" ".join(line.split()) for line in printed.splitlines() if not RAYS_OWN.match(line)]
        text = "\n".join(line for line in lines if line) + "\n"
        return re.fullmatch("".join(map(_pattern, self.shown)), text, re.DOTALL) is not None if self.shown else True


def _pattern(line: str) -> str:
    """Of one shown line; a line of `...` alone is any number of lines, none among them."""
    if line.strip() == "...":
        return r"(?:[^\n]*\n)*?"
    return (
        r"[^\n]*?".join(re.escape(" ".join(part.split())) for part in line.split("...")).replace(r"\ ", " ?") + " ?\n"
    )


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)


def steps() -> list[Step]:
    found: list[Step] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:]))
        else:
            found[-1].shown.append(line)
    return found


class Shell:
    """One bash, as a reader has it open."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd=folder, env=environment,
        )  # fmt: skip
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._bash.stdout or ():
            self._lines.put(line)

    def run(self, command: str) -> tuple[int, str]:
        """The exit code, and all that was printed."""
        assert self._bash.stdin
        self._bash.stdin.write(f"{command}\n_code=$?; echo; echo __END__ $_code\n")
        self._bash.stdin.flush()
        printed: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=SILENCE_S)
            except Empty:
                raise AssertionError(f"{command}: nothing for {SILENCE_S:.0f} s after {printed}") from None
            if line.startswith("__END__ "):
                return int(line.split()[1]), "".join(printed)
            printed.append(line)

    def close(self) -> None:
        self._bash.kill()
        self._bash.wait()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In a checkout of the examples; the Ray that the tutorial starts ends with it. Skipped where another would be ended, too."""
    running = subprocess.run(["ps", "-A", "-o", "comm="], capture_output=True, text=True, check=True).stdout
    if ray.is_initialized() or {"raylet", "gcs_server"} & {Path(line.strip()).name for line in running.splitlines()}:
        pytest.skip("a Ray runs on this machine, which the tutorial's last commands would stop")
    shutil.copytree(
        ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("*.db*", "runs", "__pycache__")
    )
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    opened = Shell(tmp_path, kept | quiet | {"PATH": path, "COLUMNS": "220", "TERM": "dumb"})
    yield opened
    opened.close()
    subprocess.run(["ray", "stop", "--force"], env=kept | {"PATH": path}, capture_output=True, timeout=60, check=False)


@pytest.mark.ray
@pytest.mark.tutorial
def test_every_command_of_the_tutorial_does_what_it_shows(shell: Shell, tmp_path: Path) -> None:
    """In its order, from the start of Ray to its end; nothing is left behind."""
    before = sorted(tmp_path.rglob("*"))
    for step in steps():
        _play(shell, step)
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before and "__pycache__" not in str(path)]
    assert left == []


def _play(shell: Shell, step: Step) -> None:
    until_s = time.monotonic() + (PATIENCE_S if LOOKS.match(step.command) else 0.0)
    while True:
        code, printed = shell.run(step.command)
        if code == 0 and step.fits(printed):
            return
        if time.monotonic() >= until_s:
            shown = "\n".join(step.shown)
            raise AssertionError(f"$ {step.command}\nexit {code}, printed\n{printed}\nthe tutorial shows\n{shown}")
        time.sleep(1.0)


def test_every_line_of_code_in_the_tutorial_stands_in_an_example() -> None:
    """Whoever copies it has what the example has."""
    files = [path for path in (ROOT / "examples").rglob("*") if path.suffix in {".py", ".yaml"}]
    there = {line.strip() for path in files for line in path.read_text().splitlines()}
    shown = {line.strip() for block in (*blocks("yaml"), *blocks("python")) for line in block.splitlines()}
    assert sorted(shown - there - {"...", ""}) == []


def test_no_two_levels_share_a_name() -> None:
    """Applications, agents and probes of one level are not those of another, which may still run."""
    agents, applications = [], []
    for example in ("shop", "shop_probe", "shop_managed"):
        plain = yaml.safe_load((ROOT / "examples" / example / "homeostat.yaml").read_text())
        agents.append(plain["name"])
        applications += [name.split("/")[0] for name in plain.get("deployments", {})] + list(plain.get("models", {}))
    assert (len(set(agents)), len(set(applications))) == (3, len(applications))


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        (["a ... c"], "a  b c\n", True),
        (["a ... c"], "a b d\n", False),
        (["...", "z"], "x\ny\nz\n", True),
        (["...", "z"], "z\n", True),
        (["..."], "", True),
        (["a", "..."], "a\n", True),
        (["a"], "a\nb\n", False),
        ([], "whatever\n", True),
    ],
)
def test_dots_stand_for_what_differs(shown: list[str], printed: str, fits: bool) -> None:
    """Within a line, and for lines; all else must be there."""
    assert Step("x", shown).fits(printed) is fits
