"""From a run of the demo to what its page draws: panels over the seconds of play, and the loss by week of the stream. Plain values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.journal.record import Entry, Kind
from agent.reports.decisions import decisions, most_telling, spans
from ray_cluster.demo.live import DATED_S, date_words, stream_day
from ray_cluster.demo.standing import CHAMPION, MODEL

Lines = Sequence[Mapping[str, Any]]
BLUE, PALE, DARK, TEAL, ORANGE, PURPLE, GREEN, GREY = (
    "#2f6db5", "#a9c6e8", "#174a86", "#1a9988", "#d9822b", "#7a5ab5", "#2c8a4b", "#8a96a3",
)  # fmt: skip
VERSIONS = (BLUE, ORANGE, TEAL, PURPLE, GREEN, DARK)
HARMFUL = {"error_drift", "performance"}
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
DAYS_APART = 5


def drawing_of(
    result: Mapping[str, Any],
    lines: Lines,
    events: Sequence[tuple[float, str, str]],
    entries: Sequence[Entry],
    *,
    slo_s: float,
) -> dict[str, Any]:
    """All that the page shows of a run, ready for JSON; times in seconds since the first of the client's `lines`."""
    began_s, ended_s = lines[0]["at_s"], lines[-1]["at_s"]
    seen = [each for each in entries if each.kind == Kind.OBSERVED and began_s <= each.at_s <= ended_s]
    found = [
        each
        for each in decisions(entries, when=lambda at_s: stream_day(lines, at_s), began_s=began_s)
        if each["at_s"] >= 0
    ]
    told = most_telling(found)
    return {
        "models": {MODEL: {}},
        "panels": [
            _stream(lines, began_s),
            _requests(lines, began_s),
            _latency(lines, began_s, slo_s),
            _replicas(seen, began_s),
            _versions(lines, began_s),
            _symptoms(seen, began_s),
        ],
        "weeks": _weeks(result["quality"], lines),
        "faults": [[at_s - began_s, what] for at_s, who, what in events if who == "demo" and at_s >= began_s],
        "spans": spans(entries, began_s=began_s, ended_s=ended_s),
        "decisions": told,
        "left_out": len(found) - len(told),
    }


def _line(name: str, points: Sequence[tuple[float, Any]], color: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "at_s": [at_s for at_s, _ in points], "y": [y for _, y in points], "color": color, **more}


def _over(lines: Lines, began_s: float, value: Callable[[Mapping[str, Any]], Any]) -> list[tuple[float, Any]]:
    return [(round(each["at_s"] - began_s, 2), value(each)) for each in lines]


def _stream(lines: Lines, began_s: float) -> dict[str, Any]:
    """The time-lapse itself: steep while nothing is under way."""
    first_s, last_s = lines[0]["stream_at_s"], lines[-1]["stream_at_s"]
    points = _over(lines, began_s, lambda each: each["stream_at_s"] - first_s)
    said = [date_words(each["stream_at_s"]) for each in lines]
    return {
        "title": "where the stream is",
        "weight": 1.1,
        "dates": _ticks(first_s, last_s, most=5),
        "series": [_line("", points, DARK, main=True, fill="rgba(23,74,134,.08)", said=said)],
    }


def _requests(lines: Lines, began_s: float) -> dict[str, Any]:
    points = _over(lines, began_s, lambda each: each["rate_rps"])
    return {
        "title": "requests/s",
        "weight": 0.8,
        "series": [_line("sent", points, BLUE, main=True, fill="rgba(47,109,181,.14)")],
    }


def _latency(lines: Lines, began_s: float, slo_s: float) -> dict[str, Any]:
    def milliseconds(key: str) -> Callable[[Mapping[str, Any]], float | None]:
        return lambda each: None if each[key] is None else round(1e3 * each[key], 2)

    return {
        "title": "latency, ms",
        "weight": 1.2,
        "log": True,
        "limit": [1e3 * slo_s, "SLO"],
        "series": [
            _line("p50", _over(lines, began_s, milliseconds("p50_s")), PALE),
            _line("p95", _over(lines, began_s, milliseconds("p95_s")), DARK, main=True),
        ],
    }


def _replicas(seen: Sequence[Entry], began_s: float) -> dict[str, Any]:
    rows = [(each.at_s - began_s, each.payload["deployments"].get(CHAMPION)) for each in seen]
    running = [(at_s, sum(r["state"] == "running" for r in row["replicas"])) for at_s, row in rows if row]
    wanted = [(at_s, row["replicas_wanted"]) for at_s, row in rows if row]
    return {
        "title": "replicas of the champion",
        "weight": 1.0,
        "least": 4,
        "series": [
            _line("running", running, TEAL, main=True, fill="rgba(26,153,136,.16)", stepped=True),
            _line("wanted", wanted, "#1f2a37", dash="dot", stepped=True),
        ],
    }


def _versions(lines: Lines, began_s: float) -> dict[str, Any]:
    names = sorted({version for each in lines for version in each["versions"]}, key=int)
    return {
        "title": "rows answered, 1/s, by version",
        "weight": 1.1,
        "series": [
            _line(
                f"version {name}",
                _over(lines, began_s, lambda each, name=name: each["versions"].get(name, 0)),  # type: ignore[misc]
                VERSIONS[place % len(VERSIONS)],
                main=True,
            )
            for place, name in enumerate(names)
        ],
    }


def _symptoms(seen: Sequence[Entry], began_s: float) -> dict[str, Any]:
    counted = [(each.at_s - began_s, list(_kinds(each))) for each in seen]
    return {
        "title": "symptoms of drift",
        "weight": 0.8,
        "least": 3,
        "series": [
            _line("of the loss", [(at_s, sum(k in HARMFUL for k in kinds)) for at_s, kinds in counted], "#c8453b",
                  main=True, stepped=True),
            _line("of features and predictions",
                  [(at_s, sum(k not in HARMFUL for k in kinds)) for at_s, kinds in counted], GREY, stepped=True),
        ],
    }  # fmt: skip


def _kinds(entry: Entry) -> Iterator[str]:
    report = (entry.payload["models"].get(MODEL) or {}).get("report")
    for symptom in report["symptoms"] if report else ():
        yield symptom["kind"]


def _weeks(quality: Mapping[str, Any], lines: Lines) -> dict[str, Any] | None:
    """Mean loss of the answers as they were given, beside the first model's on the same rows, and the difference; None without labels."""
    weeks = quality.get("by_week") or []
    if not weeks:
        return None
    first_s = lines[0]["stream_at_s"]
    middles = [(each["week"] + 0.5) * WEEK_S for each in weeks]
    said = [f"week from {date_words(first_s + each['week'] * WEEK_S)} on" for each in weeks]
    more: dict[str, Any] = {"at_s": middles, "said": said}
    losses = [each[name] for each in weeks for name in ("agent", "frozen")]
    gap = max(abs(each["agent"] - each["frozen"]) for each in weeks) or 1.0
    whole_s = (weeks[-1]["week"] + 1) * WEEK_S
    return {
        "duration_s": whole_s,
        "ticks": _ticks(first_s, first_s + whole_s),
        "panels": [
            {
                "title": f"mean {quality['metric']} by week",
                "weight": 1.8,
                "range": [0.9 * min(losses), 1.05 * max(losses)],
                "series": [
                    {"name": "first model, frozen", "y": [each["frozen"] for each in weeks], "color": GREY, **more},
                    {"name": "with the agent", "y": [each["agent"] for each in weeks], "color": BLUE, "main": True, **more},
                ],
            },
            {
                "title": "difference: below zero the agent was better",
                "weight": 1.2,
                "range": [-1.1 * gap, 1.1 * gap],
                "series": [
                    {"name": "difference", "y": [each["agent"] - each["frozen"] for each in weeks], "color": GREEN,
                     "bars_s": 0.8 * WEEK_S, **more},
                ],
            },
        ],
    }  # fmt: skip


def _months(first_s: float, last_s: float) -> Iterator[float]:
    """The first moment of each month between two moments."""
    when = datetime.fromtimestamp(first_s, tz=UTC)
    year, month = when.year, when.month
    while True:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        at_s = datetime(year, month, 1, tzinfo=UTC).timestamp()
        if at_s > last_s:
            return
        yield at_s


def _ticks(first_s: float, last_s: float, most: int = 12) -> list[list[Any]]:
    """Where an axis of stream time has a mark, in seconds after `first_s`, and what stands there: months, or days where there are none."""
    times, texts = _marks(first_s, last_s)
    every = -(-len(times) // most) or 1
    return [times[::every], texts[::every]]


def _marks(first_s: float, last_s: float) -> tuple[list[float], list[str]]:
    if first_s >= DATED_S:
        months = list(_months(first_s, last_s))
        texts = [datetime.fromtimestamp(at_s, tz=UTC).strftime("%b") for at_s in months]
        return [at_s - first_s for at_s in months], texts
    days = range(int(first_s // DAY_S) + 1, int(last_s // DAY_S) + 1, DAYS_APART)
    return [day * DAY_S - first_s for day in days], [f"day {day + 1}" for day in days]
