"""Reads beside each other: a part that hangs costs its own place and no other."""

from collections.abc import Iterator
from threading import Event

import pytest

from ray_cluster.reads import Reads


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
