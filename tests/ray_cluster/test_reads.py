"""Reads beside each other: a part that hangs costs its own place and no other."""

from collections.abc import Iterator
from threading import Event

import pytest

from ray_cluster.reads import Reads, within


@pytest.fixture
def dam() -> Iterator[Event]:
    """What hangs until it is set."""
    event = Event()
    yield event
    event.set()


def hanging(dam: Event) -> str:
    dam.wait(60)
    return "late"


def test_a_part_that_hangs_is_named_and_the_others_are_read_again_and_again(dam: Event) -> None:
    """Ten rounds with as many threads as parts: a registry behind a dead network makes nobody blind for the replicas."""
    reads, told = Reads(2, timeout_s=1.0), []
    for n in range(10):
        problems: list[str] = []
        reads.round()
        reads.begin("registry", lambda: hanging(dam))
        reads.begin("replicas", lambda n=n: n)
        assert (reads.result("replicas", problems), reads.result("registry", problems)) == (n, None)
        told += problems
    again = "registry: can not be read, an earlier attempt still hangs"
    assert told == ["registry: can not be read, no answer in 1 s", *[again] * 9]


def test_a_part_that_fails_is_named_with_its_words_and_read_anew() -> None:
    """And what it says next counts."""
    reads, problems = Reads(1, timeout_s=5.0), []
    answers = iter([OSError("no route"), "here"])

    def read() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = []
    for _ in range(2):
        reads.round()
        reads.begin("part", read)
        found.append(reads.result("part", problems))
    assert (found, problems) == ([None, "here"], ["part: can not be read, OSError: no route"])


def test_a_call_without_a_time_out_of_its_own_gets_one(dam: Event) -> None:
    """What it returns and what it raises come through, a time-out of its own too; one that hangs is named."""
    assert within(5.0, lambda: "here", "the look") == "here"
    for own in (ValueError("no actor of that name"), TimeoutError("its own")):
        with pytest.raises(type(own), match=str(own)):
            within(5.0, lambda own=own: raised(own), "the look")
    with pytest.raises(TimeoutError, match=r"the look did not end within 0\.05 s"):
        within(0.05, lambda: hanging(dam), "the look")


def raised(error: Exception) -> None:
    raise error


def test_what_stands_for_a_part_that_is_away_is_named_as_such(dam: Event) -> None:
    """Whether it fails, is late, or hangs since before."""
    reads, away, problems = Reads(2, timeout_s=0.2), [], []
    for _ in range(2):
        reads.round()
        reads.begin("hangs", lambda: hanging(dam))
        reads.begin("fails", lambda: raised(OSError("no route")))
        assert reads.result("fails", problems, "as it was", away) == "as it was"
        assert reads.result("hangs", problems, (), away) == ()
    assert away == ["fails", "hangs"] * 2
