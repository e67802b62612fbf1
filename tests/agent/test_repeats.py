"""What is said at every look is told once an hour, and how often it was not told: by who raised it, its type and its place."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agent.assembly import rules
from agent.calendar import FreezeCalendar
from agent.core import Core
from agent.repeats import MARKS_MAX, Repeats, again, mark_of
from agent.settings import Settings
from policies.action import Evidence, Proposal, Scale
from policies.observation import Observation
from policies.testing import observation

HOUR_S = 3600.0


def core_of(propose: Callable[[Observation], Any]) -> Core:
    class Mine:
        def propose(self, seen: Observation) -> Any:
            return propose(seen)

    return Core([("mine", Mine())], rules(Settings()), FreezeCalendar())


def texts(core: Core, until_s: float, every_s: float = 10.0) -> list[tuple[float, str]]:
    """(moment, text) of every alert."""
    told = []
    for n in range(1, round(until_s / every_s) + 1):
        told += [(n * every_s, alert.text) for alert in core.step(observation(n * every_s)).alerts]
    return told


def test_an_error_whose_words_change_is_told_once_and_then_counted() -> None:
    """A counter, a time and an address in it make no new error of it: 359 alerts an hour would hide everything else."""

    def raises(seen: Observation) -> None:
        raise ValueError(f"try {seen.at_s:g} of {object()}")

    first, second = texts(core_of(raises), HOUR_S + 15.0)
    assert first == (10.0, "policy mine raised ValueError: try 10 of <object object at 0x...>")
    assert second == (
        3610.0,
        "policy mine raised ValueError: try 3610 of <object object at 0x...> (359 times more since it was told last)",
    )


def test_errors_of_another_type_or_place_are_others() -> None:
    """Each is told once."""

    def raises(seen: Observation) -> None:
        if seen.at_s % 30 == 0:
            raise KeyError(seen.at_s)
        if seen.at_s % 20 == 0:
            raise ValueError(seen.at_s)
        raise ValueError(seen.at_s)

    told = [text.split(":")[0] for _, text in texts(core_of(raises), 600.0)]
    assert told == ["policy mine raised ValueError", "policy mine raised ValueError", "policy mine raised KeyError"]


def test_a_proposal_that_raises_when_it_is_looked_at_is_counted_as_well() -> None:
    """Whatever its words."""

    class Odd:
        def __init__(self, at_s: float) -> None:
            self.at_s = at_s

        def __len__(self) -> int:
            raise RuntimeError(f"at {self.at_s}")

        def __getitem__(self, place: int) -> Evidence:
            raise RuntimeError(f"at {self.at_s}")

    Sequence.register(Odd)

    def proposes(seen: Observation) -> list[Proposal]:
        return [Proposal(action=Scale(deployment="a/m", replicas=2), because=Odd(seen.at_s))]  # type: ignore[arg-type]

    told = texts(core_of(proposes), 600.0)
    assert told == [(10.0, "policy mine made a proposal that was left out: RuntimeError: at 10.0")]


def test_what_is_told_after_a_restart_is_counted_on() -> None:
    """The observations that a new life is shown again count as said."""

    def raises(seen: Observation) -> None:
        raise ValueError(seen.at_s)

    core = core_of(raises)
    for n in range(1, 61):
        core.relive(observation(10.0 * n))
    assert core.step(observation(610.0)).alerts == ()
    (alert,) = core.step(observation(HOUR_S + 10.0)).alerts
    assert alert.text.endswith("(60 times more since it was told last)")


def test_a_time_that_lies_ahead_silences_for_an_hour_at_most() -> None:
    """Whatever a clock showed when it was told."""
    repeats = Repeats()
    assert [repeats.hear("a", at_s) for at_s in (1e6, 0.0, HOUR_S - 1.0, HOUR_S)] == [0, None, None, 2]


def test_what_was_not_said_for_a_day_begins_anew() -> None:
    """And nothing is kept of it, nor of more marks than anybody needs."""
    repeats = Repeats()
    assert [repeats.hear("a", at_s) for at_s in (0.0, 1.0, 2.0 + 86400.0)] == [0, None, 0]
    for n in range(2 * MARKS_MAX):
        repeats.hear(n, 90_000.0)
    assert len(repeats._heard) <= MARKS_MAX + 1


def test_an_error_that_was_never_raised_has_no_place() -> None:
    """Its type is all there is of it."""
    assert mark_of(asyncio.CancelledError()) == ("CancelledError", "")


@pytest.mark.parametrize(("untold", "text"), [(0, "x"), (3, "x (3 times more since it was told last)")])
def test_the_number_is_told_where_there_is_one(untold: int, text: str) -> None:
    """And not that it was none."""
    assert again("x", untold) == text
