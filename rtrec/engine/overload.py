"""When a source is faster than learning: test a share of the events until it is caught up with.

Learning an event takes a fraction of what answering it takes. So where a source stays ahead for a while, all
events are learned and a share is tested, by a control of the log; once the source is caught up with, and that
has held for a while too, all are tested again. A source that waits for whoever reads it is never ahead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from rtrec.engine.backlog import MOST_WAITING_BYTES
from rtrec.engine.sampling import Sampling, lift, sample
from rtrec.errors import InputError
from rtrec.events.feeds import Feed
from rtrec.events.lag import SourceLag
from rtrec.events.log import Control

#: How often a source is asked how far it is ahead.
LOOK_S = 0.5
MOST_SHARE, MOST_SECONDS = 1.0, 3600.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class OverloadPlan:
    """What to do about a source that is too fast.

    Attributes
    ----------
    share
        The share of the events that is tested then, above 0; 1 tests all of them, whatever comes.
    above_s
        From so many seconds ahead on a source is too fast.
    for_s
        For so long it has to be, and, later, to be caught up with.
    caught_up_s
        Below so many seconds ahead it is caught up with.
    most_waiting_bytes
        Accepted events that may wait to be learned; then the source has to.
    """

    share: float = 0.1
    above_s: float = 10.0
    for_s: float = 5.0
    caught_up_s: float = 1.0
    most_waiting_bytes: int = MOST_WAITING_BYTES

    def check(self) -> None:
        """Raise if the plan cannot be carried out.

        Raises
        ------
        InputError
            Naming what is out of bounds.
        """
        if not 0.0 < self.share <= MOST_SHARE:
            raise InputError(f"the share that is tested lies above 0 and is at most 1; got {self.share!r}")
        if not 0.0 <= self.caught_up_s < self.above_s <= MOST_SECONDS:
            raise InputError(
                f"a source is too fast from so many seconds ahead on, above {self.caught_up_s:g} and at most "
                f"{MOST_SECONDS:g}; got {self.above_s!r}"
            )
        if not 0.0 <= self.for_s <= MOST_SECONDS or self.most_waiting_bytes < 1:
            raise InputError(
                f"expected for_s from 0 to {MOST_SECONDS:g} and most_waiting_bytes from 1 on; got "
                f"{self.for_s!r} and {self.most_waiting_bytes!r}"
            )


def seconds_ahead(lag: SourceLag, rate_per_s: float) -> float | None:
    """Return how far a source is ahead: how long its next event is overdue, or its unread ones take to learn.

    None where nobody knows: a source that waits, or one of which nothing was learned lately.

    >>> seconds_ahead(SourceLag(behind_s=3.0), 0.0), seconds_ahead(SourceLag(n_unread=600), 200.0)
    (3.0, 3.0)
    >>> seconds_ahead(SourceLag(n_unread=0), 0.0), seconds_ahead(SourceLag(n_unread=600), 0.0)
    (0.0, None)
    """
    found = [] if lag.behind_s is None else [lag.behind_s]
    if lag.n_unread is not None and (rate_per_s > 0 or not lag.n_unread):
        found.append(lag.n_unread / rate_per_s if lag.n_unread else 0.0)
    return max(found, default=None)


class Judge:
    """Decides when to test a share and when all; what lasts for less time than the plan says counts nothing.

    >>> judge = Judge(OverloadPlan(above_s=10.0, for_s=5.0, caught_up_s=1.0))
    >>> [judge.wants_other(ahead, now, is_sampling=False) for now, ahead in enumerate([9, 11, 12, 9, 11, 12])]
    [False, False, False, False, False, False]
    >>> judge.wants_other(30, 9.0, is_sampling=False)
    True
    """

    def __init__(self, plan: OverloadPlan) -> None:
        self._plan = plan
        self._since: float | None = None

    def wants_other(self, ahead_s: float | None, now: float, *, is_sampling: bool) -> bool:
        """Say whether it is time for the other way; from then on the time is counted anew."""
        plan = self._plan
        if ahead_s is None or (ahead_s >= plan.caught_up_s if is_sampling else ahead_s < plan.above_s):
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since < plan.for_s:
            return False
        self._since = None
        return True


class Overload:
    """Watches the source of a run, and appends what is to be done; all methods are called in its event loop.

    Parameters
    ----------
    plan
        What to do.
    feed
        Says how far its source is ahead.
    sampling
        Returns what the run has taken of the controls.
    rate_per_s
        Returns how many events are learned a second; 0 while the shards are away.
    append
        Appends a control to the log.

    Attributes
    ----------
    lag
        How far the source was ahead when it was last looked.
    """

    def __init__(
        self,
        plan: OverloadPlan,
        feed: Feed,
        *,
        sampling: Callable[[], Sampling],
        rate_per_s: Callable[[], float],
        append: Callable[[Mapping[str, Any]], Awaitable[Control]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lag = SourceLag()
        self._plan = plan
        self._feed = feed
        self._sampling = sampling
        self._rate_per_s = rate_per_s
        self._append_control = append
        self._clock = clock
        self._judge = Judge(plan)
        self._appended = -1
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Test all, whatever a run before this one did, and begin to look."""
        await self.lift()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more: nothing is read any more either."""
        self._over.set()  # not cancelled: a control on its way into the log has to be known of
        if self._task is not None:
            await self._task
        self.lag = SourceLag()

    async def lift(self) -> None:
        """Test all from the next event on, if it is not so."""
        if self._sampling().share < 1.0 or self._is_on_its_way():
            await self._append(lift())

    async def _watch(self) -> None:
        try:
            while not self._over.is_set():
                self.lag = await asyncio.to_thread(self._feed.lag)
                await self.look()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), LOOK_S)
        except Exception as error:  # of a feed, or of a log that takes nothing more: no reason to end a run
            self.lag = SourceLag()
            _log.warning("how far the source is ahead is not looked at any more", error=repr(error))

    async def look(self) -> None:
        """Decide by the last lag, once what was decided before is taken."""
        sampling = self._sampling()
        if self._plan.share >= 1.0 or self._is_on_its_way():
            return
        rate, is_sampling = self._rate_per_s(), sampling.share < 1.0
        ahead_s = seconds_ahead(self.lag, rate)
        if not self._judge.wants_other(ahead_s, self._clock(), is_sampling=is_sampling):
            return
        if is_sampling:
            await self._append(lift())
            _log.info("the source is caught up with; all events are tested again")
        else:
            reason = reason_of(self.lag, rate)
            await self._append(sample(self._plan.share, reason))
            _log.warning("a share of the events is tested", share=self._plan.share, reason=reason)

    def _is_on_its_way(self) -> bool:
        """Say whether a control was appended that is not taken yet, or is taken anew by a recovery."""
        return self._sampling().taken < self._appended

    async def _append(self, control: Mapping[str, Any]) -> None:
        self._appended = (await self._append_control(control)).offset


def reason_of(lag: SourceLag, rate_per_s: float) -> str:
    """Say how far a source is ahead.

    >>> reason_of(SourceLag(behind_s=12.3), 900.0)
    'the source was 12 s ahead'
    >>> reason_of(SourceLag(n_unread=18_000), 900.0)
    '18,000 messages were unread, at 900 events/s'
    """
    if lag.behind_s is not None:
        return f"the source was {lag.behind_s:.0f} s ahead"
    return f"{lag.n_unread or 0:,} messages were unread, at {rate_per_s:,.0f} events/s"
