"""Fit a first version of the fraud model on made-up payments, register it and make it the champion.

python -m examples.shop_managed.first_version [FOLDER]

FOLDER is where homeostat.yaml lies, since its relative paths begin there; missing: the folder of this file.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from agent.recipes.scoring import fit
from examples.shop_managed.recipe import Threshold
from ray_cluster.registry import MlflowRegistry

MODEL = "fraud-managed"
PAYMENTS = 2000


def payments(seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Amounts and whether a payment is foreign; fraud is likelier for large foreign ones."""
    drawn = np.random.default_rng(seed)
    rows = pd.DataFrame({"amount": drawn.gamma(2.0, 100.0, PAYMENTS), "foreign": drawn.integers(0, 2, PAYMENTS)})
    odds = 1 / (1 + np.exp(3.0 - rows["amount"] / 200 - rows["foreign"]))
    return rows, pd.Series((drawn.random(PAYMENTS) < odds).astype(float))


def main() -> None:
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    registry = MlflowRegistry("sqlite:///runs/shop/mlflow.db", "runs/shop/artifacts")
    parameters = {"quantile": 0.8}
    fitted = fit(Threshold(), *payments(0), parameters, 0)
    version = registry.register(
        MODEL, fitted, recipe="threshold", source="a person", at_s=time.time(), parameters=parameters
    )
    registry.promote(MODEL, version.number, decision="a person", at_s=time.time())
    print(f"version {version.number} of {MODEL} is the champion")


if __name__ == "__main__":
    main()
