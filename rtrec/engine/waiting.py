"""Wait for what a worker was asked, and give what a lost one looks like a single name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from dask.distributed import KilledWorker

from rtrec.errors import WorkerLost

#: A shard that has not answered by then is taken for lost: a batch is a matter of milliseconds, but the first
#: one on a machine compiles the kernels.
_TIMEOUT_S = 120.0
#: While a shard is silent, its state is looked at this often: to connect to a dead worker is tried for 30 s.
LOOK_EVERY_S = 0.1
#: What a lost worker looks like: no connection or no answer, a future nobody will fulfil, a task that took
#: several workers with it. Code of ours on a worker touches no file, so no OSError is its own.
_LOST = (OSError, CancelledError, KilledWorker)
_LOST_ACTOR = "Worker holding Actor was lost"


class Silence:
    """For how long the same sign of life was read.

    Looks are counted, not seconds: where this process stood still itself, nobody could be heard.
    """

    def __init__(self) -> None:
        self.lasted_s = 0.0
        self._sign: object = None

    def hear(self, sign: object) -> None:
        """Take what was read this time."""
        self.lasted_s = self.lasted_s + LOOK_EVERY_S if sign == self._sign else 0.0
        self._sign = sign


async def answer_of(
    awaited: Awaitable[Any], alive: Any = None, look: Callable[[], None] = lambda: None
) -> Any:
    """Await something of a worker, for as long as ``alive`` (a future) does not say that it is gone.

    ``look`` is called now and then meanwhile; what it raises ends the wait.
    """
    with losses_named():
        answer = asyncio.ensure_future(as_coroutine(awaited))
        began = time.monotonic()
        try:
            while not (await asyncio.wait({answer}, timeout=LOOK_EVERY_S))[0]:
                if alive is not None and alive.status not in ("pending", "finished"):
                    raise WorkerLost("a worker is gone")
                if time.monotonic() - began > _TIMEOUT_S:
                    raise WorkerLost(f"no answer within {_TIMEOUT_S:g} s")
                look()
        except BaseException:
            answer.cancel()
            raise
        return result_of(answer)


def result_of(answer: asyncio.Future[Any]) -> Any:
    """Return what a finished task returned; one that nobody here has cancelled was lost with its worker.

    Its ``CancelledError`` must not go on as it is: whoever awaits would take it for their own end.
    """
    if answer.cancelled():
        raise WorkerLost("what a worker was asked was cancelled")
    return answer.result()


async def as_coroutine(awaited: Awaitable[Any]) -> Any:
    """Return what is awaited: a task can be made of a coroutine alone."""
    return await awaited


@contextmanager
def losses_named() -> Iterator[None]:
    """Raise whatever a lost worker looks like as :class:`~rtrec.errors.WorkerLost`."""
    try:
        yield
    except _LOST as error:
        raise WorkerLost(f"a worker does not answer: {error!r}") from error
    except RuntimeError as error:
        if _LOST_ACTOR not in str(error):
            raise  # an error of the code that ran there
        raise WorkerLost(str(error)) from error
