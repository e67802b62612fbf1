"""Waiting for what may never answer, such as a file on a network disk that is gone: for so long, and no longer.

Nothing can take a call back that the operating system does not return from. It is left alone in a thread of its own, and until it ends
nobody else gets a turn: what it was about to do, it may still do.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

T = TypeVar("T")


class StillWaiting(TimeoutError):
    """A call did not end in time, or one before it has not ended yet. Whether it does what it was for is not known."""


class Turns:
    """One call at a time, each waited for `limit_s` at most, its turn included."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._hangs = False

    def take(self, call: Callable[[], T], limit_s: float) -> T:
        """What `call` returns or raises. Raises StillWaiting, at once where an earlier call hangs."""
        if not self._turn.acquire(timeout=0 if self._hangs else limit_s):
            raise StillWaiting("an earlier attempt still hangs" if self._hangs else f"no answer in {limit_s:g} s")
        self._hangs = False
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(call())
            except BaseException as error:  # handed to whoever waits
                done.set_exception(error)
            finally:
                self._turn.release()

        threading.Thread(target=run, name="journal", daemon=True).start()
        try:
            return done.result(timeout=limit_s)
        except FutureTimeout:
            if done.done():
                return done.result()  # its own, or just in time
            self._hangs = True
            raise StillWaiting(f"no answer in {limit_s:g} s") from None
