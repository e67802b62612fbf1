"""The `homeostat` command: what needs only a configuration or a journal. Worlds add their own commands through entry points.

Exit codes: 0 all is well, 1 a check failed, 2 bad input.
"""

import getpass
import json
import math
import os
import time
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from agent import history
from agent.advice import advice
from agent.assembly import AssemblyError
from agent.history import Story
from agent.journal.controls import Word
from agent.journal.controls import said as control
from agent.journal.export import export
from agent.journal.forms import newest
from agent.journal.record import Chain, Kind, UnreadableEntry, reading, verify
from agent.journal.replay import Replay
from agent.journal.replay import replay as replay_entries
from agent.journal.warm_start import BeginsTooLate
from agent.logs import configure
from agent.ports import JournalUnavailable
from agent.redaction import redacted_url
from agent.settings import Settings
from agent.settings_file import SettingsError, load, schema
from agent.tables import alerts_table, evidence_table, orders_table, plan_table
from agent.terminal import Terminal, forgiving
from agent.units import before, duration, moment
from agent.words import action_words, one_line, order_words
from policies.imports import OPTION, Packages, packages

if TYPE_CHECKING:
    from agent.journal.export import ExportedJournal
    from agent.journal.sqlite_file import Use
    from agent.journal.store import SqlJournal

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="An autonomous control-loop agent for models on Ray.",
    pretty_exceptions_show_locals=False,  # a URL with a password may be among them
)
config_app = typer.Typer(no_args_is_help=True, help="Check a configuration, or print its schema.")
journal_app = typer.Typer(no_args_is_help=True, help="Check the record, or write it out.")
app.add_typer(config_app, name="config")
app.add_typer(journal_app, name="journal")
console = Terminal()
errors = Terminal(stderr=True)

_installed: list[EntryPoint] = []
"""Worlds whose commands were added."""
LOG_WIDTH = 200
EMPTY = "the journal is empty: no agent has written to it yet"
HERE = Path("homeostat.yaml")
SQLITE = "sqlite:///"
JOURNAL_VARIABLE = "HOMEOSTAT_JOURNAL"
JournalOption = Annotated[
    str | None,
    typer.Option(
        "--journal",
        help="Database URL or SQLite file; else HOMEOSTAT_JOURNAL, else the one that homeostat.yaml here names.",
    ),
]
JournalFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="The journal: SQLite file, database URL, or a .jsonl that `homeostat journal export` wrote; else --journal.",
    ),
]
"""On every command that reads a journal, beside `JournalOption`; see `record_at`."""
SinceOption = Annotated[
    str, typer.Option("--since", help="So long ago (30min, 2h, 3d), or a date in UTC (2026-02-12, 2026-02-12T08:33).")
]
AllowImports = Annotated[
    list[str] | None,
    typer.Option(
        OPTION,
        metavar="PACKAGE",
        help="Let files name classes of this package by import path (package.module:Class), which runs its code. Given again: of several.",
    ),
]
"""On every command that builds what a file names; see `packages_allowed`."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]


def main() -> None:
    """Entry point of the command."""
    forgiving()
    configure()
    try:
        whole()()
    except JournalUnavailable as error:
        errors.print(f"the journal can not be used: {error}", style="red")
        raise SystemExit(2) from error


def finite(value: float | None) -> float | None:
    """A callback for options that are numbers: what is infinite or none, such as 1e400, is refused."""
    if value is None or math.isfinite(value):
        return value
    raise typer.BadParameter("expected a finite number")


def whole() -> typer.Typer:
    """The command line with the commands of every world that is installed."""
    if not _installed:
        _installed.extend(entry_points(group="homeostat.commands"))
        for entry in _installed:
            entry.load()(app)
    return app


def record_at(file: str | None, journal: str | None) -> "SqlJournal | ExportedJournal":
    """The journal that a command reads, named as FILE or by --journal, in which nothing is changed; exits with 2 where there is none."""
    from agent.journal.export import SUFFIX, ExportedJournal  # noqa: PLC0415
    from agent.journal.schema import NoJournal  # noqa: PLC0415

    if file and journal and file != journal:
        _away(f"two journals are named, {redacted_url(file)} and {redacted_url(journal)}; expected one")
    place = file or journal
    if place is None or not place.endswith(SUFFIX):
        return journal_at(place, "read")
    try:
        return ExportedJournal(Path(place))
    except NoJournal as error:
        _away(str(error))


def journal_at(place: str | None, use: "Use" = "write") -> "SqlJournal":
    """The journal at a URL or in an SQLite file that is there already; exits with 2 where there is none, and changes nothing there."""
    from agent.journal.schema import NoJournal  # noqa: PLC0415
    from agent.journal.store import SqlJournal  # noqa: PLC0415 - databases take long to import, and not every command reads one

    named = place or os.environ.get(JOURNAL_VARIABLE) or _named_here()
    path = named.removeprefix(SQLITE)
    try:
        return SqlJournal(named if "://" in path else f"{SQLITE}{Path(path).absolute()}", use)
    except NoJournal as error:
        _away(f"{redacted_url(path)}: {error.reason}; give --journal or set {JOURNAL_VARIABLE}")


def _away(told: str) -> NoReturn:
    errors.print(told, style="red", soft_wrap=True)
    raise typer.Exit(2)


def journal_of(settings: Settings, folder: str | Path, use: "Use" = "make") -> "SqlJournal":
    """The journal as the agent sees it: relative paths begin in `folder`, that of the configuration. Raises JournalUnavailable."""
    from agent.journal.store import SqlJournal  # noqa: PLC0415

    return SqlJournal(absolute(settings.journal.url, folder), use)


def absolute(url: str, folder: str | Path) -> str:
    """The URL of a journal whose relative path begins in `folder`."""
    path = url.removeprefix(SQLITE)
    return f"{SQLITE}{Path(folder) / path}" if path != url else url


def _named_here() -> str:
    """The journal of the configuration in this folder, or homeostat.db where there is no configuration."""
    if not HERE.exists():
        return "homeostat.db"
    return absolute(loaded(HERE, built=False).journal.url, HERE.absolute().parent)


def packages_allowed(names: list[str] | None) -> Packages:
    """What `--allow-imports` says; exits with 2 where that can not be the name of a package."""
    try:
        return packages(names or ())
    except ValueError as error:
        errors.print(str(error), style="red", soft_wrap=True)
        raise typer.Exit(2) from error


def loaded(file: Path, allowed: Packages = (), *, built: bool = True) -> Settings:
    """The settings in `file`; exits with 2 and says everything that is wrong with them.

    `allowed` are the packages whose classes may be named by import path. What they name is not looked up without `built`, for commands
    that need none of it: nobody is kept from stopping an agent by a policy that can not be built here.
    """
    try:
        return load(file, allowed=allowed, built=built)
    except SettingsError as error:
        errors.print(str(error), style="red", soft_wrap=True)
        raise typer.Exit(2) from error


def advise(settings: Settings) -> None:
    """Say what of the settings is allowed and hardly meant."""
    for sentence in advice(settings):
        errors.print(sentence, style="yellow", soft_wrap=True)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"homeostat {version('homeostat')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


@config_app.command("validate")
def config_validate(file: Path, allow_imports: AllowImports = None) -> None:
    """Say everything that is wrong with FILE, or that nothing is."""
    settings = loaded(file, packages_allowed(allow_imports))
    advise(settings)
    counted = (
        f"{len(settings.deployments)} deployments, {len(settings.models)} models, {len(settings.policies)} policies"
    )
    console.print(f"{file}: valid ({counted})")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration."""
    typer.echo(json.dumps(schema(), indent=2))


@journal_app.command("verify")
def journal_verify(file: JournalFile = None, journal: JournalOption = None, as_json: JsonOption = False) -> None:
    """Check that no entry was changed, dropped, added or moved. An empty journal has none, and exits with 0, too."""
    from agent.journal.schema import NewerTables  # noqa: PLC0415

    try:
        result = verify(record_at(file, journal).entries())
    except NewerTables as error:
        errors.print(f"the journal can not be checked: {error}", style="red", soft_wrap=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(
            json.dumps({"entries": result.entries, "ok": result.ok, "head": result.head, "reason": result.reason})
        )
    elif result.ok and not result.entries:
        console.print(f"0 entries: {EMPTY}")
    elif result.ok:
        console.print(f"{result.entries} entries, unbroken; head {result.head}")
    else:
        errors.print(
            f"entry {result.bad_seq}: {result.reason} ({result.entries} entries before it are good)", style="red"
        )
    raise typer.Exit(0 if result.ok else 1)


@journal_app.command("export")
def journal_export(target: Path, file: JournalFile = None, journal: JournalOption = None) -> None:
    """Write every entry to TARGET as JSON lines, which can be verified without a database."""
    try:
        count = export(record_at(file, journal).entries(), target)
    except OSError as error:
        errors.print(f"{target}: can not be written: {error.strerror}", style="red", soft_wrap=True)
        raise typer.Exit(2) from error
    console.print(f"{count} entries written to {target}")


@app.command()
def replay(
    file: JournalFile = None,
    journal: JournalOption = None,
    allow_imports: AllowImports = None,
    as_json: JsonOption = False,
) -> None:
    """Feed a journal's observations to a fresh agent and check that it decides the same, byte for byte, and that the chain is unbroken."""
    record, chain = record_at(file, journal), Chain()
    try:
        result = replay_entries(chain.through(record.entries()), packages_allowed(allow_imports))
    except (AssemblyError, BeginsTooLate, UnreadableEntry) as error:
        errors.print(f"{redacted_url(file or record.name)} can not be replayed: {error}", style="red", soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps({
            "ticks": result.ticks, "identical": result.identical, "seq": result.seq, "chain": chain.reason or "unbroken"
        }))  # fmt: skip
    else:
        _tell_replay(result, chain)
    raise typer.Exit(0 if result.identical and not chain.reason else 1)


def _tell_replay(result: Replay, chain: Chain) -> None:
    if result.identical:
        ticks = "nothing was observed yet" if chain.entries else EMPTY
        console.print(f"{result.ticks} ticks, decided identically" if result.ticks else f"0 ticks: {ticks}")
    else:
        errors.print(f"entry {result.seq} was decided differently", style="red")
        for title, lines in (("recorded", result.recorded), ("replayed", result.replayed)):
            errors.print(f"{title}:", *lines, sep="\n  ", soft_wrap=True)
    if chain.reason:
        errors.print(f"the chain is broken, so this is not what was written: {chain.reason}", style="red")


@app.command()
def orders(
    file: JournalFile = None, since: SinceOption = "1d", journal: JournalOption = None, as_json: JsonOption = False
) -> None:
    """List the orders of the last day, or since when you say: what, why, and what became of each."""
    since_s = _since(since)
    found = history.orders(record_at(file, journal).entries(since_s=since_s, kinds=history.ORDER_KINDS))
    if as_json:
        typer.echo(json.dumps([each.plain() for each in found], indent=2))
    elif found:
        terminal = wide()
        terminal.print(orders_table(found, f"orders since {moment(since_s)} UTC", terminal.width))
    else:
        console.print(f"no order since {moment(since_s)} UTC; --since looks further back")


@app.command()
def alerts(
    file: JournalFile = None, since: SinceOption = "1d", journal: JournalOption = None, as_json: JsonOption = False
) -> None:
    """List the alerts of the last day, or since when you say."""
    since_s = _since(since)
    found = history.alerts(record_at(file, journal).entries(since_s=since_s, kinds=history.ALERT_KINDS))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif found:
        wide().print(alerts_table(found, f"alerts since {moment(since_s)} UTC"))
    else:
        console.print(f"no alert since {moment(since_s)} UTC; --since looks further back")


@app.command()
def why(
    order: Annotated[int, typer.Argument(help="Number of the order.")],
    file: JournalFile = None,
    journal: JournalOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell why ORDER was given or is waiting, what it wants, and what became of it."""
    record = record_at(file, journal)
    story = history.story(record, order)
    if story is None:
        last = newest(record, Kind.INTENT)
        there = f"the last that was given is {last.payload['number']}" if last else "none was given yet"
        errors.print(f"there is no order {order} in this journal; {there} (`homeostat orders`)", style="red")
        raise typer.Exit(2)
    if as_json:
        typer.echo(json.dumps(story.plain(), indent=2))
    else:
        _tell(story)


def _tell(story: Story) -> None:
    payload, asked = story.order, "asked for" if story.waited else "given"
    console.print(f"Order {story.number}: {order_words(payload)}", style="bold", soft_wrap=True)
    console.print(
        f"{asked} {moment(story.at_s)} UTC by policy {payload.get('policy', '')}, entry {story.seq} of the journal"
    )
    console.print(evidence_table(payload))
    if payload.get("inverse") is not None:
        console.print(f"undone by: {action_words(payload['inverse'])}", soft_wrap=True)
    for at_s, word, detail in story.steps:
        console.print(f"{moment(at_s)}  {word}{f': {one_line(detail)}' if detail else ''}", soft_wrap=True)
    if story.state == history.WAITS:
        console.print(
            f"it waits for a person: `homeostat approve {story.number}` or `homeostat deny {story.number}`",
            style="yellow",
        )
    elif story.ended_s is None:
        console.print(story.state)


def _since(text: str) -> float:
    try:
        return before(text, time.time())
    except ValueError as error:
        errors.print(f"--since: {error}", style="red")
        raise typer.Exit(2) from error


def wide() -> Terminal:
    """The terminal; where nobody watches one, as wide as a log may be, so that nothing is cut off."""
    return console if console.is_terminal else Terminal(width=max(console.width, LOG_WIDTH))


@app.command()
def plan(file: JournalFile = None, journal: JournalOption = None, as_json: JsonOption = False) -> None:
    """What the agent would do if it were allowed to, what it waits for, and what keeps it back, as last written down."""
    entry = newest(record_at(file, journal), Kind.DECIDED)
    payload: dict[str, Any] = dict(entry.payload) if entry else {}
    if as_json:
        typer.echo(json.dumps(payload, indent=2))
        return
    if entry is None:
        console.print("nothing was decided yet")
        return
    console.print(plan_table(payload, entry.at_s))


@app.command()
def approve(order: int, journal: JournalOption = None) -> None:
    """Let the agent do what it asks for."""
    _say(journal, "approve", number_=_waiting(journal, order))


@app.command()
def deny(order: int, journal: JournalOption = None) -> None:
    """Do not let the agent do what it asks for."""
    _say(journal, "deny", number_=_waiting(journal, order))


@app.command()
def freeze(reason: str = "", journal: JournalOption = None) -> None:
    """Change nothing until `unfreeze`; watch and report on."""
    _say(journal, "freeze", reason=reason)


@app.command()
def unfreeze(journal: JournalOption = None) -> None:
    """Let changes happen again."""
    _say(journal, "unfreeze")


@app.command()
def kill(reason: str = "", journal: JournalOption = None) -> None:
    """Stop deciding at once, and forget what is under way, until `resume`; `run` does not take it back."""
    _say(journal, "kill", reason=reason)


@app.command()
def resume(reason: str = "", journal: JournalOption = None) -> None:
    """Take `kill` back: the agent, where one runs, decides again from the next tick on."""
    if not journal_at(journal).controls(time.time()).killed:
        console.print("the kill switch is not on; nothing was written down")
        return
    _say(journal, "resume", reason=reason)


@app.command()
def rollback(model: str, reason: str = "", journal: JournalOption = None) -> None:
    """Take back the running rollout of MODEL, or else its champion."""
    _say(journal, "rollback", model=_managed(journal, model), reason=reason)


@app.command()
def accept(
    model: str,
    reason: str = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    journal: JournalOption = None,
) -> None:
    """Let the files count that the versions of MODEL have now: for a registry that was made anew. Look at the digests first."""
    entry = newest(journal_at(journal), Kind.OBSERVED)
    managed = _managed(journal, model)
    seen = ((entry.payload.get("models") or {}).get(managed) if entry else None) or {}
    versions = [seen.get("champion"), seen.get("previous"), *(seen.get("candidates") or ())]
    digests = {each["number"]: each["digest"] for each in versions if each and {"number", "digest"} <= each.keys()}
    if not digests:
        errors.print(f"the agent has seen no version of {model}", style="red")
        raise typer.Exit(2)
    for number_, digest in digests.items():
        console.print(f"version {number_}  digest {digest}", soft_wrap=True)
    if not yes and not typer.confirm(f"Are these the files of {model}?"):
        raise typer.Exit(1)
    _say(journal, "accept", model=model, reason=reason, digests=digests)


def _managed(journal: str | None, model: str) -> str:
    """`model`, where the agent manages it; exits with 2 where it does not."""
    entry = newest(journal_at(journal), Kind.STARTED)
    managed = sorted((entry.payload.get("settings") or {}).get("models") or ()) if entry else []
    if model not in managed:
        told = ", ".join(managed) or "none"
        errors.print(f"the agent manages no model {model!r}; it manages {told}", style="red")
        raise typer.Exit(2)
    return model


def _waiting(journal: str | None, order: int) -> int:
    """`order`, where it waits for an answer; exits with 2 where it does not, since nobody would ever hear the answer."""
    entry, waiting = journal_at(journal).last(Kind.DECIDED), []
    if entry is not None:
        with reading(entry):  # whatever else an order holds, a person can answer it
            waiting = [row["number"] for row in entry.payload.get("awaiting") or ()]
    if order not in waiting:
        told = ", ".join(map(str, waiting)) or "none does"
        errors.print(f"order {order} does not wait for approval; those that do: {told}", style="red")
        raise typer.Exit(2)
    return order


def person() -> str:
    """Who is at the terminal, for the record; the number of a user who has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _say(
    journal: str | None,
    word: Word,
    *,
    number_: int | None = None,
    model: str | None = None,
    reason: str = "",
    digests: dict[str, str] | None = None,
) -> None:
    said = control(word, by=person(), number=number_, model=model, reason=reason, digests=digests)
    record = journal_at(journal)
    record.append([(Kind.CONTROL, time.time(), said)], durable=True)
    written = f"written down: {word} {number_ or model or ''}".rstrip()
    console.print(f"{written}; {_from_when(record)}", soft_wrap=True)


def _from_when(record: "SqlJournal") -> str:
    """When an agent hears what was just written, by the settings that it began with."""
    try:
        began = record.last(Kind.STARTED)
        tick_s = (began.payload.get("settings") or {}).get("tick_s") if began is not None else None
    except (UnreadableEntry, JournalUnavailable):  # it is written down all the same
        tick_s = None
    return "counts from the agent's next tick" + (
        f", within {duration(tick_s)}" if isinstance(tick_s, float | int) else ""
    )
