"""Which experts go together: one list for all policies, so that they differ in what they decide and not in what they foresee."""

from policies.forecasting.autoregression import Autoregression
from policies.forecasting.experts import Expert, LastValue, MovingAverage, SeasonalLevel, SeasonalNaive
from policies.parameters import at_most

SEASONS = 3
SEASON_MAX_STEPS = 20_160
"""Two weeks of minutes."""


def experts(horizon: int, season_steps: int | None = None) -> tuple[list[Expert], int]:
    """Experts for forecasts of `horizon` steps, and how many steps of history they look back on.

    Where traffic has a season (a day) its length lets two more take part; they are silent until a season has been seen.
    Raises ValueError where more of the future or the past is asked for than can be kept.
    """
    at_most(1_440, horizon=horizon)
    at_most(SEASON_MAX_STEPS, season_steps=season_steps)
    chosen: list[Expert] = [
        LastValue(),
        MovingAverage(steps=5),
        MovingAverage(steps=12),
        Autoregression(horizon=horizon, lags=10),
    ]
    if season_steps is None:
        return chosen, 90
    chosen += [SeasonalNaive(season_steps, SEASONS), SeasonalLevel(season_steps, SEASONS)]
    return chosen, SEASONS * season_steps + 30
