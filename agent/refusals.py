"""A value that pydantic refused, in a person's words: what was expected in its place, without a term of Python or of a library."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError

from policies import parameters

CUTOFF = 0.5
"""How alike two words have to be for the one to be meant by the other."""
KINDS = {
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
"""What is expected where the value is of another type."""
BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
PLACES = {"missing": "missing; expected a value", "extra_forbidden": "unknown key"}
"""What is said of a key that is not there, or should not be."""
SAMPLES: dict[tuple[str, ...], str] = {
    ("policies",): "[{use: replace_unhealthy}]",
    ("policies", "*"): "- use: replace_unhealthy",
    ("policies", "*", "use"): "replace_unhealthy",
    ("monitors",): "[{kind: error_drift, use: adwin}]",
    ("monitors", "*"): "- {kind: error_drift, use: adwin}",
    ("guards",): "{cool_down_s: {scale: 30}}",
    ("cool_down_s",): "{scale: 30}",
    ("freeze_windows",): "[{start: '0 18 24 12 *', duration_s: 86400}]",
    ("freeze_windows", "*"): "- {start: '0 18 24 12 *', duration_s: 86400}",
    ("autonomy",): "{default: suggest, scale: act}",
    ("budget",): "{replicas: 6}",
    ("deployments",): "{shop/Ranker: {max_replicas: 5}}",
    ("schedules",): "{nightly: '0 3 * * *'}",
    ("recipes",): "[logistic]",
    ("notify",): "[ALERT_URL]",
    ("cluster",): "{nodes: [{count: 4, cpus: 8}]}",
    ("nodes",): "[{count: 4, cpus: 8}]",
    ("nodes", "*"): "- {count: 4, cpus: 8}",
    ("traffic",): "[{kind: steady, rate_rps: 10}]",
    ("service",): "{kind: constant, seconds: 0.1}",
    ("slo_latency_s",): "0.5",
    ("duration_s",): "3600",
}
"""The shortest right form of what stands at the end of these keys; "*" is any entry of a list."""
SECONDS = frozenset({"float_parsing", "float_type", "int_parsing", "int_type"})
INSIDE = "inside"
"""The kind of a refusal that a check of ours makes of a value inside of what it looks at."""
_QUOTED = re.compile(r"'([^']*)'")


def expected(error: ErrorDetails, keys: tuple[str | int, ...]) -> str:
    """What is expected at `keys`, whose value `error` refuses; "expected ..." unless a check of ours has said it in its own way."""
    kind, context, key = error["type"], error.get("ctx") or {}, keys[-1] if keys else ""
    if kind in PLACES:
        return PLACES[kind] + (_sample(keys) if kind == "missing" else "")
    if kind in SECONDS and str(key).endswith("_s"):
        return "expected seconds as a number, such as 30"
    if kind in KINDS:
        return f"expected {KINDS[kind]}{_sample(keys) or _as_a_list(kind, error.get('input'))}"
    if limit := _limit(kind, context):
        return f"expected {limit}"
    if kind in ("literal_error", "enum"):
        return one_of(error.get("input"), words_in(context["expected"]))
    message = error["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"


def inside(keys: tuple[str | int, ...], told: str) -> PydanticCustomError:
    """The refusal of what stands at `keys` inside of what is being checked; `told` says what was found and expected there."""
    return PydanticCustomError(INSIDE, "{told}", {"keys": keys, "told": told})


def words_in(listed: str) -> list[str]:
    """The words that pydantic lists in quotes."""
    return _QUOTED.findall(listed)


def one_of(found: object, known: Sequence[str]) -> str:
    """That one of `known` is expected, and which of them `found` was probably meant to be."""
    near = meant(found, known)
    return f"expected {alternatives(known)}" + (f"; did you mean {near!r}?" if near is not None else "")


def meant(found: object, known: Iterable[str]) -> str | None:
    """Which of `known` a word is most alike to, whatever its capitals; None where none is like it."""
    return parameters.meant(str(found), known, alike=CUTOFF) if found is not None else None


def alternatives(known: Sequence[str]) -> str:
    """ "a", "one of a and b" as a sentence lists what may be chosen."""
    return known[0] if len(known) == 1 else f"one of {', '.join(known[:-1])} or {known[-1]}"


def _sample(keys: tuple[str | int, ...]) -> str:
    """The right form of what stands at `keys`, where it is known."""
    path = tuple("*" if isinstance(key, int) else key for key in keys)
    found = next((SAMPLES[path[start:]] for start in range(len(path)) if path[start:] in SAMPLES), None)
    return f", such as {found}" if found else ""


def _as_a_list(kind: str, found: Any) -> str:
    """How the one value that stands there would stand in a list."""
    alone = kind in ("tuple_type", "list_type") and isinstance(found, str | int | float) and len(str(found)) <= 40
    return f", such as [{found!r}]" if alone else ""


def _limit(kind: str, context: dict[str, Any]) -> str | None:
    """The bound that a number, or how many values a list holds, is beyond."""
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"{words} {context[name]:,.15g}"
    if kind in ("too_short", "too_long"):
        most, words = (context["min_length"], "at least") if kind == "too_short" else (context["max_length"], "at most")
        return f"{words} {most:,} value{'' if most == 1 else 's'}"
    return None
