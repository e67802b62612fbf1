"""Giving back: a replica that nobody else needs is kept for a while before it goes, since taking one back takes a cold start."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from policies.parameters import not_negative
from policies.scaling.allocation import EPSILON, Counts, Problem


@dataclass(kw_only=True)
class Thrift:
    """Holds back scale-downs that make room for nobody until they have been wanted for `after_s` in a row."""

    after_s: float
    _since_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        not_negative(after_s=self.after_s)

    def see(self, at_s: float, names: Sequence[str], wanted: Counts, chosen: Counts, problem: Problem) -> Counts:
        """`chosen`, with what is merely thrifty put off. Lower bounds and limits are kept."""
        fewer = {name for name, was, now in zip(names, wanted, chosen, strict=True) if now < was}
        self._since_s = {name: since_s for name, since_s in self._since_s.items() if name in fewer}
        for name in fewer:
            self._since_s.setdefault(name, at_s)
        kept = np.where([self._early(name, at_s) for name in names], np.maximum(chosen, wanted), chosen)
        kept = np.minimum(kept, problem.upper)
        fits = (kept @ problem.charges <= problem.capacity + EPSILON).all()
        return np.asarray(kept if fits else chosen)

    def _early(self, name: str, at_s: float) -> bool:
        since_s = self._since_s.get(name)
        return since_s is not None and at_s - since_s < self.after_s
