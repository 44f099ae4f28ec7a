"""What a browser that sleeps and a sink that hangs cost a run.

    python benchmarks/stalled.py [--rounds 10] [--window 4] [--turns 6] [--limit 100000]

*Browsers*: one run, as fast as it goes, and its dashboard; by turns, some seconds each, nobody looks, a
browser reads its page, and one has opened the page and fallen asleep. Of the latter the system takes only
little here, so that it is behind from the start; a real one is like one that reads for its first minute.
Beside the speed stands what the threads of the dashboard take of a core, which does not move with what else
the machine does.

*Sink*: runs in turns, of the same events, a fresh home each, without a sink and with one that never comes
back with its first lists. The median of all rounds' ratios counts: the exit status is 1 if what stalls costs
more than a twentieth.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from pageclient import PageClient
from turns import WARM, as_rows, compile_kernels, config, measured_from_start, show

from rtrec.dashboard.app import make_page
from rtrec.dashboard.server import DashboardServer, free_port
from rtrec.dashboard.store import RunStore
from rtrec.engine.live import LiveRun
from rtrec.events.feeds import Fed, SyntheticFeed
from rtrec.events.synthetic import SyntheticStream
from rtrec.settings import Settings

#: How long is waited before each turn: to build a page takes most of a second, and within five seconds after
#: one has gone Panel looks through all memory for what it left.
_SETTLE_S = 6.0
#: What may not slow a run down, and to what share of its speed alone it may.
STALLED, LEAST = ("a browser sleeps", "a sink hangs"), 0.95


def nobody(server: DashboardServer, held: ExitStack) -> None:
    """Leave the dashboard alone."""


def reading(server: DashboardServer, held: ExitStack) -> None:
    """Open the page and read on."""
    client, over = open_page(server, held), threading.Event()

    def read() -> None:
        while not over.is_set():
            client.read(within_s=0.2)

    reader = threading.Thread(target=read)
    reader.start()
    held.callback(reader.join)
    held.callback(over.set)


def asleep(server: DashboardServer, held: ExitStack) -> None:
    """Open the page and fall asleep."""
    open_page(server, held)
    for connection in server._server._tornado._clients:
        stream = connection._socket.ws_connection.stream
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def open_page(server: DashboardServer, held: ExitStack) -> PageClient:
    """Open the page, and read until it is there."""
    client = PageClient(server.host, server.port)
    held.callback(client.close)
    assert client.read(within_s=20.0, until=b"PATCH-DOC") > 100_000, "no page came"
    return client


def browsers(home: Path, *, rounds: int, window_s: float) -> list[dict[str, Any]]:
    """Let browsers take turns at one run."""
    ways = {"nobody looks": nobody, "a browser reads": reading, "a browser sleeps": asleep}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with ExitStack() as whole:
        feed = SyntheticFeed(SyntheticStream(config()))
        # State that stops growing and few snapshots of it: else the run gets slower from turn to turn.
        bounded = Settings(most_pairs=1 << 17, most_users=20_000)
        run = whole.enter_context(
            LiveRun.start(home, feed, warmup=WARM, settings=bounded, snapshot_every=10_000_000)
        )
        port = free_port("127.0.0.1")
        server = DashboardServer(RunStore(run), make_page, "127.0.0.1", port, unused_session_ms=1)
        server.start()
        whole.callback(server.stop)
        while run.status().events < WARM and not run.wait(0.1):
            pass
        for number in range(rounds):
            for place in range(len(ways)):  # each is first as often as the others
                name = list(ways)[(number + place) % len(ways)]
                with ExitStack() as held:
                    ways[name](server, held)
                    time.sleep(_SETTLE_S)
                    found[name].append(window(run, window_s))
                speed, share = found[name][-1]
                print(f"round {number + 1}: {name}: {speed:,.0f} events/s, {share:.1%}", file=sys.stderr)
    first = [speed for speed, _ in found["nobody looks"]]
    ratios = {
        name: [speed / base for (speed, _), base in zip(turns, first, strict=True)]
        for name, turns in found.items()
    }
    return [
        {
            "way": name,
            "events/s": round(statistics.median(speed for speed, _ in turns)),
            "ratio": round(statistics.median(ratios[name]), 3),
            "dashboard, share of a core": round(statistics.median(share for _, share in turns), 4),
        }
        for name, turns in found.items()
    ]


def window(run: LiveRun, seconds: float) -> tuple[float, float]:
    """Return events a second from now on for so long, and what the dashboard's threads take of a core."""
    began, first, used = time.perf_counter(), run.status().events, dashboard_s()
    time.sleep(seconds)
    lasted = time.perf_counter() - began
    return (run.status().events - first) / lasted, (dashboard_s() - used) / lasted


def dashboard_s() -> float:
    """Return the processor time of the dashboard's threads."""
    ours = {each.native_id for each in threading.enumerate() if each.name.startswith("dashboard")}
    return sum(each.user_time + each.system_time for each in psutil.Process().threads() if each.id in ours)


class HangingSink:
    """Takes its first lists and never comes back."""

    name = "sink that hangs"

    def __init__(self) -> None:
        self.hangs = threading.Event()

    def deliver(self, lists: Sequence[Mapping[str, Any]]) -> None:
        """Hang."""
        self.hangs.set()
        threading.Event().wait()

    def close(self) -> None:
        """Hang."""
        threading.Event().wait()


class Until(SyntheticFeed):
    """The stream, which waits behind the warm part until a sink hangs: none is asked while events wait."""

    def __init__(self, hangs: threading.Event | None) -> None:
        super().__init__(SyntheticStream(config()))
        self._hangs = hangs

    def start(self, position: int, **options: Any) -> Iterator[Fed]:
        """Yield what comes."""
        for fed in super().start(position, **options):
            if self._hangs is not None and fed.position > WARM:
                assert self._hangs.wait(60), "the sink was asked for nothing"
            yield fed


def sinks(homes: Path, *, rounds: int, n_events: int) -> list[dict[str, Any]]:
    """Let runs take turns."""

    def without(home: Path) -> tuple[float, float]:
        return measured_from_start(home, Until(None), n_events)

    def hanging(home: Path) -> tuple[float, float]:
        sink = HangingSink()
        return measured_from_start(home, Until(sink.hangs), n_events, sink=sink)

    ways: dict[str, Callable[[Path], tuple[float, float]]] = {"no sink": without, "a sink hangs": hanging}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            found[name].append(way(homes / f"{number} {name}"))
            print(f"round {number + 1}: {name}: {found[name][-1][0]:,.0f} events/s", file=sys.stderr)
    return as_rows(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="turns of each browser; the median counts")
    parser.add_argument("--window", type=float, default=4.0, help="seconds of each")
    parser.add_argument("--turns", type=int, default=6, help="turns with and without a sink")
    parser.add_argument("--limit", type=int, default=100_000, help="events of each")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        homes = Path(folder)
        compile_kernels(homes / "compile")
        rows = browsers(homes / "browsers", rounds=options.rounds, window_s=options.window)
        rows += sinks(homes, rounds=options.turns, n_events=options.limit)
    show(rows, as_json=options.json)
    sys.exit(any(each["ratio"] < LEAST for each in rows if each["way"] in STALLED))


if __name__ == "__main__":
    main()
