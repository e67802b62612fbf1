"""Managed models: what must run for one (keeper, shard, application), made where it is missing and left alone where it is there."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import ray
from ray import serve
from ray.serve.api import RunTarget
from ray.serve.schema import ApplicationStatus

from agent.application_names import application_name
from agent.ports import Notifier
from agent.settings import Settings
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
    return target.name


def ensure_served(settings: Settings, name: str, registry: MlflowRegistry, epoch: int, allowed: Packages = ()) -> bool:
    """Shard, table and champion application of `name`. False where the registry has no champion yet, so nothing can be served."""
    model = settings.models[name]
    log = settings.data_log
    ensure_shard(name, model.drift, data_url=log.url, flush_s=log.flush_s, allowed=allowed)
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
    return True


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
            last = self._tries.get(name)
            if last is not None and last.done():
                self._note(name, last)
            if (last is None or (last.done() and not self._good(last))) and now_s >= self._again_s.get(name, now_s):
                self._again_s[name] = now_s + RETRY_S
                self._tries[name] = self._pool.submit(
                    ensure_served, self._settings, name, self._registry, self._epoch, self._allowed
                )

    @staticmethod
    def _good(tried: Future[bool]) -> bool:
        return tried.exception() is None and tried.result()

    def _note(self, name: str, tried: Future[bool]) -> None:
        """Tell people once of each reason."""
        error = tried.exception()
        reason = "" if error is None else f"{type(error).__name__}: {error}"
        if error is None and not tried.result():
            reason = "the registry has no champion of it: register a first version and promote it"
        if reason and reason != self._told.get(name):
            text = f"model {name} is not served yet, and it is tried again: {reason}"
            self._notifier.notify(Alert(subject=name, text=text, severity="critical"))
        self._told[name] = reason
