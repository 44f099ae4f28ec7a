"""`panel serve dashboards/live.py`: the dashboard of a deployment without our own command line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtrec.engine.live import LiveRun
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]
SCRIPT = Path(__file__).resolve().parents[2] / "dashboards" / "live.py"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    feed = SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=100, n_items=100)))
    with LiveRun.start(tmp_path, feed, warmup=200, limit=1000, processes=False) as run:
        assert run.wait(120)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "panel",
        "serve",
        str(SCRIPT),
        "--address",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (tmp_path / "panel.log").open("w") as out:
        server = subprocess.Popen(
            command, env=os.environ | {"RTREC_HOME": str(tmp_path)}, stdout=out, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}/live"
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                urllib.request.urlopen(address, timeout=30).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (tmp_path / "panel.log").read_text()
                assert server.poll() is None, (tmp_path / "panel.log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def test_the_script_shows_a_finished_deployment(served: str, chromium: Path) -> None:
    with playwright.sync_playwright() as started:
        browser: Any = started.chromium.launch(
            executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(served)
        page.get_by_text("rtrec blend").first.wait_for()
        page.get_by_text("1,000 events tested, then learned").wait_for()
        browser.close()
