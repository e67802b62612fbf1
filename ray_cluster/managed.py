"""Managed models: what must run for one (keeper, shard, application), made where it is missing and left alone where it is there."""

import ray
import structlog
from ray import serve

from agent.settings import ModelSettings, Settings
from agent.traffic import TrafficTable
from policies.observation import Version
from ray_cluster import names
from ray_cluster.monitor_shard import ensure_shard
from ray_cluster.registry import MlflowRegistry
from ray_cluster.server import ServerSpec, application
from ray_cluster.table import keeper

log = structlog.get_logger()
KEEPER_TIMEOUT_S = 10.0


def application_name(name: str, model: ModelSettings) -> str:
    return model.application or name


def deploy(settings: Settings, name: str, slot: str, version: Version, *, replicas: int) -> None:
    """Run the application of one slot and wait until it is ready. Raises RuntimeError where it does not come up."""
    model = settings.models[name]
    spec = ServerSpec(
        model=name,
        slot=slot,
        version=version.number,
        digest=version.digest,
        tracking_uri=settings.registry.tracking_uri,
        faults=model.server.fault_injection,
    )
    champion = slot == "champion"
    full = application_name(name, model)
    serve.run(
        application(
            spec,
            num_replicas=replicas,
            num_cpus=model.server.replica_cpus,
            num_gpus=model.server.replica_gpus,
            max_ongoing_requests=model.server.max_ongoing_requests,
        ),
        name=full if champion else full + names.CHALLENGER_SUFFIX,
        route_prefix=f"/{full}" if champion else None,
        external_scaler_enabled=True,
    )


def ensure_served(settings: Settings, name: str, registry: MlflowRegistry, epoch: int) -> bool:
    """Shard, table and champion application of `name`. False where the registry has no champion yet, so nothing can be served."""
    model = settings.models[name]
    ensure_shard(name, model.drift, data_url=settings.data_log.url, flush_s=settings.data_log.flush_s)
    champion = registry.view(name).champion
    if champion is None:
        log.warning("no_champion", model=name, hint="register a first version and promote it")
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
