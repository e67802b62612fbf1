"""Strict YAML: plain values with the line of each key, and a pydantic model of them or every fault, named by file, line and key."""

import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent import refusals
from agent.redaction import HIDDEN, SAYS_SECRET, SHORTEST, redacted, redacted_url
from agent.refusals import KINDS, alternatives, expected, meant, one_of, words_in
from agent.sound_parts import SoundParts
from agent.yaml_nodes import Fault, FileFault, Keys, Listing, NotPlain, compose
from agent.yaml_nodes import Mapping as MappingNode
from agent.yaml_values import Builder

M = TypeVar("M", bound=BaseModel)


FAULTS_TOLD = 50
KEY_TOLD = 120
PLACES_BESIDE_SECRETS = (("notify",),)
"""Where the name of a variable is expected that holds a secret: the secret itself is what people write there by mistake."""
OF_THE_USER = frozenset({"policies", "parameters", "choices"})
"""Below these keys stand parameters of policies and detectors, and what a tuning may choose."""


@dataclass(frozen=True)
class Located:
    """Plain values, and the line of each key (from 1)."""

    values: dict[str, Any]
    lines: Mapping[Keys, int]
    overrides: Mapping[Keys, str] = field(default_factory=dict)
    """Keys whose values come from elsewhere, and from where."""

    def place(self, name: str, keys: Keys) -> str:
        """Where `keys` stand, as a message begins."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.overrides:
                return self.overrides[keys[:length]]
        return f"{name}:{self.line(keys)}"

    def line(self, keys: Keys) -> int:
        """The line of `keys`, or of the nearest key around it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)

    def hidden(self, keys: Keys, told: str) -> str:
        """`told` of what stands at `keys`, without the values there that are secrets, or may be."""
        value: Any = self.values
        for key in keys:
            try:
                value = value[key]
            except (LookupError, TypeError):
                return told
        for text in sorted(_secrets(value, keys), key=len, reverse=True):
            told = told.replace(repr(text), HIDDEN).replace(text, HIDDEN)
        return told

    def written(self, keys: Keys, *, missing: bool = False) -> Keys:
        """`keys` without those that stand in no file: what pydantic calls the members of a union, between them or in the end.

        The last key of what is `missing` stands in no file either.
        """
        kept: Keys = ()
        for place, key in enumerate(keys):
            if self._stands((*kept, key)) or (missing and place == len(keys) - 1):
                kept = (*kept, key)
        return kept

    def _stands(self, keys: Keys) -> bool:
        """Whether the text has these keys, or what came from elsewhere may have them."""
        return keys in self.lines or any(each[: len(keys)] == keys[: len(each)] for each in self.overrides)


def validated(
    text: str,
    name: str,
    model: type[M],
    *,
    change: Callable[[dict[str, Any]], object] | None = None,
    impossible: Callable[[M], Iterable[Fault]] = lambda value: (),
) -> M:
    """The `model` in `text`, called `name` in messages. Raises FileFault with all that is wrong.

    `change` may edit the plain values first; a mapping that it returns says where values come from that are not in the text.
    `impossible` names combinations that no type can forbid.
    """
    located = read(text, name)
    if change is not None:
        changed = change(located.values)
        located = replace(located, overrides=changed if isinstance(changed, Mapping) else {})

    def said(faults: Iterable[Fault]) -> Iterator[str]:
        return (f"{located.place(name, keys)}: {dotted(keys)}: {located.hidden(keys, told)}" for keys, told in faults)

    try:
        value = model.model_validate(located.values)
    except ValidationError as error:
        wrong = list(islice(_faults(located, model, error.errors()), FAULTS_TOLD + 1))
        more = _in_sound_parts(located.values, [keys for keys, _ in wrong], model, impossible)
        _refuse(said(sorted((*wrong, *more), key=lambda fault: located.line(fault[0]))))
        raise
    _refuse(said(chain(_nulls(located.values), impossible(value))))
    return value


def _in_sound_parts(
    values: dict[str, Any], wrong: Sequence[Keys], model: type[M], impossible: Callable[[M], Iterable[Fault]]
) -> list[Fault]:
    """What else is wrong, as far as it can be told where `wrong` is not right yet."""
    parts = SoundParts(values, wrong)
    try:
        value = model.model_validate(parts.values)
    except ValidationError:
        return []
    return list(islice(parts.certain(chain(_nulls(parts.values), impossible(value))), FAULTS_TOLD))


def _faults(located: Located, model: type[BaseModel], errors: Sequence[ErrorDetails]) -> Iterator[Fault]:
    """One fault for each place; where a value may be of several kinds, pydantic has an error for each of them."""
    places: dict[Keys, list[ErrorDetails]] = {}
    for error in (each for each in errors if not _of_what_is_wrong_inside(each)):
        keys = located.written(_keys(error), missing=error["type"] == "missing")
        places.setdefault(keys, []).append(error)
    for keys, found in places.items():
        kinds = list(dict.fromkeys(KINDS.get(each["type"], "") for each in found))
        if len(found) > 1 and all(kinds):
            yield (
                keys,
                f"found {_short(found[0].get('input'), keys)}; expected {alternatives(kinds).removeprefix('one of ')}",
            )
            continue
        for error in found:
            yield _fault(error, keys, model)


def read(text: str, name: str) -> Located:
    """Plain values and lines. Raises FileFault for what is no YAML, no mapping, no plain value, or has a key twice."""
    try:
        root = compose(text)
    except NotPlain as fault:
        raise FileFault(f"{name}:{fault.line}: {fault.told}") from fault
    if root is None:
        return Located({}, {})
    if not isinstance(root, MappingNode):
        raise FileFault(
            f"{name}:1: found {'seq' if isinstance(root, Listing) else 'text'}; expected a mapping of keys to values"
        )
    builder = Builder()
    values: dict[str, Any] = builder.value(root)
    _refuse(_unplain(name, each) for each in builder.faults)
    return Located(values, builder.lines)


def value_in(text: str) -> Any:
    """The plain value that stands alone in `text`, such as an environment variable. Raises ValueError that says what is wrong."""
    root = compose(text)
    if root is None:
        raise ValueError("nothing stands there; expected a value, or no such variable")
    builder = Builder()
    value = builder.value(root)
    if builder.faults:
        raise builder.faults[0]
    return value


def _unplain(name: str, fault: NotPlain) -> str:
    return f"{name}:{fault.line}: {dotted(fault.keys)}{': ' if fault.keys else ''}{fault.told}"


def _refuse(faults: Iterable[str]) -> None:
    """Raises FileFault where there are any. Only the first are put into words: nobody reads thousands, and words take time."""
    rest = iter(faults)
    told = list(islice(rest, FAULTS_TOLD))
    if next(rest, None) is not None:
        told.append("and more of them")
    if told:
        raise FileFault("\n".join(told))


def _nulls(value: Any, keys: Keys = ()) -> Iterator[Fault]:
    """What is null in settings of ours, where no such key says the same, and a slip of a template says it too."""
    if value is None:
        yield keys, "found null; expected a value, or no such key"
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in OF_THE_USER:
                yield from _nulls(inner, (*keys, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _nulls(inner, (*keys, index))


def _keys(error: ErrorDetails) -> Keys:
    return tuple(key for key in error["loc"] if key != "[key]")


def _of_what_is_wrong_inside(error: ErrorDetails) -> bool:
    """Whether a list is called too short only because some of its values are wrong, which is said of these."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _fault(error: ErrorDetails, keys: Keys, model: type[BaseModel]) -> Fault:
    match error["type"]:
        case "extra_forbidden":
            return keys, f"{expected(error, keys)}{_nearest(_keys(error), model)}"
        case "missing":
            return keys, expected(error, keys)
        case refusals.INSIDE:
            return (*keys, *error["ctx"]["keys"]), error["ctx"]["told"]
        case "union_tag_invalid":
            context = error["ctx"]
            tag = str(context["tag"])
            return (
                *keys,
                *words_in(context["discriminator"]),
            ), f"found {tag!r}; {one_of(tag, words_in(context['expected_tags']))}"
        case "union_tag_not_found":
            (tag_key,) = words_in(error["ctx"]["discriminator"])
            return (*keys, tag_key), f"missing; {one_of(None, _members(_keys(error), model))}"
        case _:
            return keys, f"found {_short(error.get('input'), keys)}; {expected(error, keys)}"


def for_secrets(keys: Keys) -> bool:
    """Whether a secret may stand at `keys`: by what the key is called, or since the key wants the name of a variable that holds one."""
    return keys[:1] in PLACES_BESIDE_SECRETS or any(isinstance(key, str) and SAYS_SECRET.fullmatch(key) for key in keys)


def _secrets(value: Any, keys: Keys) -> Iterator[str]:
    """Texts at `keys` and below, where secrets may stand."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _secrets(inner, (*keys, key))
    elif isinstance(value, str) and len(value) >= SHORTEST and for_secrets(keys):
        yield value


def _short(found: Any, keys: Keys = ()) -> str:
    """What stands there, cut short; without secrets first, since half of a URL is known by nobody as one."""
    if for_secrets(keys) and len(str(found)) >= SHORTEST:
        return HIDDEN
    if isinstance(found, str):
        text = repr(redacted_url(found) if "://" in found else redacted(found))
    else:
        text = repr(found) if isinstance(found, int | float | None) else redacted(reprlib.repr(found))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest(keys: Keys, model: type[BaseModel]) -> str:
    known = _fields(keys[:-1], model)
    near = meant(keys[-1], known)
    return f"; did you mean {near!r}?" if near else f"; expected one of {', '.join(sorted(known))}" if known else ""


def _members(keys: Keys, model: type[BaseModel]) -> list[str]:
    """The tags of the union that stands at `keys`."""
    _, among = _model_at(keys, model)
    return [tag for each in among for tag in sorted(_tags(each))]


def _fields(keys: Keys, root: type[BaseModel]) -> list[str]:
    """Names of the keys that may stand under `keys`."""
    model, _ = _model_at(keys, root)
    return list(model.model_fields) if model is not None else []


def _model_at(keys: Keys, root: type[BaseModel]) -> tuple[type[BaseModel] | None, list[type[BaseModel]]]:
    """The settings that stand at `keys`, and those among which they are chosen; None where none of ours do."""
    model: Any = root
    among: list[type[BaseModel]] = []
    for key in keys:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None, []
        field = model.model_fields.get(str(key))
        if field is None:
            # A name of the user's own, such as a model's, whose settings are those of the mapping's values; or the tag of a union.
            model = next((each for each in among if str(key) in _tags(each)), model)
            continue
        among = list(_models_in(field.annotation))
        model = next(iter(among), None)
    return (model if isinstance(model, type) and issubclass(model, BaseModel) else None), among


def _tags(model: type[BaseModel]) -> set[str]:
    """What the fields say that hold one word only, by which a union tells its members apart."""
    annotations = (field.annotation for field in model.model_fields.values())
    words = (get_args(each) for each in annotations if get_origin(each) is Literal)
    return {str(each[0]) for each in words if len(each) == 1}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def dotted(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{_spelt(key)}" if text else _spelt(key)
    return text


def _spelt(key: str) -> str:
    """A key on one line and in full view, however it was written."""
    short = key if len(key) <= KEY_TOLD else f"{key[: KEY_TOLD - 3]}..."
    return short if short.isprintable() else short.encode("unicode_escape").decode("ascii")
