"""Lists for users: from the shards, or from the last snapshot while those come back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rtrec.engine.answers import named
from rtrec.engine.cluster import Workers
from rtrec.engine.deployment import Deployment
from rtrec.engine.driver import Driver
from rtrec.engine.recommendation import Recommendation
from rtrec.engine.standby import Standby

#: Whether shards are being brought back is looked at so often while a question waits.
_LOOK_EVERY_S = 0.05


class Answering:
    """Answers users; all methods are called in the event loop of a run.

    Parameters
    ----------
    deployment
        Where snapshots are.
    driver, workers
        Who answers, and where.
    lock
        Held by whoever uses the driver.
    titles
        Of items by id, for people.

    Attributes
    ----------
    started
        To be set once the shards have, for the first time, the state that the log has.
    """

    def __init__(
        self,
        deployment: Deployment,
        driver: Driver,
        workers: Workers,
        lock: asyncio.Lock,
        titles: Mapping[str, str],
    ) -> None:
        self.started = asyncio.Event()
        self._deployment = deployment
        self._driver = driver
        self._workers = workers
        self._lock = lock
        self._titles = titles
        self._asking: asyncio.Task[Any] | None = None  # the last question that had the driver
        self._standby: asyncio.Task[Standby | None] | None = None

    @property
    def is_away(self) -> bool:
        """Say whether the shards are (still, or perhaps) on their way to the state of the log."""
        return self._driver.recovery.is_going_on or self._workers.is_silent or not self.started.is_set()

    def tidy(self) -> None:
        """Let go of the snapshot that was opened, once nobody needs it."""
        if not self.is_away:
            self._standby = None

    async def recommend(self, user_id: str, k: int) -> Recommendation:
        """Return a list; what the shards cannot answer now, the last snapshot does."""
        live = asyncio.create_task(self._live(user_id, k))
        while not (await asyncio.wait({live}, timeout=_LOOK_EVERY_S))[0]:
            if not self.is_away:
                continue
            found = await self._from_snapshot(user_id, k)
            if found is not None and not live.done():
                if live is self._asking:
                    # It may be this very question that brings the shards back, so it goes on unheard.
                    live.add_done_callback(lambda task: task.cancelled() or task.exception())
                else:
                    live.cancel()  # else all that were asked meanwhile would come before the stream
                return found
        return live.result()

    async def _live(self, user_id: str, k: int) -> Recommendation:
        await self.started.wait()
        async with self._lock:
            self._asking = asyncio.current_task()
            answer, known = await self._driver.answer(user_id, k)
            ledger = self._driver.ledger
            return named(
                answer,
                user_id,
                known=known,
                items=ledger.items,
                titles=self._titles,
                offset=ledger.n_events,
            )

    async def _from_snapshot(self, user_id: str, k: int) -> Recommendation | None:
        if self._standby is None:
            self._standby = asyncio.create_task(asyncio.to_thread(Standby.of, self._deployment))
        standby = await self._standby
        if standby is None:
            return None
        found = await asyncio.to_thread(standby.answer, user_id, k)
        return named(
            found.answer,
            user_id,
            known=found.known,
            items=found.ledger.items,
            titles=self._titles,
            offset=found.ledger.n_events,
            from_snapshot=True,
        )
