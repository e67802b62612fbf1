"""The demo's page: one file, readable without a network, drawn by the code that draws simulated runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.reports.page import embedded, library, pages_of
from agent.units import duration, number
from ray_cluster.demo.live import date_words

NAME = "demo"
TITLES = {"flights": "A year of flights", "elec2": "A market for electricity", "insects": "Insects that fly by"}
QUICK = {"flights": "Three months of flights"}


def write_report(
    target: Path, result: Mapping[str, Any], drawing: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]
) -> None:
    """Write the page. `drawing` is what `ray_cluster.demo.drawing` made of the run, `lines` the client's seconds."""
    pages = pages_of("ray_cluster.demo", "on a Ray of its own", figure=number, lasted=duration)
    began_s, ended_s = lines[0]["at_s"], lines[-1]["at_s"]
    run = {"drawing": drawing, "duration_s": ended_s - began_s}
    text = pages.get_template("report.html.j2").render(
        title=(QUICK if result["quick"] else {}).get(result["stream"], TITLES.get(result["stream"], result["stream"])),
        result=result,
        began_s=began_s,
        played_s=ended_s - began_s,
        since=date_words(lines[0]["stream_at_s"]),
        until=date_words(lines[-1]["stream_at_s"]),
        name=NAME,
        library=library(),
        sources=[],
        here={NAME: embedded(run)},
    )
    target.write_text(text, encoding="utf-8")
