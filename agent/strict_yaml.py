"""Strict YAML: plain values with the line of each key, and a pydantic model of them or every fault, named by file, line and key."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Keys = tuple[str | int, ...]
Fault = tuple[Keys, str]
M = TypeVar("M", bound=BaseModel)


class FileFault(ValueError):
    """What is wrong with a file, one line per fault: `file:line: key: what was found; what was expected`."""


@dataclass(frozen=True)
class Located:
    """Plain values, and the line of each key (from 1)."""

    values: dict[str, Any]
    lines: Mapping[Keys, int]

    def line(self, keys: Keys) -> int:
        """The line of `keys`, or of the nearest key around it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)

    def written(self, keys: Keys) -> Keys:
        """`keys` without those that stand in no file: the tags of a union that pydantic puts between."""
        kept: Keys = ()
        for place, key in enumerate(keys):
            if (*kept, key) in self.lines or place == len(keys) - 1:
                kept = (*kept, key)
        return kept


def validated(
    text: str,
    name: str,
    model: type[M],
    *,
    change: Callable[[dict[str, Any]], None] | None = None,
    impossible: Callable[[M], Iterable[Fault]] = lambda value: (),
) -> M:
    """The `model` in `text`, called `name` in messages. Raises FileFault with all that is wrong.

    `change` may edit the plain values first; `impossible` names combinations that no type can forbid.
    """
    located = read(text, name)
    if change is not None:
        change(located.values)
    try:
        value = model.model_validate(located.values)
    except ValidationError as error:
        lines = [_faulty(name, located, model, e) for e in error.errors()]
        raise FileFault("\n".join(lines)) from error
    faults = [f"{name}:{located.line(keys)}: {dotted(keys)}: {told}" for keys, told in impossible(value)]
    if faults:
        raise FileFault("\n".join(faults))
    return value


def _faulty(name: str, located: Located, model: type[BaseModel], error: ErrorDetails) -> str:
    keys = located.written(_keys(error))
    return f"{name}:{located.line(keys)}: {_told(error, keys, model)}"


def read(text: str, name: str) -> Located:
    """Plain values and lines. Raises FileFault for what is no YAML, no mapping, or has a key twice."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise FileFault(f"{name}:{line}: not YAML: {getattr(error, 'problem', error)}") from error
    if root is None:
        return Located({}, {})
    if not isinstance(root, yaml.MappingNode):
        raise FileFault(f"{name}:1: found {root.tag.rsplit(':', 1)[-1]}; expected a mapping of keys to values")
    lines: dict[Keys, int] = {}
    duplicates: list[str] = []
    _walk(root, (), lines, duplicates, name)
    if duplicates:
        raise FileFault("\n".join(duplicates))
    values: dict[str, Any] = yaml.safe_load(text)
    return Located(values, lines)


def _walk(node: yaml.Node, keys: Keys, lines: dict[Keys, int], duplicates: list[str], name: str) -> None:
    lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            full = (*keys, key.value)
            if full in lines:
                duplicates.append(
                    f"{name}:{key.start_mark.line + 1}: {dotted(full)}: given twice, first on line {lines[full]}; expected once"
                )
            lines[full] = key.start_mark.line + 1
            _walk(value, full, lines, duplicates, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*keys, index), lines, duplicates, name)


def _keys(error: ErrorDetails) -> Keys:
    return tuple(key for key in error["loc"] if key != "[key]")


def _told(error: ErrorDetails, keys: Keys, model: type[BaseModel]) -> str:
    found = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            return f"{dotted(keys)}: unknown key{_nearest(_keys(error), model)}"
        case "missing":
            return f"{dotted(keys)}: missing; expected a value"
        case "float_parsing" | "float_type" | "int_parsing" | "int_type" if str(keys[-1]).endswith("_s"):
            return f"{dotted(keys)}: found {found!r}; expected seconds as a number, such as 30"
        case _:
            message = error["msg"].removeprefix("Value error, ")
            return f"{dotted(keys)}: found {_short(found)}; {message[:1].lower()}{message[1:]}"


def _short(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest(keys: Keys, model: type[BaseModel]) -> str:
    known = _fields(keys[:-1], model)
    near = difflib.get_close_matches(str(keys[-1]), known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(sorted(known))}" if known else ""


def _fields(keys: Keys, root: type[BaseModel]) -> list[str]:
    """Names of the keys that may stand under `keys`."""
    model: Any = root
    for key in keys:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
        field = model.model_fields.get(str(key))
        if field is None:
            continue  # a name of the user's own, such as a model's: its settings are those of the mapping's values
        model = next(_models_in(field.annotation), None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def dotted(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text
