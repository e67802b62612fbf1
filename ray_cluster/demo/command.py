"""`homeostat demo`: the words of the command. What it does is in `play`, which is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from agent.terminal import Terminal


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command()(demo)


def demo(
    stream_name: Annotated[str, typer.Option("--stream", help="flights, insects or elec2.")] = "flights",
    quick: Annotated[bool, typer.Option("--quick", help="A part of the year, in about two minutes of play.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for everything that is written.")] = None,
) -> None:
    """Play a real stream to a model on a local Ray, with the agent beside it; exit 0 only if all that is promised happened."""
    from ray_cluster.demo.play import perform  # noqa: PLC0415 - other commands need not wait for its libraries
    from ray_cluster.streams import StreamUnavailable  # noqa: PLC0415

    try:
        all_happened = perform(stream_name, quick, out)
    except StreamUnavailable as error:
        Terminal(stderr=True).print(str(error), style="red", markup=False)
        raise typer.Exit(2) from error
    raise typer.Exit(0 if all_happened else 1)
