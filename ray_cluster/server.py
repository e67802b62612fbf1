"""ModelServer: serves one managed model over HTTP, one version in the champion's replicas and one in the challenger's.

    POST /MODEL         {"rows": [{"key": "a", "features": {...}}]}  ->  {"predictions": [{"key", "prediction", "version"}]}
    POST /MODEL/labels  {"labels": [{"key": "a", "label": 1.0}]}     ->  {"accepted": 1}, and {"refused": n} of those that are no number
    GET  /MODEL/version                                              ->  {"model", "version"}

While no rollout runs a champion replica answers by itself: no second hop. During one it asks the challenger for the keys that the traffic
table gives it, with a time-out and itself as the fallback, so a broken challenger costs nobody an answer. Copies for the shadow are sent
after the answer. A promotion swaps the version inside the replica, loaded beside the old one and checked against its digest before.
"""

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from typing import Annotated, Any, TypeVar

import ray
import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import RequestRouterConfig

from agent.logs import configure
from agent.monitoring.intake import BODY, BODY_SIZE
from agent.monitoring.rows import Answered, Served
from agent.monitoring.values import number, text
from agent.recipes.recipe import Fitted
from agent.traffic import TrafficTable, live, route, shadowed
from ray_cluster import names
from ray_cluster.probe import Probe
from ray_cluster.reads import within
from ray_cluster.table import TableFollower, keeper

log = structlog.get_logger()
CHALLENGER_TIMEOUT_S = 2.0
SHADOW_TIMEOUT_S = 10.0
"""Nobody waits for a shadow: it may be late, as long as it comes."""
KEEPER_TIMEOUT_S = 5.0
ACKNOWLEDGE_TIMEOUT_S = 20.0
SHADOW_WAITING_MAX = 200
CONDEMNED_GRACE_S = 5.0
BODY_MAX_BYTES = 8 * 2**20
ROWS_MAX = 10_000
"""Rows or labels of one request at most."""
FAULTS_SHOWN = 20
http = FastAPI()
Body = TypeVar("Body", bound=BaseModel)


class RowIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str
    features: dict[str, Any]


class RowsIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rows: Annotated[list[RowIn], Field(max_length=ROWS_MAX)]


class LabelIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str
    label: Any
    """A number; what is none costs its neighbours nothing."""


class LabelsIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    labels: Annotated[list[LabelIn], Field(max_length=ROWS_MAX)]


@dataclass(frozen=True, kw_only=True)
class ServerSpec:
    """What a replica is told when it starts; what changes later comes with the traffic table."""

    model: str
    slot: str
    version: str
    digest: str
    tracking_uri: str
    challenger: str
    """Name of the challenger's application."""
    loader: str = "ray_cluster.registry:load"
    """"module:function" of (tracking_uri, model, version, digest) -> Fitted."""
    faults: bool = False
    """Whether `inject_delay` works. For demos and tests only."""


# Above the class: `serve.ingress` freezes what the class can see at the moment that it decorates it.
def _finite_or_none(fitted: Fitted, features: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """One bad row must not cost its neighbours their answers: where the batch fails, every row is tried alone."""
    try:
        answers = [None if p is None or math.isnan(p) else p for p in map(number, fitted.predict(features))]
    except Exception:
        answers = []
    if len(answers) == len(features):
        return answers
    return [None] if len(features) == 1 else [_finite_or_none(fitted, [one])[0] for one in features]


def _json(plain: Any) -> Response:
    """Plain values as JSON. In ASCII, since a key that came in as half a character goes out as such."""
    return Response(json.dumps(plain, allow_nan=False), media_type="application/json")


def _plainly(part: int | str) -> int | str:
    """A key of a body as an answer can hold it."""
    return text(part) if isinstance(part, str) else part


async def _body(request: Request, kind: type[Body], probe: Probe) -> Body:
    """The body as a `kind`. Raises HTTPException (413, 422), which says where it is wrong; the monitors count it."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > BODY_MAX_BYTES:
            probe.refuse(BODY_SIZE)
            told = f"a body may be {BODY_MAX_BYTES} bytes long; send the rows in several requests"
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
    try:
        return kind.model_validate(json.loads(raw))
    except ValidationError as error:
        faults: Any = [
            {"loc": ["body", *map(_plainly, fault["loc"])], "msg": fault["msg"], "type": fault["type"]}
            for fault in error.errors(include_url=False, include_context=False, include_input=False)[:FAULTS_SHOWN]
        ]
    except (ValueError, RecursionError) as error:
        faults = [{"loc": ["body"], "msg": f"this is no JSON that can be read: {error}", "type": "json_invalid"}]
    probe.refuse(BODY)
    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, faults)


@serve.deployment(name=names.SERVER_DEPLOYMENT)
@serve.ingress(http)
class ModelServer:
    """One replica. See the module for what it answers."""

    def __init__(self, spec: ServerSpec) -> None:
        configure()
        self._spec = spec
        self._replica = str(serve.get_replica_context().replica_id.unique_id)
        self._version, self._fitted = self._first_loaded(self._wanted())
        self._probe = Probe(spec.model, replica=self._replica, make_shard=False)
        self._ongoing = 0
        self._delay_s = 0.0
        self._condemned_s: float | None = None
        self._shadow: asyncio.Queue[list[RowIn]] = asyncio.Queue(SHADOW_WAITING_MAX)
        self.shadows_dropped = 0
        self._challenger: Any = None
        self._follower = TableFollower(spec.model, self._heard)
        self._tasks: list[asyncio.Task[None]] = []

    def _wanted(self) -> list[tuple[str, str]]:
        """Versions and digests to start with, the first that loads: what the table says now, since the specification may be older.

        In the middle of a promotion the champion before it is the second: a version that does not load must not cost a replica.
        """
        if self._spec.slot == "champion":
            try:
                held = within(KEEPER_TIMEOUT_S, lambda: keeper(self._spec.model), "the look for the keeper")
                table = ray.get(held.get.remote(), timeout=KEEPER_TIMEOUT_S)
            except (RayError, TimeoutError):
                table = None
            if table is not None:
                before = [(table.before, table.before_digest)] if table.before and table.before_digest else []
                return [(table.champion, table.champion_digest), *before]
        return [(self._spec.version, self._spec.digest)]

    def _first_loaded(self, wanted: Sequence[tuple[str, str]]) -> tuple[str, Fitted]:
        """The first of `wanted` that loads. Raises what the last of them raised."""
        *others, last = wanted
        for version, digest in others:
            try:
                return version, self._load(version, digest)
            except Exception as failure:
                reason = f"{type(failure).__name__}: {failure}"
                log.error("version_not_loaded", model=self._spec.model, version=version, reason=reason)
        return last[0], self._load(*last)

    async def _begin(self) -> None:
        """Start what needs the event loop: the constructor of a replica does not run in it."""
        if not self._tasks:
            self._follower.start()
            self._tasks.append(asyncio.get_running_loop().create_task(self._copy()))

    @http.post("/")
    async def predict(self, request: Request) -> Response:
        """Answer every row; null for one that can not be answered."""
        await self._begin()
        body = await _body(request, RowsIn, self._probe)
        began = time.perf_counter()
        self._ongoing += 1
        try:
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            predictions = await self._answer(body.rows)
        finally:
            self._ongoing -= 1
        latency_s = time.perf_counter() - began
        self._probe.rows_answered([], Answered(self._replica, self._version, time.time(), latency_s, ok=True))
        return _json({"predictions": predictions})  # plain values: FastAPI need not walk through them again

    @http.post("/labels")
    async def labels(self, request: Request) -> Response:
        """Take in truths by key; a shard that is away gets them later. What is no number is refused by itself, and counted."""
        body = await _body(request, LabelsIn, self._probe)
        for labelled in body.labels:
            self._probe.label(labelled.key, labelled.label)
        values = [number(labelled.label) for labelled in body.labels]
        refused = sum(value is None or math.isnan(value) for value in values)
        return _json({"accepted": len(values) - refused} | ({"refused": refused} if refused else {}))

    @http.get("/version")
    async def version(self) -> dict[str, str]:
        return {"model": self._spec.model, "version": self._version, "replica": self._replica}

    async def predict_rows(self, rows: list[RowIn], shadow: bool) -> tuple[str, list[float | None]]:
        """For the champion's replicas: (version, prediction by row). A shadow's answers go to the monitor only."""
        await self._begin()
        predictions = self._predict(rows, shadow=shadow)
        return self._version, predictions

    async def inject_delay(self, replica: str, delay_s: float) -> bool:
        """Make one replica slow, on purpose. Refused unless the server was started with `faults`."""
        if self._spec.faults and replica == self._replica:
            self._delay_s = delay_s
        return self._spec.faults

    async def check_health(self) -> None:
        """Unhealthy once condemned and idle, so that Serve replaces this replica without taking a request down with it."""
        await self._begin()
        if self._condemned_s is None:
            return
        waited_s = time.monotonic() - self._condemned_s
        if waited_s > CONDEMNED_GRACE_S or (waited_s > 1.0 and not self._ongoing):
            raise RuntimeError("this replica was condemned and is to be replaced")

    async def _answer(self, rows: list[RowIn]) -> list[dict[str, Any]]:
        table, now_s = self._follower.table, self._follower.now_s()
        if table is None or self._spec.slot != "champion" or not live(table, now_s):
            return self._named(rows, self._version, self._predict(rows))
        slots = [route(table, row.key, now_s) for row in rows]
        ours = [row for row, slot in zip(rows, slots, strict=True) if slot == "champion"]
        theirs = [row for row, slot in zip(rows, slots, strict=True) if slot == "challenger"]
        asked = asyncio.create_task(self._ask_challenger(theirs)) if theirs else None
        mine = iter(self._named(ours, self._version, self._predict(ours)) if ours else [])
        others = iter(await asked if asked is not None else [])
        copies = [row for row in ours if shadowed(table, row.key, now_s)]
        if copies:
            self._shadow_later(copies)
        # By the place of a row and not by its key, which several may have.
        return [next(others if slot == "challenger" else mine) for slot in slots]

    async def _ask_challenger(self, rows: list[RowIn]) -> list[dict[str, Any]]:
        try:
            call = self._handle().predict_rows.remote(rows, False)
            version, predictions = await asyncio.wait_for(call, CHALLENGER_TIMEOUT_S)
        except Exception as error:  # whatever is wrong with a challenger, the caller gets an answer
            log.warning("challenger_failed", model=self._spec.model, reason=f"{type(error).__name__}: {error}")
            table = self._follower.table
            if table is not None and table.challenger is not None:
                self._report_failed(rows, table.challenger)
            return self._named(rows, self._version, self._predict(rows))
        return self._named(rows, version, predictions)

    def _report_failed(self, rows: list[RowIn], version: str) -> None:
        now_s = time.time()
        failed = [
            Served(row.key, now_s, row.features, None, CHALLENGER_TIMEOUT_S, version, "", shadow=True) for row in rows
        ]
        self._probe.rows_answered(failed)

    def _shadow_later(self, rows: list[RowIn]) -> None:
        try:
            self._shadow.put_nowait(rows)
        except asyncio.QueueFull:
            self.shadows_dropped += len(rows)

    async def _copy(self) -> None:
        while True:
            rows = await self._shadow.get()
            try:
                await asyncio.wait_for(self._handle().predict_rows.remote(rows, True), SHADOW_TIMEOUT_S)
            except Exception:  # a shadow is answered to nobody; what failed is counted against its version
                table = self._follower.table
                if table is not None and live(table, self._follower.now_s()) and table.challenger is not None:
                    self._report_failed(rows, table.challenger)

    def _handle(self) -> Any:
        if self._challenger is None:
            self._challenger = serve.get_deployment_handle(names.SERVER_DEPLOYMENT, self._spec.challenger)
        return self._challenger

    def _predict(self, rows: Sequence[RowIn], *, shadow: bool = False) -> list[float | None]:
        """Predictions by row, None for those that failed, and the probe told of all."""
        began = time.perf_counter()
        features = [row.features for row in rows]
        predictions = _finite_or_none(self._fitted, features)
        latency_s, now_s = time.perf_counter() - began, time.time()
        self._probe.rows_answered(
            [
                Served(row.key, now_s, row.features, prediction, latency_s, self._version, self._replica, shadow)
                for row, prediction in zip(rows, predictions, strict=True)
            ]
        )
        return predictions

    @staticmethod
    def _named(rows: Sequence[RowIn], version: str, predictions: Sequence[float | None]) -> list[dict[str, Any]]:
        return [
            {"key": row.key, "prediction": prediction, "version": version}
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    async def _heard(self, table: TrafficTable) -> None:
        """A new table: swap the version where it names another for this slot, note a condemnation, and say what is held."""
        if self._replica in table.condemned and self._condemned_s is None:
            self._condemned_s = time.monotonic()
        champion = self._spec.slot == "champion"
        wanted = table.champion if champion else table.challenger
        digest = table.champion_digest if champion else table.challenger_digest
        error = None
        if champion and wanted is not None and wanted != self._version:
            try:
                fitted = await asyncio.to_thread(self._load, wanted, digest or "")
            except Exception as failure:  # keep what serves; the agent reads the error in the acknowledgement
                error = f"{type(failure).__name__}: {failure}"
                log.error("version_not_loaded", model=self._spec.model, version=wanted, reason=error)
            else:
                self._fitted, self._version = fitted, wanted
        told = self._follower.keeper.acknowledge.remote(
            self._spec.slot, self._replica, table.revision, self._version, error
        )
        await asyncio.wait_for(told, ACKNOWLEDGE_TIMEOUT_S)

    def _load(self, version: str, digest: str) -> Fitted:
        module, _, function = self._spec.loader.partition(":")
        load = getattr(import_module(module), function)
        fitted: Fitted = load(self._spec.tracking_uri, self._spec.model, version, digest)
        return fitted


def application(
    spec: ServerSpec,
    *,
    num_replicas: int = 1,
    num_cpus: float = 0.5,
    num_gpus: float = 0.0,
    max_ongoing_requests: int = 20,
) -> serve.Application:
    """The Serve application of one slot. Run it with `external_scaler_enabled=True`, the challenger's without a route."""
    deployment = ModelServer.options(  # type: ignore[attr-defined]
        num_replicas=num_replicas,
        max_ongoing_requests=max_ongoing_requests,
        ray_actor_options={"num_cpus": num_cpus, "num_gpus": num_gpus},
        health_check_period_s=1,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=10,
        request_router_config=RequestRouterConfig(
            request_router_class="ray_cluster.router:CondemningRouter", request_router_kwargs={"model": spec.model}
        ),
    )
    return deployment.bind(spec)
