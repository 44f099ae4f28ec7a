"""One browser page: how readings and answers get from other threads into its document."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import panel as pn

from rtrec.dashboard.state import Reading
from rtrec.dashboard.store import RunStore

if TYPE_CHECKING:
    from bokeh.document import Document


class Session:
    """The link between one document and the shared store.

    Parameters
    ----------
    store
        The process's store.
    document
        The page's document; None runs everything at once in the calling thread, as tests want it.
    """

    def __init__(self, store: RunStore, document: Document | None = None) -> None:
        self.store = store
        self._document = document
        self._queued = threading.Event()
        self._closed = threading.Event()

    @property
    def reading(self) -> Reading:
        """Return the run as last read."""
        return self.store.state.reading

    def follow(self, refresh: Callable[[Reading], None]) -> None:
        """Call ``refresh`` in the document with each new reading until the session is destroyed.

        A page that is slower than the store skips readings instead of queueing them, and a session nobody
        is connected to (a bare GET makes one) is left alone.
        """

        def show() -> None:
            self._queued.clear()
            if self._is_watched():
                refresh(self.reading)

        def wake(*_: Any) -> None:
            if not self._queued.is_set():
                self._queued.set()
                self.later(show)

        watcher = self.store.state.param.watch(wake, "reading")

        def close(*_: Any) -> None:
            self._closed.set()
            self.store.state.param.unwatch(watcher)

        if self._document is not None:
            pn.state.on_session_destroyed(close)

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
        if self._document is None:
            action()
        else:
            self._document.add_next_tick_callback(action)

    def _is_watched(self) -> bool:
        context = getattr(self._document, "session_context", None)
        session = getattr(context, "session", None)
        return session is None or session.connection_count > 0
