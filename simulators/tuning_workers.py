"""Where the runs of a tuning are played: in this process, in processes beside it, or on workers that another world offers.

A world offers workers through the entry-point group `homeostat.workers`: a function of an address that returns `Workers`.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from simulators.batch import play
from simulators.expectations import lookup
from simulators.plan import Task, importable
from simulators.quiet import silenced

ENTRY_POINT_GROUP = "homeostat.workers"


class Workers(Protocol):
    """Takes work and gives futures, as `concurrent.futures` does."""

    count: int
    """So many pieces of work are done at a time."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Starts `work`, a function of a module, and returns at once, or where nothing runs beside this process, at its end."""

    def close(self) -> None:
        """Ends what still runs."""


class WorkersAway(Exception):
    """No workers can be had, or they are gone; says why."""


def measured(task: Task, measures: tuple[str, ...], folder: Path | None) -> dict[str, Any]:
    """One run: `values` of `measures`, or None and `why` there are none. Policies of one's own are found in `folder`."""
    with silenced(), ExitStack() as stack:
        if folder is not None and folder.is_dir():
            stack.enter_context(importable(folder))
        outcome = play(task, lambda at_s: None, False)
    if outcome.state not in ("held", "not held"):
        broken = outcome.broken
        told = f"the rule {broken.rule} was broken: {broken.told}" if broken else str(outcome.told["error"]).strip()
        return {"values": None, "why": f"{task.label}: {told.splitlines()[-1] if told else outcome.state}"}
    found = {**outcome.told["totals"], "models": outcome.told["models"]}
    values = [lookup(measure, found) for measure in measures]
    unknown = [measure for measure, value in zip(measures, values, strict=True) if value is None]
    if unknown:
        return {"values": None, "why": f"{task.label}: {', '.join(unknown)} could not be measured"}
    return {"values": [float(value) for value in values if value is not None], "why": None}


class Here:
    """Does one thing after the other in this process."""

    count = 1

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001, RUF100 - as of any future, whoever asks for the result hears of it
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass


class Processes:
    """So many processes, spawned; they end with this one, however it ends."""

    def __init__(self, count: int) -> None:
        self.count = count
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, context, initializer=_begin)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(work, *arguments)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """In a new process: Ctrl-C is heard by the parent only, and nothing outlives the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def local(jobs: int) -> Workers:
    return Here() if jobs == 1 else Processes(jobs)


def on_cluster(address: str) -> Workers:
    """Workers of the cluster at `address`, from whatever world is installed. Raises WorkersAway."""
    offers = list(entry_points(group=ENTRY_POINT_GROUP))
    if not offers:
        raise WorkersAway(f"no installed package offers workers on a cluster (entry points {ENTRY_POINT_GROUP})")
    try:
        workers: Workers = offers[0].load()(address)
    except (OSError, RuntimeError, ValueError) as error:
        raise WorkersAway(f"no cluster at {address!r}: {error}") from error
    return workers
