"""Inputs: texts of our files with parts cut out, put in and exchanged, and values that nobody expects in settings."""

import copy
from collections.abc import Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

FRAGMENTS = (
    "{{ x }}", "{% if x %}", "${X}", "!ENV X", "!!python/object:os.system", "&a ", "*a", "<<: *a", "- ", ": ", ":", "\n", "\n  ", "\t",
    "{", "}", "[", "]", "'", '"', "#", "|", ">", "%", "@", "`", "? ", "---\n", "...", "~", "null", "off", "NO", "yes", ".nan", ".inf",
    "-1", "1e999", "9" * 50, "0x", "1_000", "\x00", "\x1b", "\u2028", "\ufeff", "\ud800", "é", "💥", "a" * 300, ",", "=", "<", "/",
    "\\", "0 3 30 2 *", "1:30", "2026-02-30",
)  # fmt: skip
ODD_WORDS = (
    "", " ", "a/b/c", "x" * 400, "../x", "a:b", "o'b", "{{ x }}", "[/x]", "\x00", "é💥", "NO", "-1", "1e9", "nan", "off", "*", "[",
    "subprocess:Popen", "builtins:eval", "os:system", "0 3 * * 1", "sqlite:///", "mysql://u:p@h/d", "://", "http://[", "-challenger",
)  # fmt: skip
odd_numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2, 70, 500, 10**6, 10**9, 10**12, 10**39, -(10**18), 0.0, -0.0, 0.5, 1e-300, 1e308]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**20), 10**20),
)
odd_words = st.one_of(st.sampled_from(ODD_WORDS), st.text(max_size=20))
odd_leaves = st.one_of(odd_numbers, odd_words, st.booleans(), st.none())
odd_values = st.recursive(
    odd_leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(odd_words, inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def spoilt_texts(draw: st.DrawFn, texts: Sequence[str]) -> str:
    """One of `texts` with up to five parts of it cut out, exchanged for a fragment, or repeated."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 30)))
        new = draw(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=5)))
        text = text[:begin] + draw(st.sampled_from(["", new, text[begin:end] * 2])) + text[end:]
    return text


@st.composite
def spoilt_values(draw: st.DrawFn, trees: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One of `trees` with up to three values in it exchanged, taken out or put in beside others."""
    tree = copy.deepcopy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = tree
        for _ in range(draw(st.integers(0, 5))):
            inner = [each for each in (place.values() if isinstance(place, dict) else place) if _holds(each)]
            if not inner:
                break
            place = draw(st.sampled_from(inner))
        _spoil(draw, place)
    return tree


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _spoil(draw: st.DrawFn, place: Any) -> None:
    if isinstance(place, list):
        place[draw(st.integers(0, len(place) - 1))] = draw(odd_values)
        return
    key = draw(st.one_of(st.sampled_from(sorted(place)), odd_words)) if place else draw(odd_words)
    if draw(st.integers(0, 4)) == 0:
        place.pop(key, None)
    else:
        place[key] = draw(odd_values)


def as_yaml(tree: dict[str, Any]) -> str:
    """As a file; what YAML can not hold, such as a lone surrogate, stands there escaped."""
    return yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=200)
