"""A tuning problem from its SPACE.yaml: read strictly, checked whole, with every fault named by file, line and key."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.assembly import AssemblyError, build_core
from agent.settings import PolicySettings, Settings
from agent.strict_yaml import validated
from agent.yaml_nodes import Fault, FileFault, Keys, text_of
from policies.imports import Packages
from simulators.expectations import ExpectationError, lookup
from simulators.plan import BadInput, Task, plan
from simulators.scenario import ScenarioError, known_measures, load_policies
from simulators.tuning_choice import Condition
from simulators.tuning_space import ParameterSettings, SpaceSettings

SCHEMA_KEY = "$schema"
PATH = re.compile(r"^([A-Za-z_][\w:]*(?:\.[\w]+:[\w]+)?)((?:\[[0-9]+\])?)((?:\.\w+|\[[0-9]+\])+)$")
STEP = re.compile(r"\.(\w+)|\[([0-9]+)\]")
SCHEMES = ("sqlite", "journal")
UNTUNED = "untuned"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is to be tuned. `training` and `held_out` are the runs of a trial and of the hold-out, under the untuned policies."""

    settings: SpaceSettings
    file: str
    policies: tuple[PolicySettings, ...]
    keys: Mapping[str, Keys]
    """Where each parameter stands in the list of policies."""
    training: tuple[Task, ...]
    held_out: tuple[Task, ...]
    storage: str
    allowed: Packages = ()
    """Packages whose classes may be named by import path."""

    def tuned(self, parameters: Mapping[str, Any]) -> tuple[PolicySettings, ...]:
        """The policies with `parameters` by path in place of what they had. Raises ValueError where a policy does not take them."""
        plain = _plain(self.policies)
        for name, value in parameters.items():
            _put(plain, self.keys[name], value)
        return tuple(PolicySettings.model_validate(each) for each in plain)

    def untuned(self) -> dict[str, Any]:
        """Values of the parameters that the policies name themselves."""
        plain, found = _plain(self.policies), {}
        for name, keys in self.keys.items():
            place, last = _around(plain, keys), keys[-1]
            if (isinstance(place, dict) and last in place) or isinstance(place, list):
                found[name] = place[last]
        return found

    def fingerprint(self) -> str:
        """Equal for problems whose trials may stand in one study: all that a trial's values depend on."""
        told = self.settings.model_dump(mode="json", include={"parameters", "objectives", "sampler", "pruner"})
        runs = [[each.scenario.settings.model_dump(mode="json"), each.seed] for each in self.training]
        text = json.dumps([told, _plain(self.policies), runs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def under(tasks: Sequence[Task], policies: Sequence[PolicySettings], label: str) -> list[Task]:
    """The same runs under other policies."""
    return [replace(task, scenario=task.scenario.with_policies(policies), policy=label) for task in tasks]


def load(path: str | Path, allowed: Packages = ()) -> Problem:
    """The problem in `path`. Raises BadInput with all that is wrong with it and with the files that it names.

    `allowed` are the packages whose classes may be named by import path.
    """
    file = Path(path)
    reading = _Reading(file.absolute().parent, allowed)
    try:
        text = text_of(path)
        settings = validated(
            text,
            str(path),
            SpaceSettings,
            change=lambda values: values.pop(SCHEMA_KEY, None),
            impossible=reading.faults,
        )
    except FileFault as fault:
        raise BadInput(str(fault).splitlines()) from fault
    return Problem(
        settings=settings,
        file=str(path),
        policies=reading.policies,
        keys=reading.keys,
        training=tuple(under(reading.training, reading.policies, UNTUNED)),
        held_out=tuple(under(reading.held_out, reading.policies, UNTUNED)),
        storage=_storage(settings, file.absolute().parent),
        allowed=allowed,
    )


def schema() -> dict[str, Any]:
    """JSON Schema of a SPACE.yaml, for completion in editors."""
    plain = SpaceSettings.model_json_schema(by_alias=True)
    plain["properties"][SCHEMA_KEY] = {"type": "string"}
    return {SCHEMA_KEY: "https://json-schema.org/draft/2020-12/schema", **plain}


def located(url: str, folder: Path) -> str:
    """`url` of a storage with its file below `folder`, unless that is absolute."""
    scheme, _, file = url.partition(":///")
    return f"{scheme}:///{folder / file}"


def _storage(settings: SpaceSettings, folder: Path) -> str:
    return located(settings.storage or f"sqlite:///{settings.name.replace(' ', '-')}.study.db", folder)


@dataclass
class _Reading:
    """Reads what a space names, and says what is wrong with it."""

    folder: Path
    allowed: Packages = ()
    policies: tuple[PolicySettings, ...] = ()
    keys: dict[str, Keys] = field(default_factory=dict)
    training: list[Task] = field(default_factory=list)
    held_out: list[Task] = field(default_factory=list)

    def faults(self, settings: SpaceSettings) -> Iterator[Fault]:
        yield from self._policies(settings)
        if self.policies:
            yield from self._parameters(settings.parameters)
        self.training = yield from self._runs(("scenarios",), settings.scenarios, settings.seeds)
        globs = settings.hold_out.scenarios or settings.scenarios
        self.held_out = yield from self._runs(("hold_out", "scenarios"), globs, settings.hold_out.seeds)
        yield from self._seen_twice()
        yield from self._measures(settings)
        yield from _choice_faults(settings)
        if settings.storage is not None and settings.storage.partition(":///")[0] not in SCHEMES:
            yield ("storage",), f"found {settings.storage!r}; expected sqlite:///FILE or journal:///FILE"
        if len(settings.objectives) > 1 and settings.pruning not in ("none", "dominated"):
            yield (
                ("pruner", "kind"),
                f"found {settings.pruning!r}, which knows one objective; expected none or dominated",
            )

    def _policies(self, settings: SpaceSettings) -> Iterator[Fault]:
        if (settings.policy_file is None) == (not settings.policies):
            yield ("policies",), "expected either policies or policy_file"
            return
        try:
            if settings.policy_file is not None:
                self.policies = load_policies(self.folder / settings.policy_file, self.allowed)
                return
        except ScenarioError as error:
            yield ("policy_file",), str(error)
            return
        told = [_refused([each], self.allowed) for each in _plain(settings.policies)]
        yield from ((("policies", index), each) for index, each in enumerate(told) if each is not None)
        if not any(told):
            self.policies = settings.policies

    def _parameters(self, parameters: Mapping[str, ParameterSettings]) -> Iterator[Fault]:
        for name, parameter in parameters.items():
            try:
                self.keys[name] = _found(_plain(self.policies), name)
            except LookupError as error:
                yield ("parameters", name), str(error.args[0])
                continue
            for value in parameter.ends:
                plain = _plain(self.policies)
                _put(plain, self.keys[name], value)
                if (told := _refused(plain, self.allowed)) is not None:
                    yield ("parameters", name), f"found {value!r}; {told}"
                    break

    def _runs(self, keys: Keys, globs: Sequence[str], seeds: Sequence[int]) -> Any:
        """The runs, seed by seed, so that early runs of a trial show every scenario; yields what is wrong."""
        files: dict[Path, None] = {}
        for index, glob in enumerate(globs):
            try:
                found = [Path(glob)] if Path(glob).is_absolute() else sorted(self.folder.glob(glob))
            except (
                ValueError,
                NotImplementedError,
                OSError,
            ):  # of an empty pattern, or one that no file could be called
                found = []
            if not found:
                yield (*keys, index), f"found {glob!r}, which no file in {self.folder} matches; expected scenarios"
            files |= dict.fromkeys(each.resolve() for each in found)
        try:
            tasks = plan(files, (), [str(seed) for seed in seeds], self.allowed)
        except BadInput as error:
            for told in error.faults:
                yield keys, told
            return []
        return [task for seed in dict.fromkeys(seeds) for task in tasks if task.seed == seed]

    def _seen_twice(self) -> Iterator[Fault]:
        both = {_run(task) for task in self.training} & {_run(task) for task in self.held_out}
        for file, seed in sorted(both):
            told = f"{Path(file).name} with seed {seed} is played in tuning too; expected runs that tuning never sees"
            yield ("hold_out", "seeds"), told

    def _measures(self, settings: SpaceSettings) -> Iterator[Fault]:
        scenarios = {task.scenario.file: task.scenario for task in (*self.training, *self.held_out)}
        for index, objective in enumerate(settings.objectives):
            for file, scenario in scenarios.items():
                try:
                    lookup(objective.measure, known_measures(scenario.settings.models))
                except ExpectationError as error:
                    yield ("objectives", index, "measure"), f"{error} (in {Path(file).name})"
                    break
        for measure, count in Counter(each.measure for each in settings.objectives).items():
            if count > 1:
                yield ("objectives",), f"found {measure!r} {count} times; expected it once"


def _run(task: Task) -> tuple[str, int]:
    return task.scenario.file, task.seed


def _choice_faults(settings: SpaceSettings) -> Iterator[Fault]:
    known, choose = [each.measure for each in settings.objectives], settings.choose
    for key, measure in (("least", choose.least), ("most", choose.most)):
        if measure is not None and measure not in known:
            yield ("choose", key), f"found {measure!r}; expected one of the objectives: {', '.join(known)}"
    for index, text in enumerate(choose.where):
        try:
            measure = Condition.parse(text).measure
        except ExpectationError as error:
            yield ("choose", "where", index), str(error)
            continue
        if measure not in known:
            yield ("choose", "where", index), f"found {measure!r}; expected one of the objectives: {', '.join(known)}"


# -- places in a list of policies --------------------------------------------------------------------------------


def _plain(policies: Sequence[PolicySettings]) -> list[Any]:
    return [deepcopy(each.model_dump(mode="json", exclude_defaults=True)) for each in policies]


def _refused(plain: list[Any], allowed: Packages) -> str | None:
    """Why no agent can be made of these policies."""
    try:
        build_core(Settings.model_validate({"policies": plain}), allowed=allowed)
    except AssemblyError as error:
        return str(error.__cause__ or error)
    return None


def _found(plain: list[Any], path: str) -> Keys:
    """Where `path` leads. Raises LookupError."""
    match = PATH.match(path)
    if match is None:
        raise LookupError("expected a path such as policies[0].target or target_utilization.target")
    name, index, rest = match.groups()
    steps = [key or int(place) for key, place in STEP.findall(rest)]
    if name == "policies" and index:
        head: Keys = (int(index[1:-1]),)
        if head[0] >= len(plain):
            raise LookupError(f"there are {len(plain)} policies, the first of them policies[0]")
    else:
        head = _of_name(plain, name)
    keys = (*head, *steps)
    place = _around(plain, keys)
    if not isinstance(place, dict | list) or (isinstance(place, list) and keys[-1] not in range(len(place))):
        raise LookupError("leads nowhere in the policies")
    return keys


def _of_name(plain: list[Any], name: str) -> Keys:
    found = list(_named(plain, name, ()))
    if len(found) != 1:
        names = ", ".join(f"policies[{n}] is {each['use']}" for n, each in enumerate(plain))
        count = "several policies are" if found else "no policy is"
        raise LookupError(f"{count} called {name!r}; expected a path from policies[N] on: {names}")
    return found[0]


def _named(place: Any, name: str, keys: Keys) -> Iterator[Keys]:
    if isinstance(place, dict):
        if place.get("use") == name:
            yield keys
        for key, value in place.items():
            yield from _named(value, name, (*keys, key))
    elif isinstance(place, list):
        for index, value in enumerate(place):
            yield from _named(value, name, (*keys, index))


def _around(plain: list[Any], keys: Keys) -> Any:
    """What holds the last of `keys`; None where they lead nowhere."""
    place: Any = plain
    for key in keys[:-1]:
        try:
            place = place[key]
        except (LookupError, TypeError):
            return None
    return place


def _put(plain: list[Any], keys: Keys, value: Any) -> None:
    _around(plain, keys)[keys[-1]] = value
