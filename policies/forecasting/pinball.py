"""The loss that a quantile forecast is judged by."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pinball_loss(actual: ArrayLike, forecast: ArrayLike, level: ArrayLike) -> NDArray[np.float64]:
    """level * (actual - forecast) where too low, (1 - level) * (forecast - actual) where too high; least at the true quantile.

    Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978). Broadcasts; NaN where either is NaN.
    """
    error = np.asarray(actual, dtype=np.float64) - np.asarray(forecast, dtype=np.float64)
    share = np.asarray(level, dtype=np.float64)
    return np.maximum(share * error, (share - 1.0) * error)
