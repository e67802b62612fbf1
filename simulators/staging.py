"""From a scenario to a world that is ready to run: streams of chance, traffic, kernels, nodes.

Every cause has a stream of its own, named by its place: another fault or another model does not shift the draws of the rest.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policies.observation import Resources
from simulators import arrival_rates as rates
from simulators.arrival_traces import StampTrace, load_trace
from simulators.arrivals import Bursts, CountReplay, Poisson, Source, StampReplay, Superposed
from simulators.deployment import Lifecycle
from simulators.learned import learning_of
from simulators.mishaps import about
from simulators.requests import RequestKernel
from simulators.scenario import Scenario, trace_path
from simulators.served import ModelSpec
from simulators.service import Constant, Empirical, Exponential, Lognormal, Service, Tokens
from simulators.settings import (
    TOKENS,
    BurstsSettings,
    ConstantSettings,
    DiurnalSettings,
    EmpiricalSettings,
    ExponentialSettings,
    FaultSettings,
    FlashCrowdSettings,
    LifecycleSettings,
    LognormalSettings,
    PiecesSettings,
    RampSettings,
    ScenarioSettings,
    SimModelSettings,
    SteadySettings,
    StepSettings,
    TokensSettings,
    TraceSettings,
)
from simulators.settings import Traffic as TrafficSettings
from simulators.trace_spans import bins

HOUR_S = 3600.0


@dataclass(frozen=True)
class Seeds:
    """Seeds by name: the same name gives the same seed, whatever else is asked for."""

    root: int

    def of(self, *names: str) -> np.random.SeedSequence:
        return np.random.SeedSequence(entropy=self.root & (2**64 - 1), spawn_key=tuple(map(_numbered, names)))


def _numbered(name: str) -> int:
    return zlib.crc32(name.encode())


@dataclass(frozen=True)
class Drawn:
    """A duration of a scenario, drawn in Python: for rare events."""

    service: Constant | Exponential | Lognormal | Empirical

    def draw(self, stream: np.random.Generator) -> float:
        match self.service:
            case Constant(seconds=seconds):
                return seconds
            case Exponential(mean=mean, shift_s=shift_s):
                return shift_s + float(stream.exponential(mean))
            case Lognormal(scale_s=scale_s, shape=shape, shift_s=shift_s):
                return shift_s + scale_s * math.exp(shape * float(stream.standard_normal()))
            case Empirical() as measured:
                return float(np.interp(stream.random(), measured.points, measured.seconds))


def preemptions(settings: ScenarioSettings, seeds: Seeds) -> Iterator[FaultSettings]:
    """When each spot node is taken away, and comes back."""
    kinds = [each for each in settings.cluster.nodes if each.spot and each.preemptions_per_hour > 0]
    for kind, node in [(each, f"{each.name}-{n + 1}") for each in kinds for n in range(each.count)]:
        stream = np.random.default_rng(seeds.of("preemptions", node))
        at_s = 0.0
        while (at_s := at_s + stream.exponential(HOUR_S / kind.preemptions_per_hour)) < settings.duration_s:
            notice_s, away_s = kind.preemption_notice_s, kind.back_after_s
            yield FaultSettings(at_s=at_s, kind="spot_preemption", node=node, seconds=notice_s, for_s=away_s)
            at_s += notice_s + away_s


def specs_of(scenario: Scenario, seeds: Seeds) -> list[ModelSpec]:
    """The models of a scenario. Raises DataMissing or TraceError for a trace that can not be played."""
    settings = scenario.settings
    specs = []
    for name, model in settings.models.items():
        with about("models", name):
            specs.append(_spec(name, model, model.lifecycle or settings.lifecycle, scenario, seeds))
    return specs


def _spec(
    name: str, model: SimModelSettings, lifecycle: LifecycleSettings, scenario: Scenario, seeds: Seeds
) -> ModelSpec:
    source, marks = _source(name, model, scenario.folder, seeds)
    return ModelSpec(
        name=name,
        kernel=_kernel(model),
        source=source,
        lifecycle=_lifecycle(lifecycle),
        replicas=model.replicas,
        min_replicas=model.min_replicas,
        max_replicas=model.max_replicas,
        resources=Resources(cpus=model.cpus, gpus=model.gpus),
        max_ongoing_requests=model.max_ongoing_requests,
        slo_latency_s=model.slo_latency_s,
        learning=learning_of(model.learning, scenario.folder, scenario.allowed) if model.learning is not None else None,
        marks=marks,
    )


def _kernel(model: SimModelSettings) -> Callable[[np.random.SeedSequence], RequestKernel]:
    def make(seed: np.random.SeedSequence) -> RequestKernel:
        return RequestKernel(
            service=service_of(model.service),
            routing=model.routing,
            max_ongoing_requests=model.max_ongoing_requests,
            concurrency=model.concurrency,
            max_queued_requests=model.max_queued_requests,
            dispatcher_holds=model.dispatcher_holds,
            probe_s=model.probe_s,
            refusal_s=model.refusal_s,
            router=service_of(model.router) if model.router is not None else None,
            overhead=service_of(model.overhead) if model.overhead is not None else None,
            batch_max=model.batch_max,
            batch_wait_s=model.batch_wait_s,
            batch_growth=model.batch_growth,
            timeout_s=model.timeout_s,
            retries=model.retries,
            retry_backoff_s=model.retry_backoff_s,
            slo_s=model.slo_latency_s,
            seed=seed,
        )

    return make


def service_of(settings: object) -> Service:
    match settings:
        case ConstantSettings(seconds=seconds):
            return Constant(seconds)
        case ExponentialSettings(mean_s=mean_s, shift_s=shift_s):
            return Exponential(mean_s, shift_s)
        case LognormalSettings(scale_s=scale_s, shape=shape, shift_s=shift_s):
            return Lognormal(scale_s, shape, shift_s)
        case EmpiricalSettings(seconds=seconds, probabilities=probabilities):
            return Empirical(seconds, probabilities)
        case TokensSettings() as tokens:
            return Tokens(tokens.prompt_token_s, tokens.output_token_s, tokens.constant_s)
        case _:
            raise TypeError(f"no service time: {settings!r}")


def _lifecycle(settings: LifecycleSettings) -> Lifecycle:
    cold = service_of(settings.cold_start)
    assert not isinstance(cold, Tokens)  # noqa: S101 - the settings do not allow it
    return Lifecycle(
        cold_start=Drawn(cold),
        warm_start_s=settings.warm_start_s,
        warm_s=settings.warm_s,
        warm_look_s=settings.warm_look_s,
        stop_s=settings.stop_s,
        drains_in_place=settings.drains_in_place,
        drain_max_s=settings.drain_max_s if settings.drain_max_s is not None else math.inf,
        capacity_retry_s=settings.capacity_retry_s,
        restart_after_s=settings.restart_after_s,
        start_failure_p=settings.start_failure_p,
    )


# -- traffic -----------------------------------------------------------------------------------------------------

Marks = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _source(name: str, model: SimModelSettings, folder: Path, seeds: Seeds) -> tuple[Source, Marks | None]:
    if isinstance(model.service, TokensSettings):
        return _with_tokens(name, model, model.service, folder, seeds)
    sources = []
    for n, each in enumerate(model.traffic):
        with about("models", name, "traffic", n):
            sources.append(_one(each, folder, seeds.of("traffic", name, str(n))))
    return (sources[0] if len(sources) == 1 else Superposed(*sources)), None


def _with_tokens(
    name: str, model: SimModelSettings, tokens: TokensSettings, folder: Path, seeds: Seeds
) -> tuple[Source, Marks]:
    """A trace whose rows say how long each request takes."""
    traffic = model.traffic[0]
    assert isinstance(traffic, TraceSettings)  # noqa: S101 - the scenario was checked
    trace, replay = _stamps(traffic, folder, seeds.of("traffic", name, "0"))
    prompt, output = (trace.names.index(each) for each in TOKENS)
    timed = Tokens(tokens.prompt_token_s, tokens.output_token_s, tokens.constant_s)
    taken: list[NDArray[np.float64]] = []

    class Timed:
        def until(self, until_s: float) -> NDArray[np.float64]:
            times, columns = replay.rows_until(until_s)
            taken.append(timed.seconds(columns[:, prompt], columns[:, output]))
            return times

    return Timed(), lambda arrivals: taken.pop()


def _one(traffic: TrafficSettings, folder: Path, seed: np.random.SeedSequence) -> Source:
    match traffic:
        case BurstsSettings(rates_rps=rates_rps, stays_s=stays_s):
            return Bursts(rates_rps, stays_s, seed=seed)
        case TraceSettings() as trace:
            return _replay(trace, folder, seed)
        case _:
            return Poisson(_rate(traffic), seed=seed)


def _rate(traffic: TrafficSettings) -> rates.Rate:
    rate: rates.Rate
    match traffic:
        case PiecesSettings(times_s=times_s, rates_rps=rates_rps):
            rate = rates.Pieces(times_s, rates_rps)
        case DiurnalSettings() as day:
            rate = rates.Wave(day.mean_rps, day.swing, day.peak_s, day.period_s)
            rate = rates.Weekly(rate, day.weekdays) if day.weekdays else rate
        case RampSettings() as ramp:
            rate = rates.ramp(ramp.from_rps, ramp.to_rps, ramp.begin_s, ramp.end_s)
        case StepSettings() as step:
            rate = rates.step(step.before_rps, step.after_rps, step.at_s)
        case FlashCrowdSettings() as crowd:
            shape = {"rise_s": crowd.rise_s, "hold_s": crowd.hold_s, "fall_s": crowd.fall_s}
            rate = rates.flash_crowd(crowd.base_rps, crowd.peak_rps, crowd.at_s, **shape)
        case SteadySettings(rate_rps=rate_rps):
            rate = rates.Steady(rate_rps)
        case other:
            raise TypeError(f"no rate: {other!r}")
    return rate


def _replay(traffic: TraceSettings, folder: Path, seed: np.random.SeedSequence) -> Source:
    trace = load_trace(trace_path(traffic.path, folder))
    if isinstance(trace, StampTrace):
        return _stamps(traffic, folder, seed)[1]
    counts = trace.series(traffic.column if traffic.column is not None else trace.names[0])
    first, last = bins(trace, traffic)
    return CountReplay(
        counts[first:last],
        bin_s=trace.bin_s,
        seed=seed,
        within=traffic.gaps,
        scale=traffic.scale,
        stretch=traffic.stretch,
    )


def _stamps(traffic: TraceSettings, folder: Path, seed: np.random.SeedSequence) -> tuple[StampTrace, StampReplay]:
    trace = load_trace(trace_path(traffic.path, folder))
    assert isinstance(trace, StampTrace)  # noqa: S101 - the callers have looked
    until_s = math.inf if traffic.until_s is None else traffic.until_s
    kept = (trace.times_s >= traffic.from_s) & (trace.times_s < until_s)
    replay = StampReplay(
        trace.times_s[kept] - traffic.from_s,
        columns=trace.columns[kept],
        scale=traffic.scale,
        stretch=traffic.stretch,
        seed=seed,
    )
    return trace, replay
