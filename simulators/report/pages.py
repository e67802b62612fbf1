"""Writes the pages of a batch: one run is one file; several get a page each, an index, and a page that shows two side by side.

No page asks the network for anything. Where there are several, the drawing library and each run's data lie beside them once.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from agent.reports.page import embedded, library, pages_of
from agent.units import number
from simulators.batch import Outcome
from simulators.progress import clock
from simulators.verdict import share

LIBRARY = "plotly.min.js"
INDEX, COMPARE = "index.html", "compare.html"


def write(outcomes: Sequence[Outcome], folder: Path, *, interrupted: bool = False) -> Path:
    """Returns the page to open first. Raises OSError where `folder` can not be written."""
    pages = pages_of("simulators.report", "simulated", figure=number, share=share, clock=clock)
    runs = _named(outcomes)
    shared = {"interrupted": interrupted, "here": {}, "sources": [LIBRARY], "library": ""}
    index = folder / INDEX
    if len(runs) == 1:
        (name, run), *_ = runs.items()
        alone = shared | {"sources": [], "library": library(), "here": {name: embedded(run)}}
        index.write_text(pages.get_template("run.html.j2").render(alone, run=run, alone=True), encoding="utf-8")
        return index
    if runs:
        (folder / LIBRARY).write_text(get_plotlyjs(), encoding="utf-8")
    for name, run in runs.items():
        (folder / f"{name}.js").write_text(f'RUNS["{name}"] = {embedded(run)};\n', encoding="utf-8")
        page = shared | {"sources": [LIBRARY], "data": [f"{name}.js"]}
        text = pages.get_template("run.html.j2").render(page, run=run, alone=False)
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    listed = list(runs.values())
    short = [{key: run[key] for key in ("name", "file", "seed")} for run in listed]
    compared = pages.get_template("compare.html.j2").render(shared, runs=listed, listed=short)
    (folder / COMPARE).write_text(compared, encoding="utf-8")
    index.write_text(
        pages.get_template("index.html.j2").render(shared | {"sources": []}, runs=listed), encoding="utf-8"
    )
    return index


def _named(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """The runs by the name of their page, which says what was run and is there once."""
    runs: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        plain = re.sub(r"[^a-z0-9]+", "-", outcome.task.label.lower()).strip("-") or "run"
        name = next(n for n in (plain, *(f"{plain}-{k}" for k in range(2, len(outcomes) + 2))) if n not in runs)
        runs[name] = {"name": name, **_run(outcome)}
    return runs


def _run(outcome: Outcome) -> dict[str, Any]:
    settings = outcome.task.scenario.settings
    return {
        "label": outcome.task.label,
        "state": outcome.state,
        "why": settings.why,
        "duration_s": settings.duration_s,
        "command": outcome.task.command,
        "drawing": outcome.drawing,
        **outcome.told,
    }
