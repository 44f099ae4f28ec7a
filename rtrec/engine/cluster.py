"""Where shards and bulk tasks run: worker processes of this machine, or any Dask cluster.

Every shard gets a worker of its own, marked with the resource ``shard<i>``. A resource finds the worker
again after its nanny restarted it; an address does not (its port changes, and a task pinned to it hangs for
ever). One more worker, marked ``bulk``, takes what-if replays, so that they never share a process with a
shard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from dask.distributed import Client, KilledWorker, Nanny, Scheduler, SpecCluster, Worker

from rtrec.errors import WorkerLost

BULK = "bulk"
#: A shard that has not answered by then is taken for lost: a batch is a matter of milliseconds.
_TIMEOUT_S = 120.0
#: What a lost worker looks like: no connection or no answer, a future nobody will fulfil, a task that took
#: several workers with it. Code of ours on a worker touches no file, so no OSError is its own.
_LOST = (OSError, CancelledError, KilledWorker)
_LOST_ACTOR = "Worker holding Actor was lost"


class Workers:
    """A client with shards placed on its workers.

    Whatever a lost worker looks like, the methods below raise it as :class:`rtrec.errors.WorkerLost`.

    Parameters
    ----------
    n_shards
        How many shards need a place.
    scheduler
        Address of a running cluster; None starts one here.
    processes
        Give each worker a process; False runs all in threads of this one (for tests and small notebooks).
    """

    def __init__(self, n_shards: int, *, scheduler: str | None = None, processes: bool = True) -> None:
        self.n_shards = n_shards
        self.scheduler = scheduler
        self.processes = processes
        self.client: Any = None
        self._cluster: Any = None

    async def start(self) -> None:
        """Start or reach the workers."""
        if self.scheduler is None:
            self._cluster = await SpecCluster(
                workers=self._worker_specs(),
                scheduler={
                    "cls": Scheduler,
                    "options": {**self._options(), "dashboard_address": "127.0.0.1:0"},
                },
                asynchronous=True,
                silence_logs=logging.CRITICAL,
            )
        self.client = await Client(self.scheduler or self._cluster, asynchronous=True)

    def _worker_specs(self) -> dict[str, Any]:
        marks = {f"shard{index}": (1, 1) for index in range(self.n_shards)} | {BULK: (2, 2)}
        quiet = {"silence_logs": logging.CRITICAL} if self.processes else {}
        return {
            name: {
                "cls": Nanny if self.processes else Worker,
                "options": {"nthreads": nthreads, "resources": {name: room}, **quiet, **self._options()},
            }
            for name, (nthreads, room) in marks.items()
        }

    def _options(self) -> dict[str, Any]:
        """Return where a scheduler or worker listens: on loopback, or nowhere but in this process."""
        if self.processes:
            return {"host": "127.0.0.1", "dashboard": False}
        return {"protocol": "inproc://", "dashboard": False}

    async def place(self, shard: type, index: int, *arguments: Any) -> Any:
        """Make a shard an actor on its worker and return the handle."""
        options = {"actor": True, "pure": False, **self._on(f"shard{index}")}
        return await _answer(self.client.submit(shard, index, *arguments, **options))

    async def ask(self, handle: Any, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of a shard."""
        with _losses_named():
            return await _answer(getattr(handle, method)(*arguments, **options))

    async def run(self, function: Any, *arguments: Any) -> Any:
        """Run a bulk task, however long it takes, and return its result."""
        with _losses_named():
            return await self.client.submit(function, *arguments, pure=False, **self._on(BULK))

    async def share(self, value: Any) -> Any:
        """Send a large value to the workers once; tasks take what comes back as an argument."""
        # In a list: the keys of a dict would become the names by which all the cluster knows its values.
        [shared] = await _answer(self.client.scatter([value], hash=False))
        return shared

    async def close(self) -> None:
        """Let go of the client, and of the workers if they are ours."""
        if self.client is not None:
            await self.client.close()
        if self._cluster is not None:
            await self._cluster.close()

    def _on(self, resource: str) -> dict[str, Any]:
        # A cluster that is not ours has workers without our marks: its scheduler decides.
        return {"resources": {resource: 1}} if self.scheduler is None else {}


async def _answer(awaited: Awaitable[Any]) -> Any:
    async def result() -> Any:
        return await awaited

    with _losses_named():
        return await asyncio.wait_for(result(), _TIMEOUT_S)


@contextmanager
def _losses_named() -> Iterator[None]:
    try:
        yield
    except _LOST as error:
        raise WorkerLost(f"a worker does not answer: {error!r}") from error
    except RuntimeError as error:
        if _LOST_ACTOR not in str(error):
            raise  # an error of the code that ran there
        raise WorkerLost(str(error)) from error
