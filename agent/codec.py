"""Frozen dataclasses to JSON and back, one way of writing each value, so that equal values have equal bytes.

Works for every type at a border: Observation, Proposal, Order, Outcome, TrafficTable. Does no I/O.
"""

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_json(value: Any, kind: Any = None, *, exact: bool = False) -> Any:
    """`value` as plain dicts, lists, numbers and text. `kind` is needed where the value alone does not tell its type.

    Where it shall be `exact`, raises pydantic_core.PydanticSerializationError for a field that holds something of another type.
    """
    return _adapter(kind or type(value)).dump_python(value, mode="json", warnings="error" if exact else True)


def from_json(kind: type[T], plain: Any) -> T:
    """The `kind` that `to_json` gave as `plain`. Raises pydantic.ValidationError, naming the field."""
    value: T = _adapter(kind).validate_python(plain)
    return value


def canonical(plain: Any) -> bytes:
    """The one way to write `plain`: sorted keys, no spaces, UTF-8, no NaN (raises ValueError)."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def writable_text(text: str) -> str:
    """`text` with what UTF-8 can not hold, such as a lone surrogate, written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()
