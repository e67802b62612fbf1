"""The demo's page: one file, readable offline, drawn as SVG from what was recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from agent.journal.record import Entry, Kind
from agent.words import order_words, reasons
from ray_cluster.demo.standing import CHAMPION

WIDTH, HEIGHT = 1000.0, 110.0


@dataclass(frozen=True)
class Chart:
    """A line over time: `points` as an SVG path's coordinates, `top` the value at its upper edge."""

    title: str
    unit: str
    lines: Sequence[tuple[str, str]]
    top: float


@dataclass(frozen=True)
class Mark:
    """Something that happened: where on the page, whose doing, and what a reader sees on hover."""

    x: float
    who: str
    text: str


def write_report(
    target: Path,
    result: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    events: Sequence[tuple[float, str, str]],
    entries: Sequence[Entry],
) -> None:
    """Write the page. `lines` are the client's seconds, `events` the timeline."""
    environment = Environment(
        loader=PackageLoader("ray_cluster.demo", "."), autoescape=select_autoescape(["j2", "html"])
    )
    first = lines[0]["at_s"] if lines else 0.0
    span = max(1.0, (lines[-1]["at_s"] - first) if lines else 1.0)
    target.write_text(
        environment.get_template("report.html.j2").render(
            result=result,
            width=WIDTH,
            height=HEIGHT,
            span=span,
            charts=_charts(lines, entries, first, span),
            quality=_quality(result["quality"].get("by_week", [])),
            marks=[Mark(_x(at_s, first, span), who, text) for at_s, who, text in events if at_s >= first],
            events=[(at_s - first, who, text) for at_s, who, text in events],
            decisions=[_decision(entry, first) for entry in entries if entry.kind == Kind.INTENT],
        ),
        encoding="utf-8",
    )


def _decision(entry: Entry, first: float) -> dict[str, Any]:
    payload = entry.payload
    return {
        "number": payload["number"],
        "at": entry.at_s - first,
        "what": order_words(payload),
        "policy": payload["policy"],
        "why": reasons(dict(payload)),
    }


def _charts(lines: Sequence[Mapping[str, Any]], entries: Sequence[Entry], first: float, span: float) -> list[Chart]:
    times = [line["at_s"] for line in lines]
    rate = _chart(
        "Requests", "1/s", {"sent": [(t, line["rate_rps"]) for t, line in zip(times, lines, strict=True)]}, first, span
    )
    latency = _chart(
        "Latency",
        "ms",
        {
            name: [(t, line[key] * 1e3) for t, line in zip(times, lines, strict=True) if line[key] is not None]
            for name, key in (("p50", "p50_s"), ("p95", "p95_s"))
        },
        first,
        span,
    )
    seen = [e for e in entries if e.kind == Kind.OBSERVED and e.at_s >= first]
    replicas = _chart(
        "Replicas of the champion",
        "",
        {
            "wanted": [(e.at_s, _row(e)["replicas_wanted"]) for e in seen if _row(e)],
            "running": [(e.at_s, sum(r["state"] == "running" for r in _row(e)["replicas"])) for e in seen if _row(e)],
        },
        first,
        span,
    )
    versions = sorted({version for line in lines for version in line["versions"]}, key=int)
    shares = _chart(
        "Rows answered by version",
        "1/s",
        {
            f"version {v}": [(t, line["versions"].get(v, 0)) for t, line in zip(times, lines, strict=True)]
            for v in versions
        },
        first,
        span,
    )
    symptoms = _chart("Symptoms of drift", "", {"symptoms": [(e.at_s, _symptoms(e)) for e in seen]}, first, span)
    return [rate, latency, replicas, shares, symptoms]


def _quality(weeks: Sequence[Mapping[str, Any]]) -> Chart | None:
    if not weeks:
        return None
    span = max(1, len(weeks) - 1)
    lines = {name: [(float(row["week"]), row[name]) for row in weeks] for name in ("agent", "frozen")}
    return _chart("Mean loss by week of the stream", "", lines, 0.0, float(span))


def _chart(
    title: str, unit: str, lines: Mapping[str, Sequence[tuple[float, float]]], first: float, span: float
) -> Chart:
    top = max([value for points in lines.values() for _, value in points] or [1.0]) or 1.0
    drawn = [
        (name, " ".join(f"{_x(t, first, span):.1f},{HEIGHT - HEIGHT * value / top:.1f}" for t, value in points))
        for name, points in lines.items()
    ]
    return Chart(title, unit, drawn, top)


def _x(at_s: float, first: float, span: float) -> float:
    return min(WIDTH, max(0.0, WIDTH * (at_s - first) / span))


def _row(entry: Entry) -> Any:
    return entry.payload["deployments"].get(CHAMPION)


def _symptoms(entry: Entry) -> int:
    report = next((m["report"] for m in entry.payload["models"].values() if m["report"]), None)
    return len(report["symptoms"]) if report else 0
