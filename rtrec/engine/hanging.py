"""Call what may hang for ever, such as a sink whose broker is gone, without being held up, at the end either.

A thread of the event loop's pool would be missed there, and be waited for when the process ends. So such a
call has a thread of its own, that the process does not wait for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Hangs(Exception):
    """A call did not come back in time; it may still do so."""


class Aside:
    """Makes one call at a time; all methods are called in one event loop."""

    def __init__(self) -> None:
        self._at_work: asyncio.Future[Any] | None = None

    async def call(self, function: Callable[..., Any], *arguments: Any, within_s: float | None = None) -> Any:
        """Return what ``function`` returns, or raise what it raises.

        Raises
        ------
        Hangs
            If it, or the call before it, has not come back within ``within_s`` seconds.
        """
        if self._at_work is not None and not self._at_work.done():
            raise Hangs
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._at_work = done

        def settle(result: Any, error: BaseException | None) -> None:
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)
                done.exception()  # heard, for nobody may be waiting any more

        def work() -> None:
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = function(*arguments), None
            except BaseException as error:
                outcome = None, error
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, *outcome)

        threading.Thread(target=work, name="rtrec-aside", daemon=True).start()
        return await self.come_back(within_s)

    async def come_back(self, within_s: float | None) -> Any:
        """Wait for the last call, and return what it returned.

        Raises
        ------
        Hangs
            If it has not come back within ``within_s`` seconds.
        """
        if self._at_work is None:
            return None
        await asyncio.wait({self._at_work}, timeout=within_s)  # which, cancelled, leaves it alone
        if not self._at_work.done():
            raise Hangs
        return self._at_work.result()
