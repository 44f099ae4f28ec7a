"""Bokeh's server in a thread of its own: started when it can be opened, stopped from anywhere."""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
from collections.abc import Callable
from typing import Any

import panel as pn
from bokeh.util.warnings import BokehUserWarning
from tornado.ioloop import PeriodicCallback

from rtrec.dashboard.connections import STALLED_AFTER_S, StalledBrowsers, pass_over_hung_up
from rtrec.dashboard.store import RunStore
from rtrec.errors import InputError

#: A session that no browser holds is dropped after this long. A bare GET makes one, and a browser takes some
#: seconds from its GET to its web socket, so it must not be shorter.
UNUSED_SESSION_MS = 15_000
CHECK_SESSIONS_MS = 500
LOOK_AT_BROWSERS_MS = 500
_START_TIMEOUT_S = 30.0
#: What was added to a page later comes back whole with its first click; Bokeh notes that it has it already.
_HARMLESS = "reference already known"


class DashboardServer:
    """A running dashboard; :meth:`stop` ends it, the run itself is left alone.

    Parameters
    ----------
    store
        What pages show; started and stopped with the server.
    make_page
        Called with the store for each new page.
    host, port
        Where to listen.
    unused_session_ms
        How long a session outlives its last browser.
    stalled_after_s
        How long a browser may take nothing of what is sent to it.
    """

    def __init__(
        self,
        store: RunStore,
        make_page: Callable[[RunStore], Any],
        host: str,
        port: int,
        *,
        unused_session_ms: int = UNUSED_SESSION_MS,
        stalled_after_s: float = STALLED_AFTER_S,
    ) -> None:
        self.store = store
        self._make_page = make_page
        self._unused_session_ms = unused_session_ms
        self._stalled = StalledBrowsers(stalled_after_s)
        self.host = host
        self.port = port
        self._server: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="dashboard-server", daemon=True)

    @property
    def url(self) -> str:
        """Return the address to open in a browser."""
        return f"http://{self.host}:{self.port}"

    @property
    def n_sessions(self) -> int:
        """Return how many pages are open, those that no browser holds any more included."""
        return len(self._server.get_sessions("/")) if self._server is not None else 0

    @property
    def n_cut_off(self) -> int:
        """Return how many browsers were cut off, because they took nothing of what was sent to them."""
        return self._stalled.n_cut_off

    def start(self) -> None:
        """Listen, then start reading; return once a browser can connect.

        Raises
        ------
        InputError
            If the port cannot be used.
        """
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S):
            raise TimeoutError(f"dashboard: no server at {self.url} after {_START_TIMEOUT_S:.0f} s")
        if self._error is not None:
            raise self._error
        self.store.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped; say whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop listening and close all pages; safe to call twice and from any thread."""
        self.store.stop()
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=10.0)

    def _serve(self) -> None:
        warnings.filterwarnings("ignore", _HARMLESS, BokehUserWarning)
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(pass_over_hung_up)
        asyncio.set_event_loop(loop)
        try:
            self._server = self._listen()
            self._loop = loop
        except OSError as error:
            self._error = InputError(f"dashboard: port {self.port} of {self.host} cannot be used: {error}")
        except Exception as error:  # start() raises it, in the caller's thread
            self._error = error
        finally:
            self._ready.set()
        try:
            if self._server is not None:
                loop.run_forever()
                loop.run_until_complete(self._close())
        finally:
            loop.close()

    def _listen(self) -> Any:
        server = pn.io.server.get_server(
            {"/": lambda: self._make_page(self.store)},
            port=self.port,
            address=self.host,
            websocket_origin=[f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")],
            title="rtrec",
            start=False,
            show=False,
            unused_session_lifetime_milliseconds=self._unused_session_ms,
            check_unused_sessions_milliseconds=CHECK_SESSIONS_MS,
        )
        server.start()
        looking = PeriodicCallback(lambda: self._stalled.look(server._tornado._clients), LOOK_AT_BROWSERS_MS)
        looking.start()
        return server

    async def _close(self) -> None:
        # Bokeh leaves web sockets open, and a page behind one would stand still without a word.
        for connection in list(self._server._tornado._clients):
            connection._socket.close()
        await asyncio.sleep(0.05)  # until the closing frames are out
        self._server.unlisten()
        self._server.stop(wait=True)
        await asyncio.sleep(0.05)  # what these scheduled still has to run


def free_port(host: str) -> int:
    """Return a port of ``host`` that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
