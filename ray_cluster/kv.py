"""Small facts in the cluster's key-value store. Every call has a time-out, since the store is away while its node is."""

from typing import Any

from ray.experimental import internal_kv

from ray_cluster import names

TIMEOUT_S = 5.0
SPACE = names.NAMESPACE.encode()


def get(key: str) -> bytes | None:
    """The value of `key`, None where there is none. Raises where the store does not answer."""
    found: bytes | None = _client().internal_kv_get(key.encode(), SPACE, timeout=TIMEOUT_S)
    return found


def put(key: str, value: bytes) -> None:
    _client().internal_kv_put(key.encode(), value, True, SPACE, timeout=TIMEOUT_S)


def create(key: str, value: bytes) -> bool:
    """Put `value` where `key` has none yet; whether this call did. Of many at once exactly one does."""
    return bool(_client().internal_kv_put(key.encode(), value, False, SPACE, timeout=TIMEOUT_S))


def keys(prefix: str) -> tuple[str, ...]:
    """All keys that begin with `prefix`."""
    return tuple(key.decode() for key in _client().internal_kv_keys(prefix.encode(), SPACE, timeout=TIMEOUT_S))


def _client() -> Any:
    client = internal_kv.internal_kv_get_gcs_client()
    if client is None:
        raise RuntimeError("this process is not connected to a Ray")
    return client
