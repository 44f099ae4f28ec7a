"""One browser page: how readings and answers get from other threads into its document."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from rtrec.dashboard.connections import is_behind
from rtrec.dashboard.state import Reading
from rtrec.dashboard.store import RunStore

if TYPE_CHECKING:
    from bokeh.document import Document
    from tornado.ioloop import IOLoop


class Session:
    """The link between one document and the shared store.

    Parameters
    ----------
    store
        The process's store.
    document
        The page's document; None runs everything at once in the calling thread, as tests want it.
    loop
        The server's loop, in whose thread documents live and end.
    """

    def __init__(self, store: RunStore, document: Document | None = None, loop: IOLoop | None = None) -> None:
        self.store = store
        self._document = document
        self._loop = loop
        self._queued = threading.Event()
        self._closed = threading.Event()
        self._watcher: Any = None

    @property
    def reading(self) -> Reading:
        """Return the run as last read."""
        return self.store.state.reading

    def follow(self, refresh: Callable[[Reading], None]) -> None:
        """Call ``refresh`` in the document with each new reading until the session is destroyed.

        A page that is slower than the store, or than its browser reads, skips readings instead of queueing
        them, and a session nobody is connected to (a bare GET makes one) is left alone.
        """

        def show() -> None:
            self._queued.clear()
            if self._is_watched():
                refresh(self.reading)

        def wake(*_: Any) -> None:
            if not self._queued.is_set():
                self._queued.set()
                self.later(show)

        self._watcher = self.store.state.param.watch(wake, "reading")
        if self._document is not None:
            pn.state.on_session_destroyed(lambda *_: self.close())

    def close(self) -> None:
        """Hear of no further reading and run no further action; safe to call twice and from any thread."""
        self._closed.set()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self.store.state.param.unwatch(watcher)

    def ask(self, question: Callable[[], Any], answer: Callable[[Future[Any]], None]) -> None:
        """Call ``question`` in another thread and ``answer`` with its done future in the document."""
        self.when_done(self.store.ask(question), answer)

    def when_done(self, future: Future[Any], answer: Callable[[Future[Any]], None]) -> None:
        """Call ``answer`` in the document once ``future`` is done."""
        future.add_done_callback(lambda done: self.later(lambda: answer(done)))

    def later(self, action: Callable[[], None]) -> None:
        """Run ``action`` in the document; nothing happens once the page is gone."""
        if self._closed.is_set():
            return
        if self._document is None or self._loop is None:
            action()
            return
        # From another thread the document might end between a look at it and the call; Bokeh then raises,
        # and leaves the dead document the current one of the whole process.
        self._loop.add_callback(self._enter, action)

    def _enter(self, action: Callable[[], None]) -> None:
        assert self._document is not None
        context = self._document.session_context
        if context is None or context.destroyed:
            self.close()
        else:
            self._document.add_next_tick_callback(partial(self._act, action))

    def _act(self, action: Callable[[], None]) -> None:
        # All that an action changes is one message, sent by Panel: what Bokeh sends by itself can overtake
        # the page it belongs to.
        with pn.io.unlocked():
            action()

    def _is_watched(self) -> bool:
        """Say whether a browser is there that has taken all it was sent."""
        context = getattr(self._document, "session_context", None)
        session = getattr(context, "session", None)
        return session is None or any(not is_behind(each) for each in session._subscribed_connections)
