"""The actuator: starts orders on the cluster and returns. What takes long runs in one worker per model, as convergence to a state.

Each step looks at what is there and does what is missing, so that an order that is started again, by a later life of the agent too, does
nothing twice. Weight goes first to zero, then the challenger drains, then it is deleted: no request is lost.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import ray
import structlog
from ray import serve
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from agent.order import Order
from agent.ports import Refused
from agent.settings import Settings
from agent.traffic import TrafficTable
from policies.action import Action, Promote, Quarantine, Restart, RollBack, Scale, SetTraffic, StartRollout
from policies.observation import Quarantined, Version
from ray_cluster import names
from ray_cluster.managed import KEEPER_TIMEOUT_S, application_name, deploy
from ray_cluster.quarantine import quarantine
from ray_cluster.registry import MlflowRegistry
from ray_cluster.serve_rest import ServeAway, ServeRest
from ray_cluster.table import TableSeen, keeper

log = structlog.get_logger()
TABLE_LIFE_S = 30.0
DRAIN_S = 1.5
SWAP_TIMEOUT_S = 90.0
CONDEMNED_KEPT = 20


class ClusterActuator:
    """Acts in `epoch`; refuses when a later one has acted on this cluster."""

    def __init__(self, settings: Settings, *, rest: ServeRest, registry: MlflowRegistry, epoch: int) -> None:
        self._settings = settings
        self._rest = rest
        self._registry = registry
        self._epoch = epoch
        self._started: set[str] = set()
        self._workers: dict[str, ThreadPoolExecutor] = {}
        self._owners = {
            f"{application_name(name, model)}{suffix}/{names.SERVER_DEPLOYMENT}": name
            for name, model in settings.models.items()
            for suffix in ("", names.CHALLENGER_SUFFIX)
        }
        _claim_epoch(settings.name, epoch)

    def start(self, order: Order) -> None:
        """See `agent.ports.Actuator.start`."""
        highest = _claim_epoch(self._settings.name, order.epoch)
        if order.epoch < highest:
            raise Refused(f"epoch {order.epoch} is over; epoch {highest} acts on this cluster")
        if order.key in self._started:
            return
        self._dispatch(order)
        self._started.add(order.key)

    def renew(self, at_s: float) -> None:
        """Keep the canaries open for another TABLE_LIFE_S. Called after every tick that could be written down."""
        for name in self._settings.models:
            keeper(name).renew.remote(at_s + TABLE_LIFE_S, self._epoch)

    def _dispatch(self, order: Order) -> None:
        match order.action:
            case Scale() as scale:
                self._scale(scale)
            case Restart() as restart:
                self._restart(restart, order)
            case StartRollout() | SetTraffic() | Promote() | RollBack() as step:
                self._known(step.model)
                self._later(step.model, order, lambda: self._converge(step, order))
            case Quarantine() as action:
                quarantine(action.model, Quarantined(since_s=action.since_s, until_s=action.until_s))
            case other:
                raise Refused(f"a cluster does not know how to {other.kind}")

    def _scale(self, action: Scale) -> None:
        if action.deployment not in self._owners and action.deployment not in self._settings.deployments:
            raise Refused(f"{action.deployment!r} is not among the deployments in the settings")
        try:
            self._rest.scale(action.deployment, action.replicas)
        except ServeAway as error:
            raise Refused(str(error)) from error

    def _restart(self, action: Restart, order: Order) -> None:
        model = self._owners.get(action.deployment)
        if model is not None:
            self._later(model, order, lambda: self._condemn(model, action.replica))
            return
        application, _, deployment = action.deployment.partition("/")
        actor = f"SERVE_REPLICA::{application}#{deployment}#{action.replica}"
        try:
            found = ray.get_actor(actor, "serve")
        except ValueError as error:
            raise Refused(f"there is no replica {action.replica!r} of {action.deployment}") from error
        # Serve has no graceful way to replace one replica of an application that is not ours: callers retry what it was answering.
        ray.kill(found)

    def _known(self, model: str) -> None:
        if model not in self._settings.models:
            raise Refused(f"model {model!r} is not among the models in the settings")

    def _later(self, model: str, order: Order, work: Callable[[], None]) -> None:
        if model not in self._workers:
            self._workers[model] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"rollout-{model}")
        self._workers[model].submit(self._guarded, order, work)

    @staticmethod
    def _guarded(order: Order, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # the order's verifier judges by what is seen; here is why it will see nothing
            log.error(
                "order_failed", order=order.number, action=order.action.kind, reason=f"{type(error).__name__}: {error}"
            )
        else:
            log.info("order_done", order=order.number, action=order.action.kind)

    def _converge(self, action: Action, order: Order) -> None:
        match action:
            case StartRollout():
                self._start_rollout(action, str(order.number))
            case SetTraffic():
                self._set_traffic(action)
            case Promote():
                self._promote(action, str(order.number))
            case RollBack():
                self._roll_back(action, str(order.number))

    def _start_rollout(self, action: StartRollout, decision: str) -> None:
        # The table names the challenger before it runs, so that a challenger that does not come up is seen as a failed rollout.
        held = self._table(action.model)
        if held.challenger != action.version:
            self._put(
                replace(held, challenger=action.version, challenger_digest=action.digest, share=0.0, shadow=0.0),
            )
        self._registry.challenge(action.model, action.version, decision=decision)
        version = Version(number=action.version, digest=action.digest, created_at_s=0.0)
        deploy(self._settings, action.model, "challenger", version, replicas=1)
        held = self._table(action.model)
        if held.challenger == action.version:
            self._put(replace(held, shadow=action.shadow))

    def _set_traffic(self, action: SetTraffic) -> None:
        held = self._table(action.model)
        if held.challenger == action.version:
            self._put(replace(held, share=action.share, shadow=action.shadow))

    def _promote(self, action: Promote, decision: str) -> None:
        self._swap_champion(action.model, action.version, action.digest)
        self._registry.promote(action.model, action.version, decision=decision, at_s=time.time())
        self._end_rollout(action.model)

    def _roll_back(self, action: RollBack, decision: str) -> None:
        held = self._table(action.model)
        if held.challenger == action.version and held.champion != action.version:
            self._end_rollout(action.model)
        elif held.champion == action.version:
            self._swap_champion(action.model, action.to, action.to_digest)
            self._registry.promote(action.model, action.to, decision=decision, at_s=time.time())
            self._end_rollout(action.model)
        self._registry.reject(action.model, action.version, decision=decision)

    def _swap_champion(self, model: str, version: str, digest: str) -> None:
        """Have every champion replica load `version` and swap it in; the challenger keeps its share meanwhile."""
        held = self._table(model)
        if held.champion != version:
            held = replace(held, champion=version, champion_digest=digest)
            self._put(held)
        deadline = time.monotonic() + SWAP_TIMEOUT_S
        while not self._swapped(model, version):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not every replica of {model} serves version {version} after {SWAP_TIMEOUT_S:.0f} s"
                )
            time.sleep(0.1)

    def _swapped(self, model: str, version: str) -> bool:
        seen: TableSeen = ray.get(keeper(model).seen.remote(), timeout=KEEPER_TIMEOUT_S)
        full = application_name(model, self._settings.models[model])
        rows = self._rest.details()["applications"].get(full, {}).get("deployments", {})
        running = [
            r["replica_id"]
            for r in rows.get(names.SERVER_DEPLOYMENT, {}).get("replicas", [])
            if r["state"] == "RUNNING"
        ]
        return bool(running) and all(r in seen.notes and seen.notes[r].version == version for r in running)

    def _end_rollout(self, model: str) -> None:
        held = self._table(model)
        if held.challenger is not None:
            self._put(replace(held, challenger=None, challenger_digest=None, share=0.0, shadow=0.0, expires_at_s=None))
        challenger = application_name(model, self._settings.models[model]) + names.CHALLENGER_SUFFIX
        if challenger in serve.status().applications:
            time.sleep(DRAIN_S)
            serve.delete(challenger)

    def _condemn(self, model: str, replica: str) -> None:
        held = self._table(model)
        if replica not in held.condemned:
            self._put(replace(held, condemned=(*held.condemned, replica)[-CONDEMNED_KEPT:]))

    def _table(self, model: str) -> TrafficTable:
        table: TrafficTable | None = ray.get(keeper(model).get.remote(), timeout=KEEPER_TIMEOUT_S)
        if table is None:
            raise Refused(f"model {model} has no traffic table: it is not served yet")
        return table

    def _put(self, table: TrafficTable) -> None:
        expires_s = None if table.challenger is None else time.time() + TABLE_LIFE_S
        put: Any = keeper(table.model).put
        ray.get(
            put.remote(replace(table, epoch=self._epoch, revision=table.revision + 1, expires_at_s=expires_s)),
            timeout=KEEPER_TIMEOUT_S,
        )


def _claim_epoch(name: str, epoch: int) -> int:
    """The highest epoch that has acted on this cluster, raised to `epoch` where that is higher."""
    key, namespace = f"epoch:{name}".encode(), names.NAMESPACE.encode()
    raw = _internal_kv_get(key, namespace=namespace)
    highest = int(raw) if raw else 0
    if epoch > highest:
        _internal_kv_put(key, str(epoch).encode(), overwrite=True, namespace=namespace)
    return max(highest, epoch)
