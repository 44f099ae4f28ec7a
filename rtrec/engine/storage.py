"""When a disk or a broker does not take what it is given: wait, say so, try again; what passes ends no run.

A full disk, an error of reading or writing, a broker that is away and another fit for the same slot may pass;
what is *damaged* does not, and is never tried again.
While the log takes nothing, nothing more is accepted: the feed waits, and its position stays where it was, so
nothing is lost and nothing comes twice. A fitted table that finds no room is fitted again once there may be
some, and its record in the log waits as events do. A snapshot that cannot be written is given up, for the log
holds all that is in it; the next one comes at its time.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from rtrec.clock import utc_now
from rtrec.engine.status import Notice
from rtrec.errors import BrokersUnavailable, SlotTaken, StorageUnavailable

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")
#: It is tried again after so long, then after twice that, and so on up to the longest pause.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
#: Who gets no room for so long gives up.
MOST_PATIENCE_S = 3600.0
#: What the log itself wants: its write-ahead file grows to 4 MB before it is moved, and so does the main one.
_ROOM_FOR_LOG = 16_000_000
_NOTICES = 20
#: What the system says of a disk, or of somebody's share of it, that may take it another time.
_MAY_PASS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def may_pass(error: BaseException) -> bool:
    """Say whether what failed may be tried again."""
    return isinstance(error, StorageUnavailable) or (isinstance(error, OSError) and error.errno in _MAY_PASS)


class Storage:
    """The disk of a deployment, and the brokers of its log, as a run meets them.

    Parameters
    ----------
    home
        Where the deployment is.
    n_events
        Says how many events are learned, for the place of an alarm.
    sleep
        Waits so many seconds, or until there is no sense in waiting any more: it then returns true.

    Attributes
    ----------
    notices
        The last times that something was not taken.
    """

    def __init__(
        self,
        home: Path,
        *,
        n_events: Callable[[], int] = lambda: 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.notices: list[Notice] = []
        self._home = home
        self._n_events = n_events
        self._sleep = sleep
        self._clock = clock

    async def keep_trying(self, what: str, call: Callable[[], _Result]) -> _Result:
        """Return what ``call`` returns, in a thread, as soon as it is stored; see :meth:`keep_asking`."""
        return await self.keep_asking(what, partial(asyncio.to_thread, call))

    async def keep_asking(self, what: str, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what ``call`` gives, such as the work of a worker, as soon as disk and brokers let it.

        ``call`` stores all or nothing. Called again it must first look whether the time before did store: a
        disk in trouble may say that it did not.

        Parameters
        ----------
        what
            Is not possible meanwhile, for the alarm.

        Raises
        ------
        StorageUnavailable
            If that takes longer than :data:`MOST_PATIENCE_S`, or waiting makes no sense any more.
        """
        pause_s, waited_s, notice = FIRST_PAUSE_S, 0.0, None
        while True:
            try:
                result = await call()
            except Exception as error:
                if not may_pass(error):
                    raise
                if notice is None:
                    _log.error("it is not stored; waiting", what=what, error=str(error))
                    elsewhere = isinstance(error, BrokersUnavailable | SlotTaken)
                    room = "" if elsewhere else f". {self.room()}"
                    notice = self.tell(f"{what} has to wait: {error}{room}")
                if waited_s >= MOST_PATIENCE_S or await self._sleep(pause_s):
                    raise StorageUnavailable(str(error)) from error
                waited_s += pause_s
                pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
            else:
                if notice is not None:
                    _log.warning("it is stored again", what=what, waited_s=waited_s)
                    over = f"{what} had to wait for about {waited_s:,.0f} s, and goes on; nothing is lost"
                    self._replace(notice, over)
                return result

    def tell(self, sentence: str) -> Notice:
        """Remember an alarm."""
        notice = Notice(self._n_events(), self._clock(), "storage", sentence)
        self.notices = [*self.notices, notice][-_NOTICES:]
        return notice

    def room(self) -> str:
        """Say how much room there is, and how much it takes to go on."""
        needed = _ROOM_FOR_LOG + self._largest_snapshot()
        try:
            free = shutil.disk_usage(self._home).free
        except OSError:
            return "The disk does not even say how much is free"
        return (
            f"There are {free / 1e6:,.1f} MB free at {self._home}; with {needed / 1e6:,.0f} MB it goes on "
            "for a while, snapshots and all"
        )

    def _largest_snapshot(self) -> int:
        try:
            return max(
                (
                    sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
                    for path in (self._home / "snapshots").iterdir()
                ),
                default=0,
            )
        except OSError:
            return 0

    def _replace(self, notice: Notice, sentence: str) -> None:
        told = Notice(notice.offset, notice.time, notice.kind, sentence)
        self.notices = [told if each is notice else each for each in self.notices]
