"""Data of others: traces, exported journals, rows of probes. What is bad costs itself, and nothing beside it."""

import copy
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import history
from agent.assembly import AssemblyError, assemble
from agent.cli import _tell
from agent.codec import canonical
from agent.journal.export import exported
from agent.journal.forms import newest
from agent.journal.life import Beginning, started
from agent.journal.memory import MemoryJournal
from agent.journal.record import Entry, Kind, UnreadableEntry, verify
from agent.journal.replay import replay
from agent.journal.warm_start import BeginsTooLate
from agent.reports.decisions import decisions, spans
from agent.settings import Settings
from agent.standing import from_journal
from agent.tables import alerts_table, orders_table, plan_table, standing_page
from agent.terminal import Terminal
from agent.testing import RecordingNotifier, ScriptedWorld
from agent.units import day
from simulators.arrival_traces import TraceError, load_trace
from simulators.recorded.recording import RecordingError
from simulators.recorded.recording import read as read_recording
from simulators.row_streams import StreamError, read_stream
from tests.agent.journal.test_forms import LINES as EVERY_KIND
from tests.agent.journal.test_forms import journal_of
from tests.fuzz.fuzzing import fuzzed, in_words
from tests.fuzz.inputs import odd_values, spoilt_texts

TRACES = [
    "minute,a,b\n0,1,2\n1,3,4\n2,0,0\n",
    "second,requests\n0,10\n1,20\n2,30\n",
    "day,slot,shop\n0,0,5\n0,1,6\n1,0,7\n",
    "t_s,prompt_tokens,output_tokens\n0.5,10,20\n0.7,5,6\n1.9,1,1\n",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@fuzzed(6_000)
@given(
    st.one_of(spoilt_texts(TRACES).map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=300)),
    st.sampled_from(["plain", "gzip", "broken"]),
)
def test_any_trace_is_read_or_refused(folder: Path, raw: bytes, how: str) -> None:
    """Plain, zipped, and zipped with a bite taken out of it."""
    zipped = gzip.compress(raw)
    (folder / "trace.csv").write_bytes({"plain": raw, "gzip": zipped, "broken": zipped[: len(zipped) * 2 // 3]}[how])
    try:
        load_trace(folder / "trace.csv")
    except TraceError as error:
        in_words(error, "trace.csv")


STREAMS = ["y,a,b\n1,2,x\n0,3,y\n1,,z\n", 'y,"a b"\n0,"1,5"\n1,"2,5"\n', "y;a\n1;2\n", "\ufeffy,a\r\n1,2\r\n"]


@fuzzed(3_000)
@given(st.one_of(spoilt_texts(STREAMS).map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=300)))
def test_any_stream_of_rows_is_read_or_refused(folder: Path, raw: bytes) -> None:
    """With the name of the file, in no words of a library's reader of tables."""
    (folder / "rows.csv").write_bytes(raw)
    told = ""
    try:
        read_stream(folder / "rows.csv", target="y")
    except StreamError as error:
        in_words(error, "rows.csv")
        told = str(error)
    assert "C error" not in told


def life() -> list[str]:
    """The lines of an exported journal of twenty ticks, with orders and outcomes."""
    settings = Settings.model_validate(
        {"autonomy": {"default": "act"}, "policies": [{"use": "target_utilization", "up_window_s": 0}]}
    )
    journal = MemoryJournal()
    journal.append([("started", 0.0, started(Beginning(epoch=1, next_number=1, open_orders=()), settings))])
    world = ScriptedWorld.with_deployment("app/model", 2)
    agent = assemble(
        settings, sensor=world, actuator=world, trainer=world, notifier=RecordingNotifier(), journal=journal
    )
    for at_s in range(1, 20):
        world.give_traffic("app/model", ongoing=2.0, latency_mean_s=0.2, measured_at_s=float(at_s))
        agent.tick(float(at_s))
    return [canonical(asdict(entry)).decode() for entry in journal.entries()]


LINES = life()


@st.composite
def spoilt_journals(draw: st.DrawFn) -> str:
    """Lines taken out, moved, cut, or with a value in them exchanged."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["out", "twice", "text", "value", "payload"])):
            case "out" if len(lines) > 1:
                del lines[place]
            case "twice":
                lines.insert(place, lines[draw(st.integers(0, len(lines) - 1))])
            case "text":
                lines[place] = draw(spoilt_texts([lines[place]]))
            case "value":
                lines[place] = _changed(lines[place], (), draw(odd_values), draw(st.integers(0, 9)))
            case _:
                lines[place] = _changed(lines[place], ("payload",), draw(odd_values), draw(st.integers(0, 30)))
    return "\n".join(lines)


def _changed(line: str, keys: tuple[str, ...], value: Any, number: int) -> str:
    try:
        entry = json.loads(line)
        place = entry
        for key in keys:
            place = place[key]
        names = sorted(place)
        place[names[number % len(names)]] = value
        return json.dumps(entry)
    except (ValueError, TypeError, KeyError, ZeroDivisionError):
        return line


@fuzzed(5_000)
@given(spoilt_journals())
def test_any_journal_is_judged_or_refused(folder: Path, text: str) -> None:
    """Verified, replayed and recorded from its export."""
    file = folder / "journal.jsonl"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    for judge in (verify, replay, read_recording):
        try:
            judge(exported(file))
        except (AssemblyError, BeginsTooLate, RecordingError, UnreadableEntry) as error:
            in_words(error)
        except ValueError as error:
            in_words(error, "no journal entry", "journal.jsonl")


def _places(plain: Any, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a payload."""
    named = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in named:
        yield (*keys, key)
        yield from _places(value, (*keys, key))


@st.composite
def reformed_journals(draw: st.DrawFn) -> list[Entry]:
    """A whole chain in which values at any depth of a payload are gone, or of another type."""
    lines = [(kind, json.loads(json.dumps(payload))) for kind, payload in EVERY_KIND]
    for _ in range(draw(st.integers(1, 2))):
        payload = draw(st.sampled_from(lines))[1]
        places = list(_places(payload))
        if not places:
            continue
        *way, key = draw(st.sampled_from(places))
        place = payload
        for each in way:
            place = place[each]
        if draw(st.booleans()):
            del place[key]
        else:
            place[key] = copy.deepcopy(draw(st.one_of(odd_values, st.sampled_from(OTHER_TYPES))))
    journal = MemoryJournal()
    with suppress(ValueError):  # what can not be written is in no journal
        for at_s, (kind, payload) in enumerate(lines, 1):
            journal.append([(kind, float(at_s), payload)])
    return list(journal.entries())


OTHER_TYPES = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    1e308,
    "",
    "x",
    "[/x]",
    [],
    [[]],
    [[[]]],
    {},
    {"x": []},
    ["x"],
    [{"number": []}],
)


@fuzzed(5_000)
@given(reformed_journals())
def test_any_payload_is_shown_or_told_by_its_entry(entries: list[Entry]) -> None:
    """By every command, page and report that reads a journal, for a person and for a machine."""
    journal = journal_of([(str(entry.kind), dict(entry.payload)) for entry in entries])
    for show in SHOWN:
        try:
            show(journal)
        except UnreadableEntry as error:
            in_words(error, "entry ")


def _status(journal: MemoryJournal) -> None:
    found = from_journal(journal, 10.0)
    if found is not None:
        json.dumps(found)
        _shown(standing_page(found, 20.0))


def _orders(journal: MemoryJournal) -> None:
    found = history.orders(journal.entries())
    json.dumps([each.plain() for each in found])
    _shown(orders_table(found, "orders", 100))


def _why(journal: MemoryJournal) -> None:
    for number in (1, 2):
        story = history.story(journal, number)
        if story is not None:
            json.dumps(story.plain())
            _tell(story)


def _alerts(journal: MemoryJournal) -> None:
    _shown(alerts_table(history.alerts(journal.entries()), "alerts"))


def _plan(journal: MemoryJournal) -> None:
    decided = newest(journal, Kind.DECIDED)
    if decided is not None:
        _shown(plan_table(decided.payload, decided.at_s))


def _reports(journal: MemoryJournal) -> None:
    entries = list(journal.entries())
    json.dumps(decisions(entries, when=day))
    json.dumps(spans(entries, ended_s=10.0))


def _recorded(journal: MemoryJournal) -> None:
    with suppress(RecordingError):
        read_recording(journal.entries())


def _shown(told: Any) -> None:
    Terminal(file=io.StringIO(), width=100).print(told)


SHOWN = (_status, _orders, _why, _alerts, _plan, _reports, _recorded)
