"""Actions and their reasons, as the journal keeps them, in words on one line. Pure."""

from collections.abc import Mapping
from typing import Any


def action_words(action: Mapping[str, Any]) -> str:
    """An action on one line: its kind, and what it names."""
    return " ".join(
        [
            action["kind"],
            *(f"{k}={v}" for k, v in action.items() if k != "kind" and v is not None and "digest" not in k),
        ]
    )


def reasons(proposal: Mapping[str, Any]) -> str:
    """The evidence of a proposal on one line."""
    return "; ".join(
        f"{e['name']} {number(e['value'])}"
        + (f" (threshold {number(e['threshold'])})" if e["threshold"] is not None else "")
        + (f": {e['note']}" if e["note"] else "")
        for e in proposal["because"]
    )


def number(value: float | None) -> str:
    """A number with four figures that matter, or nothing."""
    return "" if value is None else f"{value:.4g}"
