"""Joint: one decision over all deployments under one budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from policies.action import Proposal, Scale
from policies.forecasting.alerts import will_miss
from policies.forecasting.experts import Array
from policies.forecasting.mixture import Mixture
from policies.forecasting.rates import RateForecast
from policies.forecasting.recipes import experts
from policies.observation import Deployment, Observation
from policies.parameters import at_most, latency, not_negative, positive
from policies.places import Places
from policies.scaling.allocation import EPSILON, Counts, Problem, best, best_fairly
from policies.scaling.joint_explanation import Explanation, explained
from policies.scaling.joint_knowledge import Job, Knowledge
from policies.scaling.joint_limits import Limits
from policies.scaling.joint_thrift import Thrift
from policies.scaling.outlook import Outlook, asleep, latencies, utilities, wait_factors
from policies.scaling.presence import Presence

MINUTE_S = 60.0
STATISTICS = {0.5: "p50", 0.95: "p95", 0.99: "p99"}
LOAD_MAX = 0.95
LOAD_OF_USE = 0.45
"""A replica beyond those that are this busy at the highest forecast adds nothing worth looking at."""


@dataclass(kw_only=True, eq=False)
class Joint:
    """The counts of all deployments that together are worth the most over the next `horizon_s`, moved to only when waiting is no better.

    At a decision, every `decide_every_s` or as soon as somebody becomes late or gets more requests than were thought possible:

    1. Forecast quantiles give equally likely courses of every arrival rate; service and start times were learned from traffic.
       In a course above the median one, spare replicas answer a decision and a start later.
    2. Every count is worth the mean over courses and minutes of min(1, SLO / latency) (`policies.scaling.outlook`), with what runs, what
       starts, how long a start takes and whether a place is free for it (`policies.scaling.presence`).
    3. First it finds the best counts for `later_s` from now, if all stays as it is until then.
    4. Then it finds the best counts for now, if those of 3 follow. A move that can as well be made later is not made: the
       next decision knows more. Moves cost `move_loss` for each replica added, more while a deployment flaps.
    5. What nobody else needs is given back when it has added less than `replica_cost` for `give_back_after_s`.

    Deployments of which too little is known keep what they have, with the reason; replicas that start are waited for.
    """

    budget: int | None = None
    """Replicas of all deployments together; None: only the cluster limits."""
    objective: Literal["sum", "fair"] = "sum"
    """"fair" adds `fairness` * models * (smallest - largest utility + 1), the FairSum of Faro (EuroSys 2025)."""
    fairness: float = 0.5
    worth: Literal["model", "request"] = "model"
    """Whether every model counts the same or by its requests; times its weight in either case."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Priority, or business value per request, by glob of deployment names; 1 where none fits."""
    quotas: Mapping[str, int] = field(default_factory=dict)
    """The most replicas that the deployments of a glob, a team, may have together."""
    slo_latency_s: float | None = None
    """For deployments that have no SLO of their own."""
    slo_quantile: float = 0.99
    """The latency quantile that the SLO is about: 0.5, 0.95 or 0.99, as they are measured."""
    replica_cost: float = 0.0005
    """What a replica must add to the utility of one model to be kept."""
    decide_every_s: float = 20.0
    first_after_s: float = 10.0
    horizon_s: float = 420.0
    later_s: float = 60.0
    grain_s: float = 20.0
    move_loss: float = 0.06
    """What doubling a deployment must bring, in utility, besides what its starts and stops do; in proportion for less, no more for more."""
    put_off: float = 0.5
    """The part of `move_loss` that a move costs which is put off."""
    raise_while_starting: bool = True
    """Whether a deployment whose replicas start may be given still more, or is waited for."""
    give_back_after_s: float = 120.0
    variability: float = 0.5
    """(ca² + cs²) / 2 of gaps and services; 0.5 for a service that hardly varies."""
    luck: float = 0.75
    """Spread of the logarithm of a minute's wait about its estimate."""
    start_s: float = 30.0
    """A start takes so long until one was seen."""
    handover_s: float = 15.0
    """A place is waited for so long until one was waited for."""
    idle_before_zero_s: float = 300.0
    """Only after so long without a request a deployment may go to no replicas, where its minimum allows it."""
    cold_start_max_s: float = 60.0
    """Only a deployment that starts within this may go to no replicas."""
    season_steps: int | None = None
    """The length of a season, in minutes, where there is one."""
    past: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Rates (requests/s) of the minutes before the start by deployment, oldest first, where they are known."""
    nowcast: bool = False
    """Whether the newest traffic stands for the minute under way, for windows about as long as that (see `RateForecast`)."""
    stale_after_s: float = 60.0
    alerts: bool = True
    """Whether to tell people of SLOs that will be missed."""
    _rates: RateForecast = field(init=False, repr=False)
    _knowledge: Knowledge = field(init=False, repr=False)
    _limits: Limits = field(init=False, repr=False)
    _thrift: Thrift = field(init=False, repr=False)
    _explanations: dict[str, Explanation] = field(default_factory=dict, init=False, repr=False)
    _due_s: float | None = field(default=None, init=False, repr=False)
    _told_rps: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    """The highest rates that the last decision expected of the minute under way."""

    def __post_init__(self) -> None:
        positive(budget=self.budget, decide_every_s=self.decide_every_s)
        latency(slo_latency_s=self.slo_latency_s)
        positive(horizon_s=self.horizon_s, grain_s=self.grain_s, variability=self.variability, start_s=self.start_s)
        at_most(86_400, horizon_s=self.horizon_s)
        at_most(1_000, **{"horizon_s / grain_s": self.horizon_s / self.grain_s})
        positive(stale_after_s=self.stale_after_s, cold_start_max_s=self.cold_start_max_s)
        not_negative(replica_cost=self.replica_cost, move_loss=self.move_loss, put_off=self.put_off)
        not_negative(luck=self.luck, fairness=self.fairness)
        not_negative(first_after_s=self.first_after_s, later_s=self.later_s, handover_s=self.handover_s)
        not_negative(idle_before_zero_s=self.idle_before_zero_s, give_back_after_s=self.give_back_after_s)
        not_negative(**{f"weights[{name}]": each for name, each in self.weights.items()})
        if self.slo_quantile not in STATISTICS:
            raise ValueError(f"slo_quantile must be one of {', '.join(map(str, STATISTICS))}, got {self.slo_quantile}")
        if self.later_s >= self.horizon_s:
            raise ValueError(f"later_s must be below horizon_s ({self.horizon_s}), got {self.later_s}")
        steps_ahead = int(np.ceil(self.horizon_s / MINUTE_S))
        known, steps = experts(steps_ahead, self.season_steps)
        self._rates = RateForecast(
            mixture=Mixture(known, horizon=steps_ahead, history_steps=steps), nowcast=self.nowcast
        )
        self._rates.recall(self.past)
        self._limits = Limits(budget=self.budget, quotas=dict(self.quotas))
        self._thrift = Thrift(after_s=self.give_back_after_s)
        self._knowledge = Knowledge(
            statistic=STATISTICS[self.slo_quantile],
            quantile=self.slo_quantile,
            variability=self.variability,
            slo_latency_s=self.slo_latency_s,
            stale_after_s=self.stale_after_s,
            start_s=self.start_s,
            handover_s=self.handover_s,
            idle_before_zero_s=self.idle_before_zero_s,
            cold_start_max_s=self.cold_start_max_s,
        )

    @property
    def explanations(self) -> Mapping[str, Explanation]:
        """Of the last decision, for every deployment that it was about, also those that it left as they are."""
        return self._explanations

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        self._rates.see(seen, scalable)
        urgent = self._knowledge.see(seen, scalable) or self._surprised()
        if self._due_s is None:
            self._due_s = seen.at_s + self.first_after_s
        if seen.at_s < self._due_s and not urgent:
            return []
        self._due_s = seen.at_s + self.decide_every_s
        return self._decide(seen, scalable)

    def _surprised(self) -> bool:
        """Whether somebody gets more requests than the last decision thought possible."""
        told = np.array([self._told_rps.get(name, np.nan) for name in self._rates.names])
        return bool(self._rates.surprising(told).any())

    # -- one decision --------------------------------------------------------------------------------------------

    def _decide(self, seen: Observation, scalable: Sequence[Deployment]) -> list[Proposal]:
        rates = self._forecast(seen)
        self._told_rps = dict(zip(self._rates.names, rates[0, -1].tolist(), strict=True))
        jobs, held = self._knowledge.jobs(seen, scalable, rates)
        self._explanations = {}
        if not jobs:
            return held
        problem, counts = self._choose(seen, jobs, rates)
        self._explanations = {
            job.name: explained(job, rates[:, :, job.place], problem.values[n], int(count), self.replica_cost)
            for n, (job, count) in enumerate(zip(jobs, counts, strict=True))
        }
        wishes = [_wish(job, self._explanations[job.name]) for job in jobs]
        return held + [each for each in wishes if each is not None] + self._warnings(seen, jobs, rates)

    def _forecast(self, seen: Observation) -> Array:
        """[minute, level, deployment] arrival rates from the minute under way on."""
        del seen
        return self._rates.quantiles()

    def _choose(self, seen: Observation, jobs: Sequence[Job], rates: Array) -> tuple[Problem, Counts]:
        """The problem of now, and the counts that solve it."""
        wanted = np.array([job.wanted for job in jobs], dtype=np.int64)
        weights = self._weights(jobs, rates)
        candidates, upper = self._candidates(jobs, rates)
        lower = np.array([job.lower for job in jobs], dtype=np.int64)
        upper = np.maximum(lower, upper)
        here = np.broadcast_to(wanted[:, None].astype(float), candidates.shape)
        limits = self._limits.of(seen, [job.deployment for job in jobs])
        spare = _spare(limits, jobs)
        cost = self._moving(jobs, here, candidates, spare) + self.replica_cost * candidates

        worth = self._worth(seen, jobs, rates, (here, candidates), spare)
        _, later = self._solve(limits, _dense(candidates, weights * (worth - cost), worth, upper), lower, upper)
        moving = np.array([job.moving for job in jobs])
        lower = np.where(moving, np.maximum(lower, np.minimum(wanted, upper)), lower)
        if not self.raise_while_starting:
            upper = np.where(moving, np.maximum(lower, wanted), upper)
        then = np.broadcast_to(later[:, None].astype(float), candidates.shape)
        worth = self._worth(seen, jobs, rates, (candidates, then), spare)
        # What is put off may turn out not to be needed, so that it costs less than what is done.
        cost += self.put_off * self._moving(jobs, candidates, then, spare)
        problem, counts = self._solve(limits, _dense(candidates, weights * (worth - cost), worth, upper), lower, upper)
        return problem, self._thrift.see(seen.at_s, [job.name for job in jobs], wanted, counts, problem)

    def _moving(self, jobs: Sequence[Job], before: Array, after: Array, spare: Array) -> Array:
        """[j, k] what it costs to go from one count to the other: replicas added, as a part of those that there are, at most all.

        Who is late is not made to wait for what nobody else has.
        """
        free = np.array([job.late for job in jobs]) & (spare >= 1)
        dear = np.where(free, 0.0, self.move_loss * np.array([job.damping for job in jobs]))[:, None]
        there = np.array([max(1, job.wanted) for job in jobs])[:, None]
        return np.asarray(dear * np.clip((after - before) / there, 0.0, 1.0))

    def _solve(
        self,
        limits: tuple[Array, Array],
        tables: tuple[list[Array], list[Array]],
        lower: Counts,
        upper: Counts,
    ) -> tuple[Problem, Counts]:
        values, worth = tables
        charges, capacity = limits
        problem = Problem(values=values, lower=lower, upper=upper, charges=charges, capacity=capacity, gain_min=1e-9)
        if self.objective == "fair":
            return problem, best_fairly(problem, worth, self.fairness * len(worth))
        return problem, best(problem)

    def _weights(self, jobs: Sequence[Job], rates: Array) -> Array:
        """[j, 1] what each model counts; on average 1 where requests are what counts."""
        weights = np.array([_by_glob(self.weights, job.name) for job in jobs])
        if self.worth == "request":
            busy = np.array([rates[:, :, job.place].mean() for job in jobs])
            weights = weights * busy / max(float(busy.mean()), 1e-9)
        return np.asarray(weights[:, None])

    def _candidates(self, jobs: Sequence[Job], rates: Array) -> tuple[Array, Counts]:
        """([j, k] counts to look at, ascending, [j] the largest): every count of a small deployment, about `GRID` of a large one."""
        peaks = np.array([rates[:, :, job.place].max() * job.service_s for job in jobs])
        useful = np.ceil(peaks / LOAD_OF_USE).astype(np.int64) + 2
        bound = np.array([job.upper if job.upper is not None else np.iinfo(np.int64).max for job in jobs])
        upper = np.minimum(np.maximum(useful, [job.wanted for job in jobs]), bound)
        if self.budget is not None:
            upper = np.minimum(upper, max(self.budget, 1))
        return np.stack([_grid(int(most), job, int(upper.max())) for most, job in zip(upper, jobs, strict=True)]), upper

    def _worth(
        self, seen: Observation, jobs: Sequence[Job], rates: Array, plan: tuple[Array, Array], spare: Array
    ) -> Array:
        """[j, k] utilities of `plan`, of which the first count of each job is none; whoever may sleep wakes up when asked."""
        worth = utilities(self._outlook(seen, jobs, rates, plan, spare))
        for n, job in enumerate(jobs):
            if job.may_sleep:
                courses, wake_s = rates[:, :, job.place], self.decide_every_s + job.up_s + job.tail_s
                value = asleep(courses, service_s=job.service_s, slo_s=job.slo_s, wake_s=wake_s, stretch_s=MINUTE_S)
                worth[n, 0] = max(worth[n, 0], value)
        return worth

    def _outlook(
        self, seen: Observation, jobs: Sequence[Job], rates: Array, plan: tuple[Array, Array], spare: Array
    ) -> Outlook:
        """Of the counts `plan[0]` from now and `plan[1]` from `later_s` on."""
        steps = max(1, round(self.horizon_s / self.grain_s))
        ends_s = (np.arange(steps) + 1) * self.grain_s
        into_s = seen.at_s % MINUTE_S + ends_s - self.grain_s / 2
        minute = np.minimum((into_s // MINUTE_S).astype(np.int64), len(rates) - 1)
        courses = np.moveaxis(rates[minute][:, :, [job.place for job in jobs]], 1, 2)
        present = (
            _presence(job, seen).serving(a, b, self.later_s, ends_s) for job, a, b in zip(jobs, *plan, strict=True)
        )
        return Outlook(
            serving=np.stack(list(present), axis=1),
            rates_rps=courses,
            wait_factors=wait_factors(courses.shape[2], self.luck),
            service_s=np.array([job.service_s for job in jobs]),
            tail_s=np.array([job.tail_s for job in jobs]),
            slo_s=np.array([job.slo_s for job in jobs]),
            backlog=np.array([job.backlog for job in jobs]),
            backlog_max=np.array([job.backlog_max for job in jobs]),
            step_s=self.grain_s,
            stretch_steps=max(1, round(MINUTE_S / self.grain_s)),
            quantile=self.slo_quantile,
            variability=self.variability,
            load_max=LOAD_MAX,
            spare=spare,
            react_steps=np.array([self._react_steps(job) for job in jobs]),
            react_load=LOAD_OF_USE,
        )

    def _react_steps(self, job: Job) -> int:
        """A need is answered with the next decision, at most `decide_every_s` later, and a cold start."""
        return int(np.ceil((self.decide_every_s + job.up_s) / self.grain_s))

    def _warnings(self, seen: Observation, jobs: Sequence[Job], rates: Array) -> list[Proposal]:
        """Predictive alerts: whose latency will pass its SLO in the median course with the counts that were chosen."""
        if not self.alerts:
            return []
        chosen = np.array([[float(self._explanations[job.name].replicas)] for job in jobs])
        outlook = self._outlook(seen, jobs, rates, (chosen, chosen), spare=np.zeros(len(jobs)))
        ahead = np.median(latencies(outlook), axis=3)[:, :, 0]
        awake = [(n, job) for n, job in enumerate(jobs) if chosen[n, 0] > 0 or not job.may_sleep]
        found = (will_miss(job.name, list(ahead[:, n]), job.slo_s, MINUTE_S) for n, job in awake)
        return [each for each in found if each is not None]


GRID = 32
"""A deployment of more replicas than this is looked at on a grid, dense around what it wants now, and its values drawn straight between."""


def _grid(most: int, job: Job, widest: int) -> Array:
    size = min(GRID, widest + 1)
    if widest < GRID:
        return np.arange(size, dtype=np.float64)
    near = np.arange(-4, 5) + job.wanted
    wide = np.linspace(0, max(most, size), size)
    found = np.unique(np.clip(np.concatenate([near, np.round(wide)]), 0, max(most, size)))
    keep = np.abs(found - job.wanted) <= 4
    spare = np.flatnonzero(~keep)
    chosen = spare[np.round(np.linspace(0, len(spare) - 1, size - int(keep.sum()))).astype(np.int64)]
    picked = np.sort(np.concatenate([found[keep], found[chosen]]))
    picked[0], picked[-1] = 0.0, max(most, size)
    return picked


def _dense(candidates: Array, values: Array, worth: Array, upper: Counts) -> tuple[list[Array], list[Array]]:
    """Both tables for every count from 0 to the upper one."""
    counts = [np.arange(most + 1, dtype=np.float64) for most in upper.tolist()]
    dense = [np.interp(each, grid, row) for each, grid, row in zip(counts, candidates, values, strict=True)]
    return dense, [np.interp(each, grid, row) for each, grid, row in zip(counts, candidates, worth, strict=True)]


def _spare(limits: tuple[Array, Array], jobs: Sequence[Job]) -> Array:
    """[j] further replicas that fit beside all that are wanted now; each job as if it were the only one to need more."""
    charges, capacity = limits
    wanted = np.array([job.wanted for job in jobs])
    left = np.maximum(0.0, capacity - wanted @ charges)
    with np.errstate(divide="ignore", invalid="ignore"):
        fits = np.where(charges > 0, np.floor(left / charges + EPSILON), np.inf).min(axis=1)
    most = np.array([job.upper if job.upper is not None else np.inf for job in jobs])
    return np.asarray(np.minimum(fits, np.maximum(0.0, most - wanted)))


def _presence(job: Job, seen: Observation) -> Presence:
    free, needs = seen.capacity.free, job.deployment.resources
    places = (
        [have / need for have, need in ((free.cpus, needs.cpus), (free.gpus, needs.gpus)) if need > 0] if free else []
    )
    return Presence(
        running=len(job.deployment.running),
        remaining_s=job.remaining_s,
        up_s=job.up_s,
        wait_s=job.wait_s,
        free=float(np.floor(max(0.0, min(Places(seen.capacity).fits(needs), *places)))) if places else 0.0,
    )


def _by_glob(weights: Mapping[str, float], name: str) -> float:
    return next((weight for glob, weight in weights.items() if fnmatchcase(name, glob)), 1.0)


def _wish(job: Job, why: Explanation) -> Proposal | None:
    if why.replicas == job.wanted:
        return None
    return Proposal(action=Scale(deployment=job.name, replicas=why.replicas), because=tuple(why.evidence(job)))
