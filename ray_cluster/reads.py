"""Reading many things beside each other, each with a time-out.

A read that hangs is not begun again until it has ended, and every part has a thread of its own: a part that is away, a registry behind a
dead network for one, can make nobody blind for the others.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from agent.containment import contained

T = TypeVar("T")
THREADS_MAX = 128


def within(timeout_s: float, call: Callable[[], T], what: str) -> T:
    """What `call` returns or raises, or TimeoutError after `timeout_s`, which names `what`.

    For calls of Ray that have no time-out of their own. One that hangs goes on in a thread that keeps no process alive.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # handed to whoever waits
            done.set_exception(error)

    threading.Thread(target=run, name="within", daemon=True).start()
    try:
        return done.result(timeout=timeout_s)
    except FutureTimeout:
        if done.done():
            raise  # its own
        raise TimeoutError(f"{what} did not end within {timeout_s:g} s") from None


class Reads:
    """Up to `parts` reads at a time. `timeout_s` is how long one round of them is waited for."""

    def __init__(self, parts: int, timeout_s: float) -> None:
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(parts, THREADS_MAX)), thread_name_prefix="read")
        self._timeout_s = timeout_s
        self._under_way: dict[str, Future[Any]] = {}
        self._hanging: frozenset[str] = frozenset()
        self._until_s = 0.0

    def round(self) -> None:
        """A new round begins; what still hangs from earlier ones is left alone."""
        self._until_s = time.monotonic() + self._timeout_s
        self._under_way = {part: future for part, future in self._under_way.items() if not future.done()}
        self._hanging = frozenset(self._under_way)

    def begin(self, part: str, read: Callable[[], Any]) -> None:
        """Start reading `part`, unless its last read still hangs."""
        if part not in self._hanging:
            self._under_way[part] = self._pool.submit(_contained, read)

    def result(self, part: str, problems: list[str], instead: Any = None, away: list[str] | None = None) -> Any:
        """What was read of `part`; `instead` where it is away, which is then named in `problems`, and its name alone in `away`."""
        if part in self._hanging:
            problems.append(f"{part}: can not be read, an earlier attempt still hangs")
            if away is not None:
                away.append(part)
            return instead
        future = self._under_way[part]
        try:
            return future.result(timeout=max(0.0, self._until_s - time.monotonic()))
        except TimeoutError as error:
            problems.append(f"{part}: can not be read, {str(error) or f'no answer in {self._timeout_s:g} s'}")
        except Exception as error:  # named in the observation, so that a HOLD can say why
            problems.append(f"{part}: can not be read, {type(error).__name__}: {error}")
        if away is not None:
            away.append(part)
        return instead


def _contained(read: Callable[[], Any]) -> Any:
    with contained():
        return read()
