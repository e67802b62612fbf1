"""From a YAML text to nodes with their lines; bounded, so that no text of a stranger costs more than a moment.

The text, its nesting, and the values that there are once every alias is followed are limited; that is known before anything is built.
What the nodes stand for is the matter of `agent.yaml_values`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agent.redaction import redacted
from agent.yaml_words import trouble

Keys = tuple[str | int, ...]
Fault = tuple[Keys, str]
"""Where something is wrong, and what was found and expected."""
BYTES_MAX = 500_000
VALUES_MAX = 50_000
DEPTH_MAX = 40
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CORE = "tag:yaml.org,2002:"


class FileFault(ValueError):
    """What is wrong with a file, one line per fault: `file:line: key: what was found; what was expected`. Without secrets."""

    def __init__(self, told: str) -> None:
        super().__init__(redacted(told))


class NotPlain(ValueError):
    """What can not be built, in words, and where it stands."""

    def __init__(self, line: int, told: str, keys: Keys = ()) -> None:
        self.line, self.told, self.keys = line, told, keys
        super().__init__(told)


@dataclass(slots=True)
class Scalar:
    line: int
    text: str
    plain: bool
    """Whether it stands without quotes."""
    tag: str | None
    size: int = 1
    depth: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing at all stands there."""
        return self.plain and not self.text


@dataclass(slots=True)
class Listing:
    line: int
    items: list["Node"] = field(default_factory=list)
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class Mapping:
    line: int
    pairs: list[tuple["Node", "Node"]] = field(default_factory=list)
    size: int = 1
    depth: int = 1


Node = Scalar | Listing | Mapping


def text_of(path: str | Path) -> str:
    """The text of a file. Raises FileFault where it can not be read, is no UTF-8, or is larger than `BYTES_MAX`."""
    try:
        with Path(path).open("rb") as file:
            read = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise FileFault(f"{path}: can not be read: {error}") from error
    if len(read) > BYTES_MAX:
        raise FileFault(f"{path}: is larger than {BYTES_MAX:,} bytes; expected less")
    try:
        return read.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFault(f"{path}: can not be read: expected UTF-8; {error}") from error


def compose(text: str) -> Node | None:
    """The one document in `text`; None where there is nothing. Raises NotPlain."""
    if len(text) > BYTES_MAX:
        raise NotPlain(1, f"found {len(text):,} characters; expected at most {BYTES_MAX:,}")
    try:
        return _Composer(text).document()
    except UnicodeEncodeError as error:  # a lone half of a surrogate pair, as names of files and variables may hold
        line = text.count("\n", 0, error.start) + 1
        raise NotPlain(line, f"not YAML: found {text[error.start]!r}, which is no character") from error
    except yaml.YAMLError as error:
        line, told = trouble(error, text)
        raise NotPlain(line, f"not YAML: {' '.join(told.split())}") from error


class _Composer:
    """From events to nodes; an alias is the very node that it stands for, with its size and depth known."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node | None] = {}
        """None: still being read."""

    def document(self) -> Node | None:
        self._next(yaml.StreamStartEvent)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        node = self._node(next(self._events), 0)
        self._next(yaml.DocumentEndEvent)
        more = next(self._events)
        if not isinstance(more, yaml.StreamEndEvent):
            raise NotPlain(more.start_mark.line + 1, "a second document begins here; expected one")
        return None if isinstance(node, Scalar) and node.empty else node

    def _next(self, kind: type[yaml.Event]) -> None:
        event = next(self._events)
        assert isinstance(event, kind)  # noqa: S101 - as the parser's grammar has it

    def _node(self, event: Any, level: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if level > DEPTH_MAX:
            raise NotPlain(line, f"found more than {DEPTH_MAX} levels inside one another; expected fewer")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._of_kind(event, line, level)
        if node.depth + level > DEPTH_MAX or node.size > VALUES_MAX:
            told = f"found more than {VALUES_MAX:,} values or {DEPTH_MAX} levels, aliases followed; expected fewer"
            raise NotPlain(line, told)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, line: int) -> Node:
        if anchor not in self._anchors:
            raise NotPlain(line, f"found the alias *{anchor}; expected &{anchor} before it")
        node = self._anchors[anchor]
        if node is None:
            raise NotPlain(line, f"found the alias *{anchor} inside what it stands for; expected an end")
        return node

    def _of_kind(self, event: Any, line: int, level: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(line, event.value, event.implicit[0] and event.style in (None, ""), event.tag)
        if event.tag not in (None, "!", f"{CORE}seq", f"{CORE}map"):
            raise NotPlain(line, f"found the tag {shown(event.tag)}; expected plain values")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(line, level)
        return self._mapping(line, level)

    def _list(self, line: int, level: int) -> Listing:
        node = Listing(line)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            node.items.append(_grown(node, self._node(event, level + 1)))
        return node

    def _mapping(self, line: int, level: int) -> Mapping:
        node = Mapping(line)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, level + 1)
            node.pairs.append((key, _grown(node, self._node(next(self._events), level + 1))))
        return node


def _grown(node: Listing | Mapping, inner: Node) -> Node:
    node.size += inner.size
    node.depth = max(node.depth, inner.depth + 1)
    if node.size > VALUES_MAX:
        raise NotPlain(inner.line, f"found more than {VALUES_MAX:,} values, aliases followed; expected fewer")
    return inner


def shown(tag: str | None) -> str:
    """A tag as people write it."""
    return repr(str(tag).replace(CORE, "!!"))
