"""Managed models: what must run for one (keeper, shard, application), made where it is missing and left alone where it is there."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import ray
from ray import serve
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
from ray.serve.api import RunTarget
from ray.serve.schema import ApplicationStatus

from agent.application_names import application_name
from agent.ports import Notifier
from agent.settings import DriftSettings, ServerSettings, Settings
from agent.traffic import TrafficTable
from policies.action import Alert
from policies.imports import Packages
from policies.observation import Version
from ray_cluster import names
from ray_cluster.monitor_shard import ensure_shard
from ray_cluster.registry import MlflowRegistry
from ray_cluster.server import ServerSpec, application
from ray_cluster.table import keeper

KEEPER_TIMEOUT_S = 60.0
"""The first call waits for the keeper's process to start, which takes long on a machine that is busy."""
START_TIMEOUT_S = 180.0
POLL_S = 0.2
RETRY_S = 10.0


def deploy(settings: Settings, name: str, slot: str, version: Version, *, replicas: int) -> str:
    """Have Serve run the application of one slot, and return its name at once: whether it comes up is to be seen.

    Waiting for it here could last for ever, where there is no room for its replicas.
    """
    model = settings.models[name]
    spec = ServerSpec(
        model=name,
        slot=slot,
        version=version.number,
        digest=version.digest,
        tracking_uri=settings.registry.tracking_uri,
        challenger=application_name(name, model) + names.CHALLENGER_SUFFIX,
        faults=model.server.fault_injection,
    )
    champion = slot == "champion"
    full = application_name(name, model)
    target = RunTarget(
        application(
            spec,
            num_replicas=replicas,
            num_cpus=model.server.replica_cpus,
            num_gpus=model.server.replica_gpus,
            max_ongoing_requests=model.server.max_ongoing_requests,
        ),
        name=full if champion else spec.challenger,
        route_prefix=f"/{full}" if champion else None,
        external_scaler_enabled=True,
    )
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    if champion:
        raw = model.server.model_dump_json().encode()
        _internal_kv_put(_server_key(name), raw, overwrite=True, namespace=names.NAMESPACE.encode())
    return target.name


def ensure_served(settings: Settings, name: str, registry: MlflowRegistry, epoch: int, allowed: Packages = ()) -> bool:
    """Shard, table and champion application of `name`. False where the registry has no champion yet, so nothing can be served."""
    model = settings.models[name]
    log = settings.data_log
    shard = ensure_shard(name, model.drift, data_url=log.url, flush_s=log.flush_s, allowed=allowed)
    ray.get(shard.settle.remote(model.drift, allowed), timeout=KEEPER_TIMEOUT_S)
    champion = registry.view(name).champion
    if champion is None:
        return False
    actor = keeper(name)
    table = ray.get(actor.get.remote(), timeout=KEEPER_TIMEOUT_S)
    if table is None:
        first = TrafficTable(
            model=name, epoch=epoch, revision=1, champion=champion.number, champion_digest=champion.digest
        )
        ray.get(actor.put.remote(first), timeout=KEEPER_TIMEOUT_S)
    if application_name(name, model) not in serve.status().applications:
        deploy(settings, name, "champion", champion, replicas=max(1, model.deployment.min_replicas))
    else:
        check_server(name, model.server)
    return True


def ensure_watched(probe: str, drift: DriftSettings, allowed: Packages = ()) -> bool:
    """The shard of a probe, watching as `drift` says."""
    shard = ensure_shard(probe, drift, follow=False, allowed=allowed)
    ray.get(shard.settle.remote(drift, allowed), timeout=KEEPER_TIMEOUT_S)
    return True


class ServerChanged(Exception):
    """It is served, as it was deployed; what the configuration says of its server now is not applied."""


def check_server(name: str, wanted: ServerSettings) -> None:
    """Raises ServerChanged where the replicas of `name` were deployed otherwise than `wanted`, naming what differs."""
    raw = _internal_kv_get(_server_key(name), namespace=names.NAMESPACE.encode())
    if not raw:
        return
    now, then = wanted.model_dump(), json.loads(raw)
    changed = [f"{key}: {then[key]} (now {now[key]})" for key in now if key in then and now[key] != then[key]]
    if changed:
        raise ServerChanged(
            f"the replicas of {name} run with the server settings that they were deployed with, {', '.join(changed)}: deploying them anew"
            f" would restart them all. Delete the application when it suits you (serve.delete), and it is deployed as configured."
        )


def _server_key(name: str) -> bytes:
    return f"server:{name}".encode()


def wait_until_served(settings: Settings, name: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Until the champion of `name` answers. Raises RuntimeError where Serve has given it up, or TimeoutError."""
    full = application_name(name, settings.models[name])
    deadline_s = time.monotonic() + timeout_s
    while (row := serve.status().applications.get(full)) is None or row.status != ApplicationStatus.RUNNING:
        if row is not None and row.status == ApplicationStatus.DEPLOY_FAILED:
            raise RuntimeError(f"{full} could not be deployed: {row.message}")
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{full} is not served after {timeout_s:.0f} s")
        time.sleep(POLL_S)


class Upkeep:
    """Has every managed model served, in threads of its own: while the registry is away, or a model has no champion yet, others go on."""

    def __init__(
        self,
        settings: Settings,
        registry: MlflowRegistry,
        epoch: int,
        notifier: Notifier,
        allowed: Packages = (),
    ) -> None:
        self._settings = settings
        self._allowed = allowed
        self._registry = registry
        self._epoch = epoch
        self._notifier = notifier
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="upkeep")
        self._tries: dict[str, Future[bool]] = {}
        self._again_s: dict[str, float] = {}
        self._told: dict[str, str] = {}

    def look(self, now_s: float) -> None:
        """Try what is not served yet, each model at most every RETRY_S seconds. Returns at once; called at every tick."""
        for name in self._settings.models:
            self._try(name, now_s, ensure_served, self._settings, name, self._registry, self._epoch, self._allowed)
        for each in self._settings.deployments.values():
            if each.probe is not None and each.drift is not None:
                self._try(each.probe, now_s, ensure_watched, each.probe, each.drift, self._allowed)

    def _try(self, name: str, now_s: float, ensure: Callable[..., bool], *arguments: Any) -> None:
        last = self._tries.get(name)
        if last is not None and last.done():
            self._note(name, last)
        if (last is None or (last.done() and not self._good(last))) and now_s >= self._again_s.get(name, now_s):
            self._again_s[name] = now_s + RETRY_S
            self._tries[name] = self._pool.submit(ensure, *arguments)

    @staticmethod
    def _good(tried: Future[bool]) -> bool:
        error = tried.exception()
        return isinstance(error, ServerChanged) or (error is None and tried.result())

    def _note(self, name: str, tried: Future[bool]) -> None:
        """Tell people once of each reason."""
        error = tried.exception()
        reason = "" if error is None else f"{type(error).__name__}: {error}"
        if error is None and not tried.result():
            reason = "the registry has no champion of it: register a first version and promote it"
        if reason and reason != self._told.get(name):
            if isinstance(error, ServerChanged):
                alert = Alert(subject=name, text=str(error), severity="warning")
            else:
                what = (
                    f"model {name} is not served" if name in self._settings.models else f"probe {name} is not watched"
                )
                text = f"{what} yet, and it is tried again: {reason}"
                alert = Alert(subject=name, text=text, severity="critical")
            self._notifier.notify(alert)
        self._told[name] = reason
