"""A request router that leaves condemned replicas out: Serve's own power of two choices over the rest.

It learns who is condemned from the keeper's table. It fails open: where all replicas are condemned, or the keeper is away, it routes as
Serve would.
"""

from typing import Any

from ray.serve._private.request_router.common import PendingRequest
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter
from ray.serve._private.request_router.replica_wrapper import RunningReplica

from agent.traffic import TrafficTable
from ray_cluster.table import TableFollower


class CondemningRouter(PowerOfTwoChoicesRequestRouter):
    """Power of two choices over the replicas that nobody wants to replace."""

    def initialize_state(self, model: str = "", **_: Any) -> None:
        """`model` names the table to follow."""
        self._condemned: frozenset[str] = frozenset()
        self._follower = TableFollower(model, self._heard)
        self._follows = False

    async def _heard(self, table: TrafficTable) -> None:
        self._condemned = frozenset(table.condemned)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Ranks of replicas to try, as Serve's router does, without the condemned ones while there are others."""
        if not self._follows:  # not in initialize_state, which Serve may call outside of the loop that routes
            self._follows = True
            self._follower.start()
        chosen = await super().choose_replicas(candidate_replicas, pending_request)
        if not self._condemned:
            return chosen
        good = [r for r in candidate_replicas if r.replica_id.unique_id not in self._condemned]
        if not good:
            return chosen
        kept = [[r for r in rank if r.replica_id.unique_id not in self._condemned] for rank in chosen]
        ranks = [rank for rank in kept if rank]
        return ranks or [good]
