"""Commands of the simulator: `homeostat sim ...`. What they do is imported when they are called: other commands need not wait for it."""

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from agent.cli import AllowImports, packages_allowed

sim_app = typer.Typer(no_args_is_help=True, help="Try policies in simulated time.")

FURTHER = ("simulators.tuning_command", "simulators.record_command")
"""Modules with further commands: each has a `register(app, sim_app)`, and imports what it needs when its commands are called."""


def register(app: typer.Typer) -> None:
    """Add this world's commands to the command line."""
    app.add_typer(sim_app, name="sim")
    for module in FURTHER:
        if find_spec(module) is not None:
            import_module(module).register(app, sim_app)


@sim_app.command("schema")
def sim_schema() -> None:
    """Print the JSON Schema of scenarios, which lets an editor complete and check them."""
    from simulators.scenario import schema  # noqa: PLC0415

    typer.echo(json.dumps(schema(), indent=2))


@sim_app.command("run")
def sim_run(
    scenarios: Annotated[
        list[Path],
        typer.Argument(metavar="SCENARIO.yaml ...", help="Scenarios; a folder stands for its *.scenario.yaml."),
    ],
    *,
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Play the policies of FILE instead of the scenario's own; twice to compare two files."
        ),
    ] = None,
    seed: Annotated[
        list[str] | None,
        typer.Option(metavar="INTEGER", help="Play from this seed; can be given again. Else from the scenario's own."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="1,2,3", help="Several seeds at once.")] = "",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="So many runs at a time, each in a process; else one for each core.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON.")] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write HTML pages that need no network into DIR.")
    ] = None,
    allow_imports: AllowImports = None,
    shrink: Annotated[
        bool, typer.Option(help="After a broken rule, look up to 50 s for the smallest scenario that breaks it.")
    ] = True,
) -> None:
    """Play scenarios under the unchanged agent and check what they expect.

    Exit 0 if all expectations hold, 1 if one does not or a rule was broken, 2 on bad input, 130 if interrupted.
    """
    from simulators.run_command import Files, perform  # noqa: PLC0415

    files = Files(json=json_file, junit=junit_file, report=report)
    numbers = [*(seed or []), *(text.strip() for text in seeds.split(",") if seeds)]
    allowed = packages_allowed(allow_imports)
    raise typer.Exit(perform(scenarios, policy or [], numbers, jobs=jobs, files=files, shrunk=shrink, allowed=allowed))
