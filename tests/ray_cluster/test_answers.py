"""What a replica answers while two versions serve, with the other replica played."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agent.traffic import TrafficTable, route
from ray_cluster.server import ModelServer, RowIn

TABLE = TrafficTable(
    model="fraud",
    epoch=1,
    revision=1,
    champion="1",
    champion_digest="x",
    challenger="2",
    challenger_digest="y",
    share=0.5,
    shadow=1.0,
)
ROWS = [RowIn(key=key, features={"n": n}) for n, key in enumerate("abacadbea")]


class Replica:
    """Answers the number of a row, of whichever version; what it does with rows is the server's own code."""

    _answer = ModelServer.func_or_class._answer
    _ask_challenger = ModelServer.func_or_class._ask_challenger
    _named = staticmethod(ModelServer.func_or_class._named)

    def __init__(self, table: TrafficTable | None, *, challenger_fails: bool) -> None:
        self._spec = SimpleNamespace(model="fraud", slot="champion")
        self._follower = SimpleNamespace(table=table, now_s=lambda: 0.0)
        self._version = "1"
        self._fails = challenger_fails
        self.copied: list[RowIn] = []

    def _predict(self, rows: list[RowIn], *, shadow: bool = False) -> list[float | None]:
        return [float(row.features["n"]) for row in rows]

    def _shadow_later(self, rows: list[RowIn]) -> None:
        self.copied += rows

    def _report_failed(self, rows: list[RowIn], version: str) -> None:
        pass

    def _handle(self) -> Any:
        async def predict_rows(rows: list[RowIn], shadow: bool) -> tuple[str, list[float | None]]:
            if self._fails:
                raise RuntimeError("played")
            return "2", self._predict(rows)

        return SimpleNamespace(predict_rows=SimpleNamespace(remote=predict_rows))


@pytest.mark.parametrize("challenger_fails", [False, True])
@pytest.mark.parametrize("table", [None, TABLE])
def test_rows_are_answered_in_their_own_order_whichever_keys_they_repeat(
    table: TrafficTable | None, challenger_fails: bool
) -> None:
    """Whoever reads by position gets the prediction of that very row, in a rollout as without one; copies are of the champion's rows."""
    replica = Replica(table, challenger_fails=challenger_fails)
    slots = ["champion" if table is None else route(table, row.key, 0.0) for row in ROWS]
    versions = ["2" if slot == "challenger" and not challenger_fails else "1" for slot in slots]
    assert asyncio.run(replica._answer(ROWS)) == [
        {"key": row.key, "prediction": float(n), "version": version}
        for n, (row, version) in enumerate(zip(ROWS, versions, strict=True))
    ]
    champions = [row for row, slot in zip(ROWS, slots, strict=True) if slot == "champion"]
    assert replica.copied == ([] if table is None else champions)


def test_the_rows_of_these_tests_are_of_both_versions() -> None:
    assert {route(TABLE, row.key, 0.0) for row in ROWS} == {"champion", "challenger"}
