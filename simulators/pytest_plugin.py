"""Scenarios as tests: pytest collects `*.scenario.yaml`, one test for each scenario, seed and set of policies.

Every pytest run on a machine with Homeostat loads this module, so it imports nothing but pytest until a scenario is collected.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from simulators.expectations import Held
    from simulators.run import Result
    from simulators.scenario import Scenario

SUFFIX = ".scenario.yaml"
MARK = "homeostat"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the same as keys of an ini file."""
    group = parser.getgroup("homeostat", "scenarios of Homeostat (*.scenario.yaml)")
    group.addoption(
        "--homeostat-seeds", metavar="1,2,3", help="Play every scenario from each of these seeds, not from its own."
    )
    group.addoption(
        "--homeostat-policy",
        action="append",
        metavar="FILE",
        help="Play every scenario under the policies in FILE, not under its own. Given again: under each.",
    )
    group.addoption(
        "--homeostat-allow-imports",
        action="append",
        metavar="PACKAGE",
        help="Let scenarios and policy files name classes of this package by import path. Given again: of several.",
    )
    parser.addini("homeostat_seeds", "seeds of every scenario, such as 1,2,3; missing: its own", default="")
    parser.addini("homeostat_policy", "files with policies for every scenario, one a line", type="linelist", default=[])
    parser.addini(
        "homeostat_allow_imports",
        "packages whose classes scenarios may name by import path, one a line",
        type="linelist",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """A mark to choose them by: `pytest -m homeostat`."""
    config.addinivalue_line("markers", f"{MARK}: plays a scenario of Homeostat; every *.scenario.yaml has it")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "ScenarioFile | None":
    """A scenario is known by the end of its name."""
    return ScenarioFile.from_parent(parent, path=file_path) if file_path.name.endswith(SUFFIX) else None


class ScenarioFile(pytest.File):
    """One file. What is wrong with it, with the seeds or with the policies is an error of collection."""

    def collect(self) -> "Iterator[ScenarioItem]":
        from simulators.scenario import ScenarioError, load, load_policies  # noqa: PLC0415

        try:
            allowed = self._allowed()
            scenario = load(self.path, allowed)
            policies = {file: load_policies(file, allowed) for file in self._policy_files()}
        except ScenarioError as error:
            raise self.CollectError(str(error)) from error
        seeds = list(self._seeds()) or [scenario.settings.seed]
        stem = self.path.name.removesuffix(SUFFIX)
        for file, chosen in policies.items() or ((None, ()),):
            under = f",policy={file.stem}" if file is not None else ""
            played = scenario if file is None else scenario.with_policies(chosen)
            for seed in seeds:
                yield ScenarioItem.from_parent(
                    self, name=f"{stem}[seed={seed}{under}]", scenario=played, seed=seed, policy=file
                )

    def _seeds(self) -> Iterator[int]:
        """Those of the command line, else those of the ini file. Raises CollectError for what is no whole number."""
        from simulators.plan import seed_of  # noqa: PLC0415

        asked = self.config.getoption("homeostat_seeds")
        named = "--homeostat-seeds" if asked is not None else "homeostat_seeds"
        text = asked if asked is not None else self.config.getini("homeostat_seeds")
        for word in dict.fromkeys(text.replace(",", " ").split()):
            number = seed_of(word)
            if number is None:
                raise self.CollectError(f"{named}: found {word!r}; expected whole numbers, such as 1,2,3")
            yield number

    def _allowed(self) -> tuple[str, ...]:
        """Packages of the command line and of the ini file. Raises CollectError for what can not be one."""
        from policies.imports import packages  # noqa: PLC0415

        asked: Iterable[str] = self.config.getoption("homeostat_allow_imports") or ()
        try:
            return packages([*asked, *self.config.getini("homeostat_allow_imports")])
        except ValueError as error:
            raise self.CollectError(str(error)) from error

    def _policy_files(self) -> Iterator[Path]:
        """Those of the command line begin where pytest was called, those of an ini file beside it."""
        asked: Iterable[str] | None = self.config.getoption("homeostat_policy")
        if asked:
            yield from (self.config.invocation_params.dir / each for each in asked)
            return
        folder = self.config.inipath.parent if self.config.inipath is not None else self.config.rootpath
        yield from (folder / each for each in self.config.getini("homeostat_policy"))


class Unmet(Exception):
    """A scenario was played to its end, and what it expects is not what came."""

    def __init__(self, missed: "Iterable[Held]") -> None:
        self.missed = tuple(missed)
        super().__init__("; ".join(each.text for each in self.missed))


class ScenarioItem(pytest.Item):
    """One run: a scenario from a seed, under its own policies or those of a file."""

    def __init__(self, *, scenario: "Scenario", seed: int, policy: Path | None, **given: Any) -> None:
        super().__init__(**given)
        self.scenario, self.seed, self.policy = scenario, seed, policy
        self.add_marker(MARK)

    def runtest(self) -> None:
        """Play it. Lacking data skips it; an interruption ends pytest as well."""
        from simulators.quiet import silenced  # noqa: PLC0415
        from simulators.run import run  # noqa: PLC0415
        from simulators.scenario import DataMissing  # noqa: PLC0415

        try:
            with silenced():
                result = run(self.scenario, seed=self.seed)
        except DataMissing as error:
            pytest.skip(str(error))
        if result.interrupted:
            raise KeyboardInterrupt
        self._keep(result)
        missed = [each for each in result.expectations if not each.held]
        if missed:
            raise Unmet(missed)

    def _keep(self, result: "Result") -> None:
        """What JUnit files and other plugins shall know of the run."""
        self.user_properties += [("seed", self.seed), ("journal_sha256", result.journal_sha256)]
        self.user_properties += [(each.text, each.value) for each in result.expectations]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """In words where a policy is to blame; a traceback only where the simulator fell over."""
        from simulators.checkers import BrokenRule  # noqa: PLC0415

        match excinfo.value:
            case Unmet() as unmet:
                lines = [f"expected {each.text}; measured {_measured(each)}" for each in unmet.missed]
            case BrokenRule() as broken:
                events = [f"  {event}" for event in broken.trail]
                told = f"the rule {broken.rule} was broken at {broken.at_s:.3f} s: {broken.told}"
                lines = [told, "the last events were", *events]
            case _:
                return super().repr_failure(excinfo, style)
        return "\n".join([*self._head(), *lines, *self._again()])

    def _head(self) -> Iterator[str]:
        under = f", under the policies in {self.policy}" if self.policy is not None else ""
        yield f"{self.scenario.name} (seed {self.seed}{under})"
        if self.scenario.settings.why:
            yield self.scenario.settings.why

    def _again(self) -> Iterator[str]:
        policy = f" --policy {self.policy}" if self.policy is not None else ""
        yield f"alone:      pytest '{self.nodeid}'{self._options()}"
        allowed = "".join(f" --allow-imports {each}" for each in self.scenario.allowed)
        yield f"with plots: homeostat sim run {self.scenario.file} --seed {self.seed}{policy}{allowed} --report report"

    def _options(self) -> str:
        """Without them the test of this name would not be collected."""
        seeded = f" --homeostat-seeds {self.seed}" if self.seed != self.scenario.settings.seed else ""
        under = f" --homeostat-policy {self.policy}" if self.policy is not None else ""
        asked = self.config.getoption("homeostat_allow_imports") or ()
        return seeded + under + "".join(f" --homeostat-allow-imports {each}" for each in asked)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where its name is looked for by editors: the file."""
        return self.path, 0, self.name


def _measured(each: "Held") -> str:
    return "nothing" if each.value is None else f"{each.value:.6g}"
