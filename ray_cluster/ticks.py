"""Keeping the pace of a loop by a clock that nobody can set: a scheduler that goes by the civil clock would sleep until it is caught up."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def every(
    seconds: float,
    act: Callable[[float], Awaitable[None]],
    *,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Call `act` every `seconds`, until cancelled, with how late it is (s). What was missed meanwhile is not made up for."""
    due_s = now_s() + seconds
    while True:
        await sleep(max(0.0, due_s - now_s()))
        late_s = max(0.0, now_s() - due_s)
        await act(late_s)
        due_s = max(due_s + seconds, now_s())
