"""What of a file can be checked although other parts are wrong: policies, monitors, models and deployments, each by itself. Pure."""

import copy
import re
from collections.abc import Iterable, Iterator
from typing import Any

from agent.yaml_nodes import Fault, Keys

PLACEHOLDERS = {"policies": {"use": "idle"}, "monitors": {"kind": "error_drift", "use": "adwin"}}
"""Lists whose entries are checked by themselves, and what stands in for one that is wrong."""
BY_NAME = frozenset({"models", "deployments"})
"""Mappings whose entries are checked by themselves; one that is wrong is left out."""
CHECKED_ALONE = frozenset({*PLACEHOLDERS, *BY_NAME, "schedules", "guards", "expect"})
"""Keys of a file below which a fault stays one, whatever stands in the rest of the file."""


class SoundParts:
    """Plain `values` without the parts around the places that are `wrong`."""

    def __init__(self, values: dict[str, Any], wrong: Iterable[Keys]) -> None:
        self._left_out = {_part(keys) for keys in wrong}
        self.values: dict[str, Any] = copy.deepcopy(values)
        for part in self._left_out:
            _leave_out(self.values, part)

    def certain(self, faults: Iterable[Fault]) -> Iterator[Fault]:
        """Those of `faults`, found in `values`, that do not come of what was left out."""
        left_out = [re.escape(part[-1]) for part in self._left_out if part and isinstance(part[-1], str)]
        named = re.compile(rf"(?<!\w)(?:{'|'.join(left_out)})(?!\w)") if left_out else None
        for keys, told in faults:
            inside = any(keys[: len(part)] == part for part in self._left_out)
            if not inside and keys and keys[0] in CHECKED_ALONE and not (named and named.search(told)):
                yield keys, told


def _part(keys: Keys) -> Keys:
    """The smallest part around `keys` that can be left out."""
    for place, key in enumerate(keys[:-1]):
        if key in PLACEHOLDERS and isinstance(keys[place + 1], int):
            return keys[: place + 2]
    return keys[:2] if keys and keys[0] in BY_NAME else keys[:1]


def _leave_out(values: dict[str, Any], part: Keys) -> None:
    if not part:
        values.clear()
        return
    around: Any = values
    for key in part[:-1]:
        try:
            around = around[key]
        except (LookupError, TypeError):
            return  # left out already
    if isinstance(around, list):
        around[int(part[-1])] = dict(PLACEHOLDERS[str(part[-2])])
    elif isinstance(around, dict):
        around.pop(part[-1], None)
