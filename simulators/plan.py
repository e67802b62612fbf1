"""What the command line asks for, as a list of runs: every scenario under every set of policies from every seed.

All files are read, and everything that is wrong with any of them is told at once, before anything runs.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.settings import PolicySettings, Settings
from agent.strict_yaml import dotted, read
from agent.yaml_nodes import FileFault, text_of
from policies.imports import OPTION, Packages
from simulators.data_files import DataMissing, data_path
from simulators.learning_settings import PlayedSettings
from simulators.scenario import Scenario, ScenarioError, load, load_policies
from simulators.settings import ScenarioSettings, TraceSettings

PATTERN = "*.scenario.yaml"
SEED_DIGITS = 20


class BadInput(ValueError):
    """What is wrong with what was asked for, one line per fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(faults))


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run. `policy` is the file whose policies stand in for the scenario's own, as it was given; None: its own."""

    scenario: Scenario
    seed: int
    policy: str | None = None

    @property
    def label(self) -> str:
        under = f" under {Path(self.policy).stem}" if self.policy else ""
        return f"{self.scenario.name}{under}, seed {self.seed}"

    @property
    def command(self) -> str:
        """What plays this run again."""
        policy = f" --policy {self.policy}" if self.policy else ""
        allowed = "".join(f" {OPTION} {each}" for each in self.scenario.allowed)
        return f"homeostat sim run {self.scenario.file} --seed {self.seed}{policy}{allowed}"


@contextmanager
def importable(folder: Path | None) -> Iterator[None]:
    """Meanwhile policies of one's own are found in `folder`, behind everything that is installed; nothing is where it is None.

    Not while a process is spawned: with our packages installed for development, a folder of the user's that is called `agent` or
    `policies` would stand in for ours in the new process.
    """
    if folder is None:
        yield
        return
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def plan(files: Iterable[Path], policies: Iterable[Path], seeds: Iterable[str], allowed: Packages = ()) -> list[Task]:
    """The runs in the order of the arguments. A folder stands for its `*.scenario.yaml`; without seeds each scenario has its own.

    `allowed` are the packages whose classes may be named by import path. Raises BadInput with all faults of all files.
    """
    faults: list[str] = []
    scenarios = [found for file in _unfolded(files, faults) if (found := _scenario(file, faults, allowed)) is not None]
    sets: dict[str | None, tuple[PolicySettings, ...]] = {
        str(file): _policies(file, faults, allowed) for file in policies
    }
    numbers = list(dict.fromkeys(_numbers(seeds, faults)))
    if faults:
        raise BadInput(faults)
    return [
        Task(scenario=scenario if name is None else scenario.with_policies(found), seed=seed, policy=name)
        for scenario in scenarios
        for name, found in (sets or {None: ()}).items()
        for seed in numbers or [scenario.settings.seed]
    ]


def _unfolded(files: Iterable[Path], faults: list[str]) -> Iterator[Path]:
    for file in dict.fromkeys(files):
        if not file.is_dir():
            yield file
            continue
        found = sorted(file.glob(PATTERN))
        if not found:
            faults.append(f"{file}: found no scenario in this folder; expected files named {PATTERN}")
        yield from found


def _scenario(file: Path, faults: list[str], allowed: Packages) -> Scenario | None:
    try:
        scenario = load(file, allowed)
    except ScenarioError as error:
        faults += [_configuration(file)] if _is_configuration(file) else [str(error)]
        return None
    faults += _missing_data(scenario)
    return scenario


def _is_configuration(file: Path) -> bool:
    """Whether the file says what an agent's configuration says, and nothing of what every scenario does."""
    try:
        keys = read(text_of(file), str(file)).values.keys()
    except FileFault:
        return False
    ours = {name for name, field in ScenarioSettings.model_fields.items() if field.is_required()} - {"name", "models"}
    return bool(keys) and not ours & keys and keys <= Settings.model_fields.keys()


def _configuration(file: Path) -> str:
    told = "this is the configuration of an agent; expected a scenario. Its policies are played in one by"
    return f"{file}: {told} `homeostat sim run SCENARIO.yaml --policy {file}`"


def _missing_data(scenario: Scenario) -> Iterator[str]:
    """Scenarios may be checked where their data is not; to be played they need it."""
    models = scenario.settings.models.items()
    traces = [
        (("models", name, "traffic", index, "path"), "trace", each.path)
        for name, model in models
        for index, each in enumerate(model.traffic)
        if isinstance(each, TraceSettings)
    ]
    streams = [
        (("models", name, "learning", "stream"), "stream", model.learning.stream)
        for name, model in models
        if isinstance(model.learning, PlayedSettings) and model.learning.stream is not None
    ]
    for keys, what, path in (*traces, *streams):
        try:
            data_path(path, scenario.folder, what)
        except DataMissing as error:
            located = read(Path(scenario.file).read_text(encoding="utf-8"), scenario.file)
            yield f"{scenario.file}:{located.line(keys)}: {dotted(keys)}: {error}"


def _policies(file: Path, faults: list[str], allowed: Packages) -> tuple[PolicySettings, ...]:
    try:
        return load_policies(file, allowed)
    except ScenarioError as error:
        faults.append(str(error))
        return ()


def seed_of(text: str) -> int | None:
    """The seed that a command line names; None where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < SEED_DIGITS else None


def _numbers(seeds: Iterable[str], faults: list[str]) -> Iterator[int]:
    for text in seeds:
        number = seed_of(text)
        if number is None:
            faults.append(f"--seed: found {text!r}; expected a whole number from 0 on, such as 7")
        else:
            yield number
