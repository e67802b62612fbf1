"""A Serve application that tells its own autoscaling policy how it is doing: three lines with `ServeStats`.

serve deploy examples/shop_policy/serve.yaml
"""

import asyncio

from ray import serve
from starlette.requests import Request

from ray_cluster.serve_stats import ServeStats


@serve.deployment(max_ongoing_requests=4)
class Model:
    """Works on one request at a time; the wait stands for the work."""

    def __init__(self) -> None:
        self.stats = ServeStats()
        self.free = asyncio.Semaphore(1)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return self.stats.read()

    async def __call__(self, request: Request) -> dict[str, str]:
        with self.stats.request():
            async with self.free:
                await asyncio.sleep(0.1)
        return {"answer": "yes"}


ranker = Model.bind()
fraud = Model.bind()
