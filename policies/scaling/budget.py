"""Keeps proposals of one tick within a number of replicas, first come first served. Sizes and quotas are the allocation's task."""

from collections.abc import Iterable
from dataclasses import replace

from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import Observation


def within(budget: int | None, proposals: Iterable[Proposal], seen: Observation) -> list[Proposal]:
    """`proposals` such that all deployments together want at most `budget` replicas (None: as many as they like).

    What gives back goes first and may be used at once. Then the earlier proposal gets what is left: a scale-up is trimmed to
    it, and becomes a `Hold` where nothing is left.
    """
    given = list(proposals)
    if budget is None:
        return given
    now = {name: each.replicas_wanted for name, each in seen.deployments.items()}
    more = [_more(each, now) for each in given]
    left = budget - sum(now.values()) - sum(change for change in more if change < 0)
    kept = []
    for proposal, change in zip(given, more, strict=True):
        if change <= 0 or not isinstance(proposal.action, Scale):
            kept.append(proposal)
            continue
        fits = max(0, min(change, left))
        left -= fits
        kept.append(proposal if fits == change else _trimmed(proposal, proposal.action, fits, now, budget))
    return kept


def _more(proposal: Proposal, now: dict[str, int]) -> int:
    action = proposal.action
    return action.replicas - now[action.deployment] if isinstance(action, Scale) else 0


def _trimmed(proposal: Proposal, wanted: Scale, fits: int, now: dict[str, int], budget: int) -> Proposal:
    why = Evidence(name="budget", value=float(wanted.replicas), threshold=float(budget), note="the budget is used up")
    action = replace(wanted, replicas=now[wanted.deployment] + fits) if fits else Hold(subject=wanted.deployment)
    return replace(proposal, action=action, because=(*proposal.because, why))
