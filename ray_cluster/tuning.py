"""Workers on a Ray cluster for whoever has pure work to do, such as the tuning of policies in simulated time.

They take any function that the cluster's machines can import, and give futures as `concurrent.futures` does; what the work is they do
not know. Offered through the entry-point group `homeostat.workers`.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import ray

RETRIES = 3
"""Pure work that dies with its machine is done again elsewhere, so many times."""
NICENESS = 10
"""What is left over by serving is enough."""


class RayWorkers:
    """One piece of work for each CPU at a time, as tasks of one CPU each.

    The work runs where Ray places it, behind whatever serves there. Leaves a cluster that was joined before as it was.
    """

    def __init__(self, *, joined: bool, cpus: float) -> None:
        self.count = max(1, int(cpus))
        self._joined = joined
        self._refs: set[Any] = set()

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Starts `work` and returns at once; an error of the work, or of Ray, is raised by the future's `result`."""
        ref = _worked.remote(work, *arguments)
        self._refs.add(ref)
        future: Future[Any] = ref.future()
        future.add_done_callback(lambda _: self._refs.discard(ref))
        return future

    def close(self) -> None:
        for ref in list(self._refs):
            ray.cancel(ref)
        if not self._joined:
            ray.shutdown()


def connect(address: str) -> RayWorkers:
    """Workers of the Ray at `address`; of the one that this process has joined, if it has. Raises OSError, RuntimeError or ValueError."""
    joined = ray.is_initialized()
    if not joined:
        ray.init(address=address, namespace="homeostat", log_to_driver=False, configure_logging=False)
    return RayWorkers(joined=joined, cpus=ray.cluster_resources().get("CPU", 1.0))


@ray.remote(num_cpus=1, max_retries=RETRIES)
def _worked(work: Callable[..., Any], *arguments: Any) -> Any:
    os.nice(max(0, NICENESS - os.nice(0)))  # a worker process does many pieces one after the other
    return work(*arguments)
