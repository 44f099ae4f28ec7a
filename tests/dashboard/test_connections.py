"""A browser that does not read: it is not written to, it is let go, and others do not notice."""

from __future__ import annotations

import asyncio
import gc
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from pageclient import PageClient
from tornado.websocket import WebSocketClosedError

from rtrec.dashboard.app import make_page
from rtrec.dashboard.connections import StalledBrowsers, is_behind, pass_over_hung_up
from rtrec.dashboard.server import DashboardServer, free_port
from rtrec.dashboard.session import Session
from rtrec.dashboard.store import RunStore
from tests.dashboard.scripted_run import ScriptedRun


class Connection:
    """A connection as Bokeh has it, to a browser that takes what it is told to."""

    def __init__(self) -> None:
        self.waiting = self._total_write_done_index = 0
        self.is_open = True
        self._socket = SimpleNamespace(ws_connection=SimpleNamespace(stream=self))

    def writing(self) -> bool:
        return self.waiting > 0

    def take(self, n_bytes: int) -> None:
        self.waiting -= n_bytes
        self._total_write_done_index += n_bytes

    def close(self) -> None:
        self.is_open, self._socket.ws_connection = False, None


def test_a_browser_is_cut_off_when_it_took_nothing_for_so_long() -> None:
    now = [0.0]
    asleep, slow, idle = Connection(), Connection(), Connection()
    stalled = StalledBrowsers(30.0, clock=lambda: now[0])
    asleep.waiting = slow.waiting = 1000
    for second in range(100):
        now[0] = float(second)
        if second and second % 20 == 0:
            slow.take(10)  # not much, but something
        stalled.look([asleep, slow, idle])
        assert asleep.is_open == (second < 30)
    assert (slow.is_open, idle.is_open, stalled.n_cut_off) == (True, True, 1)
    assert not is_behind(asleep)


def test_one_that_catches_up_in_between_begins_anew() -> None:
    now = [0.0]
    one, stalled = Connection(), StalledBrowsers(30.0, clock=lambda: now[0])
    for second in range(58):
        now[0] = float(second)
        one.waiting = 0 if second == 29 else 500
        stalled.look([one])
    assert one.is_open


def test_a_page_is_not_refreshed_while_its_browser_has_not_taken_the_last_one(scripted_run: Any) -> None:
    store, browser, seen = RunStore(scripted_run), Connection(), []
    page = SimpleNamespace(destroyed=False, session=SimpleNamespace(_subscribed_connections=[browser]))
    document = SimpleNamespace(session_context=page, add_next_tick_callback=lambda action: action())
    loop = SimpleNamespace(add_callback=lambda function, *arguments: function(*arguments))
    Session(store, document, loop).follow(seen.append)
    for waiting, expected in [(0, 1), (9, 1), (9, 1), (0, 2)]:
        browser.waiting = waiting
        store.read()
        assert len(seen) == expected
    page.session._subscribed_connections.clear()  # nobody looks any more
    store.read()
    assert len(seen) == 2


@pytest.mark.timeout(120)
def test_a_tab_that_is_put_to_sleep_holds_little_is_let_go_and_another_reads_on(until: Any) -> None:
    """Refresh it all the same, and what it does not read grows for as long as it stays."""
    store = RunStore(ScriptedRun(tested=70_000, step=300), interval_s=0.01)
    port = free_port("127.0.0.1")
    server = DashboardServer(store, make_page, "127.0.0.1", port, unused_session_ms=1, stalled_after_s=3.0)
    server.start()
    try:
        with PageClient("127.0.0.1", port) as asleep:
            until(lambda: len(server._server._tornado._clients) == 1)
            [connection] = server._server._tornado._clients
            stream = connection._socket.ws_connection.stream
            asleep.read(within_s=20.0, until=b"PATCH-DOC")  # the page is there; now the tab is put to sleep
            # Else the system would hold megabytes before we do.
            options = socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
            server._loop.call_soon_threadsafe(stream.socket.setsockopt, *options)
            with PageClient("127.0.0.1", port) as reader:
                n_read, held = 0, []
                while server.n_cut_off == 0:
                    n_read += reader.read(within_s=0.1)
                    held += [len(stream._write_buffer)] if stream._write_buffer else []
                assert asleep.is_cut_off()
                assert len(set(held[-len(held) // 3 :])) == 1  # what it was behind with, and no refresh since
                assert held[-1] < 1_000_000
                assert n_read > 700_000
                assert reader.read(within_s=5.0, until=b"PATCH-DOC") > 0
                assert server.n_cut_off == 1
        until(lambda: server.n_sessions == 0)
    finally:
        server.stop()


@pytest.mark.parametrize(("error", "is_told"), [(WebSocketClosedError(), False), (ValueError(), True)])
def test_a_browser_that_hung_up_leaves_no_traceback_and_all_else_does(error, is_told, caplog) -> None:
    async def fail() -> None:
        raise error

    async def nobody_waits() -> None:
        asyncio.get_running_loop().set_exception_handler(pass_over_hung_up)
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0.01)
        del task
        gc.collect()  # only then asyncio knows that nobody will ask

    asyncio.run(nobody_waits())
    assert ("exception was never retrieved" in caplog.text) == is_told
