"""Plan: how long the demo takes, how much it sends, and when it does what. Two of them: the whole one, and a quick one."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Numbers of one demo. Moments count from the first request, on the wall's clock."""

    name: str
    every: int
    """Every so many rows of the stream are played: 1 is all of them."""
    first_share: float
    """The part of the stream that the first model is trained on before it serves the rest."""
    play_s: float
    """How long the rest takes to play, burst aside."""
    requests_per_s: float
    burst_factor: float
    burst_s: float
    burst_rows: float
    """Rows in a request of the burst, as a part of what a request holds otherwise: many small requests."""
    settle_s: float
    stage_min_s: float
    trials: int
    training_rows: int
    window_rows: int
    retrainings: int
    kill_after_s: float
    slow_after_s: float
    burst_after_s: float
    challenger_after_s: float
    """From here on the bad challenger is sent in, once a retrained version has been promoted."""
    acts_while_training: bool
    """Whether faults are thrown in while a training runs; there is little time otherwise."""


WHOLE = Plan(
    name="whole",
    every=1,
    first_share=0.105,
    play_s=390.0,
    requests_per_s=27.0,
    burst_factor=4.0,
    burst_s=40.0,
    burst_rows=0.3,
    settle_s=45.0,
    stage_min_s=8.0,
    trials=10,
    training_rows=60_000,
    window_rows=4000,
    retrainings=4,
    kill_after_s=8.0,
    slow_after_s=20.0,
    burst_after_s=45.0,
    challenger_after_s=120.0,
    acts_while_training=False,
)
QUICK = Plan(
    name="quick",
    every=4,
    first_share=0.105,
    play_s=95.0,
    requests_per_s=27.0,
    burst_factor=4.0,
    burst_s=14.0,
    burst_rows=0.3,
    settle_s=8.0,
    stage_min_s=3.0,
    trials=6,
    training_rows=30_000,
    window_rows=2000,
    retrainings=1,
    kill_after_s=3.0,
    slow_after_s=8.0,
    burst_after_s=20.0,
    challenger_after_s=40.0,
    acts_while_training=True,
)
