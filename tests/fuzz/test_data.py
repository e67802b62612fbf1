"""Data of others: traces, exported journals, rows of probes. What is bad costs itself, and nothing beside it."""

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assembly import AssemblyError, assemble
from agent.codec import canonical
from agent.journal.export import exported
from agent.journal.life import Beginning, started
from agent.journal.memory import MemoryJournal
from agent.journal.record import UnreadableEntry, verify
from agent.journal.replay import replay
from agent.journal.warm_start import BeginsTooLate
from agent.settings import Settings
from agent.testing import RecordingNotifier, ScriptedWorld
from simulators.arrival_traces import TraceError, load_trace
from simulators.recorded.recording import RecordingError
from simulators.recorded.recording import read as read_recording
from simulators.row_streams import StreamError, read_stream
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
