"""The pace of the loop: kept by a clock that is handed in, stepped by hand."""

import asyncio

import pytest

from ray_cluster.ticks import every


class Steady:
    """A clock that only sleeping moves, and whatever an act takes."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class Enough(Exception):
    pass


@pytest.mark.parametrize(
    ("takes_s", "expected"),
    [
        ((0, 0, 0, 0), [(105.0, 0.0), (110.0, 0.0), (115.0, 0.0), (120.0, 0.0)]),
        ((1, 0, 2, 0), [(105.0, 0.0), (110.0, 0.0), (115.0, 0.0), (120.0, 0.0)]),
        ((12, 0, 0, 0), [(105.0, 0.0), (117.0, 0.0), (122.0, 0.0), (127.0, 0.0)]),
    ],
)
def test_acts_come_at_an_even_pace_and_those_that_were_missed_are_not_made_up_for(
    takes_s: tuple[float, ...], expected: list[tuple[float, float]]
) -> None:
    """Every five seconds by the steady clock, whatever the civil one shows; after an act of twelve seconds the next comes at once."""
    clock, came = Steady(), []
    left = list(takes_s)

    async def act(late_s: float) -> None:
        came.append((clock.at_s, late_s))
        clock.at_s += left.pop(0)
        if not left:
            raise Enough

    with pytest.raises(Enough):
        asyncio.run(every(5.0, act, now_s=clock.now_s, sleep=clock.sleep))
    assert came == expected
