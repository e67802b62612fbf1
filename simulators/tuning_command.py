"""`homeostat sim tune`: its words, and what it does. What it needs is imported when it is called.

Exit codes: 0 tuned, 1 no trial could be played whole or the workers are gone, 2 bad input, 130 interrupted.
"""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli import AllowImports, finite, packages_allowed

if TYPE_CHECKING:
    from agent.terminal import Terminal
    from simulators.tuning_outcome import TuningOutcome
    from simulators.tuning_problem import Problem
    from simulators.tuning_workers import Workers

NOTHING, BAD_INPUT, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says, with what SPACE says where it says nothing."""

    storage: str
    trials: int
    timeout_s: float | None
    jobs: int | None
    """None: one for each core."""
    cluster: str
    """Empty: none."""
    policy: Path
    report: Path | None
    json: Path | None
    date: str


def register(app: typer.Typer, sim_app: typer.Typer) -> None:
    """Add `sim tune`."""
    sim_app.command("tune")(sim_tune)


def _print_schema(asked: bool) -> None:
    from simulators.tuning_problem import schema  # noqa: PLC0415

    if asked:
        typer.echo(json.dumps(schema(), indent=2))
        raise typer.Exit


def sim_tune(
    space: Annotated[Path, typer.Argument(metavar="SPACE.yaml", help="What is tuned, over what, and for what.")],
    *,
    trials: Annotated[int | None, typer.Option(min=1, help="So many trials in all; else as SPACE says.")] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout-s", min=0.0, callback=finite, help="Seconds after which no trial goes on."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="So many runs at a time, each in a process; else one for each core.")
    ] = None,
    cluster: Annotated[
        str, typer.Option(metavar="ADDRESS", help='Play the runs on the Ray cluster there; "auto" finds it.')
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the chosen policies here; else to NAME.tuned.yaml.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write an HTML page that needs no network into DIR.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the outcome as JSON.")] = None,
    storage: Annotated[
        str, typer.Option(metavar="URL", help="sqlite:///FILE or journal:///FILE, in place of the one in SPACE.")
    ] = "",
    allow_imports: AllowImports = None,
    date: Annotated[str, typer.Option(metavar="DATE", help="To be written into the policy file; else today.")] = "",
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", callback=_print_schema, is_eager=True, help="Print the JSON Schema of SPACE.yaml and end."
        ),
    ] = False,
) -> None:
    """Tune parameters of policies over scenarios and seeds, and tell what that is worth on a hold-out that tuning never sees.

    A study that was interrupted, or killed, goes on where it stood: call the same command again.
    """
    from agent.terminal import Terminal  # noqa: PLC0415
    from simulators.run_command import Files  # noqa: PLC0415
    from simulators.tuning_problem import located  # noqa: PLC0415

    del schema  # it was answered before anything else was looked at
    errors = Terminal(stderr=True)
    faults = [*Files(json=json_file, report=report).unwritable(), *_unwritable(out)]
    problem = _read(space, allow_imports, faults)
    if storage and storage.partition(":///")[0] not in ("sqlite", "journal"):
        faults.append(f"--storage: found {storage!r}; expected sqlite:///FILE or journal:///FILE")
    if faults or problem is None:
        raise typer.Exit(_refused(faults, errors))
    asked = Asked(
        storage=located(storage, Path.cwd()) if storage else problem.storage,
        trials=trials or problem.settings.trials,
        timeout_s=problem.settings.timeout_s if timeout_s is None else timeout_s,
        jobs=jobs,
        cluster=cluster,
        policy=out or Path(f"{problem.settings.name.replace(' ', '-')}.tuned.yaml"),
        report=report,
        json=json_file,
        date=date or datetime.now(UTC).date().isoformat(),
    )
    raise typer.Exit(_perform(problem, asked, errors))


def _read(space: Path, allow_imports: Any, faults: list[str]) -> "Problem | None":
    """The problem in `space`; None where it has faults, which are added."""
    from simulators.plan import BadInput, importable  # noqa: PLC0415
    from simulators.run_command import own_code  # noqa: PLC0415
    from simulators.tuning_problem import load  # noqa: PLC0415

    allowed = packages_allowed(allow_imports)
    try:
        with importable(own_code(allowed)):
            return load(space, allowed)
    except BadInput as error:
        faults += error.faults
        return None


def _unwritable(out: Path | None) -> Iterator[str]:
    from simulators.run_command import Files  # noqa: PLC0415

    yield from (told.replace("--json", "--out") for told in Files(json=out).unwritable())


def _refused(faults: Any, errors: "Terminal") -> int:
    errors.print("\n".join(faults), style="red", markup=False, highlight=False, soft_wrap=True)
    return BAD_INPUT


def _perform(problem: "Problem", asked: Asked, errors: "Terminal") -> int:
    """Tune, tell, write. Returns the exit code."""
    from simulators.run_command import own_code  # noqa: PLC0415
    from simulators.tuning import Tuning  # noqa: PLC0415
    from simulators.tuning_outcome import concluded  # noqa: PLC0415
    from simulators.tuning_progress import Bar  # noqa: PLC0415
    from simulators.tuning_study import StudyRefused, study_of  # noqa: PLC0415
    from simulators.tuning_workers import WorkersAway  # noqa: PLC0415

    try:
        with (
            _until_interrupted() as stopped,
            study_of(problem, asked.storage) as study,
            _workers(asked.jobs, asked.cluster) as workers,
        ):
            bar = Bar(study, problem, asked.trials, errors)
            tuning = Tuning(
                problem,
                study,
                workers,
                trials=asked.trials,
                timeout_s=asked.timeout_s,
                stopped=stopped,
                watch=bar.watch,
                told=bar.told,
                folder=own_code(problem.allowed),
            )
            try:
                with bar:
                    tuning.before()
                    outcome = concluded(tuning, tuning.run(), storage=asked.storage, date=asked.date)
            except KeyboardInterrupt:
                told = "interrupted: what was played is kept; the same command goes on from here"
                errors.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)
                return INTERRUPTED
            if outcome is None:
                return _nothing(study, errors)
            _tell(outcome, asked, errors)
    except StudyRefused as error:
        return _refused([str(error)], errors)
    except WorkersAway as error:
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return NOTHING
    return 0


def _nothing(study: Any, errors: "Terminal") -> int:
    """Says why no trial was played whole."""
    reasons = [each.user_attrs["why"] for each in study.get_trials(deepcopy=False) if "why" in each.user_attrs]
    told = f"; the last reason: {reasons[-1]}" if reasons else "; expected more time, or more trials"
    errors.print(f"no trial was played whole{told}", style="red", markup=False, highlight=False, soft_wrap=True)
    return NOTHING


def _tell(outcome: "TuningOutcome", asked: Asked, errors: "Terminal") -> None:
    from simulators.tuning_outcome import policy_file, to_json  # noqa: PLC0415
    from simulators.tuning_progress import show  # noqa: PLC0415

    show(outcome)
    asked.policy.write_text(policy_file(outcome), encoding="utf-8")
    errors.print(f"policies: {asked.policy}", markup=False, highlight=False, soft_wrap=True)
    if asked.json is not None:
        asked.json.write_text(f"{json.dumps(to_json(outcome), indent=2, allow_nan=False)}\n", encoding="utf-8")
    if asked.report is not None:
        from simulators.tuning_report import write  # noqa: PLC0415

        errors.print(f"report: {write(outcome, asked.report)}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _workers(jobs: int | None, cluster: str) -> Iterator["Workers"]:
    from simulators.run_command import free_cores  # noqa: PLC0415
    from simulators.tuning_workers import local, on_cluster  # noqa: PLC0415

    workers = on_cluster(cluster) if cluster else local(jobs or free_cores())
    if cluster and jobs is not None:
        workers.count = jobs
    try:
        yield workers
    finally:
        workers.close()


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was heard. The second one ends at once."""
    heard = False

    def hear(number: int, frame: Any) -> None:
        nonlocal heard
        if heard:
            raise KeyboardInterrupt
        heard = True

    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread only
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, hear)
    try:
        yield lambda: heard
    finally:
        signal.signal(signal.SIGINT, before)
