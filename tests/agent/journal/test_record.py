"""The chain: whatever is changed, it is found."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.journal.export import export, exported
from agent.journal.record import Entry, verify
from agent.testing import MemoryJournal

PLAIN = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=3)
LINES = st.lists(st.tuples(st.sampled_from(["note", "observed"]), st.floats(0, 1e9), PLAIN), min_size=2, max_size=8)


def chain(lines: list[tuple[str, float, dict]]) -> list[Entry]:
    journal = MemoryJournal()
    journal.append(lines)
    return journal.kept


@given(LINES)
def test_an_untouched_chain_verifies(lines: list) -> None:
    """Whatever was written."""
    result = verify(chain(lines))
    assert (result.ok, result.entries) == (True, len(lines))


@given(LINES, st.data())
def test_any_change_of_any_entry_is_found(lines: list, data: st.DataObject) -> None:
    """Content, moment, kind, order or a missing entry; the number of the first bad entry is given."""
    entries = chain(lines)
    index = data.draw(st.integers(0, len(entries) - 1))
    touched = entries[index]
    change = data.draw(st.sampled_from(["payload", "at_s", "kind", "drop", "swap"]))
    if change == "payload":
        entries[index] = replace(touched, payload={**touched.payload, "added": 1})
    elif change == "at_s":
        entries[index] = replace(touched, at_s=touched.at_s + 1)
    elif change == "kind":
        entries[index] = replace(touched, kind="intent")
    elif change == "drop":
        index = min(index, len(entries) - 2)
        del entries[index]
    else:
        index = min(index, len(entries) - 2)
        entries[index], entries[index + 1] = entries[index + 1], entries[index]
    result = verify(entries)
    assert not result.ok
    assert result.entries == index


def test_what_was_exported_verifies_without_a_database(tmp_path) -> None:
    """Every entry comes back as it was."""
    entries = chain([("note", 1.5, {"a": "ä"}), ("observed", 2.0, {"b": None})])
    assert export(entries, tmp_path / "out.jsonl") == 2
    assert list(exported(tmp_path / "out.jsonl")) == entries
