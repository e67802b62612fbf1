"""Managed models: what must run for one (keeper, shard, application), made where it is missing and left alone where it is there."""

import json
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import serve
from ray.serve.api import RunTarget
from ray.serve.schema import ApplicationStatus

from agent.application_names import application_name
from agent.ports import Notifier
from agent.redaction import redacted
from agent.repeats import Repeats, again, mark_of
from agent.settings import DriftSettings, ServerSettings, Settings
from agent.traffic import TrafficTable
from policies.action import Alert
from policies.imports import Packages
from policies.observation import Version
from ray_cluster import kv, names
from ray_cluster.monitor_shard import ensure_shard
from ray_cluster.reads import within
from ray_cluster.registry import MlflowRegistry
from ray_cluster.serve_rest import ServeAway, ServeRest
from ray_cluster.server import ServerSpec, application
from ray_cluster.table import keeper
from ray_cluster.translate import foreign

KEEPER_TIMEOUT_S = 60.0
"""The first call waits for the keeper's process to start, which takes long on a machine that is busy."""
DEPLOY_TIMEOUT_S = 60.0
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
    runs = partial(
        serve.run_many, [target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
    )
    within(DEPLOY_TIMEOUT_S, runs, f"the deployment of {target.name}")
    if champion:
        kv.put(_server_key(name), model.server.model_dump_json().encode())
    return target.name


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What does not run of a managed model whose champion is known: what is to be made, in this order."""

    champion: Version | None
    """None for the shard of a probe alone."""
    parts: tuple[str, ...]
    """Of "shard", "table" and "application"."""


class Unserved(Exception):
    """A model can not be served as things are, and why."""


class ServerChanged(Exception):
    """It is served, as it was deployed; what the configuration says of its server now is not applied."""


def missing(
    settings: Settings, name: str, registry: MlflowRegistry, rest: ServeRest, allowed: Packages = ()
) -> Missing:
    """What does not run of model `name`, or of the probe of that name. A shard that runs watches as configured from now on.

    Raises Unserved where the registry has no champion, or an application of somebody else has the model's name, and ServerChanged.
    """
    if name not in settings.models:
        return Missing(champion=None, parts=() if _settled(settings, name, allowed) else ("shard",))
    full = application_name(name, settings.models[name])
    details = rest.details()
    objection = not_ours(details, full, name)
    if objection is not None:
        raise Unserved(objection)
    champion = registry.view(name).champion
    there = (("shard", _settled(settings, name, allowed)), ("table", _has_table(name)))
    parts = [part for part, is_there in there if not is_there]
    if champion is None:
        raise Unserved("the registry has no champion of it: register a first version and promote it")
    if full not in details.get("applications", {}):
        parts.append("application")
    elif not parts:
        check_server(name, settings.models[name].server)
    return Missing(champion=champion, parts=tuple(parts))


def make(settings: Settings, name: str, what: Missing, epoch: int, allowed: Packages = ()) -> None:
    """Make what is `missing` of model `name`. What is there by now is left alone."""
    if "shard" in what.parts:
        within(KEEPER_TIMEOUT_S, partial(_shard, settings, name, allowed), f"the start of the monitor shard of {name}")
    model, champion = settings.models.get(name), what.champion
    if model is None or champion is None:
        return
    if "table" in what.parts and not _has_table(name):
        first = TrafficTable(
            model=name, epoch=epoch, revision=1, champion=champion.number, champion_digest=champion.digest
        )
        ray.get(_keeper(name).put.remote(first), timeout=KEEPER_TIMEOUT_S)
    if "application" in what.parts:
        deploy(settings, name, "champion", champion, replicas=max(1, model.deployment.min_replicas))


def ensure_served(settings: Settings, name: str, registry: MlflowRegistry, epoch: int, rest: ServeRest) -> None:
    """Shard, table and champion application of `name`, for who does not keep a journal.

    Waits for the dashboard of a cluster that has just begun. Raises Unserved, or ServeAway where it does not answer.
    """
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            found = missing(settings, name, registry, rest)
        except ServeAway:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(POLL_S)
        else:
            return make(settings, name, found, epoch)


def not_ours(details: Mapping[str, Any], application: str, model: str) -> str | None:
    """Why `application` in Serve's details is not ours to replace or delete; None where it is, or is not there."""
    row = details.get("applications", {}).get(application)
    if row is None or not foreign(row, model):
        return None
    return f"an application {application!r} runs that is not of model {model}; it is left alone"


def check_server(name: str, wanted: ServerSettings) -> None:
    """Raises ServerChanged where the replicas of `name` were deployed otherwise than `wanted`, naming what differs."""
    raw = kv.get(_server_key(name))
    if not raw:
        return
    now, then = wanted.model_dump(), json.loads(raw)
    changed = [f"{key}: {then[key]} (now {now[key]})" for key in now if key in then and now[key] != then[key]]
    if changed:
        raise ServerChanged(
            f"the replicas of {name} run with the server settings that they were deployed with, {', '.join(changed)}: deploying them anew"
            f" would restart them all. Delete the application when it suits you (serve.delete), and it is deployed as configured."
        )


def _server_key(name: str) -> str:
    return f"server:{name}"


def _watched(settings: Settings, name: str) -> DriftSettings:
    """How the shard of model or probe `name` watches."""
    if name in settings.models:
        return settings.models[name].drift
    return next(each.drift for each in settings.deployments.values() if each.probe == name and each.drift is not None)


def _shard(settings: Settings, name: str, allowed: Packages) -> Any:
    drift, log = _watched(settings, name), settings.data_log
    if name not in settings.models:
        return ensure_shard(name, drift, follow=False, allowed=allowed)
    return ensure_shard(name, drift, data_url=log.url, flush_s=log.flush_s, allowed=allowed)


def _settled(settings: Settings, name: str, allowed: Packages) -> bool:
    """Whether the shard of `name` runs; it then watches as configured."""
    actor = names.shard_actor(name)
    try:
        shard = within(KEEPER_TIMEOUT_S, lambda: ray.get_actor(actor, names.NAMESPACE), f"the look for {actor}")
    except ValueError:
        return False
    ray.get(shard.settle.remote(_watched(settings, name), allowed), timeout=KEEPER_TIMEOUT_S)
    return True


def _keeper(name: str) -> Any:
    return within(KEEPER_TIMEOUT_S, lambda: keeper(name), f"the look for the keeper of {name}")


def _has_table(name: str) -> bool:
    return ray.get(_keeper(name).get.remote(), timeout=KEEPER_TIMEOUT_S) is not None


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
    """Has every managed model served. It looks in threads of its own: while one model can not be served, others go on.

    1. What is missing is looked for; nothing is changed by that.
    2. What shall be made stands in the journal first, as a note, which a replay passes over: it follows from settings and registry alone,
       and not from what policies want. `note` writes it down, and says whether it could.
    3. While changes are frozen nothing is made. Whoever calls stays away while the kill switch is on.
    4. A model that is served is looked at no more: Serve keeps it, and an application that a person deletes stays deleted.
    """

    def __init__(
        self,
        settings: Settings,
        look_for: Callable[[str], Missing],
        make: Callable[[str, Missing], None],
        *,
        note: Callable[[Mapping[str, Any], float], bool],
        notifier: Notifier,
    ) -> None:
        probes = (each.probe for each in settings.deployments.values() if each.drift is not None)
        self._models = tuple(settings.models)
        self._names = (*self._models, *(probe for probe in probes if probe is not None))
        self._look_for = look_for
        self._make = make
        self._write = note
        self._notifier = notifier
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="upkeep")
        self._looks: dict[str, Future[Missing]] = {}
        self._makes: dict[str, Future[None]] = {}
        self._served: set[str] = set()
        self._again_s: dict[str, float] = {}
        self._repeats = Repeats()

    def look(self, now_s: float, frozen: str | None = None) -> None:
        """One step for every model that is not served yet. Returns at once; called at every tick. `frozen` says why nothing may change.

        A look or an attempt that came to nothing is made again after RETRY_S seconds.
        """
        for name in self._names:
            if name not in self._served:
                self._step(name, now_s, frozen)

    def _step(self, name: str, now_s: float, frozen: str | None) -> None:
        look, made = self._looks.get(name), self._makes.get(name)
        if made is not None:
            if made.done():
                self._look_again(name, now_s, made.exception())
        elif look is None:
            if now_s >= self._again_s.get(name, now_s):
                self._looks[name] = self._pool.submit(self._look_for, name)
        elif look.done():
            error = look.exception()
            if isinstance(error, ServerChanged):
                self._served.add(name)
                self._notifier.notify(Alert(subject=name, text=str(error), severity="warning"))
            elif error is not None:
                self._look_again(name, now_s, error)
            else:
                self._found(name, look.result(), now_s, frozen)

    def _found(self, name: str, what: Missing, now_s: float, frozen: str | None) -> None:
        if not what.parts:
            self._served.add(name)
        elif frozen is not None:
            self._look_again(name, now_s, Unserved(f"{', '.join(what.parts)} would be made, but {frozen}"))
        elif self._write(
            {
                "note": "upkeep",
                "model": name,
                "makes": list(what.parts),
                "version": what.champion and what.champion.number,
            },
            now_s,
        ):
            self._makes[name] = self._pool.submit(self._make, name, what)

    def _look_again(self, name: str, now_s: float, error: BaseException | None) -> None:
        """After something was made at once, to see that it is there; after an error later."""
        self._looks.pop(name, None)
        self._makes.pop(name, None)
        if error is not None:
            self._again_s[name] = now_s + RETRY_S
            if isinstance(error, Unserved):
                self._tell(name, str(error), str(error), now_s)
            else:
                self._tell(name, f"{type(error).__name__}: {error}", mark_of(error), now_s)

    def _tell(self, name: str, reason: str, mark: Hashable, now_s: float) -> None:
        """Tell people once an hour of each reason, however its words change."""
        untold = self._repeats.hear((name, mark), now_s)
        if untold is not None:
            is_not = f"model {name} is not served" if name in self._models else f"probe {name} is not watched"
            text = again(f"{is_not} yet, and it is tried again: {redacted(reason)}", untold)
            self._notifier.notify(Alert(subject=name, text=text, severity="critical"))
