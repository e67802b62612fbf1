"""The traffic table of one managed model: who answers which key. Pure, so that every world and every replica routes alike."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Slot = Literal["champion", "challenger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficTable:
    """What the replicas of a model hold.

    `share` is the part of keys that the challenger answers, `shadow` the part of the other rows that it gets a copy of. After
    `expires_at_s` the champion answers everything and nothing is copied: a dead agent can not leave a canary open.
    """

    model: str
    epoch: int
    revision: int
    champion: str
    champion_digest: str
    challenger: str | None = None
    challenger_digest: str | None = None
    share: float = 0.0
    shadow: float = 0.0
    expires_at_s: float | None = None
    before: str | None = None
    """The champion before this one, until all replicas serve this one: what a replica serves that can not load this one."""
    before_digest: str | None = None
    failed: str | None = None
    """Why replicas of the champion could not take over `challenger`; None where they were not asked, or could."""
    condemned: tuple[str, ...] = ()
    """Ids of replicas that shall get no new request and be replaced."""


def place(key: str, salt: str = "") -> float:
    """Where `key` stands in [0, 1): uniform, equal in every process and on every machine."""
    return (
        int.from_bytes(hashlib.blake2b(f"{salt}\x00{key}".encode("utf-8", "surrogatepass"), digest_size=7).digest())
        / 2**56
    )


def live(table: TrafficTable, now_s: float) -> bool:
    return table.challenger is not None and (table.expires_at_s is None or now_s < table.expires_at_s)


def route(table: TrafficTable, key: str, now_s: float) -> Slot:
    """The slot that answers `key`. One key stays in its slot while the share only grows."""
    return "challenger" if live(table, now_s) and place(key, table.model) < table.share else "champion"


def shadowed(table: TrafficTable, key: str, now_s: float) -> bool:
    """Whether a row that the champion answers is also copied to the challenger."""
    return live(table, now_s) and place(key, f"{table.model}/shadow") < table.shadow
