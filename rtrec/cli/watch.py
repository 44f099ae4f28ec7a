"""From a run's start to its end: the dashboard, progress on stderr, Ctrl-C, and the summary."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from rtrec.cli.console import console, print_json, print_table, say
from rtrec.engine.status import Phase, Status, Stretch
from rtrec.errors import DeploymentError, InputError

if TYPE_CHECKING:
    from rtrec.engine.live import LiveRun

_EVERY_S = 0.25
#: Where no bar can be drawn, a line is printed this often.
_LINE_EVERY_S = 10.0
#: Bytes that wait to be learned; less is a chunk or two.
_WORTH_SAYING = 1_000_000
_LOOPBACK = ("127.0.0.1", "localhost")
_PORTS_TRIED = 20


class Page:
    """Where the dashboard will be served; what cannot be is found before a run is started.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    open_browser
        Open a browser there.
    or_next_free
        Take the next free port where this one is taken, and say so.

    Raises
    ------
    InputError
        If the host is not this machine's own, or the port is taken.
    """

    def __init__(
        self, host: str, port: int, *, open_browser: bool = False, or_next_free: bool = False
    ) -> None:
        if host not in _LOOPBACK:
            raise InputError(
                f"--host {host}: the dashboard would be reachable from outside, and there is no login yet; "
                "keep 127.0.0.1 and use an SSH tunnel"
            )
        self.host = host
        self.port = _free_port(host, port, or_next_free=or_next_free)
        self.open_browser = open_browser

    @contextmanager
    def served(self, run: Future[LiveRun]) -> Iterator[None]:
        """Serve the dashboard of ``run`` while the block runs; pages open before there is one."""
        from rtrec.dashboard.app import serve

        server = serve(run.result, host=self.host, port=self.port, show=self.open_browser)
        say(f"Dashboard: {server.url} (Ctrl-C stops the run)", style="bold")
        try:
            yield
        finally:
            server.stop()


def conduct(
    start: Callable[[], LiveRun],
    *,
    page: Page | None,
    n_rows: int | None,
    json: bool,
    at_end: Callable[[], None] | None = None,
    at_stop: Callable[[Status], None] | None = None,
) -> None:
    """See a run through: until its end without a page, until Ctrl-C with one; then print its summary.

    ``at_end`` is called when all events are learned, ``at_stop`` with the last status before the summary.

    The page is served before the run is started: libraries and workers take some seconds.

    Raises
    ------
    BaseException
        Whatever kept the run from starting, or ended it.
    """
    started: Future[LiveRun] = Future()
    with _ctrl_c() as stopping, nullcontext() if page is None else page.served(started):
        try:
            run = start()
        except BaseException as error:
            started.set_exception(error)
            raise
        started.set_result(run)
        try:
            paused = _follow(run, stopping, n_rows, to_a_pause=page is None)
            if at_end is not None and paused is None and not stopping.is_set() and run.error is None:
                at_end()
            if page is not None and not stopping.is_set() and run.error is None:
                say("All events are learned; the dashboard stays until Ctrl-C.")
                while not stopping.wait(1.0) and run.error is None:
                    pass
        finally:
            if stopping.is_set():
                say("Stopping: learning what was accepted, then a last snapshot (Ctrl-C again: at once).")
            run.stop()
    if paused is not None:
        raise DeploymentError(f"{_paused(run, paused)} Or start with --accept-bad.")
    if run.error is not None:
        if isinstance(run.error, InputError):
            say("The log keeps what was read so far: once the input is mended, start anew with --fresh.")
        raise run.error
    summary = run.summary()
    if summary["dead_letters"]:
        n_letters, home = summary["dead_letters"], run.deployment.home
        say(f"{n_letters:,} rows could not become events; see them: rtrec log dead-letters --home {home}")
    if late := run.status().late:
        say(
            f"{late:,} events came later than --lateness allows; to learn them all the same: "
            f"rtrec log redrive --reason late --home {run.deployment.home}"
        )
    if at_stop is not None:
        at_stop(run.status())
    if json:
        print_json(summary)
    else:
        _print_summary(run.status(), summary)


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C (or SIGTERM) sets; the second ends the process there and then."""
    stopping = threading.Event()

    def handle(number: int, _: Any) -> None:
        if stopping.is_set():
            # The log is durable and the next start recovers; to wait for anything here would not be at once.
            os._exit(128 + number)
        stopping.set()

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _paused(run: LiveRun, status: Status) -> str:
    """Return why a source is paused, and what to do."""
    home = run.deployment.home
    return (
        f"{home}: the source is paused: {status.message}. All that was read is in the log, and nothing more "
        f"is read. Once that is mended: rtrec log resume --home {home}; then rtrec log redrive tries the "
        "dead letters again."
    )


def _follow(
    run: LiveRun, stopping: threading.Event, n_rows: int | None, *, to_a_pause: bool
) -> Status | None:
    """Show how far the run is until it ends or has to stop; return its status if it ends at a pause."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

    err = console(stderr=True)
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
    )
    next_line = time.monotonic() + _LINE_EVERY_S
    was_paused, told = False, None
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("starting", total=n_rows)
        while not (stopping.is_set() or run.wait(_EVERY_S)):
            status = run.status()
            is_paused = status.phase is Phase.PAUSED
            if is_paused and to_a_pause:
                return status
            if is_paused and not was_paused:
                say(_paused(run, status), style="yellow")
            was_paused = is_paused
            told = _tell_sampling(status, told)
            bar.update(task, description=describe(status), completed=_rows_done(status))
            if not err.is_terminal and time.monotonic() >= next_line:
                next_line += _LINE_EVERY_S
                say(describe(status))
    return None


def _tell_sampling(status: Status, told: Stretch | None) -> Stretch | None:
    """Say when a stretch begins of which only a share is tested, and when it ends; return the last one."""
    if not status.stretches:
        return None
    newest = status.stretches[-1]
    goes_on = newest.end is None
    if newest != told and (goes_on or (told is not None and told.start == newest.start)):
        say(f"{newest.words()}.", style="yellow" if goes_on else "")
    return newest


def describe(status: Status) -> str:
    """Return a run's state in a line."""
    if status.phase is not Phase.RUNNING:
        return f"{status.phase}: {status.message}" if status.message else str(status.phase)
    lag = f"lag {status.lag:,}"
    if status.waiting_bytes >= _WORTH_SAYING:
        lag += f" ({status.waiting_bytes / 1e6:.1f} MB)"
    words = [f"{status.events:,} events", f"{status.rate_per_s:,.0f}/s", lag]
    if ahead := status.source_lag.words():
        words.append(ahead)
    if status.tested_share < 1.0:
        words.append(f"{100.0 * status.tested_share:.3g}% tested")
    scores = {each.model: each.hit_rate for each in status.scores}
    if status.tested and "default" in scores:
        words.append(
            f"hr@{status.k} {scores['default']:.4f} (popularity {scores.get('popularity', 0.0):.4f})"
        )
    if (delivery := status.delivery) is not None:
        words.append(f"{delivery.delivered:,} lists to {delivery.sink}, {delivery.dropped:,} dropped")
    return ", ".join(words)


def _rows_done(status: Status) -> float:
    """Return how many of the rows read are learned, in proportion: not every row is an event."""
    rows = sum(status.counts.values())
    return rows * status.events / status.logged if status.logged else 0.0


def _print_summary(status: Status, summary: dict[str, Any]) -> None:
    rows = [
        [
            each.model,
            f"{each.hit_rate:.4f} [{each.hit_rate_low:.4f}, {each.hit_rate_high:.4f}]",
            f"{each.ndcg:.4f} [{each.ndcg_low:.4f}, {each.ndcg_high:.4f}]",
            f"{each.coverage:.3f}",
        ]
        for each in status.scores
    ]
    facts = [f"{summary['events']:,} events", f"{summary['tested']:,} tested"]
    if status.stretches:
        n = len(status.stretches)
        facts.append(f"{n} stretch{'es' * (n > 1)} in part, the last: {status.stretches[-1].words()}")
    facts += [f"from {summary['first_event']} to {summary['last_event']}"] if summary["last_event"] else []
    facts += [f"{summary['dead_letters']:,} dead letters", f"{summary['events_per_s'] or 0:,.0f} events/s"]
    if (delivery := status.delivery) is not None:
        facts.append(
            f"{delivery.delivered:,} lists to {delivery.sink}, {delivery.dropped:,} dropped, "
            f"{delivery.waiting:,} waiting"
        )
    facts += [
        f"{each.slot} {each.model} of the first {each.n_events:,}, live from event {each.live_from:,} on"
        for each in status.tables
    ]
    title = f"{status.phase}: {', '.join(facts)}"
    head = ["model", f"hr@{status.k}", f"ndcg@{status.k}", f"coverage@{status.k}"]
    print_table(head, rows, title=title, right=head[-1:])


def _free_port(host: str, port: int, *, or_next_free: bool) -> int:
    for candidate in range(port, min(port + _PORTS_TRIED, 65_536)) if or_next_free and port else (port,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            if candidate != port and port:
                say(f"Port {port} is taken; the dashboard comes on {candidate}.")
            return int(probe.getsockname()[1])
    raise InputError(
        f"--port {port}: taken on {host}; stop what listens there, give another, or 0 for a free one"
    )
