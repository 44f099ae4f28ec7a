"""Where shards and bulk tasks run: worker processes of this machine, or any Dask cluster.

Every shard gets a worker of its own, marked with the resource ``shard<i>``. A resource finds the worker
again after its nanny restarted it; an address does not (its port changes, and a task pinned to it hangs for
ever). One more worker, marked ``bulk``, takes what-if replays, so that they never share a process with a
shard.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

import structlog
from dask.distributed import Client, KilledWorker, Nanny, Scheduler, Security, SpecCluster, Worker

from rtrec.engine.tls import greet, risk_of
from rtrec.errors import WorkerLost

BULK = "bulk"
#: A shard that has not answered by then is taken for lost: a batch is a matter of milliseconds, but the first
#: one on a machine compiles the kernels.
_TIMEOUT_S = 120.0
#: While a shard is silent, its state is looked at this often: to connect to a dead worker is tried for 30 s.
_LOOK_EVERY_S = 0.1
#: A nanny brings its worker back in two or three seconds, or not at all.
_GIVEN_UP_S = 10.0
#: What a lost worker looks like: no connection or no answer, a future nobody will fulfil, a task that took
#: several workers with it. Code of ours on a worker touches no file, so no OSError is its own.
_LOST = (OSError, CancelledError, KilledWorker)
_LOST_ACTOR = "Worker holding Actor was lost"
_log = structlog.get_logger(__name__)


@contextmanager
def ctrl_c_kept_from_children() -> Iterator[None]:
    """Block SIGINT in this thread, and so in all threads and processes that are started in the block.

    A terminal sends Ctrl-C to every process of a run. The run stops its workers when it has learned what was
    accepted; workers that end by themselves would have it recover first, and print a traceback each.
    """
    # It unblocks the signal in whichever thread starts it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Placed(NamedTuple):
    """A shard on its worker: the future says whether it is alive, the actor takes calls."""

    future: Any
    actor: Any


class Workers:
    """A client with shards placed on its workers.

    Whatever a lost worker looks like, the methods below raise it as :class:`rtrec.errors.WorkerLost`.

    Parameters
    ----------
    n_shards
        How many shards need a place.
    scheduler
        Address of a running cluster; None starts one here.
    security
        What to show that cluster, and to ask of it: see :mod:`rtrec.engine.tls`.
    processes
        Give each worker a process; False runs all in threads of this one (for tests and small notebooks).

    Attributes
    ----------
    risk
        What one risks with this scheduler, in a sentence; empty if nothing.
    """

    def __init__(
        self,
        n_shards: int,
        *,
        scheduler: str | None = None,
        security: Security | None = None,
        processes: bool = True,
    ) -> None:
        self.n_shards = n_shards
        self.scheduler = scheduler
        self.security = security
        self.processes = processes
        self.risk = risk_of(scheduler)
        self.client: Any = None
        self._cluster: Any = None

    async def start(self) -> None:
        """Start or reach the workers.

        Raises
        ------
        ClusterError
            If a scheduler was named and cannot be reached.
        """
        if self.risk:
            _log.warning(self.risk)
        if self.scheduler is None:
            self._cluster = await SpecCluster(
                workers=self._worker_specs(),
                scheduler={"cls": Scheduler, "options": self._options()},
                asynchronous=True,
                silence_logs=logging.CRITICAL,
            )
        else:
            await greet(self.scheduler, self.security)
        where = self.scheduler or self._cluster
        self.client = await Client(where, security=self.security, asynchronous=True)

    async def restart(self) -> None:
        """Start all over: a nanny whose worker dies while it starts gives up, and a scheduler has none."""
        with suppress(Exception):  # whatever is left of it
            await asyncio.wait_for(self.close(), _GIVEN_UP_S)
        self._cluster = None
        await self.start()

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
        """Return where a scheduler or worker listens: on loopback, or nowhere but in this process.

        Each has an HTTP server too, dashboard or not; where all else stays in this process, one without an
        address would take every interface.
        """
        http = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
        return http | ({"host": "127.0.0.1"} if self.processes else {"protocol": "inproc://"})

    async def place(self, shard: type, index: int, *arguments: Any) -> Any:
        """Make a shard an actor on its worker and return where it is, for :meth:`ask`."""
        options = {"actor": True, "pure": False, **self._on(f"shard{index}")}
        future = self.client.submit(shard, index, *arguments, **options)
        return Placed(future, await _answer(future))

    async def ask(self, placed: Placed, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of a shard."""
        with _losses_named():
            return await _answer(getattr(placed.actor, method)(*arguments, **options), placed.future)

    async def run(self, function: Any, *arguments: Any) -> Any:
        """Run a bulk task, however long it takes, and return its result."""
        future = self.client.submit(function, *arguments, pure=False, **self._on(BULK))
        with _losses_named():
            answer, missed_at = asyncio.ensure_future(_result(future)), None
            try:
                while not (await asyncio.wait({answer}, timeout=_LOOK_EVERY_S))[0]:
                    now = time.monotonic()
                    missed_at = None if self._has_bulk_worker() else missed_at or now
                    if missed_at is not None and now - missed_at > _GIVEN_UP_S:
                        raise WorkerLost("no worker is left for bulk tasks")
                return answer.result()
            finally:
                answer.cancel()  # whoever gave up waiting, or found nobody to wait for, wants no answer

    async def share(self, value: Any) -> Any:
        """Send a large value to the workers once; tasks take what comes back as an argument."""
        # In a list: the keys of a dict would become the names by which all the cluster knows its values.
        [shared] = await _answer(self.client.scatter([value], hash=False, timeout=_GIVEN_UP_S))
        return shared

    async def close(self) -> None:
        """Let go of the client, and of the workers if they are ours."""
        if self.client is not None:
            await self.client.close()
        if self._cluster is not None:
            await self._cluster.close()

    def _has_bulk_worker(self) -> bool:
        if self._cluster is None:
            return True  # somebody else's cluster looks after itself
        return any(BULK in worker.resources for worker in self._cluster.scheduler.workers.values())

    def _on(self, resource: str) -> dict[str, Any]:
        # A cluster that is not ours has workers without our marks: its scheduler decides.
        return {"resources": {resource: 1}} if self.scheduler is None else {}


async def _answer(awaited: Awaitable[Any], alive: Any = None) -> Any:
    """Await something of a worker, for as long as ``alive`` (a future) does not say that it is gone."""
    with _losses_named():
        answer = asyncio.ensure_future(_result(awaited))
        began = time.monotonic()
        while not (await asyncio.wait({answer}, timeout=_LOOK_EVERY_S))[0]:
            lost = alive is not None and alive.status not in ("pending", "finished")
            if lost or time.monotonic() - began > _TIMEOUT_S:
                answer.cancel()
                raise WorkerLost("a worker is gone" if lost else f"no answer within {_TIMEOUT_S:g} s")
        return answer.result()


async def _result(awaited: Awaitable[Any]) -> Any:
    return await awaited


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
