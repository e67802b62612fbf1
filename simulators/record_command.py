"""`homeostat sim record`, and `homeostat replay JOURNAL --policy FILE`. What they do is imported when they are called.

The agent's own `replay`, which checks a journal and needs no world, stays as it is where no `--policy` is given.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from agent.cli import AllowImports, JournalFile, JournalOption, finite, packages_allowed, record_at

if TYPE_CHECKING:
    from agent.journal.export import ExportedJournal
    from agent.journal.store import SqlJournal
    from agent.settings import PolicySettings
    from policies.imports import Packages
    from simulators.recorded.recording import Recording
    from simulators.recorded.scenario import Recorded

MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
BrokenOption = Annotated[
    bool, typer.Option("--broken", help="Also from a journal whose chain is broken; that is said in a note.")
]
FromOption = Annotated[datetime | None, typer.Option("--from", formats=MOMENTS, help="Begin here (UTC).")]
UntilOption = Annotated[datetime | None, typer.Option("--until", formats=MOMENTS, help="End here (UTC).")]


def register(app: typer.Typer, sim_app: typer.Typer) -> None:
    """Add `sim record`, and let `replay` take other policies."""
    from agent import cli  # noqa: PLC0415

    sim_app.command("record")(sim_record)
    app.registered_commands[:] = [each for each in app.registered_commands if each.callback is not cli.replay]
    app.command("replay")(replay)


def sim_record(
    file: JournalFile = None,
    journal: JournalOption = None,
    *,
    out: Annotated[
        Path, typer.Option(metavar="FILE.scenario.yaml", help="Write the scenario here, and its trace beside it.")
    ] = Path("recorded.scenario.yaml"),
    begin: FromOption = None,
    end: UntilOption = None,
    bin_s: Annotated[
        float | None,
        typer.Option(
            min=1.0, callback=finite, help="Width of the trace's bins; else what the telemetry can tell apart."
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Write over files that are there.")] = False,
    broken: BrokenOption = False,
    allow_imports: AllowImports = None,
) -> None:
    """Turn the journal of a real run into a scenario: its traffic, its replicas, its faults, and the agent's settings.

    What is estimated, and what is not known, is said in comments of the file. Exit 2 where the journal holds too little, 1 where its
    chain is broken.
    """
    trace = f"{out.name.removesuffix('.yaml').removesuffix('.scenario')}.csv.gz"
    allowed = packages_allowed(allow_imports)
    there = [str(file) for file in (out, out.parent / trace) if file.exists()]
    if there and not force:
        _refuse(f"{' and '.join(there)}: there already; expected another --out, or --force")
    record = record_at(file, journal)
    name = _shown(file or record.name)
    found = _recorded(name, _recording(record, name, begin, end, broken=broken), trace, bin_s)
    from simulators.recorded.told import told_recorded  # noqa: PLC0415
    from simulators.scenario import ScenarioError  # noqa: PLC0415

    try:
        with TemporaryDirectory(prefix="homeostat-") as folder:
            found.loaded(Path(folder), allowed)
        out.parent.mkdir(parents=True, exist_ok=True)
        found.write(out)
    except ScenarioError as error:
        _refuse(f"{name}: nothing is written, since it could not be played: {error}")
    except OSError as error:
        _refuse(f"{out}: can not be written: {error.strerror}")
    told_recorded(found, out)


def replay(
    file: JournalFile = None,
    journal: JournalOption = None,
    *,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tell what would have happened under the policies in FILE.")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="1,2,3", help="With --policy: simulate from each of these.")] = "1,2,3",
    act: Annotated[
        bool, typer.Option("--act", help="With --policy: both may act, whatever autonomy the journal records.")
    ] = False,
    begin: FromOption = None,
    end: UntilOption = None,
    broken: BrokenOption = False,
    allow_imports: AllowImports = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Feed a journal's observations to a fresh agent and check that it decides the same, byte for byte.

    With --policy: where other policies would have decided differently, and what would have come of it in a simulation of the journal.
    """
    if policy is None:
        from agent import cli  # noqa: PLC0415

        cli.replay(file, journal, allow_imports=allow_imports, as_json=as_json)
        return
    allowed = packages_allowed(allow_imports)
    numbers = list(_numbers(seeds))
    policies = _policies(policy, allowed)
    record = record_at(file, journal)
    name = _shown(file or record.name)
    recording = _recording(record, name, begin, end, broken=broken)
    from agent.assembly import AssemblyError  # noqa: PLC0415
    from agent.journal.record import UnreadableEntry  # noqa: PLC0415
    from agent.journal.warm_start import BeginsTooLate  # noqa: PLC0415
    from simulators.quiet import silenced  # noqa: PLC0415
    from simulators.recorded.counterfactual import play_both  # noqa: PLC0415
    from simulators.recorded.divergence import divergence  # noqa: PLC0415
    from simulators.recorded.recording import RecordingError  # noqa: PLC0415
    from simulators.recorded.told import told_counterfactual  # noqa: PLC0415
    from simulators.scenario import ScenarioError  # noqa: PLC0415

    found = _recorded(name, recording, "recorded.csv.gz", None)
    with silenced():
        try:
            apart = divergence(record.entries(), policies, act=act, until_seq=recording.until_seq, allowed=allowed)
            both = play_both(found, policies, numbers, act=act, allowed=allowed)
        except (AssemblyError, BeginsTooLate, RecordingError, ScenarioError, UnreadableEntry) as error:
            _refuse(f"{name}: {error}")
    told_counterfactual(found, apart, both, policy, as_json=as_json)
    raise typer.Exit(1 if both.own.broken or both.other.broken else 0)


def _numbers(seeds: str) -> Iterator[int]:
    for text in seeds.split(","):
        try:
            yield int(text)
        except ValueError:
            _refuse(f"--seeds: found {text!r}; expected whole numbers, such as 1,2,3")


def _policies(file: Path, allowed: "Packages") -> "tuple[PolicySettings, ...]":
    from simulators.scenario import ScenarioError, load_policies  # noqa: PLC0415

    try:
        return load_policies(file, allowed)
    except ScenarioError as error:
        _refuse(str(error))


def _recording(
    record: "SqlJournal | ExportedJournal", name: str, begin: datetime | None, end: datetime | None, *, broken: bool
) -> "Recording":
    from agent.journal.record import Chain, UnreadableEntry  # noqa: PLC0415
    from agent.ports import JournalUnavailable  # noqa: PLC0415
    from simulators.recorded.recording import RecordingError, read  # noqa: PLC0415

    chain = Chain()
    try:
        found = read(chain.through(record.entries()), from_s=_seconds(begin), until_s=_seconds(end))
    except (RecordingError, UnreadableEntry) as error:
        _refuse(f"{name}: {error}")
    except JournalUnavailable as error:  # it names the place
        _refuse(str(error))
    if not chain.reason:
        return found
    told = f"the chain of the journal is broken, so this is not what was written: {chain.reason}"
    if not broken:
        _refuse(f"{name}: {told}; `homeostat journal verify` tells more, and --broken takes it as it is", 1)
    return replace(found, notes=[told, *found.notes])


def _recorded(name: str, recording: "Recording", trace: str, bin_s: float | None) -> "Recorded":
    from simulators.recorded.scenario import recorded  # noqa: PLC0415

    return recorded(recording, source=name, trace_name=trace, bin_s=bin_s)


def _shown(journal: str) -> str:
    """Without a password that somebody has put into a URL."""
    from agent.redaction import redacted_url  # noqa: PLC0415

    return redacted_url(journal)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


def _refuse(told: str, code: int = 2) -> NoReturn:
    from agent.terminal import Terminal  # noqa: PLC0415

    Terminal(stderr=True).print(told, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
