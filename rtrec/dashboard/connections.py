"""Browsers that do not read: nothing more is written to them, and in the end they are let go.

A tab that the browser has put to sleep keeps its web socket and reads nothing. Bokeh goes on writing to it,
and what nobody reads stays in this process: 3 MB a minute, and nothing bounds it. So a page is refreshed only
once all that was written to it before has left, and a browser that takes nothing for a while is cut off.
Woken up, its page says that the connection was lost, and comes back by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from tornado.websocket import WebSocketClosedError

#: A browser that has taken nothing for so long is asleep, or gone: a page that is read takes milliseconds.
STALLED_AFTER_S = 30.0

_log = structlog.get_logger(__name__)


def pass_over_hung_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what went wrong in a loop, and say nothing of a browser that hung up before all was written.

    Nobody waits for what Panel writes to a page that is gone, so asyncio would print a traceback for it, and
    a log that keeps its records would keep the page with them. An exception handler of the server's loop.
    """
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def is_behind(connection: Any) -> bool:
    """Say whether a browser has yet to take what was written to it: the system holds some MB, then we do."""
    stream = _stream_of(connection)
    return stream is not None and stream.writing()


class StalledBrowsers:
    """Cuts browsers off that are behind and take nothing; all methods are called in the server's loop.

    Parameters
    ----------
    after_s
        For how long that has to be so.
    clock
        Returns seconds that only ever grow.

    Attributes
    ----------
    n_cut_off
        How many were.
    """

    def __init__(
        self, after_s: float = STALLED_AFTER_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.n_cut_off = 0
        self._after_s = after_s
        self._clock = clock
        self._taken: dict[Any, tuple[int, float]] = {}  # bytes by connection that is behind, and since when

    def look(self, connections: Iterable[Any]) -> None:
        """Look at all browsers there are."""
        now, behind = self._clock(), {}
        for connection in [each for each in connections if is_behind(each)]:
            stream = _stream_of(connection)
            n_taken = stream._total_write_done_index  # tornado counts this, and tells nobody
            before, since = self._taken.get(connection, (-1, now))
            behind[connection] = n_taken, since if n_taken == before else now
            if now - behind[connection][1] >= self._after_s:
                _log.warning("a browser that takes nothing is cut off", after_s=self._after_s)
                self.n_cut_off += 1
                del behind[connection]
                stream.close()  # without a word: who does not read would not hear it
        self._taken = behind


def _stream_of(connection: Any) -> Any:
    """Return the stream to a browser, None once it has hung up."""
    protocol = getattr(getattr(connection, "_socket", None), "ws_connection", None)
    return None if protocol is None else protocol.stream
