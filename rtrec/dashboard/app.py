"""The dashboard's page and its server."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from typing import Any, Protocol

import panel as pn
import panel_material_ui as pmui
import param
from bokeh.events import ConnectionLost
from bokeh.models import CustomJS
from panel.util import edit_readonly
from param.parameterized import discard_events
from tornado.ioloop import IOLoop

from rtrec.dashboard import style
from rtrec.dashboard.markup import empty_state, tag
from rtrec.dashboard.server import DashboardServer, free_port
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import STALE_AFTER_S, STUCK_AFTER_S, Reading
from rtrec.dashboard.store import Run, RunStore
from rtrec.dashboard.views.header import Header
from rtrec.dashboard.views.live import LiveView
from rtrec.dashboard.views.pieces import MarkupPane, column
from rtrec.dashboard.views.recommendations import RecommendationsView
from rtrec.dashboard.views.settings import SettingsView
from rtrec.errors import InputError


class View(Protocol):
    """A page: what it shows, and how a reading gets into it."""

    panel: Any

    def refresh(self, reading: Reading) -> None:
        """Show ``reading``."""


#: The pages by name, in the order of the menu.
PAGES: dict[str, Callable[[Session], View]] = {
    "Live": LiveView,
    "Recommendations": RecommendationsView,
    "Settings": SettingsView,
}
LOOPBACK = ("127.0.0.1", "localhost")

#: A page whose server is gone says so at once, and comes back by itself when the server does.
_WHEN_LOST = """
if (window.rtrecLost) { return }
window.rtrecLost = true
const bar = document.createElement("div")
bar.setAttribute("role", "alert")
bar.textContent = "Connection lost: all figures are frozen. This page reconnects by itself."
bar.style.cssText = "position:fixed;left:0;right:0;top:0;z-index:2000;padding:10px;text-align:center;" +
  "font:500 14px Roboto,sans-serif;color:#fff;background:#c62828"
document.body.append(bar)
const timer = setInterval(async () => {
  try { await fetch(window.location.href, {method: "HEAD", cache: "no-store"}) } catch { return }
  clearInterval(timer)
  window.location.reload()
}, 2000)
"""


class Place(param.Parameterized):
    """Where a reader is; part of the address, so that a link leads to the same page."""

    page = param.Selector(objects=list(PAGES), default=next(iter(PAGES)))


class Heartbeat(pn.custom.JSComponent):
    """Something that changes with each reading, is invisible while it does, and says so when it stops.

    A server that stands still keeps its web socket, so the page would show old figures as live. And Panel 1.9
    can leave what an event changed unsent until the next change: in its ``io/document.py`` a writer that
    finishes removes the mark which the one after it looks for.
    """

    beat = param.Integer(default=0)
    stale_after_s = param.Number(default=STALE_AFTER_S)
    stuck_after_s = param.Number(default=STUCK_AFTER_S)

    _esm = """
export function render({ model }) {
  const bar = document.createElement("div")
  bar.setAttribute("role", "alert")
  let last = Date.now()
  const look = () => {
    const silent = (Date.now() - last) / 1000
    const stale = silent > model.stale_after_s
    bar.hidden = !stale
    if (!stale) return
    bar.textContent = `No news from the server for ${Math.round(silent)} s: all figures are as old as that.`
    const colour = silent > model.stuck_after_s ? "#c62828" : "#8a5300"
    bar.style.cssText = "position:fixed;left:0;right:0;top:0;z-index:1999;padding:10px;text-align:center;" +
      "font:500 14px Roboto,sans-serif;color:#fff;background:" + colour
  }
  model.on("beat", () => { last = Date.now(); look() })
  const timer = setInterval(look, 1000)
  model.on("remove", () => clearInterval(timer))
  look()
  return bar
}
"""


def make_page(store: RunStore) -> pmui.Page:
    """Return the dashboard bound to ``store`` for the current document.

    A page is built when it is first visited and only hidden after that: building all at once takes seconds.
    Nothing is built before the browser has said that the document is there, because Panel loses what changes
    between the two (so a bare GET, which no browser follows up, costs next to nothing).
    """
    document = pn.state.curdoc
    session = Session(store, document, IOLoop.current())
    place = Place()
    header = Header(list(PAGES), session.reading)
    views: dict[str, View] = {}
    loading = MarkupPane(tag("div", empty_state("One moment", "The page is being drawn."), css="loading"))
    holder = column(loading, gap=0, styles={"min-height": "max-content"})
    heartbeat = Heartbeat(width=0, height=0, margin=0)

    def refresh(reading: Reading) -> None:
        header.refresh(reading)
        views[place.page].refresh(reading)
        heartbeat.beat += 1

    def visit(*_: Any) -> None:
        with pn.io.unlocked():
            show_page()

    def show_page() -> None:
        new = place.page not in views
        if new:
            # Filled before it is added: what changes right behind can reach the browser before the page does.
            views[place.page] = PAGES[place.page](session)
            views[place.page].refresh(session.reading)
        for name, view in views.items():
            view.panel.visible = name == place.page
        if new:
            header.refresh(session.reading)
            holder.objects = [view.panel for view in views.values()]
        else:
            refresh(session.reading)

    def begin() -> None:
        visit()
        place.param.watch(visit, "page")
        session.follow(refresh)

    if pn.state.location is not None:
        pn.state.location.sync(place, ["page"])
    header.menu.active = list(PAGES).index(place.page)
    header.menu.param.watch(lambda event: place.param.update(page=list(PAGES)[event.new]), "active")
    place.param.watch(lambda event: header.menu.param.update(active=list(PAGES).index(event.new)), "page")
    pn.state.onload(begin)
    page = pmui.Page(
        title="",
        meta_title="rtrec",
        header=header.objects,
        main=[header.strip, holder, heartbeat],
        theme_config=style.THEME,
        sx=style.PAGE_SX,
        theme_toggle=True,
    )
    if document is not None:
        document.js_on_event(ConnectionLost, CustomJS(code=_WHEN_LOST))
        pn.state.on_session_destroyed(lambda *_: let_go_of(page))
    return page


def let_go_of(page: pmui.Page) -> None:
    """Let a page that nobody looks at any more be forgotten.

    It shows whether Panel is busy, and so the state of Panel, which lives as long as the process, would hold
    each page there ever was: 1.5 MB apiece. What it refers to instead is its own.
    """
    with discard_events(page), edit_readonly(page):  # no browser is there to hear of it
        page.busy = page.param.theme_toggle


def serve(
    run: Run | Callable[[], Run],
    *,
    host: str = "127.0.0.1",
    port: int = 5006,
    show: bool = False,
    stop_event: threading.Event | None = None,
) -> DashboardServer:
    """Serve the dashboard of ``run`` in threads of its own and return once it can be opened.

    Parameters
    ----------
    run
        A live run, or a function that starts one; pages answer while it is still starting.
    host
        Address to listen on. Only addresses of this machine: there is no login yet.
    port
        Port to listen on; 0 takes a free one (``server.port`` says which).
    show
        Open a browser.
    stop_event
        Stops the server when set.

    Raises
    ------
    InputError
        If the host is not this machine's own, or the port is taken.
    """
    if host not in LOOPBACK:
        raise InputError(
            f"dashboard: --host {host!r} would be reachable from outside, and there is no login yet; "
            "use 127.0.0.1 and an SSH tunnel"
        )
    server = DashboardServer(RunStore(run), make_page, host, port or free_port(host))
    server.start()
    if stop_event is not None:
        _stop_with(stop_event, server)
    if show:
        webbrowser.open(server.url)
    return server


def _stop_with(event: threading.Event, server: DashboardServer) -> None:
    def wait() -> None:
        event.wait()
        server.stop()

    threading.Thread(target=wait, name="dashboard-stop", daemon=True).start()
