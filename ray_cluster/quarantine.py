"""Quarantined rows of each model, kept in the cluster's key-value store. The journal is the record; this is what training reads."""

import json

from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from agent.codec import from_json, to_json
from policies.observation import Quarantined
from ray_cluster import names


def quarantined(model: str) -> tuple[Quarantined, ...]:
    raw = _internal_kv_get(f"quarantine:{model}".encode(), namespace=names.NAMESPACE.encode())
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
    _internal_kv_put(f"quarantine:{model}".encode(), raw, overwrite=True, namespace=names.NAMESPACE.encode())
