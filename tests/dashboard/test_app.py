"""The server: quick to answer, only for this machine, without leaks."""

from __future__ import annotations

import asyncio
import gc
import runpy
import socket
import sys
import threading
import types
import weakref
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import panel as pn
import pytest
from bokeh.document import Document
from pageclient import PageClient
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from rtrec.dashboard.app import make_page, serve
from rtrec.dashboard.server import DashboardServer, free_port
from rtrec.dashboard.session import Session
from rtrec.dashboard.store import RunStore
from rtrec.errors import DeploymentError, InputError
from tests.dashboard.scripted_run import ScriptedRun

SCRIPT = Path(__file__).resolve().parents[2] / "dashboards" / "live.py"


@pytest.fixture
def server(scripted_run):
    server = serve(scripted_run, port=0)
    yield server
    server.stop()


def watchers(store: RunStore) -> list[object]:
    return store.state.param.watchers.get("reading", {}).get("value", [])


def get(server: DashboardServer) -> str:
    return urlopen(server.url, timeout=20).read().decode()


def test_the_page_answers_while_the_run_is_still_starting():
    gate = threading.Event()

    def start() -> ScriptedRun:
        gate.wait(30.0)
        return ScriptedRun()

    server = serve(start, port=0)
    try:
        assert "<title>rtrec</title>" in get(server)
    finally:
        gate.set()
        server.stop()


def test_the_page_links_to_no_other_place(server):
    page = get(server)
    assert "http://" not in page.replace(server.url, "").replace("http://www.w3.org", "")
    assert "https://" not in page


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1.evil.example:5006", "null"])
def test_a_foreign_origin_gets_no_web_socket(server, origin):
    async def connect() -> None:
        url = server.url.replace("http", "ws") + "/ws"
        await websocket_connect(HTTPRequest(url, headers={"Origin": origin}), subprotocols=["bokeh", "x"])

    with pytest.raises(HTTPClientError, match="403"):
        asyncio.run(connect())


def test_an_address_that_others_reach_is_refused(scripted_run):
    with pytest.raises(InputError, match=r"--host '0\.0\.0\.0' .* no login"):
        serve(scripted_run, host="0.0.0.0", port=0)


def test_a_taken_port_is_named_and_nothing_is_started():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        started = []
        with pytest.raises(InputError, match=rf"port {port} of 127\.0\.0\.1 cannot be used"):
            serve(lambda: started.append(1) or ScriptedRun(), port=port)
        assert not started


def test_bare_requests_leave_neither_sessions_nor_watchers(scripted_run, until):
    store = RunStore(scripted_run)
    port = free_port("127.0.0.1")
    server = DashboardServer(store, make_page, "127.0.0.1", port, unused_session_ms=1)
    server.start()
    try:
        for _ in range(3):
            get(server)
        until(lambda: server.n_sessions == 0)
        assert not watchers(store)
    finally:
        server.stop()


def test_pages_that_were_closed_are_forgotten(scripted_run, until, caplog):
    """Fails if what outlives a page holds it, as the state of Panel does by itself: 1.5 MB a page."""
    pages: weakref.WeakSet[Document] = weakref.WeakSet()  # of this server: others may live on in this process
    n_made = count(1)

    def make(store: RunStore) -> object:
        pages.add(pn.state.curdoc)
        next(n_made)
        return make_page(store)

    server = DashboardServer(
        RunStore(scripted_run), make, "127.0.0.1", free_port("127.0.0.1"), unused_session_ms=1
    )
    server.start()

    def n_pages() -> int:
        gc.collect()
        return len(pages)

    try:
        for _ in range(3):
            with PageClient(server.host, server.port) as page:
                page.read(within_s=1.0)
            until(lambda: server.n_sessions == 0)
        assert next(n_made) > 3
        until(lambda: n_pages() == 0)
        assert "on_session_destroyed" not in caplog.text  # nothing failed on the way out
    finally:
        server.stop()


def test_the_watcher_of_a_page_goes_with_it_and_other_pages_read_on(scripted_run, until):
    """Bokeh ends a document before anybody hears of it; one more reading must neither raise nor be kept."""
    store = RunStore(scripted_run, interval_s=0.01)
    store.start()
    page = SimpleNamespace(
        destroyed=False, session=SimpleNamespace(_subscribed_connections=[SimpleNamespace()])
    )
    document = SimpleNamespace(session_context=page, add_next_tick_callback=lambda action: action())
    loop = SimpleNamespace(add_callback=lambda function, *arguments: function(*arguments))
    seen, of_others = [], []
    Session(store, document, loop).follow(seen.append)
    Session(store).follow(of_others.append)
    try:
        until(lambda: len(seen) > 1)
        assert len(watchers(store)) == 2
        page.destroyed = True
        until(lambda: len(watchers(store)) == 1)
        n_seen, n_of_others = len(seen), len(of_others)
        until(lambda: len(of_others) > n_of_others + 1)
        assert len(seen) == n_seen
    finally:
        store.stop()


def test_stop_event_stops_the_server(scripted_run):
    stop = threading.Event()
    server = serve(scripted_run, port=0, stop_event=stop)
    stop.set()
    assert server.wait(timeout=15.0)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port), timeout=2)
    server.stop()


def test_the_script_wants_a_deployment(monkeypatch):
    fake = types.ModuleType("rtrec.engine.live")
    fake.LiveRun = ScriptedRun
    monkeypatch.setitem(sys.modules, "rtrec.engine.live", fake)
    monkeypatch.delenv("RTREC_HOME", raising=False)
    with pytest.raises(DeploymentError, match="RTREC_HOME is not set"):
        runpy.run_path(str(SCRIPT))
