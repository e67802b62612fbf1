"""What a run was worth: SLO violations, utility, drops, replica-hours, by minute, by model and in all.

After Faro (EuroSys 2025): the utility of a model in a minute is min(1, SLO / p99), where a request without an answer counts as infinitely
late; the lost utility is the number of models minus the mean over minutes of the sum of their utilities; the violation rate is the mean
over minutes of the mean over models of the share of requests that came too late or not at all. Minutes are those of arrival.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from simulators.request_counters import Bin
from simulators.world import SimulatedWorld

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One model in one minute of arrival."""

    begin_s: float
    arrived: int
    violations: int
    dropped: int
    failed: int
    p50_s: float
    p95_s: float
    p99_s: float
    unfinished: int = 0
    """Still in the system when the run ended."""

    @property
    def violation_rate(self) -> float:
        return self.violations / self.arrived if self.arrived else 0.0

    def utility(self, slo_s: float) -> float:
        if self.arrived == 0 or math.isnan(self.p99_s):
            return 1.0
        return 0.0 if math.isinf(self.p99_s) else min(1.0, slo_s / self.p99_s)


def minutes(bins: Iterable[Bin]) -> list[Minute]:
    """Bins of a champion and of its challengers, added up by minute; of the quantiles the worst counts."""
    by_begin: dict[float, list[Bin]] = defaultdict(list)
    for each in bins:
        by_begin[each.begin_s].append(each)
    return [_minute(begin_s, found) for begin_s, found in sorted(by_begin.items())]


def _minute(begin_s: float, found: Sequence[Bin]) -> Minute:
    if len(found) == 1:
        return _alone(begin_s, found[0])
    busy = [each for each in found if each.arrived]
    return Minute(
        begin_s=begin_s,
        arrived=sum(each.arrived for each in found),
        violations=sum(each.violations for each in found),
        dropped=sum(each.dropped for each in found),
        failed=sum(each.failed + each.timed_out for each in found),
        unfinished=sum(each.unfinished for each in found),
        p50_s=max((each.p50_s for each in busy), default=math.nan),
        p95_s=max((each.p95_s for each in busy), default=math.nan),
        p99_s=max((each.p99_s for each in busy), default=math.nan),
    )


def _alone(begin_s: float, bin_: Bin) -> Minute:
    """A minute without a challenger, as nearly all are."""
    return Minute(
        begin_s=begin_s,
        arrived=bin_.arrived,
        violations=bin_.violations,
        dropped=bin_.dropped,
        failed=bin_.failed + bin_.timed_out,
        unfinished=bin_.unfinished,
        p50_s=bin_.p50_s,
        p95_s=bin_.p95_s,
        p99_s=bin_.p99_s,
    )


@dataclass
class Ledger:
    """Collects the minutes of every model while the run goes on."""

    world: SimulatedWorld
    bins: dict[str, list[Bin]] = field(default_factory=lambda: defaultdict(list))

    def collect(self, *, final: bool = False) -> None:
        for name in self.world.served:
            champion, challenger = self.world.closed_bins(name, final=final)
            self.bins[name] += [*champion, *challenger]

    def by_minute(self, name: str, *, from_s: float = 0.0, until_s: float = math.inf) -> list[Minute]:
        return [each for each in minutes(self.bins[name]) if from_s <= each.begin_s < until_s]


def until_the_last(rows: Sequence[Minute], ends_s: float) -> list[Minute]:
    """`rows` without the minutes that came when all traffic was over: their having no request says nothing of how well was served."""
    last = max((n for n, each in enumerate(rows) if each.begin_s < ends_s or each.arrived), default=-1)
    return list(rows[: last + 1])


def totals(by_model: dict[str, list[Minute]], slos: dict[str, float]) -> dict[str, float | None]:
    """The figures of the whole fleet. Of how well was served nothing is known where no request came."""
    rows = [minute for found in by_model.values() for minute in found]
    arrived = sum(each.arrived for each in rows)
    utility = sum(_mean([each.utility(slos[name]) for each in found], 1.0) for name, found in by_model.items())
    rates = sum(_mean([each.violation_rate for each in found], 0.0) for found in by_model.values())
    return {
        "lost_utility": len(by_model) - utility if arrived else None,
        "slo_violation_rate": rates / len(by_model) if arrived else None,
        "violations_per_request": sum(each.violations for each in rows) / arrived if arrived else None,
        "requests": arrived,
        "dropped": sum(each.dropped for each in rows),
        "failed": sum(each.failed for each in rows),
        "unfinished": sum(each.unfinished for each in rows),
    }


def served_well(rows: Sequence[Minute], slo_s: float) -> tuple[float | None, float | None]:
    """(slo_violation_rate, lost_utility) of one model; None where no request came."""
    if not any(each.arrived for each in rows):
        return None, None
    rate = sum(each.violation_rate for each in rows) / len(rows)
    return rate, 1.0 - sum(each.utility(slo_s) for each in rows) / len(rows)


def _mean(values: Sequence[float], nothing: float) -> float:
    return sum(values) / len(values) if values else nothing


def recovery_s(rows: Sequence[Minute], fault_s: float, *, tolerated: float = 0.05) -> float | None:
    """Seconds from the first moment after `fault_s` until violations are tolerable for good; 0 where they never were not.

    None where they still are not, and where no request has come since.
    """
    bad = [each.begin_s for each in rows if each.begin_s + 60.0 > fault_s and each.violation_rate > tolerated]
    if not bad:
        return 0.0 if any(each.arrived for each in rows if each.begin_s + 60.0 > fault_s) else None
    last_s = bad[-1] + 60.0
    return None if rows and rows[-1].begin_s <= bad[-1] else last_s - fault_s
