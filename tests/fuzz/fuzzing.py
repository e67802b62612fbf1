"""How many inputs each test is given, and what no input may do: end in a traceback, or take five seconds of a core."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from hypothesis import HealthCheck, settings

SAMPLE = 1_000
"""Inputs of all tests together in a normal run; `make fuzz` gives a hundred times as many."""
WHOLE = 100_000
LEAST = 10
HANG_S = 5.0
GIVEN: Counter[str] = Counter()
"""Inputs by test, told at the end of the run."""


class Hung(AssertionError):
    """An input took five seconds of a core."""


def fuzzed(inputs: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a test so many of the `WHOLE` inputs; of the sample its share. A sample is the same in every run."""
    whole = settings.get_current_profile_name() == "fuzz"
    chosen = settings(
        max_examples=inputs if whole else max(LEAST, inputs * SAMPLE // WHOLE),
        derandomize=not whole,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def decorated(test: Any) -> Callable[..., None]:
        test.hypothesis.inner_test = _guarded(test.hypothesis.inner_test)
        return chosen(test)

    return decorated


def _guarded(inner: Callable[..., None]) -> Callable[..., None]:
    @wraps(inner)
    def run(*arguments: Any, **words: Any) -> None:
        GIVEN[inner.__name__] += 1
        with without_hanging():
            inner(*arguments, **words)

    return run


def in_words(error: Exception, *words: str) -> None:
    """A refusal says something, and one of `words` is in it, where there are any."""
    told = str(error)
    assert told
    assert not words or any(each in told for each in words), told


@contextmanager
def without_hanging() -> Iterator[None]:
    """Time of this process only: that the machine is busy is no fault of an input."""

    def hung(number: int, frame: Any) -> None:
        raise Hung(f"it took {HANG_S:g} s of a core")

    before = signal.signal(signal.SIGPROF, hung)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)
