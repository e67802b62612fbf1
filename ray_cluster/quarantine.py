"""Quarantined rows of each model, kept in the cluster's key-value store. The journal is the record; this is what training reads."""

import json

from agent.codec import from_json, to_json
from policies.observation import Quarantined
from ray_cluster import kv


def quarantined(model: str) -> tuple[Quarantined, ...]:
    """Rows of `model` that must not be trained on. Raises where the store does not answer: none is not the same as not known."""
    raw = kv.get(f"quarantine:{model}")
    return tuple(from_json(Quarantined, row) for row in json.loads(raw)) if raw else ()


def quarantine(model: str, window: Quarantined) -> None:
    """Add `window`; windows that touch become one. Adding one twice changes nothing."""
    merged: list[Quarantined] = []
    for each in sorted({*quarantined(model), window}, key=lambda q: q.since_s):
        if merged and each.since_s <= merged[-1].until_s:
            merged[-1] = Quarantined(since_s=merged[-1].since_s, until_s=max(merged[-1].until_s, each.until_s))
        else:
            merged.append(each)
    raw = json.dumps([to_json(each) for each in merged]).encode()
    kv.put(f"quarantine:{model}", raw)
