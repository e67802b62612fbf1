"""What was recorded, and what would have happened, for a reader at a terminal or for a machine."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from agent.terminal import Terminal
from agent.units import number
from agent.words import action_words, reasons
from simulators.recorded.counterfactual import Counterfactual, Played
from simulators.recorded.divergence import Difference, Divergence
from simulators.recorded.recording import moment
from simulators.recorded.scenario import Recorded

FIRSTS_SHOWN = 10
WORDS = {
    "violation_rate": "SLO violations, from quantiles",
    "requests": "requests answered",
    "errors": "errors",
    "latency_mean_s": "mean latency, s",
    "latency_p95_s": "p95 of windows, s",
    "latency_p99_s": "p99 of windows, s",
    "replicas_mean": "replicas, mean",
    "replicas_max": "replicas, most",
}


def told_recorded(found: Recorded, file: Path) -> None:
    """What was written, and every note that is in it."""
    console = Terminal()
    seconds = found.recording.duration_s
    models = ", ".join(f"{model} ({each.requests:,} requests)" for model, each in found.measured.items())
    console.print(f"{file}: {seconds:.0f} s of {models}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{file.parent / found.trace_name}: its traffic", markup=False, highlight=False, soft_wrap=True)
    for note in found.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def told_counterfactual(
    found: Recorded, apart: Divergence, both: Counterfactual, policy: Path, *, as_json: bool
) -> None:
    """First where the policies part, then what would have come of it, then how far that may be believed."""
    if as_json:
        print(json.dumps(plain(found, apart, both, policy), indent=2, allow_nan=False))  # noqa: T201 - for a machine
        return
    console = Terminal()
    for note in found.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    alike = f"{apart.alike} of {apart.ticks} ticks decide the same under {policy}"
    console.print(alike, markup=False, highlight=False, soft_wrap=True)
    if apart.firsts:
        console.print(_firsts(apart, policy))
    console.print(_outcomes(both, policy))
    console.print(_calibration(both))
    console.print(_trust(both), markup=False, highlight=False, soft_wrap=True)
    for told in (*both.own.broken, *both.other.broken):
        console.print(f"a rule was broken: {told}", style="red", markup=False, highlight=False, soft_wrap=True)


def plain(found: Recorded, apart: Divergence, both: Counterfactual, policy: Path) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "policy": str(policy),
        "from_s": found.recording.origin_s,
        "until_s": found.recording.end_s,
        "seeds": list(both.seeds),
        "notes": list(found.notes),
        "decisions": {
            "ticks": apart.ticks,
            "alike": apart.alike,
            "recorded": dict(apart.recorded),
            "other": dict(apart.other),
            "firsts": [asdict(each) for each in apart.firsts],
        },
        "recorded": _plain_played(both.own),
        "other": _plain_played(both.other),
        "calibration": {
            name: {"life": life, "simulated": simulated, "error": _error(life, simulated)}
            for name, life, simulated in _pairs(both)
        },
    }


def _plain_played(played: Played) -> dict[str, Any]:
    return {
        "totals": dict(played.totals),
        "orders": dict(played.orders),
        "models": {name: dict(each) for name, each in played.models.items()},
        "broken_rules": list(played.broken),
    }


def _firsts(apart: Divergence, policy: Path) -> Table:
    title = "where they part (open loop: exact up to the first line)"
    table = Table("when (UTC)", "what", "in life", f"under {policy.name}", "why", title=title, title_justify="left")
    for each in apart.firsts[:FIRSTS_SHOWN]:
        table.add_row(moment(each.at_s), _target(each), _words(each.recorded), _words(each.other), _why(each))
    if len(apart.firsts) > FIRSTS_SHOWN:
        table.caption = f"and {len(apart.firsts) - FIRSTS_SHOWN} more targets"
    return table


def _target(part: Difference) -> str:
    return part.target if part.aspect == "deployment" else f"{part.target}: {part.aspect}"


def _words(action: Mapping[str, Any] | None) -> str:
    if action is None:
        return "nothing"
    return action_words(action)


def _why(difference: Difference) -> str:
    return reasons(difference.why) if difference.why is not None else ""


def _outcomes(both: Counterfactual, policy: Path) -> Table:
    seeds = ", ".join(map(str, both.seeds))
    title = f"what would have happened (simulated, mean of seeds {seeds})"
    table = Table("", title=title, title_justify="left")
    for name in ("recorded policy", policy.name, "change"):
        table.add_column(name, justify="right")
    for name, own, other in _compared(both):
        table.add_row(name, number(own), number(other), _change(own, other))
    return table


def _compared(both: Counterfactual) -> Iterator[tuple[str, float | None, float | None]]:
    for name, own in both.own.totals.items():
        yield name, own, both.other.totals[name]
    for kind in sorted({*both.own.orders, *both.other.orders}):
        yield f"orders: {kind}", both.own.orders.get(kind, 0.0), both.other.orders.get(kind, 0.0)


def _change(own: float | None, other: float | None) -> str:
    if own is None or other is None:
        return ""
    return f"{other - own:+.4g}" if other != own else "same"


def _pairs(both: Counterfactual) -> Iterator[tuple[str, float | None, float | None]]:
    """(measure, in life, in the simulation of the recorded policies)."""
    life, simulated = both.life, both.own.seen
    yield from ((name, getattr(life, name), getattr(simulated, name)) for name in WORDS)
    for kind in sorted({*both.life_orders, *both.own.orders}):
        yield f"orders: {kind}", float(both.life_orders.get(kind, 0)), both.own.orders.get(kind, 0.0)


def _calibration(both: Counterfactual) -> Table:
    title = "how near the simulation of the recorded policy came to life"
    table = Table("", title=title, title_justify="left")
    for name in ("in life", "simulated", "off by"):
        table.add_column(name, justify="right")
    for name, life, simulated in _pairs(both):
        error = _error(life, simulated)
        off = "" if error is None else f"{100 * error:+.1f} %"
        table.add_row(WORDS.get(name, name), number(life) or "unknown", number(simulated) or "unknown", off)
    return table


def _error(life: float | None, simulated: float | None) -> float | None:
    """Relative; None where life was nothing or is not known."""
    return (simulated - life) / life if life and simulated is not None else None


def _trust(both: Counterfactual) -> str:
    """The one sentence that a reader must not miss."""
    life, simulated = both.life, both.own.seen
    own, other = both.own.totals["slo_violation_rate"], both.other.totals["slo_violation_rate"]
    if life.violation_rate is None or simulated.violation_rate is None or own is None or other is None:
        return "How near the simulation comes to life is not known: no violations could be measured. Believe differences with care."
    off, change = abs(simulated.violation_rate - life.violation_rate), abs(other - own)
    said = f"The simulation of the recorded policy is {100 * off:.2f} points of violations from life"
    said += f"; the other policy changes them by {100 * change:.2f} points. "
    return said + (
        "The difference is larger than the error." if change > off else "That is within the error: do not build on it."
    )
