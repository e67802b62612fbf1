"""From the nodes of a YAML text to plain values, with the line of each key and all that could not be built.

1. Words are read as YAML 1.2 reads them: only `true` and `false` are truth values, so that a model may be called NO and a level off. A key
   is always the text that stands there.
2. There are mappings, lists, texts, numbers, truth values and null, and nothing else: no tags, dates or keys that are lists.
3. A key with nothing behind it is a fault: where a limit was to stand, a template that came out empty must not take it away.
"""

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.yaml_nodes import CORE, Keys, Listing, Mapping, Node, NotPlain, Scalar, shown

MAX = sys.float_info.max
DIGITS_MAX = 40
"""Of a whole number; what is longer is no count of anything."""
_NULL = re.compile(r"~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_FORMS = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": _FLOAT}


@dataclass
class Builder:
    """Builds plain values; `lines` are those of each key, `faults` what could not be built."""

    lines: dict[Keys, int] = field(default_factory=dict)
    faults: list[NotPlain] = field(default_factory=list)

    def value(self, node: Node, keys: Keys = ()) -> Any:
        self.lines.setdefault(keys, node.line)
        if isinstance(node, Scalar):
            return self._scalar(node, keys)
        if isinstance(node, Listing):
            return [self.value(inner, (*keys, index)) for index, inner in enumerate(node.items)]
        return self._mapping(node, keys)

    def _mapping(self, node: Mapping, keys: Keys) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for _, inner in (pair for pair in node.pairs if _merges(pair[0])):
            for part in self._parts(inner, keys):
                merged = {**part, **merged}
        for key, inner in (pair for pair in node.pairs if not _merges(pair[0])):
            name = self._name(key, keys)
            if name is None:
                continue
            full = (*keys, name)
            if name in own:
                told = f"given twice, first on line {self.lines[full]}; expected once"
                self.faults.append(NotPlain(key.line, told, full))
                continue
            self.lines[full] = key.line
            own[name] = self.value(inner, full)
        return {**merged, **own}

    def _parts(self, node: Node, keys: Keys) -> Iterator[dict[str, Any]]:
        """The mappings that `<<` takes over; the first one's keys count."""
        for part in node.items if isinstance(node, Listing) else (node,):
            if isinstance(part, Mapping):
                yield self._mapping(part, keys)
            else:
                self.faults.append(NotPlain(part.line, "expected a mapping, or a list of them, after <<", keys))

    def _name(self, key: Node, keys: Keys) -> str | None:
        if isinstance(key, Scalar) and _core(key.tag):
            return key.text
        found = "a list" if isinstance(key, Listing) else "a mapping" if isinstance(key, Mapping) else shown(key.tag)
        template = " ({{ }} is a template that nobody has filled in)" if isinstance(key, Mapping) else ""
        self.faults.append(NotPlain(key.line, f"found {found} as a key{template}; expected text", keys))
        return None

    def _scalar(self, node: Scalar, keys: Keys) -> Any:
        if not _core(node.tag):
            told = f"found the tag {shown(node.tag)}; expected a plain value"
            self.faults.append(NotPlain(node.line, told, keys))
            return None
        if node.empty:
            told = "nothing stands here; expected a value, or no such key"
            self.faults.append(NotPlain(node.line, told, keys))
            return None
        try:
            return _read(node)
        except ValueError as error:
            self.faults.append(NotPlain(node.line, str(error), keys))
            return None


def _read(node: Scalar) -> Any:
    kind, text = _kind(node), node.text
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return _whole(text)
        case "float":
            return _float(text)
        case _:
            return text


def _kind(node: Scalar) -> str:
    if node.tag not in (None, "!"):
        return _checked(node)
    if not node.plain:
        return "str"
    return next((kind for kind, form in _FORMS.items() if form.fullmatch(node.text)), "str")


def _checked(node: Scalar) -> str:
    """The kind that a tag such as !!int asks for. Raises ValueError where the text is not of it."""
    kind = str(node.tag).removeprefix(CORE)
    if kind != "str" and not _FORMS[kind].fullmatch(node.text):
        raise ValueError(f"found {node.text[:60]!r} tagged !!{kind}; expected one")
    return kind


def _whole(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(f"found a number of {len(text)} digits; expected at most {DIGITS_MAX}")
    return int(text.replace("_", ""), {"0x": 16, "0o": 8}.get(text[:2], 10))


def _float(text: str) -> float:
    word = text.lower().lstrip("+-")
    if word in (".inf", ".nan"):
        return float(text.lower().replace(".", ""))
    value = float(text.replace("_", ""))
    if math.isinf(value):
        raise ValueError(
            f"found {text[:60]!r}, which is beyond all numbers that can be held; expected less than {MAX:.1e}"
        )
    return value


def _merges(key: Node) -> bool:
    return isinstance(key, Scalar) and key.plain and key.text == "<<"


def _core(tag: str | None) -> bool:
    return tag in (None, "!") or str(tag).removeprefix(CORE) in ("str", *_FORMS)
