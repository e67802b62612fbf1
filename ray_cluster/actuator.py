"""The actuator: starts orders on the cluster and returns. What takes long runs in one worker per model, as convergence to a state.

Each step looks at what is there and does what is missing, so that an order that is started again, by a later life of the agent too, does
nothing twice. Weight goes first to zero, then the challenger drains, then it is deleted: no request is lost. A step that waits gives
way to a later order for the same model, so that a challenger that does not come up can not keep a rollback waiting. A version that
replicas of the champion can not load goes out of the table again: whoever starts meanwhile would load it, too.
"""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import ray
import structlog
from ray import serve
from ray.exceptions import RayError

from agent.application_names import application_name
from agent.order import Order
from agent.ports import Refused
from agent.settings import Settings
from agent.traffic import TrafficTable
from policies.action import Action, Promote, Quarantine, Restart, RollBack, Scale, SetTraffic, StartRollout
from policies.observation import Quarantined, Version
from ray_cluster import names
from ray_cluster.epochs import admit
from ray_cluster.managed import KEEPER_TIMEOUT_S, deploy, not_ours
from ray_cluster.quarantine import quarantine
from ray_cluster.reads import within
from ray_cluster.registry import MlflowRegistry
from ray_cluster.serve_rest import ServeAway, ServeRest
from ray_cluster.table import TableSeen, keeper

log = structlog.get_logger()
TABLE_LIFE_S = 30.0
TABLE_LIFE_TICKS = 3
"""A table lives for so many ticks at least: an agent that looks rarely must not let its canaries run out between two looks."""
DRAIN_S = 1.5
SWAP_TIMEOUT_S = 90.0
START_TIMEOUT_S = 600.0
"""A challenger may wait for capacity for so long; its order's deadline and the policy that ordered it are shorter."""
LOAD_PATIENCE_S = 15.0
"""A replica that could not load a version may try again for so long: the registry may be away for a moment."""
RAY_TIMEOUT_S = 10.0
"""For calls of Ray that have no time-out of their own, made within a tick."""
DELETE_TIMEOUT_S = 120.0
POLL_S = 0.1
CONDEMNED_KEPT = 20


class _Overtaken(Exception):
    """A later order for the same model has come, or none will; this one waits no longer."""


class _NotLoaded(Exception):
    """A replica of the champion can not load the version that it should serve."""


class ClusterActuator:
    """Acts in `epoch`; refuses when a later one has acted on this cluster. Raises Refused where it is over, or another's, already."""

    def __init__(self, settings: Settings, *, rest: ServeRest, registry: MlflowRegistry, epoch: int) -> None:
        self._settings = settings
        self._rest = rest
        self._registry = registry
        self._epoch = epoch
        self._started: set[str] = set()
        self._workers: dict[str, ThreadPoolExecutor] = {}
        self._healer = ThreadPoolExecutor(max_workers=2, thread_name_prefix="healing")
        self._latest: dict[str, int] = {}
        """Number of the newest rollout order of each model."""
        self._tables: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._closed = threading.Event()
        self._table_life_s = max(TABLE_LIFE_S, TABLE_LIFE_TICKS * settings.tick_s)
        self._owners = {
            f"{application_name(name, model)}{suffix}/{names.SERVER_DEPLOYMENT}": name
            for name, model in settings.models.items()
            for suffix in ("", names.CHALLENGER_SUFFIX)
        }
        self._holder = uuid.uuid4().hex
        admit(settings.name, epoch, self._holder)

    def start(self, order: Order) -> None:
        """See `agent.ports.Actuator.start`."""
        admit(self._settings.name, order.epoch, self._holder)
        if order.key in self._started:
            return
        self._dispatch(order)
        self._started.add(order.key)

    def renew(self, at_s: float) -> None:
        """Keep the canaries open for another life of a table. Called after every tick that could be written down."""
        until_s = at_s + self._table_life_s

        def renewed() -> None:
            for name in self._settings.models:
                keeper(name).renew.remote(until_s, self._epoch)

        try:
            within(RAY_TIMEOUT_S, renewed, "the renewal of the traffic tables")
        except Exception as error:  # whatever is away: they expire then, and their canaries end
            log.error("tables_not_renewed", reason=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Return once nothing is under way: what was begun is finished, what waits is given up. No order may come after this."""
        self._closed.set()
        for pool in (*self._workers.values(), self._healer):
            pool.shutdown()

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
            self._healer.submit(self._guarded, order, lambda: self._condemn(model, action.replica))
            return
        if action.deployment not in self._settings.deployments:
            raise Refused(f"{action.deployment!r} is not among the deployments in the settings")
        application, _, deployment = action.deployment.partition("/")
        actor = f"SERVE_REPLICA::{application}#{deployment}#{action.replica}"
        try:
            found = within(RAY_TIMEOUT_S, lambda: ray.get_actor(actor, "serve"), f"the look for {actor}")
        except ValueError as error:
            if action.replica in self._replicas(action.deployment):
                raise Refused(f"Serve lists replica {action.replica!r}, but it has no actor {actor!r}") from error
            return  # gone already, which is what was wanted
        # Serve has no graceful way to replace one replica of an application that is not ours: callers retry what it was answering.
        ray.kill(found)

    def _replicas(self, name: str) -> list[str]:
        application, _, deployment = name.partition("/")
        rows = self._rest.details()["applications"].get(application, {}).get("deployments", {})
        return [str(row["replica_id"]) for row in rows.get(deployment, {}).get("replicas", ())]

    def _known(self, model: str) -> None:
        if model not in self._settings.models:
            raise Refused(f"model {model!r} is not among the models in the settings")

    def _later(self, model: str, order: Order, work: Callable[[], None]) -> None:
        if model not in self._workers:
            self._workers[model] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"rollout-{model}")
        self._latest[model] = order.number
        self._workers[model].submit(self._guarded, order, work)

    @staticmethod
    def _guarded(order: Order, work: Callable[[], None]) -> None:
        try:
            work()
        except _Overtaken:
            log.info("order_overtaken", order=order.number, action=order.action.kind)
        except Exception as error:  # the order's verifier judges by what is seen; here is why it will see nothing
            log.error(
                "order_failed", order=order.number, action=order.action.kind, reason=f"{type(error).__name__}: {error}"
            )
        else:
            log.info("order_done", order=order.number, action=order.action.kind)

    def _converge(self, action: Action, order: Order) -> None:
        match action:
            case StartRollout():
                self._start_rollout(action, order)
            case SetTraffic():
                self._change(action.model, action.version, share=action.share, shadow=action.shadow)
            case Promote():
                self._promote(action, order)
            case RollBack():
                self._roll_back(action, order)

    def _start_rollout(self, action: StartRollout, order: Order) -> None:
        self._refuse_strangers(action.model)
        # The table names the challenger before it runs, so that a challenger that does not come up is seen as a failed rollout.
        with self._tables[action.model]:
            held = self._table(action.model)
            if held.challenger != action.version:
                none = {"share": 0.0, "shadow": 0.0, "failed": None}
                self._put(replace(held, challenger=action.version, challenger_digest=action.digest, **none))
        self._registry.challenge(action.model, action.version, decision=str(order.number))
        version = Version(number=action.version, digest=action.digest, created_at_s=0.0)
        application = deploy(self._settings, action.model, "challenger", version, replicas=1)
        self._wait(action.model, order, lambda: self._up(application), f"{application} does not run", START_TIMEOUT_S)
        self._change(action.model, action.version, shadow=action.shadow)

    def _refuse_strangers(self, model: str) -> None:
        """Raises RuntimeError where the challenger's application is somebody else's: it is neither replaced nor deleted."""
        application = application_name(model, self._settings.models[model]) + names.CHALLENGER_SUFFIX
        objection = not_ours(self._rest.details(), application, model)
        if objection is not None:
            raise RuntimeError(objection)

    def _up(self, application: str) -> bool:
        """Whether it runs. Raises RuntimeError where Serve has given it up."""
        row = self._rest.details()["applications"].get(application, {})
        if row.get("status") == "DEPLOY_FAILED":
            raise RuntimeError(f"{application} could not be deployed: {row.get('message', '')}")
        return bool(row.get("status") == "RUNNING")

    def _promote(self, action: Promote, order: Order) -> None:
        self._swap_champion(action.model, action.version, action.digest, order)
        self._registry.promote(action.model, action.version, decision=str(order.number), at_s=time.time())
        self._end_rollout(action.model)

    def _roll_back(self, action: RollBack, order: Order) -> None:
        held = self._table(action.model)
        if held.challenger == action.version and held.champion != action.version:
            self._end_rollout(action.model)
        elif held.champion == action.version:
            self._swap_champion(action.model, action.to, action.to_digest, order)
            self._registry.promote(action.model, action.to, decision=str(order.number), at_s=time.time())
            self._end_rollout(action.model)
        self._registry.reject(action.model, action.version, decision=str(order.number))

    def _swap_champion(self, model: str, version: str, digest: str, order: Order) -> None:
        """Have every champion replica load `version` and swap it in; the challenger keeps its share meanwhile.

        Where they can not, the table goes back to the champion that they serve, and says why. Raises _NotLoaded or TimeoutError then.
        """
        with self._tables[model]:
            held = self._table(model)
            if held.champion != version:
                now = {"before": held.champion, "before_digest": held.champion_digest, "failed": None}
                self._put(replace(held, champion=version, champion_digest=digest, **now))
        patient_until_s = time.monotonic() + LOAD_PATIENCE_S
        late = f"not every replica of {model} serves version {version}"
        try:
            self._wait(model, order, lambda: self._swapped(model, version, patient_until_s), late, SWAP_TIMEOUT_S)
        except (_NotLoaded, TimeoutError) as error:
            self._swap_back(model, version, str(error))
            raise

    def _swap_back(self, model: str, version: str, why: str) -> None:
        with self._tables[model]:
            held = self._table(model)
            if held.champion != version or held.before is None or held.before_digest is None:
                return
            was = {"champion": held.before, "champion_digest": held.before_digest}
            self._put(replace(held, **was, before=None, before_digest=None, failed=why))

    def _wait(self, model: str, order: Order, claim: Callable[[], bool], late: str, timeout_s: float) -> None:
        """Until `claim` holds. Raises TimeoutError, or _Overtaken where a later order for `model` has come or the actuator closes."""
        deadline_s = time.monotonic() + timeout_s
        while not self._holds(claim):
            if self._closed.is_set() or self._latest.get(model, order.number) > order.number:
                raise _Overtaken
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{late} after {timeout_s:.0f} s")
            time.sleep(POLL_S)

    @staticmethod
    def _holds(claim: Callable[[], bool]) -> bool:
        try:
            return claim()
        except (ServeAway, RayError, TimeoutError) as error:  # what can not be read is not yet true
            log.info("could_not_look", reason=f"{type(error).__name__}: {error}")
            return False

    def _swapped(self, model: str, version: str, patient_until_s: float) -> bool:
        """Whether all replicas serve `version`. Raises _NotLoaded where one could not load it, and has had time to try again."""
        seen: TableSeen = ray.get(keeper(model).seen.remote(), timeout=KEEPER_TIMEOUT_S)
        full = application_name(model, self._settings.models[model])
        rows = self._rest.details()["applications"].get(full, {}).get("deployments", {})
        running = [
            r["replica_id"]
            for r in rows.get(names.SERVER_DEPLOYMENT, {}).get("replicas", [])
            if r["state"] == "RUNNING"
        ]
        notes = {r: seen.notes[r] for r in running if r in seen.notes}
        if time.monotonic() > patient_until_s:
            for replica, note in notes.items():
                if note.error is not None and note.version != version:
                    raise _NotLoaded(f"replica {replica} can not load version {version}: {note.error}")
        return bool(running) and all(r in notes and notes[r].version == version for r in running)

    def _end_rollout(self, model: str) -> None:
        with self._tables[model]:
            held = self._table(model)
            alone = {"challenger": None, "challenger_digest": None, "share": 0.0, "shadow": 0.0}
            settled = {"before": None, "before_digest": None, "failed": None}
            if any(getattr(held, name) != value for name, value in (alone | settled).items()):
                self._put(replace(held, **alone, **settled))
        challenger = application_name(model, self._settings.models[model]) + names.CHALLENGER_SUFFIX
        details = self._rest.details()
        if challenger in details["applications"] and not_ours(details, challenger, model) is None:
            time.sleep(DRAIN_S)
            within(DELETE_TIMEOUT_S, lambda: serve.delete(challenger), f"the end of {challenger}")

    def _condemn(self, model: str, replica: str) -> None:
        with self._tables[model]:
            held = self._table(model)
            if replica not in held.condemned:
                self._put(replace(held, condemned=(*held.condemned, replica)[-CONDEMNED_KEPT:]))

    def _change(self, model: str, challenger: str, **changes: float) -> None:
        """Change the table where `challenger` is still the challenger in it."""
        with self._tables[model]:
            held = self._table(model)
            if held.challenger == challenger:
                self._put(replace(held, **changes))

    def _table(self, model: str) -> TrafficTable:
        table: TrafficTable | None = ray.get(keeper(model).get.remote(), timeout=KEEPER_TIMEOUT_S)
        if table is None:
            raise Refused(f"model {model} has no traffic table: it is not served yet")
        return table

    def _put(self, table: TrafficTable) -> None:
        expires_s = None if table.challenger is None else time.time() + self._table_life_s
        put: Any = keeper(table.model).put
        ray.get(
            put.remote(replace(table, epoch=self._epoch, revision=table.revision + 1, expires_at_s=expires_s)),
            timeout=KEEPER_TIMEOUT_S,
        )
