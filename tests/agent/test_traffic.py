"""Who answers which key: one answer everywhere, and the share that was asked for."""

import math
import subprocess
import sys
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.traffic import TrafficTable, place, route, shadowed

TABLE = TrafficTable(
    model="m", epoch=1, revision=1, champion="1", champion_digest="a", challenger="2", challenger_digest="b",
    share=0.1, shadow=0.5, expires_at_s=100.0,
)  # fmt: skip
KEYS = [f"key-{n}" for n in range(20_000)]


def test_the_share_of_keys_is_the_share_that_was_asked_for() -> None:
    """Within five standard errors, and the shadow's likewise."""
    for wanted, got in (
        (0.1, sum(route(TABLE, key, 0.0) == "challenger" for key in KEYS)),
        (0.5, sum(shadowed(TABLE, key, 0.0) for key in KEYS)),
    ):
        assert abs(got / len(KEYS) - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / len(KEYS))


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_key_stays_with_the_challenger_while_its_share_only_grows(key: str, one: float, other: float) -> None:
    """So nobody flips between versions during a rollout."""
    low, high = sorted((one, other))
    if route(replace(TABLE, share=low), key, 0.0) == "challenger":
        assert route(replace(TABLE, share=high), key, 0.0) == "challenger"


def test_who_is_copied_does_not_depend_on_who_answers() -> None:
    """The shadow's keys are drawn apart: among the canary's keys as many would be copied as elsewhere."""
    canary = [key for key in KEYS if route(TABLE, key, 0.0) == "challenger"]
    copied = sum(shadowed(TABLE, key, 0.0) for key in canary) / len(canary)
    assert abs(copied - 0.5) < 5 * math.sqrt(0.25 / len(canary))


def test_an_expired_table_sends_everything_to_the_champion() -> None:
    """A dead agent can not leave a canary open."""
    wide = replace(TABLE, share=1.0, shadow=1.0)
    assert [route(wide, "k", at_s) for at_s in (99.9, 100.0)] == ["challenger", "champion"]
    assert [shadowed(wide, "k", at_s) for at_s in (99.9, 100.0)] == [True, False]


def test_a_table_without_a_challenger_sends_nobody_anywhere_else() -> None:
    """Whatever share is left in it."""
    alone = replace(TABLE, challenger=None, share=1.0, shadow=1.0)
    assert (route(alone, "k", 0.0), shadowed(alone, "k", 0.0)) == ("champion", False)


def test_a_place_is_equal_in_every_process() -> None:
    """Python's own hash is not: it is salted anew in each."""
    code = "from agent.traffic import place; print(place('k', 'm'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(told) == place("k", "m")
