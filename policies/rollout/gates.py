"""Gates between the stages of a rollout: is the challenger no worse, worse, or is it too early to say?

Each gate reads one aspect of a Comparison through an always-valid confidence sequence (`policies.sequential`), so it may be
read at every tick. It passes where the whole sequence lies below the margin, fails where the whole sequence lies above it, and
is undecided in between and before the burn-in. Its evidence carries the bound that decides beside the margin.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from policies.action import Evidence
from policies.observation import Arm, Comparison
from policies.sequential import (
    Interval,
    difference_interval,
    mean_interval,
    rate_difference_interval,
    root_mean_square,
    samples_to_see,
)

RARE_FAULT_RATE = 0.005
"""A version may fail on one row of 200 and be perfect on all others: a loss passes on no fewer rows than would have shown that."""


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Gate:
    verdict: Verdict
    evidence: Evidence


def _judge(name: str, difference: Interval, margin: float, n: int, what: str) -> Gate:
    """`difference` is challenger minus champion, in a unit where less is better."""
    if difference.low > margin:
        verdict, bound, side = Verdict.FAILED, difference.low, "lower"
    else:
        verdict = Verdict.PASSED if difference.high < margin else Verdict.UNDECIDED
        bound, side = difference.high, "upper"
    value = bound if math.isfinite(bound) else None
    note = f"{verdict}: {side} bound of {what}" if value is not None else f"{verdict}: too few samples for {what}"
    return Gate(verdict, Evidence(name=name, value=value, threshold=margin, n=n, note=note))


def loss_gate(seen: Comparison, *, margin: float, min_rows: int, alpha: float) -> Gate:
    """Mean loss: on the same rows where at least `min_rows` were paired, else between the rows that each arm answered.

    It fails from `min_rows` rows on, and passes from as many as a fault in RARE_FAULT_RATE of them would hardly stay hidden in: 956 rows
    at an `alpha` of 1/120. Rows that never differed are not taken for rows that never will.
    """
    champion, challenger = seen.champion.loss, seen.challenger.loss
    if seen.paired_loss.n >= min_rows:
        paired = seen.paired_loss
        unseen = max(root_mean_square(champion), root_mean_square(challenger), margin)
        band, rows = mean_interval(paired, alpha, unseen=unseen), paired.n
        gate = _judge("paired_loss", band, margin, rows, "the loss difference on the same rows")
    elif min(champion.n, challenger.n) >= min_rows:
        band, rows = difference_interval(challenger, champion, alpha), challenger.n
        gate = _judge("loss", band, margin, rows, "the loss difference between the arms")
    else:
        rows = max(seen.paired_loss.n, min(champion.n, challenger.n))
        return _too_few(rows, min_rows, "too few labelled rows")
    needed = samples_to_see(RARE_FAULT_RATE, alpha)
    if gate.verdict is Verdict.PASSED and rows < needed:
        return _too_few(rows, needed, "a fault in few rows would not have shown itself yet")
    return gate


def _too_few(rows: int, needed: int, why: str) -> Gate:
    evidence = Evidence(name="labelled_rows", value=rows, threshold=needed, n=rows, note=f"undecided: {why}")
    return Gate(Verdict.UNDECIDED, evidence)


def knowledge_gate(seen: Comparison, *, min_rows: int, alpha: float) -> Gate | None:
    """Whether the challenger knows nothing, which a champion that is worse still does not show.

    It fails where it provably loses more than a constant would, and nothing shows that it says more where the label is more. A model
    whose level is wrong after a change, but that still tells rows apart, is no failure. The gate never passes: where labels are rare, to
    prove knowledge takes more rows than anybody waits for. None before `min_rows`, and where nothing is against it.
    """
    beside = seen.loss_over_constant
    if beside.n < min_rows or mean_interval(seen.covariance, alpha).low > 0.0:
        return None
    what = "the loss above that of always answering the mean label"
    band = mean_interval(beside, alpha, unseen=root_mean_square(seen.challenger.loss))
    found = _judge("loss_over_constant", band, 0.0, beside.n, what)
    return found if found.verdict is Verdict.FAILED else None


def error_gate(seen: Comparison, *, margin: float, alpha: float) -> Gate:
    """Share of requests that failed."""
    champion, challenger = seen.champion, seen.challenger
    if min(champion.requests, challenger.requests) == 0:
        return _judge("error_rate", Interval(), margin, 0, "the error rates")
    between = rate_difference_interval(_errors(challenger), _errors(champion), alpha)
    return _judge("error_rate", between, margin, challenger.requests, "the difference of error rates")


def _errors(arm: Arm) -> tuple[int, int]:
    return min(arm.errors, arm.requests), arm.requests


def latency_gate(seen: Comparison, *, factor: float, floor_s: float, alpha: float) -> Gate:
    """Mean latency: at most `factor` times the champion's, or at most `floor_s` above it, whichever allows more."""
    champion, challenger = seen.champion.latency, seen.challenger.latency
    relative = difference_interval(challenger, champion, alpha, factor=factor)
    absolute = difference_interval(challenger, champion, alpha)
    by_factor = _judge(
        "latency_mean_s", relative, 0.0, challenger.n, f"mean latency above {factor:g} times the champion's"
    )
    by_floor = _judge("latency_mean_s", absolute, floor_s, challenger.n, "mean latency above the champion's")
    order = (Verdict.PASSED, Verdict.UNDECIDED, Verdict.FAILED)
    return min(by_factor, by_floor, key=lambda gate: order.index(gate.verdict))


def tail_gate(seen: Comparison, *, factor: float, floor_s: float) -> Gate | None:
    """95th percentile of latency, bounded as the mean is; None where neither arm measures it.

    It is a plain comparison of two numbers, so it can keep a challenger waiting, but never fails one.
    """
    champion_s, challenger_s = seen.champion.latency_p95_s, seen.challenger.latency_p95_s
    if champion_s is None and challenger_s is None:
        return None
    if champion_s is None or challenger_s is None:
        return Gate(Verdict.UNDECIDED, Evidence(name="latency_p95_s", note="undecided: known of one arm only"))
    allowed_s = max(factor * champion_s, champion_s + floor_s)
    verdict = Verdict.PASSED if challenger_s <= allowed_s else Verdict.UNDECIDED
    return Gate(
        verdict,
        Evidence(
            name="latency_p95_s",
            value=challenger_s,
            threshold=allowed_s,
            n=seen.challenger.requests,
            note=f"{verdict}: tail",
        ),
    )
