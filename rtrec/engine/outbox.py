"""Hand each user's new list to a sink, without ever being in the way of learning.

Users whose events are learned wait here, each once. While nothing else is to be done the lists of some are
made and delivered. Where there are more users than that leaves time for, the ones that have waited longest
are dropped, and counted. How far delivery has come is noted in the log, so what a kill cut short is made up
for: a list is delivered at least once, and its user and offset tell one from its repetition.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from operator import lt
from typing import Any, Protocol

import structlog

from rtrec.engine.hanging import Aside, Hangs
from rtrec.engine.status import Delivery
from rtrec.events.log import EventLog
from rtrec.events.schema import empty_events
from rtrec.types import Columns

#: Users whose lists are made at a time: a few milliseconds, for which learning may have to wait.
_BATCH = 32
#: Users that may wait; a list of each is some hundred bytes, and minutes old by the time it would be made.
MOST_WAITING = 10_000
#: So many events are looked through at a time.
_READ_EVENTS = 10_000
_LOOK_S, _NOTE_S, _RETRY_S = 0.05, 5.0, 2.0
#: A sink that has not come back by then is said to hang; it is waited for all the same.
_HANGS_S = 10.0
#: How long letting go of a sink may take, and how long what it has in hand is waited for at least.
_CLOSE_S, _GRACE_S = 5.0, 1.0

_log = structlog.get_logger(__name__)


class ListSink(Protocol):
    """Where lists go."""

    @property
    def name(self) -> str:
        """Return what the log knows the sink by."""
        ...

    def deliver(self, lists: Sequence[Mapping[str, Any]]) -> None:
        """Take lists for good, or raise; runs in a thread, and holds nobody up for as long as it takes."""
        ...

    def close(self) -> None:
        """Let go of what the sink holds."""
        ...


class Outbox:
    """The users that wait for their lists to be delivered.

    Parameters
    ----------
    sink
        Takes the lists.
    log
        Says who had events, and keeps how far delivery has come.
    ends
        Returns how far each partition is learned.
    lists
        Makes the lists of some users, as they are now.
    is_idle
        Says whether nothing waits to be learned.
    most_waiting
        Users that may wait.
    """

    def __init__(
        self,
        sink: ListSink,
        log: EventLog,
        *,
        ends: Callable[[], tuple[int, ...]],
        lists: Callable[[Sequence[str]], Awaitable[Sequence[Mapping[str, Any]]]],
        is_idle: Callable[[], bool],
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._sink = sink
        self._log = log
        self._ends = ends
        self._lists = lists
        self._is_idle = is_idle
        self._most_waiting = most_waiting
        #: Who waits, longest first, and how far users were known when each came.
        self._waiting: dict[str, tuple[int, ...]] = {}
        self._seen: tuple[int, ...] = ()
        #: What the log knows: how far delivery has come, and the counts.
        self._noted: tuple[tuple[int, ...], dict[str, int]] = ((), {})
        self._counts = {"delivered": 0, "dropped": 0}
        self._problem = ""
        self._aside = Aside()
        self._in_hand: list[str] = []  # users whose lists the sink was given, and has not taken yet
        self._task: asyncio.Task[None] | None = None

    @property
    def delivery(self) -> Delivery:
        """Return how the sink is doing."""
        return Delivery(
            self._sink.name,
            self._counts["delivered"],
            self._counts["dropped"],
            len(self._waiting),
            self._problem,
        )

    async def start(self) -> None:
        """Go on where delivery came to before; a sink that is new begins with what is learned from now on."""
        await self.resume()
        self._task = asyncio.create_task(self._run())

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Deliver what waits, for about so long at most, and let go of the sink, even of one that hangs."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        try:
            deadline = time.monotonic() + drain_s
            if self._in_hand:
                await self._aside.come_back(max(drain_s, _GRACE_S))
                self._book()
            while (left := deadline - time.monotonic()) > 0 and await self.step(within_s=left):
                pass
            await asyncio.to_thread(self._note)
        except Hangs:
            _log.warning("a sink hangs; the next run delivers what waits", sink=self._sink.name)
        except Exception as error:
            _log.warning("lists could not be delivered; the next run does", error=str(error))
        with suppress(Hangs):
            await Aside().call(self._sink.close, within_s=_CLOSE_S)

    async def resume(self) -> None:
        """Find out where delivery came to before."""
        noted = await asyncio.to_thread(self._log.position, self._sink.name)
        self._counts |= await asyncio.to_thread(self._log.cleaning_counts, self._sink.name)
        if isinstance(noted, int):
            self._seen = self._ends()
            await asyncio.to_thread(self._note)
        else:
            self._seen = tuple(noted[str(each)] for each in range(self._log.partitions))
            self._noted = (self._seen, dict(self._counts))

    async def _run(self) -> None:
        """Deliver until cancelled; what goes wrong is told in :attr:`delivery`, and stops nothing."""
        noted_at = time.monotonic()
        while True:
            try:
                if not await self.step():
                    await asyncio.sleep(_LOOK_S)
                if time.monotonic() - noted_at > _NOTE_S:
                    await asyncio.to_thread(self._note)
                    noted_at = time.monotonic()
            except Exception as error:
                if not self._problem:
                    _log.warning("lists could not be delivered; trying again", error=str(error))
                self._problem = str(error)
                await asyncio.sleep(_RETRY_S)

    async def step(self, *, within_s: float | None = None) -> bool:
        """Take up who had events, deliver some lists if there is time; say whether any was delivered.

        Raises
        ------
        Hangs
            If the sink has not come back within ``within_s`` seconds.
        """
        ends = self._ends()
        if ends != self._seen:
            await asyncio.to_thread(self._add_users_up_to, ends)
        if not self._waiting or not self._is_idle():
            return False
        users = list(islice(self._waiting, _BATCH))
        await self._deliver(users, await self._lists(users), within_s)
        return True

    async def _deliver(
        self, users: list[str], lists: Sequence[Mapping[str, Any]], within_s: float | None
    ) -> None:
        """Have the sink take lists, and book it; say so while it does not come back."""
        self._in_hand = users
        try:
            await self._have_taken(lists, within_s)
        except Exception:
            self._in_hand = []
            raise
        self._book()

    async def _have_taken(self, lists: Sequence[Mapping[str, Any]], within_s: float | None) -> None:
        patience_s = _HANGS_S if within_s is None else within_s
        try:
            await self._aside.call(self._sink.deliver, lists, within_s=patience_s)
        except Hangs:
            if within_s is not None:
                raise
            self._problem = f"it has not come back for {_HANGS_S:g} s; waiting for it"
            _log.warning("a sink hangs; waiting for it", sink=self._sink.name)
            await self._aside.come_back(None)

    def _book(self) -> None:
        """Note that the sink has taken what it was given."""
        for user in self._in_hand:
            del self._waiting[user]
        self._counts["delivered"] += len(self._in_hand)
        self._in_hand, self._problem = [], ""

    def _add_users_up_to(self, ends: tuple[int, ...]) -> None:
        """Let those wait who had the events behind the ones seen; who waits already goes to the end."""
        for partition, (seen, end) in enumerate(zip(self._seen, ends, strict=True)):
            for start in range(seen, end, _READ_EVENTS):
                events = self._log.read(partition, start, min(start + _READ_EVENTS, end))
                for user in events[Columns.USER_ID].to_pylist():
                    self._waiting.pop(user, None)
                    self._waiting[user] = self._seen
                while len(self._waiting) > self._most_waiting:
                    del self._waiting[next(iter(self._waiting))]
                    self._counts["dropped"] += 1
        self._seen = ends

    def _note(self) -> None:
        """Keep in the log how far delivery has come: to where the one who has waited longest came from."""
        reached = next(iter(self._waiting.values()), self._seen)
        state = (reached, dict(self._counts))
        # After a rollback the run is behind what was delivered; the log takes nothing back.
        if state == self._noted or any(map(lt, reached, self._noted[0])):
            return
        self._log.append(
            [empty_events()] * self._log.partitions,
            source=self._sink.name,
            position={str(partition): end for partition, end in enumerate(reached)},
            counts=self._counts,
        )
        self._noted = state
