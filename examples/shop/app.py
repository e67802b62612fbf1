"""A Serve application of a user's own: two small models, nothing of Homeostat in it (level L0).

serve deploy examples/shop/serve.yaml
"""

import asyncio
import math
from typing import Any

from ray import serve
from starlette.requests import Request


@serve.deployment
class Ranker:
    """Orders products by a score of price and rating."""

    async def __call__(self, request: Request) -> list[str]:
        products: list[dict[str, Any]] = (await request.json())["products"]
        return [p["id"] for p in sorted(products, key=lambda p: p["rating"] / math.log(2 + p["price"]), reverse=True)]


@serve.deployment
class Fraud:
    """Says how likely a payment is fraudulent."""

    async def __call__(self, request: Request) -> dict[str, float]:
        payment = await request.json()
        await asyncio.sleep(0.05)  # stands for the work of a larger model
        return {"fraud": 1 / (1 + math.exp(3.0 - payment["amount"] / 200 - payment["foreign"]))}


ranker = Ranker.bind()
fraud = Fraud.bind()
