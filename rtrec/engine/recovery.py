"""The way back when a worker was lost: who tries it, how often, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from rtrec.engine.status import Phase
from rtrec.errors import ClusterUnreachable, ShardError, WorkerLost

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")
#: A batch that kills its worker each time ends the run, but only then.
_MOST_ATTEMPTS = 5
#: For so long a scheduler that is not ours may be away.
_PATIENCE_S = 900.0


class Recovery:
    """Brings shards back to the state that the log has, and knows how that went.

    Parameters
    ----------
    restore
        Comes to that state on whatever workers there are now.
    restart
        Starts all workers anew: one that dies while it starts has nobody to bring it back.
    say
        Is told what is going on.
    monotonic
        A clock for how long it takes.

    Attributes
    ----------
    count, last_s
        How often shards were brought back, and how many seconds the last time took; NaN before any.
    is_going_on
        Whether shards are on their way to the state.
    """

    def __init__(
        self,
        restore: Callable[[], Awaitable[None]],
        restart: Callable[[], Awaitable[None]],
        *,
        say: Callable[[Phase, str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.count = 0
        self.last_s = float("nan")
        self.is_going_on = False
        self._restore = restore
        self._restart = restart
        self._say = say
        self._monotonic = monotonic

    async def start(self) -> None:
        """Come to the state for the first time."""
        with self._going_on():
            try:
                await self._restore()
            except WorkerLost as error:
                await self.bring_back(error)

    async def surely(self, ask: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what ``ask`` returns; if a worker was lost, bring its shard back and ask again."""
        try:
            return await ask()
        except WorkerLost as error:
            await self.bring_back(error)
            return await ask()

    async def restart(self) -> None:
        """Start all workers anew and come back to the state as it is."""
        try:
            await self._restart()
            await self._restore()
        except WorkerLost as error:
            await self.bring_back(error)

    async def bring_back(self, error: WorkerLost) -> None:
        """Come to the state again, with new workers from the second attempt on.

        A scheduler that is not ours may be away for as long as it takes to start it again; a batch that takes
        its worker with it each time ends the run.

        Raises
        ------
        ShardError
            If that does not help either.
        """
        began, attempt = self._monotonic(), 0
        with self._going_on():
            while True:
                self.count += 1
                _log.warning("a shard was lost; going back to the last snapshot", error=str(error))
                self._say(Phase.RECOVERING, f"a shard was lost ({error}); coming back")
                try:
                    if attempt > 0:
                        await self._restart()
                    await self._restore()
                    break
                except ClusterUnreachable as again:
                    error, attempt = again, max(attempt, 1)
                    if self._monotonic() - began > _PATIENCE_S:
                        raise ShardError(f"gave up after {_PATIENCE_S:g} s: {again}") from again
                    await asyncio.sleep(1.0)
                except WorkerLost as again:
                    error, attempt = again, attempt + 1
                    if attempt >= _MOST_ATTEMPTS:
                        raise ShardError(
                            f"gave up after {attempt} attempts to recover; the last error: {again}"
                        ) from again
                    await asyncio.sleep(0.2)
        self.last_s = self._monotonic() - began

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        before, self.is_going_on = self.is_going_on, True
        try:
            yield
        finally:
            self.is_going_on = before
