"""The last words of the demo: what happened, what it was worth, and every decision with its reasons."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.words import plain_name
from ray_cluster.demo.live import first_of

Rows = Iterator[tuple[str, str]]


def tell(console: Console, result: Mapping[str, Any], folder: Path) -> None:
    """Print both tables of `result`, and where the page lies. Times are seconds since the stream began to play."""
    table = Table("what", "figures", title="what happened, and what it was worth", show_lines=True)
    for what, figures in (*_happened(result), *_worth(result)):
        table.add_row(what, figures)
    console.print(table)
    console.print(_decisions(result))
    console.print(f"{result['wall_s']:.0f} s in all; report: {folder / 'report.html'}", markup=False, soft_wrap=True)


def _happened(result: Mapping[str, Any]) -> Rows:
    yield "requests", ", ".join(f"{name} {count}" for name, count in result["requests"].items())
    kinds = sorted({f"{found['evidence']['kind']} by {found['detector']}" for found in result["drift"]})
    yield "drift", "\n".join(kinds) or "none"
    for row in result["retrainings"]:
        yield "retraining", _retraining(row)
    for row in result["rollouts"]:
        yield f"version {row['version']}", f"{' > '.join(row['stages'])}: {row['verdict']}"
    for row in result["healing"]:
        after = f"noticed after {_seconds(row['noticed_after_s'])}, healed after {_seconds(row['healed_after_s'])}"
        yield f"replica {row['fault']}", after
    yield "scaling", ", ".join(f"{step['from']} > {step['to']}" for step in result["scaling"]) or "none"


def _retraining(row: Mapping[str, Any]) -> str:
    """What came of it; one that registered no version says why, or that the stream was over before."""
    if row["version"] is None:
        return "under way at the end" if row["state"] == "running" else f"{row['state']}: {row['message']}"
    tried = f"{row['trials']} trials, {row['rows']:,} rows, {_seconds(row['wall_s'])}"
    return f"version {row['version']}, {plain_name(row['best_recipe'])}, {tried}"


def _worth(result: Mapping[str, Any]) -> Rows:
    quality, journal = result["quality"], result["journal"]
    if quality["agent"] is not None:
        both = f"with the agent {quality['agent']:.4f}, first model frozen {quality['frozen']:.4f}"
        yield f"mean {quality['metric']}", f"{both}, on the same {quality['rows']} rows"
    yield (
        "journal",
        f"{journal['entries']} entries, verified {journal['verified']}, replayed {journal['replayed_identically']}",
    )


def _decisions(result: Mapping[str, Any]) -> Table:
    table = Table(
        "order", "s", "action", "because of", "ended", title="what was decided, and why (all reasons are in the report)"
    )
    for row in result["decisions"]:
        after = f"{row['at_s'] - result['began_s']:.0f}"
        table.add_row(str(row["number"]), after, row["action"], first_of(row["because"]), row["ended"] or "under way")
    return table


def _seconds(value: float | None) -> str:
    return "no time" if value is None else f"{value:.0f} s"
