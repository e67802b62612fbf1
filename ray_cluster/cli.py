"""Commands that need a cluster: run, stop, status, doctor."""

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Column, Table

from agent.advice import advice
from agent.cli import (
    HERE,
    AllowImports,
    JournalOption,
    JsonOption,
    absolute,
    advise,
    journal_of,
    loaded,
    packages_allowed,
    person,
    record_at,
    wide,
)
from agent.journal.controls import said as control
from agent.journal.record import Kind
from agent.ports import JournalUnavailable
from agent.settings import Settings
from agent.standing import from_journal
from agent.tables import standing_page
from agent.terminal import Terminal, styled
from agent.units import duration, moment
from agent.words import counted
from policies.observation import Controls
from ray_cluster import notifier
from ray_cluster.demo.terminal import kept_clean

if TYPE_CHECKING:
    from agent.journal.store import SqlJournal

console = Terminal()
KNOCK_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 60.0
STARTING = "starting"
"""What an agent waits for until its first tick is over."""
FIRST_TICK_S = 60.0
"""An agent whose first tick is not over so long after it was due is late."""
TOKEN_REFUSED = ("authtoken", "unauthenticated", "authenticationerror", "authentication token")
"""What Ray says, in lower case, where a token is missing or is not the cluster's."""
STOP_TIMEOUT_S = 10.0
"""An agent that does not answer is stopped after so long."""
errors = Terminal(stderr=True)
File = Annotated[Path, typer.Argument(help="The configuration.")]
Check = tuple[str, bool, str]


def register(app: typer.Typer) -> None:
    """Add this world's commands to the command line."""
    app.command()(run)
    app.command()(stop)
    app.command()(status)
    app.command()(doctor)


def run(
    file: File = HERE,
    replace: Annotated[bool, typer.Option("--replace", help="End the agent of that name that runs already.")] = False,
    allow_imports: AllowImports = None,
) -> None:
    """Start the agent on the cluster at RAY_ADDRESS, as a detached actor, and return. What was killed or frozen stays so."""
    allowed = packages_allowed(allow_imports)
    settings = loaded(file, allowed)
    advise(settings)
    _connect(settings)
    from ray_cluster.agents import AgentRuns, find_agent, start_agent  # noqa: PLC0415 - Ray takes seconds to import

    folder = str(file.absolute().parent)
    journal = journal_of(settings, folder)
    there = find_agent(settings.name)
    if there is not None and not replace:
        _runs_already(settings, _told(there))
    _alone_with(journal, settings)
    journal.append([(Kind.CONTROL, time.time(), control("run", by=person()))], durable=True)
    try:
        actor = start_agent(settings, dashboard_url(settings), folder, allowed, replace=replace)
    except AgentRuns:
        _runs_already(settings, None)
    if _told(actor) is None:
        errors.print(f"the agent {settings.name!r} does not come up; see the logs of Ray", style="red")
        raise typer.Exit(1)
    console.print(f"the agent {settings.name!r} runs; its journal is {journal.name}", soft_wrap=True)
    for hint in (*_kept_back(journal.controls(time.time())), *_unwell(settings)):
        console.print(hint, style="yellow", soft_wrap=True)


def _runs_already(settings: Settings, told: dict[str, Any] | None) -> NoReturn:
    """Say which agent has the name, and what can be done. Exits with 1."""
    whose = f"; it was started from {told.get('folder')}, and its journal is {told.get('journal')}" if told else ""
    errors.print(
        f"an agent {settings.name!r} runs already on this cluster{whose}. Nothing was changed. `homeostat run --replace` ends it "
        "and starts this one; two agents side by side need two names (`name:` in the configuration) and two journals (`journal.url`).",
        style="red",
        soft_wrap=True,
    )
    raise typer.Exit(1)


def _alone_with(journal: "SqlJournal", settings: Settings) -> None:
    """Exits with 2 where an agent of another name that runs on the cluster writes to `journal`: it would never act again."""
    from agent.journal.store import same_journal  # noqa: PLC0415
    from ray_cluster.agents import other_agents  # noqa: PLC0415

    began = journal.last(Kind.STARTED)
    last_name = (began.payload.get("settings") or {}).get("name") if began is not None else None
    for name, actor in other_agents(settings.name).items():
        told = _told(actor, STOP_TIMEOUT_S)
        # Of one that does not answer now, the journal itself says whether it was the last to begin with it.
        if same_journal(told["journal"], journal.name) if told is not None else name == last_name:
            _taken(settings, name, journal.name, told)


def _taken(settings: Settings, holder: str, journal: str, told: dict[str, Any] | None) -> NoReturn:
    whence = f", started from {told.get('folder')}," if told is not None else ""
    errors.print(
        f"the agent {holder!r}{whence} runs with this journal, {journal}, and a journal is of one agent: it would never act again. "
        f"Nothing was changed. Give {settings.name!r} a journal of its own (`journal.url` in the configuration), or end {holder!r} first "
        "with `homeostat stop` and its configuration.",
        style="red",
        soft_wrap=True,
    )
    raise typer.Exit(2)


def _kept_back(controls: Controls) -> Iterator[str]:
    """Why an agent that runs does nothing, and what to do about it."""
    if controls.killed:
        yield "the kill switch is on, so it decides nothing; `homeostat resume` lets it decide again"
    if controls.frozen:
        yield "all changes are frozen, so it only watches; `homeostat unfreeze` lets changes happen again"


def _unwell(settings: Settings) -> Iterator[str]:
    """What the doctor finds with one question to Serve, in a line; the agent runs all the same, and sees it when it is mended."""
    found = [f"{name}: {detail}" for name, good, detail in _application_checks(settings) if not good]
    if found:
        yield f"`homeostat doctor` finds {counted(len(found), 'problem')}: {'; '.join(found)}"


def stop(
    file: File = HERE,
    force: Annotated[
        bool, typer.Option("--force", help="Also an agent of that name that has another journal.")
    ] = False,
) -> None:
    """End the agent. The models serve on, and open canaries go back to the champion."""
    settings = loaded(file, built=False)
    _connect(settings)
    from agent.journal.store import journal_name  # noqa: PLC0415
    from ray_cluster.agents import find_agent, stop_agent  # noqa: PLC0415
    from ray_cluster.places import rooted  # noqa: PLC0415

    folder = str(file.absolute().parent)
    there = find_agent(settings.name)
    told = _told(there, STOP_TIMEOUT_S) if there is not None else None
    another = told is not None and told.get("journal") != journal_name(rooted(settings, folder).journal.url)
    if told is not None and another and not force:
        errors.print(
            f"the agent {settings.name!r} on this cluster is another one: it was started from {told.get('folder')}, and its journal is "
            f"{told.get('journal')}. Nothing was changed. Call `homeostat stop` there, or `homeostat stop --force` here.",
            style="red",
            soft_wrap=True,
        )
        raise typer.Exit(1)
    stopped = stop_agent(settings.name)
    console.print(f"the agent {settings.name!r} {'is stopped' if stopped else 'was not running'}")
    if stopped and not another:
        # After the fact: a journal that is away must not keep anybody from stopping the agent.
        journal = journal_of(settings, folder)
        journal.append([(Kind.CONTROL, time.time(), control("stop", by=person()))], durable=True)


def status(
    file: File = HERE,
    journal: JournalOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again at every tick, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What the agent and its models are doing now: from the agent, or where it can not be asked (or with --journal) from the journal."""
    if watch:
        _watch(file, journal, as_json=as_json)
        return
    told = _looked(file, journal)
    _show(told, as_json=as_json)
    raise typer.Exit(0 if journal or _goes_on(told) else 1)


def _goes_on(told: Mapping[str, Any]) -> bool:
    """Whether an agent acts, or is on its way to its first tick and not late."""
    if told["waiting_for"] == STARTING:
        return time.time() - told["waiting_since_s"] < told.get("tick_s", 0.0) + FIRST_TICK_S
    return bool(told["running"]) and not told["waiting_for"]


def _watch(file: Path, journal: str | None, *, as_json: bool) -> None:
    every_s = 5.0 if journal else loaded(file, built=False).tick_s
    try:
        if as_json:
            while True:
                _show(_looked(file, journal), as_json=True)
                time.sleep(every_s)
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(_page(_looked(file, journal)), refresh=True)
                time.sleep(every_s)
    except KeyboardInterrupt:
        return


def _show(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told))
    else:
        wide().print(_page(told))


def _page(told: dict[str, Any]) -> Group:
    now_s = time.time()
    state = "running" if told["running"] else "not running"
    if told["waiting_for"] == STARTING:
        state = STARTING
    elif told["waiting_for"]:
        state = f"waits for {told['waiting_for']}, since {moment(told['waiting_since_s'])} UTC"
    if told["source"] == "journal":
        state = "as its journal says"
    head = f"{told['name']}: {state}"
    if told["ticks"] is not None:
        head += f", {counted(told['ticks'], 'tick')}"
    if told.get("seen_at_s") is not None:
        head += f", last tick {moment(told['seen_at_s'])} UTC ({duration(max(0.0, now_s - told['seen_at_s']))} ago)"
    notes = [styled(told["note"], "yellow")] if told["note"] else []
    notes += [styled(f"look again at {sentence}", "yellow") for sentence in told["advice"]]
    return Group(styled(head, "bold"), *notes, *([standing_page(told, now_s)] if "deployments" in told else []))


def _looked(file: Path, journal: str | None) -> dict[str, Any]:
    """How things stand and who says so. Exits with 2 where neither an agent nor a journal can be asked."""
    if journal is not None:
        return {**_by_journal(journal, ""), "advice": []}
    settings = loaded(file, built=False)
    return {**_asked(settings, file.absolute().parent), "advice": list(advice(settings))}


def _asked(settings: Settings, folder: Path) -> dict[str, Any]:
    """What the agent of `settings` says, or else its journal, whose relative path begins in `folder`."""
    away = _joined(settings)
    told, note = (None, away) if away else _by_agent(settings)
    if told is None:
        errors.print(note, style="red", soft_wrap=True)
        place = absolute(settings.journal.url, folder)
        try:
            return _by_journal(place, "it can not be asked; this is what it wrote down last")
        except typer.Exit as error:
            raise typer.Exit(2 if away else 1) from error
    found = told["standing"] or {"name": told["name"]}
    head = {name: told[name] for name in ("running", "waiting_for", "waiting_since_s", "ticks")}
    note = "" if told["standing"] else _to_be_kept_back(settings, folder)
    return {"source": "agent", **head, "note": note, "tick_s": settings.tick_s, **found}


def _to_be_kept_back(settings: Settings, folder: Path) -> str:
    """What an agent that has not looked yet will find in its journal; nothing where that can not be read here."""
    try:
        return "; ".join(_kept_back(journal_of(settings, folder, "read").controls(time.time())))
    except JournalUnavailable:
        return ""


def _by_agent(settings: Settings) -> tuple[dict[str, Any] | None, str]:
    """What the agent says of itself; None, and why, where it says nothing."""
    from ray_cluster.agents import find_agent  # noqa: PLC0415

    actor = find_agent(settings.name)
    if actor is None:
        return None, f"the agent {settings.name!r} is not running; `homeostat run` starts it"
    told = _told(actor)
    return told, f"the agent {settings.name!r} does not answer; Ray may be restarting it"


def _by_journal(place: str, note: str) -> dict[str, Any]:
    found = from_journal(record_at(None, place), time.time())
    head = {"running": False, "waiting_for": "", "waiting_since_s": None, "ticks": None}
    if found is None:
        return {"source": "journal", **head, "note": "no agent has begun with this journal yet", "name": "homeostat"}
    return {"source": "journal", **head, "note": note, **found}


def _told(actor: Any, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any] | None:
    """What the agent says of itself; None where it does not answer."""
    import ray  # noqa: PLC0415

    try:
        told: dict[str, Any] = ray.get(actor.status.remote(), timeout=timeout_s)
    except ray.exceptions.RayError:
        return None
    return told


def doctor(file: File = HERE, allow_imports: AllowImports = None) -> None:
    """Check everything that the agent needs, and say how to mend what is broken."""
    settings = loaded(file, packages_allowed(allow_imports))
    checks = list(_checks(settings, str(file.absolute().parent)))
    table = Table("check", "", Column("detail", overflow="fold"))
    for name, good, detail in checks:
        table.add_row(name, styled("ok", "green") if good else styled("problem", "red"), detail)
    wide().print(table)
    advise(settings)
    raise typer.Exit(0 if all(good for _, good, _ in checks) else 1)


def dashboard_url(settings: Settings) -> str:
    """Where the dashboard of the connected cluster listens; 127.0.0.1:8265 where Ray does not tell."""
    if settings.cluster.dashboard_url:
        return settings.cluster.dashboard_url
    from ray._private.worker import global_worker  # noqa: PLC0415

    node = getattr(global_worker, "node", None)
    told = getattr(node, "webui_url", None) or getattr(node, "address_info", {}).get("webui_url")
    return f"http://{told}" if told else "http://127.0.0.1:8265"


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at `host:port`. Ray itself would try for minutes before it says so."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_TIMEOUT_S).close()


def _connect(settings: Settings) -> None:
    """Join the cluster. Exits with 2 where there is none."""
    away = _joined(settings)
    if away:
        errors.print(away, style="red", soft_wrap=True)
        raise typer.Exit(2)


def _joined(settings: Settings) -> str:
    """Join the cluster; why that can not be and what to do, where it can not."""
    import ray  # noqa: PLC0415

    if ray.is_initialized():
        return ""
    address = os.environ.get("RAY_ADDRESS") or settings.cluster.address
    with TemporaryDirectory() as folder:
        log = Path(folder) / "ray.log"
        try:
            _knock(address)
            with kept_clean(log):
                ray.init(address=address, namespace="homeostat", log_to_driver=False, configure_logging=False)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            printed = log.read_text(errors="replace") if log.exists() else ""
            return _no_ray(address, error, printed)
    return ""


def _no_ray(address: str, error: Exception, printed: str) -> str:
    """Why the cluster can not be joined and what to do. `printed` is what Ray said meanwhile, since its error may not name the cause."""
    if not any(word in f"{type(error).__name__} {error} {printed}".lower() for word in TOKEN_REFUSED):
        return f"there is no Ray at {address!r} ({error}). Start one with `ray start --head`, or set RAY_ADDRESS."
    return (
        f"the Ray at {address!r} does not take this terminal's token. Set RAY_AUTH_TOKEN here as in the terminal where Ray was started "
        "(and RAY_AUTH_MODE, where it is set there)."
    )


def _checks(settings: Settings, folder: str) -> Iterator[Check]:
    yield "python", sys.version_info >= (3, 11), sys.version.split()[0]
    free_gb = shutil.disk_usage(folder).free / 1e9
    yield "disk", free_gb > 1.0, f"{free_gb:.0f} GB free for journal and data log"
    if settings.notify:
        yield _checked("notify", lambda: notifier.build(settings.notify) and "every variable holds a URL")
    yield _checked("journal", lambda: _journal_words(settings, folder))
    away = _joined(settings)
    if away:
        yield "ray", False, away
        return
    yield "ray", True, "connected"
    yield from _serve_checks(settings)
    for name in settings.models:
        yield _checked(f"registry: {name}", lambda name=name: _champion_words(settings, name))


def _journal_words(settings: Settings, folder: str) -> str:
    """Which journal it is. Raises JournalUnavailable."""
    from agent.journal.schema import NothingThere  # noqa: PLC0415

    try:
        return journal_of(settings, folder, "read").name
    except NothingThere as error:
        return f"{error}; `homeostat run` makes it"


def _serve_checks(settings: Settings) -> Iterator[Check]:
    applications = list(_application_checks(settings))
    yield from applications
    if applications[0][1]:
        yield _metrics_check()


def _application_checks(settings: Settings) -> Iterator[Check]:
    """Serve itself first, then what the settings name of it."""
    from ray_cluster.serve_rest import ServeAway, ServeRest  # noqa: PLC0415
    from ray_cluster.translate import deployments  # noqa: PLC0415

    url = dashboard_url(settings)
    try:
        details = ServeRest(url).details()
        found = deployments(details)
    except ServeAway as error:
        yield "serve", False, f"{error}; is the dashboard at {urlsplit(url).netloc}? set cluster.dashboard_url"
        return
    yield "serve", True, f"{len(found)} deployments at {url}"
    for name in settings.deployments:
        if name not in found:
            yield f"deployment {name}", False, f"Serve does not have it; it has {', '.join(found) or 'none'}"
        elif not found[name].scalable:
            yield f"deployment {name}", False, "set `external_scaler_enabled: true` on its application"
        else:
            yield f"deployment {name}", True, found[name].status.value
    yield from _stranger_checks(settings, details)


def _stranger_checks(settings: Settings, details: Mapping[str, Any]) -> Iterator[Check]:
    """Applications of somebody else under the names of managed models and of their challengers."""
    from ray_cluster import names  # noqa: PLC0415
    from ray_cluster.managed import application_name, not_ours  # noqa: PLC0415

    for name, model in settings.models.items():
        for suffix in ("", names.CHALLENGER_SUFFIX):
            objection = not_ours(details, application_name(name, model) + suffix, name)
            if objection is not None:
                yield f"model {name}", False, f"{objection}; rename it, or set models.{name}.application"


def _metrics_check() -> Check:
    from ray_cluster.prometheus import (  # noqa: PLC0415
        MetricsAway,
        ServeMetrics,
        metrics_addresses,
    )

    metrics = ServeMetrics(metrics_addresses)
    try:
        metrics.read(time.time())
    except MetricsAway as error:
        return "metrics", False, str(error)
    if metrics.away:
        return "metrics", False, f"not on every node, so that no load is known: {'; '.join(metrics.away)}"
    return "metrics", True, "readable"


def _champion_words(settings: Settings, name: str) -> str:
    from ray_cluster.registry import MlflowRegistry  # noqa: PLC0415

    champion = MlflowRegistry(settings.registry.tracking_uri, settings.registry.artifact_location).view(name).champion
    return f"champion is version {champion.number}" if champion else "no champion yet: register a first version"


def _checked(name: str, look: Any) -> Check:
    try:
        return name, True, str(look())
    except Exception as error:  # whatever is broken, the doctor goes on to the next check
        kind = "" if isinstance(error, JournalUnavailable) else f"{type(error).__name__}: "
        return name, False, f"{kind}{error}"
