"""Hand a feed to the flow: in a thread of its own, which waits whenever the flow is full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any

from rtrec.engine.accepting import recent_ids
from rtrec.engine.intake import Gate
from rtrec.events.feeds import Fed, Feed
from rtrec.events.log import EventLog


class Feeding:
    """The reading of one feed by one run.

    Parameters
    ----------
    feed, log
        What is read, and the log, which knows from where on.
    gate
        Holds the thread while the source is paused.
    speed
        Times the recorded pace; None as fast as it goes.
    emit
        Sends events through the flow.
    stop
        Ends it when set.
    """

    def __init__(
        self,
        feed: Feed,
        log: EventLog,
        gate: Gate,
        *,
        speed: float | None,
        emit: Callable[[Fed], Coroutine[Any, Any, None]],
        stop: threading.Event,
    ) -> None:
        self._feed = feed
        self._log = log
        self._gate = gate
        self._speed = speed
        self._emit = emit
        self._stop = stop

    async def run(self, n_more: int | None) -> Exception | None:
        """Read to the end, or ``n_more`` events; return what ended it before its time."""
        if n_more == 0:
            return None
        return await asyncio.to_thread(self._read, n_more, asyncio.get_running_loop())

    def _read(self, n_more: int | None, loop: asyncio.AbstractEventLoop) -> Exception | None:
        feed, log = self._feed, self._log
        try:
            if not self._gate.open():
                return None
            for fed in feed.start(
                log.position(feed.name),
                speed=self._speed,
                n_more=n_more,
                counts=log.cleaning_counts(feed.name),
                recent_ids=recent_ids(log),
                watermark=log.watermark(feed.name),
                sleep=self._stop.wait,
            ):
                if self._stop.is_set():
                    return None
                asyncio.run_coroutine_threadsafe(self._emit(fed), loop).result()
                if not self._gate.behind(fed.flood):
                    return None
        except CancelledError:  # the loop has ended
            return None
        except Exception as error:
            return error
        return None
