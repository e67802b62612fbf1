"""A run: the scenario's world, the unchanged agent in it, and what came of both. One seed, one journal."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.assembly import assemble
from agent.clock import AgentClock, Border, told
from agent.codec import to_json
from agent.journal.life import begin, last_moment
from agent.journal.memory import MemoryJournal
from agent.journal.record import Entry, Kind
from agent.loop import Agent
from agent.matching import Known, unmatched
from agent.settings import Settings
from agent.strict_yaml import dotted
from simulators import people
from simulators.checkers import Checkers
from simulators.civil import CivilWorld
from simulators.engine import Engine, Event, Priority
from simulators.expectations import Held, check, parse
from simulators.faults import Stage, schedule
from simulators.measures import Ledger, Minute, recovery_s, served_well, totals, until_the_last
from simulators.mishaps import acting
from simulators.policy_faults import PolicyFaults
from simulators.room import cluster_of
from simulators.scenario import Scenario
from simulators.schedules import due_s
from simulators.serving import TABLE_LIFE_S
from simulators.shapes import never
from simulators.sketch import quantiles
from simulators.staging import Seeds, preemptions, specs_of
from simulators.telemetry import Telemetry
from simulators.trace_spans import ends_s
from simulators.world import SimulatedWorld

MINUTE_S = 60.0
HOUR_S = 3600.0
POINTS = 720
"""So many moments of a short run are kept for its drawing, though none closer than `CLOSEST_S`; of a long one each minute."""
CLOSEST_S = 5.0
LOOK = "a look"


@dataclass(frozen=True, kw_only=True)
class Point:
    """How things stood at one moment, for the drawing: replicas that run and that are wanted, and what waits, by model."""

    at_s: float
    running: dict[str, int]
    wanted: dict[str, int]
    queued: dict[str, int]
    loss: dict[str, float | None]
    version: dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a run. `measures` is what expectations look at: totals on top, and `models`."""

    scenario: str
    seed: int
    requests: int
    wall_s: float
    journal_sha256: str
    measures: dict[str, Any]
    expectations: tuple[Held, ...]
    minutes: dict[str, list[Minute]]
    points: list[Point]
    entries: list[Entry]
    faults: list[tuple[float, str]]
    slos: dict[str, float]
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    """What a reader of the measures has to know."""

    @property
    def passed(self) -> bool:
        return all(each.held for each in self.expectations) and not self.interrupted

    def to_json(self) -> dict[str, Any]:
        """The machine-readable result."""
        found = dict(self.measures)
        models = found.pop("models")
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "requests": self.requests,
            "wall_s": self.wall_s,
            "requests_per_wall_s": self.requests / self.wall_s if self.wall_s > 0 else 0.0,
            "journal_sha256": self.journal_sha256,
            "totals": found,
            "models": models,
            "expectations": [{"text": e.text, "held": e.held, "value": e.value} for e in self.expectations],
            "notes": list(self.notes),
            "interrupted": self.interrupted,
        }


@dataclass
class Simulation:
    """One run of one scenario. `progress` is told simulated seconds; `tell` gets every entry of the journal."""

    scenario: Scenario
    seed: int
    progress: Callable[[float], None] = lambda at_s: None
    tell: Callable[[Entry], None] | None = None
    checked: bool = True
    agent: Agent | None = None
    _clock: AgentClock | None = None
    _alive_again_s: float = 0.0
    _points: list[Point] = field(default_factory=list)
    _faults: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.scenario.settings
        seeds = Seeds(self.seed)
        self.engine = Engine()
        told = settings.telemetry
        self.settings: Settings = self.scenario.agent_settings()
        self.journal = MemoryJournal(observations_s=self.settings.journal.warm_start_s, tell=self.tell)
        self.world = SimulatedWorld(
            engine=self.engine,
            cluster=cluster_of(settings.cluster),
            models=specs_of(self.scenario, seeds),
            seed=seeds.of("world"),
            telemetry=Telemetry(
                window_s=told.window_s,
                lag_s=told.lag_s,
                counts_lost_latencies=told.mean_latency_counts_lost,
                by_replica=told.by_replica,
            ),
            controls=self.journal.controls,
            # An agent that ticks rarely renews rarely; its canaries must outlast a few of its ticks.
            table_life_s=max(TABLE_LIFE_S, 3 * settings.tick_s),
        )
        if any(each.learning is not None for each in settings.models.values()):
            self.settings = _with_trainings(self.settings, self.scenario)
        self.civil = CivilWorld(self.world, lambda: self.engine.now_s)
        self.ledger = Ledger(self.world)
        self._known = Known(
            deployments=[each.spec.deployment for each in self.world.served.values()], models=list(settings.models)
        )
        self._policy_faults = PolicyFaults(self._known)
        self.checkers = Checkers(self.world, self.journal, self.settings, seed=self.seed, clock_s=self.civil.shows_s)
        if self.checked:
            self.checkers.attend()
        self._schedule(seeds)

    def run(self) -> Result:
        """Play it to its end. A rule that breaks raises `checkers.BrokenRule`; Ctrl-C ends early with what there is."""
        began = time.perf_counter()
        settings = self.scenario.settings
        interrupted = False
        try:
            self.engine.run(settings.duration_s, self._watch if self.checked else None)
        except KeyboardInterrupt:
            interrupted = True
        self.world.catch_up()
        self.ledger.collect(final=True)
        if self.checked and not interrupted:
            self.checkers.at_the_end(self.engine.now_s)
        return self._result(time.perf_counter() - began, interrupted)

    def so_far(self, wall_s: float) -> Result:
        """What there is of a run that a broken rule has stopped."""
        self.world.catch_up()
        self.ledger.collect(final=True)
        return self._result(wall_s, interrupted=False)

    # -- the agent -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_s = self.engine.now_s
        if self.agent is None and now_s >= self._alive_again_s and not self.journal.away:
            self._live()
        if self.agent is not None and self._clock is not None:
            at_s = self._clock.now()
            for step in self._clock.steps():
                self.agent.remark(told(step), {"note": "clock_step", **to_json(step)}, at_s)
            self._policy_faults.see(self.agent.tick(at_s), self.agent.last_seen, now_s)
            if not self.journal.away:
                self.world.renew(now_s)
        else:
            self.world.catch_up()

    def _live(self) -> None:
        """A life of the agent begins, from the journal alone."""
        self._clock = AgentClock(self.civil.shows_s, lambda: self.engine.now_s, not_before_s=last_moment(self.journal))
        beginning = begin(self.journal, self.settings, self._clock.now())
        border = Border(self._clock, sensor=self.civil, actuator=self.civil, trainer=self.civil)
        self.agent = assemble(
            self.settings,
            sensor=border,
            actuator=border.actuator,
            trainer=border.trainer,
            notifier=self.world,
            journal=self.journal,
            beginning=beginning,
            allowed=self.scenario.allowed,
        )

    def _kill_agent(self, for_s: float) -> None:
        self.agent = None
        self._alive_again_s = self.engine.now_s + for_s

    def _journal_away(self, away: bool) -> None:
        self.journal.away = away

    # -- the course of events ------------------------------------------------------------------------------------

    def _schedule(self, seeds: Seeds) -> None:
        settings = self.scenario.settings
        first_s = settings.first_tick_s if settings.first_tick_s is not None else settings.tick_s
        if settings.policies:
            self.engine.every(settings.tick_s, "tick", acting(self._tick, "policies"), Priority.TICK, first_s=first_s)
        self.engine.every(MINUTE_S, "a minute is over", self._minute, Priority.END, first_s=MINUTE_S)
        look_s = min(MINUTE_S, max(CLOSEST_S, settings.duration_s / POINTS))
        self.engine.every(look_s, LOOK, self._look, Priority.END, first_s=look_s)
        stage = Stage(
            world=self.world,
            engine=self.engine,
            stream=lambda fault: np.random.default_rng(seeds.of("faults", fault.model_dump_json())),
            kill_agent=self._kill_agent,
            journal_away=self._journal_away,
            set_clock=self.civil.set_by,
        )
        faults = (*settings.faults, *preemptions(settings, seeds))
        schedule(faults, stage)
        self._faults = [(fault.at_s, fault.kind) for fault in faults]
        people.schedule(
            settings.people, people.Listener(engine=self.engine, journal=self.journal, clock_s=self.civil.shows_s)
        )
        for name, cron in settings.schedules.items():
            for at_s in due_s(cron, self._end_s):
                self.engine.at(at_s, f"{name} is due", lambda name=name: self.world.due.append(name))  # type: ignore[misc]

    @property
    def _end_s(self) -> float:
        return self.scenario.settings.duration_s

    def _minute(self) -> None:
        self.world.catch_up()
        self.ledger.collect()
        self.progress(self.engine.now_s)

    def _look(self) -> None:
        self.world.catch_up()
        self._points.append(self._point())

    def _watch(self, event: Event) -> None:
        # Nothing happens at a look, so there is nothing to check, and nothing to tell of it where a rule breaks later.
        if event.name != LOOK:
            self.checkers.look(event)

    def _point(self) -> Point:
        served = self.world.served
        return Point(
            at_s=self.engine.now_s,
            running={name: len(each.champion.running) for name, each in served.items()},
            wanted={name: each.champion.wanted for name, each in served.items()},
            queued={name: each.champion.kernel.queued for name, each in served.items()},
            loss={
                name: each.model.loss_now(self.engine.now_s) if each.model else None for name, each in served.items()
            },
            version={name: each.model.champion.number if each.model else None for name, each in served.items()},
        )

    # -- what came of it -----------------------------------------------------------------------------------------

    def _result(self, wall_s: float, interrupted: bool) -> Result:
        from_s = self.scenario.settings.warm_up_s
        rows = {name: self.ledger.by_minute(name, from_s=from_s, until_s=self._end_s) for name in self.world.served}
        ended_s = ends_s(self.scenario.settings, self.scenario.folder)
        by_model = {name: until_the_last(each, ended_s.get(name, self._end_s)) for name, each in rows.items()}
        slos = {name: model.slo_latency_s for name, model in self.scenario.settings.models.items()}
        measures = self._measures(by_model, slos)
        expectations = tuple(check(parse(text), measures) for text in self.scenario.settings.expect)
        return Result(
            scenario=self.scenario.name,
            seed=self.seed,
            requests=sum(each.champion.kernel.snapshot().arrived for each in self.world.served.values()),
            wall_s=wall_s,
            journal_sha256=self.journal.head,
            measures=measures,
            expectations=expectations,
            notes=tuple(self._notes(by_model, ended_s)),
            minutes=rows,
            points=self._points,
            entries=self.journal.kept,
            faults=sorted(self._faults),
            slos=slos,
            interrupted=interrupted,
        )

    def _notes(self, by_model: dict[str, list[Minute]], ended_s: Mapping[str, float]) -> Iterator[str]:
        told = self.scenario.settings
        for keys, note in (*never(told), *unmatched(told.policies, self._known)):
            yield f"{dotted(keys)}: {note}"
        yield from self._policy_faults.notes()
        for name, rows in by_model.items():
            if not any(each.arrived for each in rows):
                yield f"models.{name}: no request came, so that nothing is known of how well it served"
            elif name in ended_s:
                yield (
                    f"models.{name}: its traces end at {ended_s[name]:g} s of {self._end_s:g} s; "
                    "rates are of the minutes until then"
                )

    def _measures(self, by_model: dict[str, list[Minute]], slos: dict[str, float]) -> dict[str, Any]:
        models = {name: self._of_model(name, rows, slos[name]) for name, rows in by_model.items()}
        hours = max(self.engine.now_s, 1e-9) / HOUR_S
        replica_hours = sum(each["replica_hours"] for each in models.values())
        recoveries = [each["recovery_s"] for each in models.values()]
        orders = self.journal.of_kind(Kind.INTENT)
        counted = ("rollbacks", "promotions", "retrainings", "restarts", "scale_orders")
        return {
            **totals(by_model, slos),
            "replica_hours": replica_hours,
            "replicas_mean": replica_hours / hours,
            "node_cost": self.world.cluster.cost(self.engine.now_s),
            "orders": len(orders),
            **{name: sum(each[name] for each in models.values()) for name in counted},
            "trainings_stopped": sum(each["action"]["kind"] == "stop_training" for each in orders),
            "lives": len(self.journal.of_kind(Kind.STARTED)),
            "alerts": len(self.world.alerts),
            "vetoes": sum(len(each["vetoes"]) for each in self.journal.of_kind(Kind.DECIDED)),
            "recovery_s": None if None in recoveries else max(recoveries, default=0.0),
            "mean_loss": _mean(each["mean_loss"] for each in models.values()),
            "frozen_loss": _mean(each["frozen_loss"] for each in models.values()),
            "models": models,
        }

    def _of_model(self, name: str, rows: list[Minute], slo_s: float) -> dict[str, Any]:
        served = self.world.served[name]
        model, champion = served.model, served.champion
        sketch = champion.kernel.snapshot()
        p50, p95, p99 = _quantiles(sketch)
        last_fault_s = max((at_s for at_s, _ in self._faults), default=None)
        hours = served.replica_s() / HOUR_S
        intents = [each["action"] for each in self.journal.of_kind(Kind.INTENT)]
        mine = [
            each for each in intents if name in (each.get("model"), str(each.get("deployment", "")).rpartition("/")[0])
        ]
        violated, lost = served_well(rows, slo_s)
        return {
            "slo_violation_rate": violated,
            "lost_utility": lost,
            "requests": sum(each.arrived for each in rows),
            "dropped": sum(each.dropped for each in rows),
            "failed": sum(each.failed for each in rows),
            "unfinished": sum(each.unfinished for each in rows),
            "replica_hours": hours,
            "replicas_mean": hours * HOUR_S / max(self.engine.now_s, 1e-9),
            "replicas_max": max((point.running[name] for point in self._points), default=len(champion.running)),
            "p50_s": p50,
            "p95_s": p95,
            "p99_s": p99,
            "rollbacks": model.rollbacks if model else 0,
            "promotions": len(model.promotions) if model else 0,
            "retrainings": len(model.trainings) if model else 0,
            "restarts": champion.restarts,
            "recovery_s": recovery_s(rows, last_fault_s) if last_fault_s is not None else 0.0,
            "mean_loss": model.loss_total / model.loss_rows if model and model.loss_rows else None,
            "frozen_loss": model.frozen_total / model.loss_rows if model and model.loss_rows else None,
            "scale_orders": sum(each["kind"] == "scale" for each in mine),
            "quarantines": len(model.quarantined) if model else 0,
            "challenger_requests": served.beside,
        }


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _quantiles(counters: Any) -> tuple[float | None, ...]:

    found = quantiles(counters.sketch, (0.5, 0.95, 0.99))
    return tuple(value if np.isfinite(value) else None for value in found)


def _with_trainings(settings: Settings, scenario: Scenario) -> Settings:
    """The agent knows what a training of each managed model takes, as from its configuration."""
    models = {
        name: {
            "training": {
                "recipes": ["logistic"],
                "trials": model.learning.trials,
                "trial_cpus": max(model.learning.trial_cpus, 1e-6),
                "trial_gpus": model.learning.trial_gpus,
                "concurrent_trials": model.learning.concurrent_trials,
            }
        }
        for name, model in scenario.settings.models.items()
        if model.learning is not None
    }
    return Settings.model_validate(settings.model_dump() | {"models": models})


def run(scenario: Scenario, *, seed: int | None = None, **options: Any) -> Result:
    """Play `scenario` from its seed, or from another."""
    return Simulation(scenario, scenario.settings.seed if seed is None else seed, **options).run()
