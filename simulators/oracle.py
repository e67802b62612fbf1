"""Oracle: `joint` with the arrival rates of the future, for the other end of every table. It can not run on a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from policies.forecasting.experts import Array
from policies.observation import Observation
from policies.scaling.joint import MINUTE_S, Joint


@dataclass(kw_only=True, eq=False)
class Oracle(Joint):
    """Decides as `Joint`, and knows the rate of every minute to come, though not when in it which request comes.

    `future` holds requests/s for every minute from 0 s on, by deployment; after its end the last minute goes on.
    """

    future: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def _forecast(self, seen: Observation) -> Array:
        supposed = self._rates.quantiles()
        minutes = int(seen.at_s // MINUTE_S) + np.arange(len(supposed))
        for n, name in enumerate(self._rates.names):
            rates = np.asarray(self.future.get(name, ()), dtype=np.float64)
            if rates.size:
                supposed[:, :, n] = rates[np.minimum(minutes, len(rates) - 1)][:, None]
        return supposed
