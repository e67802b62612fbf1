"""Commands of the simulator: `homeostat sim ...`."""

import typer

sim_app = typer.Typer(no_args_is_help=True, help="Try policies in simulated time.")


def register(app: typer.Typer) -> None:
    """Add this world's commands to the command line."""
    app.add_typer(sim_app, name="sim")
