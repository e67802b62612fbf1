"""Whole rollouts by simulation: how often the right thing happens when every tick is a look."""

import numpy as np
import pytest

from policies.action import Promote, RollBack, SetTraffic
from policies.observation import Arm, Comparison, Moments
from policies.rollout.staged import Staged
from policies.testing import model, observation, rollout, version

TICK_S, ROWS_PER_TICK, TICKS = 10.0, 50, 200


class Sample:
    """Running moments of rows as they come."""

    def __init__(self) -> None:
        self.n, self.sum, self.squares = 0, 0.0, 0.0

    def add(self, rows: np.ndarray) -> None:
        self.n, self.sum, self.squares = self.n + len(rows), self.sum + rows.sum(), self.squares + (rows**2).sum()

    @property
    def moments(self) -> Moments:
        mean = self.sum / self.n
        return Moments(n=self.n, mean=mean, variance=max(0.0, (self.squares - self.n * mean**2) / (self.n - 1)))


class Stage:
    """One arm since the stage began."""

    def __init__(self, rng: np.random.Generator, error_rate: float, latency_s: float) -> None:
        self.rng, self.error_rate, self.latency_s = rng, error_rate, latency_s
        self.requests, self.errors, self.latency = 0, 0, Sample()

    def tick(self) -> Arm:
        self.requests += ROWS_PER_TICK
        self.errors += int(self.rng.binomial(ROWS_PER_TICK, self.error_rate))
        self.latency.add(self.rng.gamma(4, self.latency_s / 4, ROWS_PER_TICK))
        return Arm(requests=self.requests, errors=self.errors, latency=self.latency.moments)


def play(seed: int, *, worse_by: float = 0.0, error_rate: float = 0.005, latency_s: float = 0.05) -> tuple[str, int]:
    """(promote or roll_back, after how many rows) of one rollout; "none" where neither came."""
    rng = np.random.default_rng(seed)
    policy, paired, share, since_s = Staged(stage_min_s=0.0, stage_timeout_s=1e9), Sample(), 0.0, 0.0
    arms = [Stage(rng, 0.005, 0.05), Stage(rng, error_rate, latency_s)]
    for tick in range(1, TICKS + 1):
        paired.add(rng.normal(worse_by, 0.1, ROWS_PER_TICK))
        champion, challenger = (each.tick() for each in arms)
        seen = Comparison(
            measured_at_s=tick * TICK_S, champion=champion, challenger=challenger, paired_loss=paired.moments
        )
        beside = rollout("2", share=share, stage_since_s=since_s, comparison=seen)
        (proposal,) = policy.propose(observation(tick * TICK_S, model(candidates=(version("2"),), rollout=beside)))
        action = proposal.action
        if isinstance(action, Promote | RollBack):
            return action.kind, tick * ROWS_PER_TICK
        if isinstance(action, SetTraffic):
            share, since_s = action.share, tick * TICK_S
            arms = [Stage(rng, 0.005, 0.05), Stage(rng, error_rate, latency_s)]
    return "none", TICKS * ROWS_PER_TICK


def verdicts(**truth: float) -> list[tuple[str, int]]:
    return [play(seed, **truth) for seed in range(40)]


def test_an_equal_challenger_is_promoted():
    """At least nine in ten within 10,000 rows, and falsely rolled back in at most one in twenty."""
    ends = [end for end, _ in verdicts()]
    assert ends.count("promote") >= 36
    assert ends.count("roll_back") <= 2


@pytest.mark.parametrize(
    ("truth", "rows"),
    [({"worse_by": 0.05}, 1500), ({"error_rate": 0.1}, 1500), ({"latency_s": 0.1}, 1500)],
    ids=["loss", "errors", "latency"],
)
def test_a_clearly_worse_challenger_never_gets_through_and_goes_soon(truth, rows):
    """Twice as slow, one in ten failing, or five margins worse: all rolled back, half of them within 1,500 rows."""
    ends = verdicts(**truth)
    assert {end for end, _ in ends} == {"roll_back"}
    assert np.median([after for _, after in ends]) <= rows


@pytest.mark.parametrize(
    "truth", [{"worse_by": 0.011}, {"error_rate": 0.0251}, {"latency_s": 0.0751}], ids=["loss", "errors", "latency"]
)
def test_a_challenger_just_over_the_margin_is_hardly_ever_promoted(truth):
    """The margin is where promotion must become rare: at most one in twenty."""
    assert [end for end, _ in verdicts(**truth)].count("promote") <= 2
