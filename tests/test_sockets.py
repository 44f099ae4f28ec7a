"""Whatever we start listens on this machine's loopback, and on nothing else."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.cli.samples import COLUMNS, write_events
from tests.engine.live_runs import start

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT = (ROOT / "dashboards" / "live.py").read_text(encoding="utf-8")
#: A scheduler listens for messages and for HTTP; a worker as well, and its nanny for messages.
SCHEDULER, WORKER, PAGE = 2, 3, 1

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(300)]


class Listener(NamedTuple):
    """A socket that takes what comes: TCP that listens, or any UDP."""

    kind: str
    address: str
    port: int


def listeners(root: psutil.Process) -> set[Listener]:
    """Return all of a process and what it has started."""
    found = set()
    for process in (root, *root.children(recursive=True)):
        try:
            connections = process.net_connections(kind="inet")
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended meanwhile
            continue
        for each in connections:
            if each.type is socket.SOCK_DGRAM or each.status == psutil.CONN_LISTEN:
                found.add(Listener(each.type.name, each.laddr.ip, each.laddr.port))
    return found


def outside(found: set[Listener]) -> list[Listener]:
    return sorted(each for each in found if not ipaddress.ip_address(each.address).is_loopback)


@contextmanager
def started(*command: object, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=log.parent,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            for each in (*psutil.Process(process.pid).children(recursive=True), process):
                each.kill()  # a clean end would take longer, and has tests of its own
            process.wait(60)


def all_of(process: subprocess.Popen[bytes], log: Path, n: int) -> set[Listener]:
    """Look until ``n`` have been seen, and return them; on a busy machine that takes a while."""
    seen: set[Listener] = set()
    root, deadline = psutil.Process(process.pid), time.monotonic() + 120
    while len(seen) < n:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"{sorted(seen)}\n{log.read_text()}"
        seen |= listeners(root)
        time.sleep(0.1)
    return seen


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a deployment that has learned some events."""
    home = tmp_path_factory.mktemp("home")
    with start(home, warmup=200, limit=400) as run:
        run.result(120)
    return home


def test_a_run_and_its_dashboard(tmp_path: Path) -> None:
    write_events(tmp_path / "events.csv", 300)
    log, port = tmp_path / "log", free_port()
    command = ("rtrec", "run", "events.csv", *COLUMNS, "--home", "home", "--port", port)
    with started(*command, log=log) as process:
        found = all_of(process, log, SCHEDULER + 2 * WORKER + PAGE)
    assert outside(found) == []
    assert port in {each.port for each in found}


def test_the_demo(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("rtrec", "demo", "--port", 0, "--home", "home", log=log) as process:
        assert outside(all_of(process, log, SCHEDULER + 2 * WORKER + PAGE)) == []


def test_the_dashboard_script_started_as_the_readme_says(home: Path, tmp_path: Path) -> None:
    [command] = re.findall(r"`RTREC_HOME=\.\.\. (panel serve [^`]*)`", README)
    words = command.replace("dashboards", str(ROOT / "dashboards")).split()
    log, port = tmp_path / "log", free_port()
    with started(*words, "--port", port, log=log, RTREC_HOME=str(home)) as process:
        found = all_of(process, log, PAGE)
        with socket.create_connection(("127.0.0.1", port)) as browser:  # whose first page starts the run
            browser.sendall(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
            found |= all_of(process, log, PAGE + SCHEDULER + 2 * WORKER)
    assert outside(found) == []
    assert "panel serve dashboards/live.py --address 127.0.0.1" in SCRIPT


def test_a_job_with_a_cluster_of_its_own(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ("rtrec", "jobs", "run", "evaluate", "--home", home, "--models", "popularity")
    with started(*command, log=log) as process:
        assert outside(all_of(process, log, SCHEDULER + WORKER)) == []


def test_a_run_in_threads_of_this_process(tmp_path: Path) -> None:
    before = listeners(psutil.Process())
    with start(tmp_path, warmup=50, limit=50) as run:
        run.result(120)
        found = listeners(psutil.Process()) - before
    assert found  # the HTTP servers of scheduler and workers, at least
    assert outside(found) == []


def test_what_listens_elsewhere_is_found() -> None:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("0.0.0.0", 0))
        tcp.listen()
        udp.bind(("0.0.0.0", 0))
        found = outside(listeners(psutil.Process()))
        expected = [("SOCK_DGRAM", "0.0.0.0", udp.getsockname()[1])]
        assert set(found) >= {*expected, ("SOCK_STREAM", "0.0.0.0", tcp.getsockname()[1])}
