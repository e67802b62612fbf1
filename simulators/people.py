"""People: what they tell the agent and when, as with the commands of the same names: words written into its journal.

Whoever answers looks at what waits at that moment, as `homeostat plan` shows it, and answers all of it that they care for. Where nothing
waits, or an order that waited is gone, nothing is said. While the journal is away a word can not be given; they try again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.journal.controls import Word, said
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.ports import JournalUnavailable
from agent.yaml_nodes import Keys
from simulators.engine import Engine, Priority
from simulators.mishaps import acting
from simulators.settings import ANSWERS, PersonSettings

AGAIN_S = 30.0
"""A word that the journal did not take is said again after so long."""
NAME = "somebody"
WORDS: Mapping[str, Word] = {
    "freeze": "freeze",
    "unfreeze": "unfreeze",
    "kill": "kill",
    "resume": "resume",
    "approve": "approve",
    "deny": "deny",
    "rollback": "rollback",
}
"""What people say, and the word that stands in the journal for it."""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where people's words go: the agent's journal, at the time that their clocks show."""

    engine: Engine
    journal: MemoryJournal
    clock_s: Callable[[], float]


def schedule(people: Iterable[PersonSettings], listener: Listener) -> None:
    """Let everybody say what they have to say, at their moments."""
    for index, person in enumerate(people):
        _at(person.at_s, person, listener, ("people", index))


def _at(at_s: float, person: PersonSettings, listener: Listener, keys: Keys) -> None:
    name = f"{NAME} says {person.says}"
    listener.engine.at(at_s, name, acting(lambda: _speak(person, listener, keys), *keys), Priority.WORLD)


def _speak(person: PersonSettings, listener: Listener, keys: Keys) -> None:
    now_s = listener.engine.now_s
    try:
        words = list(_words(person, listener.journal))
        listener.journal.append([(Kind.CONTROL, listener.clock_s(), each) for each in words], durable=True)
    except JournalUnavailable:
        _at(now_s + AGAIN_S, person, listener, keys)
        return
    again_s = None if person.every_s is None else now_s + person.every_s
    if again_s is not None and (person.for_s is None or again_s <= person.at_s + person.for_s):
        _at(again_s, person, listener, keys)


def _words(person: PersonSettings, journal: MemoryJournal) -> Iterator[dict[str, Any]]:
    word = WORDS[person.says]
    if person.says not in ANSWERS:
        yield said(word, by=NAME, model=person.model)
        return
    for order in waiting(journal):
        if _cares(person, order["action"]):
            yield said(word, by=NAME, number=order["number"])


def waiting(journal: MemoryJournal) -> Sequence[Mapping[str, Any]]:
    """The orders that wait for an answer, as last written down, without those that were answered since."""
    orders: Sequence[Mapping[str, Any]] = ()
    answered: set[int] = set()
    for entry in journal.entries(kinds=(Kind.DECIDED, Kind.CONTROL)):
        if entry.kind == Kind.DECIDED:
            orders = entry.payload["awaiting"]
        elif entry.payload["word"] in ANSWERS:
            answered.add(entry.payload["number"])
    return [order for order in orders if order["number"] not in answered]


def _cares(person: PersonSettings, action: Mapping[str, Any]) -> bool:
    about = action.get("model") or str(action.get("deployment", "")).rpartition("/")[0]
    return person.action in (None, action["kind"]) and person.model in (None, about)
