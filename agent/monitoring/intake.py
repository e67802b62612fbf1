"""Intake: rows, requests and labels as probes send them are made sound, or refused one by one; every reason is counted.

A bad row costs itself only. What is let through is small, can be written to a file, and has no number that a sum could not bear.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from agent.monitoring.rows import Answered, Labelled, Served
from agent.monitoring.values import INTEGER_MAX, NUMBER_MAX, TEXT_MAX, Unreadable, name, number, plain, text, whole

TIME_MAX_S = 253_402_300_800.0
"""The end of the year 9999 in POSIX seconds. Milliseconds of today are beyond it."""
AHEAD_MAX_S = 3600.0
"""Clocks of nodes differ by less. A row from the far future would make all others look too old to wait for their labels."""
LATENCY_MAX_S = 1e6
"""Eleven days: nobody waited longer for an answer."""
NAMES_MAX = 1_000
"""Features of a model that are watched and kept. Each has detectors with windows of their own, so they cost time and memory."""
FIRST_ROWS = 20
"""What the first so many rows name are features at once; a name that comes later has to come in COMMON rows first."""
COMMON = 10
NAMES_CARRIED = 5 * NAMES_MAX
"""Who only hands rows on asks for no common names: a probe and a data log outlive the versions whose features they see."""
LEAST = -NUMBER_MAX
RARE_KEPT = 1_000
"""Names that are not common yet, remembered at most."""

KEY = "key is neither a text nor a whole number"
TIME = "time is not between 1970 and 9999, in seconds, or ahead of the clock"
PREDICTION = "prediction is no number"
PREDICTION_UNKNOWN = f"prediction is not finite or beyond {NUMBER_MAX:g}: taken as unknown"
LATENCY = "latency is no number of seconds: taken as unknown"
FEATURES = "features are no mapping of names to values"
NAME = "a feature's name is neither a text nor a number"
TWICE = "two names of a row are one and the same text"
TOLD = "version or replica is neither text nor number"
VALUE = "a feature is neither number nor text"
NUMBER = f"a feature is beyond {NUMBER_MAX:g}: taken as missing"
LONG = f"a text is longer than {TEXT_MAX} characters: kept as beginning and digest"
RARE = f"a feature's name is rare, or beyond the {NAMES_MAX} that are kept: left out"
OVERFLOWED = "label was dropped, since the buffer of a probe was full"
BODY_SIZE = "request was refused, since its body is too large"
BODY = "request was refused, since its body is not what was asked for"
BROKEN = "something in it can not be read: it raises when it is looked at"
LABEL = f"label is no finite number, or beyond {NUMBER_MAX:g}"


class _Refused(Exception):
    """Why a row is refused."""


class Intake:
    """The door of one model. `refused` counts by reason."""

    def __init__(self, names_max: int = NAMES_MAX, first_rows: float = FIRST_ROWS) -> None:
        self.refused: Counter[str] = Counter()
        self._names_max = names_max
        self._first_rows = first_rows
        self._until_s = TIME_MAX_S
        self.begin_anew()

    def now(self, now_s: float) -> None:
        """What is later than this by more than AHEAD_MAX_S can not be, and is refused."""
        self._until_s = now_s + AHEAD_MAX_S

    def begin_anew(self) -> None:
        """Another version may read other features; the counts go on."""
        self._names: set[str] = set()
        self._rare: Counter[str] = Counter()
        self._rows = 0

    def row(self, served: Served) -> Served | None:
        """`served`, made sound where that is needed; None where it is refused."""
        try:
            if self._is_sound(served):
                self._rows += 1
                return served
            return self._row(served)
        except Exception as error:  # values are of anybody's classes
            self._count(error)
            return None

    def answer(self, answered: Answered) -> Answered | None:
        """`answered`, with an unknown latency where it has none to believe; None where it came at no time."""
        try:
            at_s, latency_s = self._moment(answered.at_s), self._latency(answered.latency_s)
            replica, version = _told(answered.replica), _told(answered.version)
            if (
                (at_s is answered.at_s and latency_s is answered.latency_s and type(answered.ok) is bool)
                and replica is answered.replica
                and version is answered.version
            ):
                return answered
            return Answered(replica, version, at_s, latency_s, ok=bool(answered.ok))
        except Exception as error:
            self._count(error)
            return None

    def label(self, labelled: Labelled) -> Labelled | None:
        """`labelled` with a finite label, or None."""
        try:
            key, at_s, label = labelled.key, labelled.at_s, labelled.label
            if (
                (type(key) is str and len(key) <= TEXT_MAX and key.isascii())
                and (type(at_s) is float and 0.0 <= at_s < self._until_s)
                and (type(label) is float and LEAST <= label <= NUMBER_MAX)
            ):
                return labelled
            return Labelled(key=_key(key), at_s=self._moment(at_s), label=_label(label))
        except Exception as error:
            self._count(error)
            return None

    def _count(self, error: Exception) -> None:
        self.refused[str(error) if isinstance(error, _Refused) else BROKEN] += 1

    def _is_sound(self, served: Served) -> bool:
        """Whether nothing is to be changed, as nearly always. By exact types, and in one piece, since every row passes here."""
        key, at_s, prediction, latency_s = served.key, served.at_s, served.prediction, served.latency_s
        version, replica = served.version, served.replica
        return (
            (type(key) is str and len(key) <= TEXT_MAX and key.isascii())
            and (type(at_s) is float and 0.0 <= at_s < self._until_s)
            and (prediction is None or (type(prediction) is float and LEAST <= prediction <= NUMBER_MAX))
            and (latency_s is None or (type(latency_s) is float and 0.0 <= latency_s <= LATENCY_MAX_S))
            and (type(version) is str and len(version) <= TEXT_MAX and version.isascii())
            and (type(replica) is str and len(replica) <= TEXT_MAX and replica.isascii())
            and (type(served.shadow) is bool and type(served.features) is dict)
            and self._are_sound(served.features)
        )

    def _are_sound(self, features: dict[str, Any]) -> bool:
        names = self._names
        for each, value in features.items():
            kind = type(value)
            if (
                type(each) is str
                and each in names
                and (
                    (kind is float and LEAST <= value <= NUMBER_MAX)
                    or (kind is str and len(value) <= TEXT_MAX and value.isascii())
                    or value is None
                    or kind is bool
                    or (kind is int and -INTEGER_MAX <= value <= INTEGER_MAX)
                )
            ):
                continue
            return False
        return True

    def _row(self, served: Served) -> Served:
        """Raises _Refused."""
        sound = replace(
            served,
            key=_key(served.key),
            at_s=self._moment(served.at_s),
            prediction=self._prediction(served.prediction),
            latency_s=self._latency(served.latency_s),
            features=self._made_sound(served.features),
            version=_told(served.version),
            replica=_told(served.replica),
            shadow=bool(served.shadow),
        )
        self._rows += 1
        return sound

    def _moment(self, at_s: Any) -> float:
        """Raises _Refused."""
        if type(at_s) is float and 0.0 <= at_s < self._until_s:
            return at_s
        found = number(at_s)
        if found is None or not 0.0 <= found < self._until_s:
            raise _Refused(TIME)
        return found

    def _prediction(self, value: Any) -> float | None:
        if value is None:
            return None
        found = number(value)
        if found is None:
            raise _Refused(PREDICTION)
        if math.isnan(found):
            self.refused[PREDICTION_UNKNOWN] += 1
            return None
        return found

    def _latency(self, value: Any) -> float | None:
        if value is None or (type(value) is float and 0.0 <= value <= LATENCY_MAX_S):
            return value
        found = number(value)
        if found is not None and 0.0 <= found <= LATENCY_MAX_S:
            return found
        self.refused[LATENCY] += 1
        return None

    def _made_sound(self, features: Any) -> dict[str, Any]:
        """Raises _Refused."""
        if not isinstance(features, Mapping):
            raise _Refused(FEATURES)
        sound: dict[str, Any] = {}
        for known, value in _named(features).items():
            if known in self._names or self._admitted(known):
                sound[known] = self._value(value)
            else:
                self.refused[RARE] += 1
        return sound

    def _admitted(self, name: str) -> bool:
        """Whether a name that is new becomes a feature now."""
        if len(self._names) >= self._names_max:
            return False
        if self._rows >= self._first_rows:
            if len(self._rare) >= RARE_KEPT and name not in self._rare:
                self._rare.clear()
            self._rare[name] += 1
            if self._rare[name] < COMMON:
                return False
            del self._rare[name]
        self._names.add(name)
        return True

    def _value(self, value: Any) -> Any:
        try:
            found = plain(value)
        except Unreadable as error:
            raise _Refused(VALUE) from error
        if isinstance(found, float) and math.isnan(found) and not _is_nan(value):
            self.refused[NUMBER] += 1
        if isinstance(value, str) and len(value) > TEXT_MAX:
            self.refused[LONG] += 1
        return found


def _key(value: Any) -> str:
    """A text, or a whole number as a text. Raises _Refused."""
    if type(value) is str and len(value) <= TEXT_MAX and value.isascii():
        return value
    if isinstance(value, str):
        return _text(value, KEY)
    if isinstance(value, UUID):
        return str(value)
    try:
        found = whole(value)
    except Unreadable as error:
        raise _Refused(KEY) from error
    if found is None:
        raise _Refused(KEY)
    return str(found)


def _named(features: Mapping[Any, Any]) -> dict[str, Any]:
    """`features` by names that are texts. Raises _Refused."""
    found: dict[str, Any] = {}
    for each, value in features.items():
        known = _name(each)
        if known in found:
            raise _Refused(TWICE)
        found[known] = value
    return found


def _name(value: Any) -> str:
    """Raises _Refused."""
    try:
        return name(value)
    except Unreadable as error:
        raise _Refused(NAME) from error


def _told(value: Any) -> str:
    """What names a version or a replica: a text, a number or a UUID as its text. Raises _Refused."""
    if type(value) is str and len(value) <= TEXT_MAX and value.isascii():
        return value
    try:
        return str(value) if isinstance(value, UUID) else name(value)
    except Unreadable as error:
        raise _Refused(TOLD) from error


def _text(value: str, reason: str) -> str:
    """What identifies something is refused where it can not be written down, lest two become one."""
    exact = str.__str__(value)  # what the text is, whatever a class of somebody's makes of it
    try:
        exact.encode()
    except UnicodeEncodeError as error:
        raise _Refused(reason) from error
    return text(exact)


def _label(value: Any) -> float:
    """Raises _Refused."""
    found = number(value)
    if found is None or math.isnan(found):
        raise _Refused(LABEL)
    return found


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
