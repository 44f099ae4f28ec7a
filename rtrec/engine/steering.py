"""Change a run while it goes on: try settings, apply them, take them back, read a paused source on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from rtrec.engine.cluster import Workers
from rtrec.engine.driver import Driver
from rtrec.engine.intake import resume
from rtrec.engine.status import AppliedChange
from rtrec.engine.whatif import compare_settings, recent_past
from rtrec.errors import InputError, WorkerLost
from rtrec.evaluation.comparison import Comparison
from rtrec.events.log import EventLog

_LOOK_S = 0.01


class Steering:
    """Appends controls and waits until they are taken; all methods are called in the event loop of a run.

    Parameters
    ----------
    home, log, driver, workers
        Of the run.
    lock
        Held by whoever uses the driver.
    nudge
        Has the flow take what waits in the log.
    failure
        Returns what has ended the run, if anything did.
    """

    def __init__(
        self,
        home: Path,
        log: EventLog,
        driver: Driver,
        workers: Workers,
        lock: asyncio.Lock,
        *,
        nudge: Callable[[], Awaitable[None]],
        failure: Callable[[], BaseException | None],
    ) -> None:
        self._home = home
        self._log = log
        self._driver = driver
        self._workers = workers
        self._lock = lock
        self._nudge = nudge
        self._failure = failure

    def changes(self) -> list[AppliedChange]:
        """See ``LiveRun.changes``; called from any thread."""
        return list(self._driver.ledger.changes)

    async def preview(self, changes: Mapping[str, Any], n_events: int) -> Comparison:
        """See ``LiveRun.preview``."""
        async with self._lock:
            await self._driver.written()  # what is being pruned must not be read
            past = await asyncio.to_thread(
                recent_past, self._log, self._driver.ledger, self._home, n_events, self._driver.origin
            )
        changed = past.settings.changed(**changes)
        try:
            return await compare_settings(self._workers, past, changed)
        except WorkerLost:  # with what had been sent there
            async with self._lock:
                await self._driver.recovery.restart()
            return await compare_settings(self._workers, past, changed)

    async def apply(self, changes: Mapping[str, Any]) -> AppliedChange:
        """See ``LiveRun.apply``."""
        offset = await self._append({"control": "settings", "changes": dict(changes)})
        await self._until(lambda: any(each.offset == offset for each in self._driver.ledger.changes))
        return next(each for each in self._driver.ledger.changes if each.offset == offset)

    async def undo(self, offset: int) -> AppliedChange:
        """See ``LiveRun.undo``."""
        changes, now = self._driver.ledger.changes, self._driver.ledger.settings.model_dump()
        change = next((each for each in changes if each.offset == offset), None)
        if change is None:
            there = ", ".join(str(each.offset) for each in changes) or "none"
            raise InputError(f"no change with offset {offset}; there are {there}")
        back = {name: change.previous[name] for name, value in change.changes.items() if now[name] == value}
        if not back:
            raise InputError(f"change {offset}: later changes have replaced all of it; undo those")
        return await self.apply(back)

    async def resume(self) -> None:
        """See ``LiveRun.resume``."""
        offset = await self._append(resume())
        await self._until(lambda: self._driver.ledger.intake.taken >= offset)

    async def _append(self, control: Mapping[str, Any]) -> int:
        """Append a control, have it taken, and return its offset."""
        appended = await asyncio.to_thread(self._log.append_control, control)
        await self._nudge()
        return appended.offset

    async def _until(self, is_taken: Callable[[], bool]) -> None:
        while not is_taken():
            if (failure := self._failure()) is not None:
                raise failure
            await asyncio.sleep(_LOOK_S)
