"""The dashboard in a real Chromium: all pages, a setting tried, applied and undone, nothing from outside."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rtrec.dashboard.app import Heartbeat, serve
from rtrec.dashboard.server import DashboardServer
from rtrec.engine.live import LiveRun
from rtrec.engine.status import Phase
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from tests.dashboard.scripted_run import HOSTILE, ScriptedRun

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: A loaded two-core machine takes its time to draw.
PATIENCE_MS = 60_000
#: What each of the applied changes says.
PLACE = re.compile(r"live from event [0-9,]+ . record")


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(chromium), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def serving() -> Iterator[Callable[..., DashboardServer]]:
    """Return a function that serves a run; all servers stop after the page is closed."""
    servers: list[DashboardServer] = []

    def start(run: Any, **options: Any) -> DashboardServer:
        servers.append(serve(run, **({"port": 0} | options)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def watched(browser: Any, serving: Callable[..., DashboardServer]) -> Iterator[Any]:
    """Return a page of a fresh profile; the test fails if it asked for anything outside or had errors."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    outside: list[str] = []
    errors: list[str] = []
    for kind in ("request", "websocket"):
        page.on(kind, lambda seen: outside.append(seen.url) if is_outside(seen.url) else None)
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not outside
    assert not errors


@pytest.fixture(params=["scripted", "real"])
def live_run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Return a run that has tested some windows and goes on learning: made up, and a real one in threads."""
    if request.param == "scripted":
        yield ScriptedRun(tested=70_000, step=120)
        return
    stream = SyntheticStream(SyntheticConfig(n_users=300, n_items=200, events_per_day=20_000.0))
    a_few_hundred_a_second = 400 * 86_400 / 20_000.0
    feed = SyntheticFeed(stream, chunk_rows=200)
    with LiveRun.start(tmp_path, feed, speed=a_few_hundred_a_second, warmup=200, processes=False) as run:
        deadline = time.monotonic() + 60
        while run.status().tested < 1500:
            assert time.monotonic() < deadline, run.status()
            time.sleep(0.05)
        yield run


@pytest.fixture
def dashboard(live_run: Any, serving: Callable[..., DashboardServer]) -> DashboardServer:
    return serving(live_run)


def is_outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"


def open_page(page: Any, server: DashboardServer, name: str) -> None:
    page.goto(f"{server.url}/?page={name}")
    page.get_by_role("tab", name=name, selected=True).wait_for()


def turn_to(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    page.get_by_role("tab", name=name, selected=True).wait_for()


def test_live_shows_curves_models_and_what_was_noticed(watched, dashboard):
    open_page(watched, dashboard, "Live")
    watched.get_by_text("Quality over the log").wait_for()
    watched.get_by_text("rtrec blend").first.wait_for()
    watched.get_by_role("table").wait_for()
    watched.get_by_role("columnheader", name="Lift").wait_for()
    watched.locator(".bk-Figure canvas").first.wait_for()
    expect = playwright.expect
    # two curves and three small plots
    expect(watched.locator(".bk-Figure")).to_have_count(5, timeout=PATIENCE_MS)
    watched.get_by_role("button", name="20 windows").click()
    watched.get_by_text("is the mean of up to ").wait_for()


def test_figures_move_without_a_reload(watched, dashboard):
    open_page(watched, dashboard, "Live")
    learned = watched.get_by_text("learned so far")
    before = learned.inner_text()
    playwright.expect(learned).not_to_have_text(before, timeout=PATIENCE_MS)


def test_a_setting_is_changed_previewed_applied_and_undone(watched, dashboard, live_run):
    open_page(watched, dashboard, "Settings")
    before = live_run.status().settings.ring_length
    slider = watched.get_by_role("slider", name="Ring length")
    slider.focus()
    slider.press("ArrowRight")
    watched.get_by_text(f"live: {before}").wait_for()

    watched.get_by_role("button", name="Replay").click()
    watched.get_by_text("with your changes and").wait_for()
    watched.get_by_text("with 95% intervals").wait_for()
    watched.locator(".bk-Figure canvas").first.wait_for()

    watched.get_by_role("button", name="Apply").click()
    watched.get_by_text("Applied: live from event").wait_for()
    watched.get_by_text("with the settings before it, on the same").wait_for()
    playwright.expect(watched.get_by_text("Nothing changed yet")).to_be_visible()
    assert live_run.status().settings.ring_length == before + 1

    watched.get_by_role("button", name="Undo").click()
    playwright.expect(watched.get_by_text(PLACE)).to_have_count(2, timeout=PATIENCE_MS)
    playwright.expect(watched.get_by_text("The live settings have changed since the replay")).to_be_visible()
    assert live_run.status().settings.ring_length == before
    assert [change.changes for change in live_run.changes()] == [
        {"ring_length": before + 1},
        {"ring_length": before},
    ]


@pytest.mark.parametrize("live_run", ["scripted"], indirect=True)
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (500, 800)])
def test_what_can_be_done_stays_in_reach_while_knobs_are_moved(watched, dashboard, width, height):
    watched.set_viewport_size({"width": width, "height": height})
    open_page(watched, dashboard, "Settings")
    expect = playwright.expect
    for name in ("Half-life, of the hour", "Buy"):  # the first knob, and one far down, by keyboard alone
        knob = watched.get_by_role("slider", name=name).first
        knob.focus()
        knob.press("ArrowRight")
        for action in ("Replay", "Apply", "Discard"):
            expect(watched.get_by_role("button", name=action)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("live_run", ["scripted"], indirect=True)
def test_a_number_box_takes_one_value_after_another(watched, dashboard):
    open_page(watched, dashboard, "Settings")
    box = watched.get_by_role("textbox", name="Ring length")
    slider = watched.get_by_role("slider", name="Ring length")
    expect = playwright.expect
    box.click()
    for typed in ("12", "17", "99", "17", "99", "10", "21"):
        box.fill(typed)
        box.press("Enter")
        if typed == "99":
            watched.get_by_text("from 1 to 32").wait_for()
        else:
            expect(slider).to_have_attribute("aria-valuenow", typed, timeout=PATIENCE_MS)
            expect(watched.get_by_text("from 1 to 32")).to_have_count(0)
            expect(box).to_have_attribute("aria-invalid", "false")


@pytest.mark.parametrize("live_run", ["scripted"], indirect=True)
def test_features_are_left_out_by_choosing_them(watched, dashboard, live_run):
    open_page(watched, dashboard, "Settings")
    watched.get_by_role("combobox", name="Features left out").click()
    watched.get_by_role("menuitem", name="heat_now: is popular this very hour").click()
    watched.keyboard.press("Escape")
    watched.get_by_text("live: none").wait_for()
    watched.get_by_role("button", name="Apply").click()
    watched.get_by_text("live from event").first.wait_for()
    assert live_run.status().settings.without == ("heat_now",)


def test_all_pages_can_be_visited_and_visited_again(watched, dashboard):
    open_page(watched, dashboard, "Live")
    for name, text in [
        ("Recommendations", "The parts of a score"),
        ("Settings", "Try before you apply"),
        ("Live", "Quality over the log"),
        ("Recommendations", "The parts of a score"),
    ]:
        turn_to(watched, name)
        watched.get_by_text(text).wait_for()
        assert f"page={name}" in watched.url


@pytest.mark.parametrize("live_run", ["scripted"], indirect=True)
def test_recommendations_explain_themselves_and_answer_strangers(watched, dashboard):
    open_page(watched, dashboard, "Recommendations")
    watched.get_by_text("As of event").wait_for()
    picker = watched.get_by_role("combobox", name="User")
    picker.fill("nobody of this name")
    picker.press("Enter")
    watched.get_by_text("nobody of this name is unknown").wait_for()
    watched.get_by_text("what is most popular now").wait_for()
    playwright.expect(picker).to_have_value("nobody of this name")
    picker.fill("U7")  # any part of an id, in either case
    watched.get_by_role("option", name="u7", exact=True).click()
    watched.get_by_text("Often had together").first.wait_for()
    playwright.expect(picker).to_have_value("u7")
    picker.fill("2299")  # nobody of the last events
    watched.get_by_role("option", name="u2299", exact=True).click()
    watched.get_by_text("Recommended to u2299 now").wait_for()


def test_all_else_unfolds_and_stays_open_while_the_list_moves(watched, serving):
    run = ScriptedRun(tested=70_000)
    open_page(watched, serving(run), "Recommendations")
    folded = watched.locator("summary").nth(5)
    inside = watched.locator("details").nth(5).get_by_text("Popular in the last 7 days")
    folded.focus()
    playwright.expect(inside).to_be_hidden()
    folded.press("Enter")
    playwright.expect(inside).to_be_visible()
    run.advance(20_000)  # others move past it
    watched.get_by_text("Last change: ").wait_for()
    playwright.expect(inside).to_be_visible()
    folded.press("Enter")  # the focus is still there
    playwright.expect(inside).to_be_hidden()


def test_a_page_whose_server_stands_still_says_so(watched, serving, scripted_run, monkeypatch):
    monkeypatch.setattr(Heartbeat.param.stale_after_s, "default", 2.0)
    server = serving(scripted_run)
    open_page(watched, server, "Live")
    watched.get_by_text("learned so far").wait_for()
    playwright.expect(watched.get_by_text("No news from the server")).to_be_hidden()
    server.store.stop()
    playwright.expect(watched.get_by_text("No news from the server")).to_be_visible()


def test_a_title_that_is_a_script_is_only_a_title(watched, serving, scripted_run):
    open_page(watched, serving(scripted_run), "Recommendations")
    watched.get_by_text(HOSTILE).first.wait_for()
    assert watched.evaluate("window.hacked") is None


def test_the_starting_state_is_shown_while_there_is_nothing_else(watched, serving):
    open_page(watched, serving(ScriptedRun(phase=Phase.STARTING)), "Live")
    watched.get_by_text("Starting: ").wait_for()
    watched.get_by_text("Compiling the kernels").wait_for()
    watched.get_by_text("No curve yet").wait_for()


def test_a_page_says_that_its_server_is_gone_and_comes_back_with_it(browser, serving, scripted_run):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    first = serving(scripted_run)
    open_page(page, first, "Live")
    page.get_by_text("learned so far").wait_for()
    first.stop()
    page.get_by_text("Connection lost").wait_for()
    serving(scripted_run, port=first.port)
    page.get_by_text("Connection lost").wait_for(state="detached")
    page.get_by_text("learned so far").wait_for()
    page.close()
