"""Where shards and bulk tasks run: worker processes of this machine, or any Dask cluster.

Every shard gets a worker of its own, marked with the resource ``shard<i>``. A resource finds the worker
again after its nanny restarted it; an address does not (its port changes, and a task pinned to it hangs for
ever). One more worker, marked ``bulk``, takes what-if replays, so that they never share a process with a
shard.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

import dask
import psutil
import structlog
from dask.distributed import Client, Nanny, Scheduler, Security, SpecCluster, Worker
from distributed.client import _current_client

from rtrec.engine.tls import greet, risk_of
from rtrec.engine.waiting import LOOK_EVERY_S, Silence, answer_of, as_coroutine, losses_named, result_of
from rtrec.errors import WorkerLost

BULK = "bulk"
#: A nanny brings its worker back in two or three seconds, or not at all.
_GIVEN_UP_S = 10.0
#: A worker of ours gives a sign of life twice a second. One that gives none for so long is stuck, and is
#: replaced: that takes less time than to wait and see whether it comes back.
_SILENT_S = 5.0
#: One that does not use the processor either is stopped or swapped out, and does not come round by itself.
_STILL_S = 1.0
#: From then on questions are answered from the last snapshot, in case it is.
_DOUBTFUL_S = 0.8
#: What Dask does unless its configuration says otherwise. What the scheduler last sent to a worker it keeps
#: for debugging, 1,000 messages by default, and the tasks of a what-if are 0.3 MB. And 15 s after it lost a
#: worker it would end the nanny, if the next one happens to be lost just then as well.
_DEFAULTS = {"admin": {"low-level-log-length": 100}, "deploy": {"lost-worker-timeout": "1h"}}

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
    """A shard on its worker: the future says whether it is alive, the actor takes calls.

    ``mark`` is the resource of its worker.
    """

    future: Any
    actor: Any
    mark: str


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
        self._silent: set[str] = set()  # marks of workers that are asked and give no sign of life

    @property
    def is_silent(self) -> bool:
        """Say whether a shard that was asked has given no sign of life lately."""
        return bool(self._silent)

    async def start(self) -> None:
        """Start or reach the workers.

        Raises
        ------
        ClusterUnreachable
            If no scheduler answers at the address given.
        """
        if self.risk:
            _log.warning(self.risk)
        dask.config.update_defaults({"distributed": _DEFAULTS})
        if self.scheduler is None:
            self._cluster = await SpecCluster(
                workers=self._worker_specs(),
                scheduler={"cls": Scheduler, "options": self._options()},
                asynchronous=True,
                silence_logs=logging.CRITICAL,
            )
        else:
            await greet(self.scheduler, self.security)
        try:
            # Not the default: whoever computes with Dask in this process has not asked to do it here.
            self.client = await Client(
                self.scheduler or self._cluster,
                security=self.security,
                asynchronous=True,
                timeout=_GIVEN_UP_S,
                set_as_default=False,
            )
        except (OSError, ValueError) as error:  # it went away behind the greeting
            raise WorkerLost(f"the scheduler does not answer: {error}") from error

    async def restart(self) -> None:
        """Start all over: a nanny whose worker dies while it starts gives up, and a scheduler has none.

        Raises
        ------
        ClusterUnreachable
            If no scheduler answers at the address given.
        """
        with suppress(Exception):  # whatever is left of it
            await asyncio.wait_for(self.close(), _GIVEN_UP_S)
        self._cluster = self.client = None
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
        if self.client is None or self.client.status != "running":
            raise WorkerLost("the scheduler is gone")
        mark = f"shard{index}"
        options = {"actor": True, "pure": False, **self._on(mark)}
        with _current(self.client):  # whose the actor is that comes back
            future = self.client.submit(shard, index, *arguments, **options)
            # One that is being started is silent as well, and one whose nanny gave up for ever.
            return Placed(future, await self._watched(future, mark, _GIVEN_UP_S), mark)

    async def ask(
        self, placed: Placed, method: str, *arguments: Any, patiently: bool = False, **options: Any
    ) -> Any:
        """Call a method of a shard.

        A worker of ours that gives no sign of life meanwhile is taken for lost, and killed, so that it can
        never come back with an old state; one that is not ours is only :attr:`is_silent`. ``patiently`` does
        without both, for what keeps a worker from giving any (a compiler holds the interpreter for seconds).
        """
        with losses_named(), _current(self.client):
            asked = getattr(placed.actor, method)(*arguments, **options)
            if patiently:
                return await answer_of(asked, placed.future)
            return await self._watched(asked, placed.mark, _SILENT_S, placed.future)

    async def run(self, function: Any, *arguments: Any) -> Any:
        """Run a bulk task, however long it takes, and return its result."""
        future = self.client.submit(function, *arguments, pure=False, **self._on(BULK))
        with losses_named():
            answer, missed_at = asyncio.ensure_future(as_coroutine(future)), None
            try:
                while not (await asyncio.wait({answer}, timeout=LOOK_EVERY_S))[0]:
                    now = time.monotonic()
                    missed_at = None if self._has_bulk_worker() else missed_at or now
                    if missed_at is not None and now - missed_at > _GIVEN_UP_S:
                        raise WorkerLost("no worker is left for bulk tasks")
                return result_of(answer)
            finally:
                answer.cancel()  # whoever gave up waiting, or found nobody to wait for, wants no answer

    async def share(self, value: Any) -> Any:
        """Send a large value to the workers once; tasks take what comes back as an argument."""
        # In a list: the keys of a dict would become the names by which all the cluster knows its values.
        sent = self.client.scatter([value], hash=False, timeout=_GIVEN_UP_S, workers=self._living())
        [shared] = await answer_of(sent)
        return shared

    def _living(self) -> list[str] | None:
        """Return the addresses of workers of ours whose processes live; None leaves it to the scheduler.

        It hears of a death a moment late, and would try for 30 s to reach one that has just died.
        """
        if self._cluster is None or not self.processes:
            return None
        known = self._cluster.scheduler.workers
        nannies = self._cluster.workers.values()
        return [
            each.worker_address for each in nannies if each.is_alive() and each.worker_address in known
        ] or None

    async def close(self) -> None:
        """Let go of the client, and of the workers if they are ours."""
        if self.client is not None:
            await self.client.close()
        if self._cluster is not None:
            await self._cluster.close()

    async def _watched(self, asked: Awaitable[Any], mark: str, silent_s: float, alive: Any = None) -> Any:
        """Await something of the worker with a mark, and kill it if it gives no sign of life for so long.

        Of a cluster that is not ours nothing is heard but its answers. When to give up a worker there is a
        matter of its scheduler's own rule (worker-ttl); until then it is waited for.
        """
        if self._cluster is not None and not self.processes:
            return await answer_of(asked, alive)  # a thread of this process
        silence, stillness = Silence(), Silence()

        def listen(sign: object) -> None:
            silence.hear(sign)
            (self._silent.add if silence.lasted_s >= _DOUBTFUL_S else self._silent.discard)(mark)

        def look() -> None:
            heard = [each.last_seen for each in self._marked(mark)]
            used_s = self._processor_s(mark)
            listen(heard or used_s)  # nothing is heard of one that starts, but it is at work
            stillness.hear((heard, used_s))
            stands_still = bool(heard) and stillness.lasted_s > _STILL_S
            if stands_still or silence.lasted_s > silent_s:
                self._kill(mark)
                raise _Silent(f"a worker has given no sign of life for {silence.lasted_s:.1f} s")

        try:
            return await answer_of(asked, alive, partial(listen, None) if self._cluster is None else look)
        except _Silent as error:
            for worker in self._marked(mark):
                # At once: it would be sent things for as long as the scheduler has not heard of its end.
                await self._cluster.scheduler.remove_worker(worker.address, stimulus_id=f"silent-{mark}")
            raise WorkerLost(str(error)) from error
        finally:
            self._silent.discard(mark)

    def _marked(self, mark: str) -> list[Any]:
        """Return the workers of ours with a mark, as their scheduler knows them."""
        return [each for each in self._cluster.scheduler.workers.values() if mark in each.resources]

    def _kill(self, mark: str) -> None:
        """Kill a worker of ours, whatever it is doing; its nanny starts another one."""
        if (process_id := self._process_of(mark)) is not None:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)

    def _processor_s(self, mark: str) -> float:
        """Return for how long a worker of ours has used the processor so far."""
        if (process_id := self._process_of(mark)) is None:
            return 0.0
        try:
            used = psutil.Process(process_id).cpu_times()
        except psutil.Error:  # it is gone, which others notice
            return 0.0
        return float(used.user + used.system)

    def _process_of(self, mark: str) -> int | None:
        nanny = self._cluster.workers.get(mark)  # none, where it gave up
        return None if nanny is None else nanny.pid

    def _has_bulk_worker(self) -> bool:
        if self._cluster is None:
            return True  # somebody else's cluster looks after itself
        return bool(self._marked(BULK))

    def _on(self, resource: str) -> dict[str, Any]:
        # A cluster that is not ours has workers without our marks: its scheduler decides.
        return {"resources": {resource: 1}} if self.scheduler is None else {}


class _Silent(Exception):
    """A worker has given no sign of life for a while, and was killed."""


@contextmanager
def _current(client: Client) -> Iterator[None]:
    """Have actors that are made or called in the block take ``client`` for theirs.

    So does :meth:`Client.as_current`, but that also sets Dask's scheduler for the whole process, all threads
    included, for as long as the block takes.
    """
    before = _current_client.set(client)
    try:
        yield
    finally:
        _current_client.reset(before)
