"""Where shards and bulk tasks run: worker processes of this machine, or any Dask cluster.

Every shard gets a worker of its own, marked with the resource ``shard<i>``. A resource finds the worker
again after its nanny restarted it; an address does not (its port changes, and a task pinned to it hangs for
ever). One more worker, marked ``bulk``, takes what-if replays, so that they never share a process with a
shard.
"""

from __future__ import annotations

import logging
from typing import Any

from dask.distributed import Client, Nanny, Scheduler, SpecCluster, Worker

BULK = "bulk"


class Workers:
    """A client with shards placed on its workers.

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
        return await self.client.submit(
            shard, index, *arguments, actor=True, pure=False, **self._on(f"shard{index}")
        )

    async def run(self, function: Any, *arguments: Any) -> Any:
        """Run a bulk task and return its result."""
        return await self.client.submit(function, *arguments, pure=False, **self._on(BULK))

    async def share(self, value: Any) -> Any:
        """Send a large value to the workers once; tasks take what comes back as an argument."""
        return await self.client.scatter(value, hash=False)

    async def close(self) -> None:
        """Let go of the client, and of the workers if they are ours."""
        if self.client is not None:
            await self.client.close()
        if self._cluster is not None:
            await self._cluster.close()

    def _on(self, resource: str) -> dict[str, Any]:
        # A cluster that is not ours has workers without our marks: its scheduler decides.
        return {"resources": {resource: 1}} if self.scheduler is None else {}
