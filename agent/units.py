"""Numbers with their units, as a person reads them: durations, moments, shares. Pure; the time is always told in UTC."""

import math
import re
from datetime import UTC, datetime

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
UNITS_S = {"s": 1, "min": MINUTE_S, "h": HOUR_S, "d": DAY_S}
LONGEST_S = 10_000 * DAY_S
"""Longer than that is no duration that anybody has measured, and is told as the number that it is."""
UNKNOWN = "unknown"


def number(value: float | None) -> str:
    """A number with four figures that matter, or nothing; thousands are set apart."""
    if value is None:
        return ""
    if abs(value) >= 10_000 and math.isfinite(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def share(value: float | None) -> str:
    """A part of one in per cent, or nothing."""
    return "" if value is None else f"{100 * value:.3g} %"


def moment(at_s: float) -> str:
    """POSIX seconds as a column of a table shows them: 2026-02-12 08:33:10. What no calendar has is told as it is."""
    when = _date(at_s)
    return when.strftime("%Y-%m-%d %H:%M:%S") if when else f"{at_s:g} s"


def day(at_s: float) -> str:
    """POSIX seconds as a sentence names them: 12 February 2026 08:33 UTC."""
    when = _date(at_s)
    return f"{when.day} {when.strftime('%B %Y %H:%M')} UTC" if when else f"{at_s:g} s"


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units that matter: 250 ms, 3.5 s, 45 s, 3 min, 1 h 30 min, 2 d 4 h; or nothing."""
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return UNKNOWN
    sign, seconds = "-" if seconds < 0 else "", abs(seconds)
    if 0 < seconds < 0.9995:
        return f"{sign}{1000 * seconds:.3g} ms"
    if seconds < 59.95 or seconds >= LONGEST_S:
        return f"{sign}{seconds:.3g} s"
    return sign + _long(seconds)


def _long(seconds: float) -> str:
    whole = round(seconds)
    if whole < 10 * MINUTE_S:
        return _two(whole, MINUTE_S, "min", 1, "s")
    whole = MINUTE_S * round(whole / MINUTE_S)
    if whole < DAY_S:
        return _two(whole, HOUR_S, "h", MINUTE_S, "min")
    return _two(HOUR_S * round(seconds / HOUR_S), DAY_S, "d", HOUR_S, "h")


def before(text: str, now_s: float) -> float:
    """POSIX seconds of `text`: so long before `now_s` (`90s`, `30min`, `2h`, `3d`), or a date in UTC (`2026-02-12`, `2026-02-12 08:33`).

    Raises ValueError that says what was expected.
    """
    span = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h|d)", text.strip())
    if span and math.isfinite(ago_s := float(span[1]) * UNITS_S[span[2]]):
        return now_s - ago_s
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a time span such as 30min, 2h or 3d nor a date such as 2026-02-12"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _two(whole: int, large_s: int, large: str, small_s: int, small: str) -> str:
    """`whole` seconds in both units; the one of which there is nothing is left out."""
    count, rest = whole // large_s, whole % large_s // small_s
    told = [f"{amount} {unit}" for amount, unit in ((count, large), (rest, small)) if amount]
    return " ".join(told) or f"0 {small}"


def _date(at_s: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(at_s, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
