"""Which life of an agent may act on a cluster: the highest epoch that was ever claimed there, and of one epoch who claimed it first.

Each epoch has a key of its own in the cluster's key-value store, which is put only where it is not there yet. So nothing is read and then
written: of two agents that claim at the same time neither can lower the other's epoch, nor have the same.
"""

from agent.ports import Refused
from ray_cluster import kv


def highest_epoch(name: str) -> int:
    """The highest epoch of the agent `name` that has acted on this cluster, 0 where none has."""
    prefix = _key(name, "")
    claimed = [key.removeprefix(prefix) for key in kv.keys(prefix)]
    return max((int(epoch) for epoch in claimed if epoch.isdigit()), default=0)


def admit(name: str, epoch: int, holder: str) -> None:
    """Let `holder` act in `epoch`, which nobody else may then. Raises Refused where that can not be: it is over, or another's."""
    mine = claim(name, epoch, holder)
    refuse_lower(name, epoch)
    if not mine:
        raise Refused(
            f"epoch {epoch} is that of another agent called {name!r}; two agents need two names and two journals"
        )


def refuse_lower(name: str, epoch: int) -> None:
    """Raises Refused where a higher epoch than `epoch` has acted on this cluster. Claims nothing."""
    highest = highest_epoch(name)
    if epoch < highest:
        raise Refused(f"epoch {epoch} is over; epoch {highest} acts on this cluster")


def claim(name: str, epoch: int, holder: str) -> bool:
    """Whether `epoch` of the agent `name` is `holder`'s, who claims it if nobody has."""
    key = _key(name, str(epoch))
    kv.create(key, holder.encode())
    return kv.get(key) == holder.encode()


def _key(name: str, epoch: str) -> str:
    return f"epoch:{name}:{epoch}"
