"""What the policies of a file are about, by glob or by name, and is not there. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.refusals import alternatives
from agent.settings import PolicySettings
from agent.yaml_nodes import Fault
from policies import registry
from policies.parameters import meant

EVERYTHING = ("*",)
LISTED = 8
"""More names than so many are not listed."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """Names of the deployments and models that a file is about."""

    deployments: Sequence[str]
    models: Sequence[str] = ()

    @property
    def everything(self) -> tuple[str, ...]:
        return (*self.models, *self.deployments)


def unmatched(policies: Iterable[PolicySettings], known: Known) -> Iterator[Fault]:
    """Globs of the policies that match nothing of what is `known`: they are allowed, and hardly meant."""
    for index, entry in enumerate(policies):
        for place, glob in enumerate(entry.targets if entry.targets != EVERYTHING else ()):
            if not _matches(glob, known.everything):
                yield ("policies", index, "targets", place), _told(glob, known.everything)
        for keys, glob in registry.globs(entry.use, entry.parameters):
            among = known.everything if "targets" in keys else known.deployments
            if not _matches(glob, among):
                yield ("policies", index, *keys), _told(glob, among)


def unscheduled(policies: Iterable[PolicySettings], schedules: Mapping[str, str]) -> Iterator[Fault]:
    """Policies that follow a schedule which there is not."""
    for index, entry in enumerate(policies):
        schedule = entry.parameters.get("schedule")
        if schedule is not None and schedule not in schedules:
            names = ", ".join(schedules) or "none"
            yield ("policies", index, "schedule"), f"found {schedule!r}; expected a name under schedules ({names})"


def _matches(glob: str, names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for name in names)


def _told(glob: str, names: Sequence[str]) -> str:
    """What a glob should have matched, and which name it was probably meant to be."""
    return f"{glob!r} matches nothing here, so nothing comes of it; expected a glob over {listed(glob, names, 'names')}"


def listed(wanted: str, names: Sequence[str], many: str) -> str:
    """`names` as a sentence lists them, or how `many` there are, and which of them was probably meant by what was `wanted`."""
    inside = [name for name in names if name.startswith(f"{wanted}/")]
    near = inside[0] if inside else meant(wanted, names)
    hint = f"; did you mean {near!r}?" if near else ""
    few = 0 < len(names) <= LISTED
    return (alternatives(names).removeprefix("one of ") if few else f"{len(names)} {many}") + hint
