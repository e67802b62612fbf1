"""An exported journal that somebody has changed is refused, with the line or the entry that is at fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.assembly import AssemblyError
from agent.journal.export import exported
from agent.journal.record import UnreadableEntry
from agent.journal.replay import replay
from tests.fuzz.test_data import LINES


def changed(folder: Path, number: int, **fields: Any) -> Path:
    """The export of a life, with fields of one of its entries exchanged."""
    lines = list(LINES)
    lines[number] = json.dumps(json.loads(lines[number]) | fields)
    (folder / "life.jsonl").write_text("\n".join(lines))
    return folder / "life.jsonl"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"seq": "one"}, "seq: found 'one'; expected int"),
        ({"seq": True}, "seq: found True; expected int"),
        ({"kind": ["started"]}, "kind: found ['started']; expected str"),
        ({"payload": None}, "payload: found None; expected dict"),
        ({"at_s": "noon"}, "at_s: found 'noon'; expected POSIX seconds"),
        ({"at_s": float("nan")}, "at_s: found nan; expected POSIX seconds"),
        ({"at_s": 1e300}, "at_s: found 1e+300; expected POSIX seconds"),
        ({"more": 1}, "unexpected keyword argument 'more'"),
    ],
)
def test_a_field_of_another_kind_is_told_with_its_line(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    """Before anybody works with it."""
    with pytest.raises(ValueError, match=r"life\.jsonl:3: no journal entry") as error:
        list(exported(changed(tmp_path, 2, **fields)))
    assert told in str(error.value)


def test_a_payload_of_another_form_is_told_with_its_entry(tmp_path: Path) -> None:
    """An observation that is none, and a start that says nothing."""
    with pytest.raises(UnreadableEntry, match="entry 2: it does not hold what a observed entry holds"):
        replay(exported(changed(tmp_path, 1, payload={"at_s": []})))
    with pytest.raises(
        AssemblyError, match=r"it can not be read what a life of the agent began with \(KeyError: 'settings'"
    ):
        replay(exported(changed(tmp_path, 0, payload={"epoch": 1})))
