"""The fraud model of the shop with the one line for drift in it (level L1).

serve deploy examples/shop_probe/serve.yaml
"""

import math
import time

from ray import serve
from starlette.requests import Request

from ray_cluster.probe import Probe


@serve.deployment
class Fraud:
    """Says how likely a payment is fraudulent, and tells the probe what it said."""

    def __init__(self) -> None:
        self.probe = Probe("fraud-probed")

    async def __call__(self, request: Request) -> dict[str, float]:
        began = time.perf_counter()
        payment = await request.json()
        score = 1 / (1 + math.exp(3.0 - payment["amount"] / 200 - payment["foreign"]))
        self.probe.record(
            key=payment["id"],
            features={"amount": payment["amount"], "foreign": payment["foreign"]},
            prediction=score,
            latency_s=time.perf_counter() - began,
        )
        return {"fraud": score}


fraud = Fraud.bind()
