"""One thread reads the run for all pages of the process, a few times a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog

from rtrec.dashboard.curves import Curves
from rtrec.dashboard.state import PulseSample, Reading, RunState, starting_status
from rtrec.engine.recommendation import Recommendation
from rtrec.engine.status import AppliedChange, Phase, Status
from rtrec.errors import DeploymentError

if TYPE_CHECKING:
    import xarray as xr

T = TypeVar("T")

#: The pulse keeps this many samples, one a second.
PULSE_SAMPLES = 300
_PULSE_EVERY_S = 1.0
_SLOW_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class Run(Protocol):
    """What the dashboard asks of a run; :class:`rtrec.engine.live.LiveRun` is one."""

    def status(self) -> Status:
        """Return the run as it is now; cheap and thread-safe."""

    def history(self) -> xr.Dataset:
        """Return metrics per window and model."""

    def recent_users(self, limit: int = 200) -> list[str]:
        """Return users seen last, newest first."""

    def find_users(self, text: str, limit: int = 50) -> list[str]:
        """Return known users with ``text`` in their id, the likeliest first; may block for a moment."""

    def recommend(self, user_id: str, k: int = 10) -> Recommendation:
        """Return a user's history and list; may block for some milliseconds."""

    def preview(self, changes: dict[str, Any], *, n_events: int = 20_000) -> Future[Any]:
        """Replay the last events with and without ``changes``; the result is a ``Comparison``."""

    def apply(self, changes: dict[str, Any]) -> AppliedChange:
        """Append a change of settings to the log."""

    def undo(self, offset: int) -> AppliedChange:
        """Append the change that takes back the one at ``offset``."""

    def resume(self) -> None:
        """Read on where too many bad rows have paused the source."""

    def changes(self) -> list[AppliedChange]:
        """Return all changes so far, oldest first."""


class RunStore:
    """Keep :class:`RunState` up to date from a run, or from what makes one.

    Parameters
    ----------
    run
        A run, or a function that starts one. The function is called in a thread of its own, so that pages
        answer at once and show the starting state until it returns.
    interval_s
        Pause between two readings.
    clock
        Monotonic seconds; ages are measured with it.
    """

    def __init__(
        self,
        run: Run | Callable[[], Run],
        *,
        interval_s: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = RunState()
        self._make = run if callable(run) else None
        self._run: Run | None = None if callable(run) else run
        self._interval_s = interval_s
        self._clock = clock
        began = clock()
        self._phase = Phase.STARTING
        self._moved = self._phase_since = began
        self._events = -1
        self._status: Status | None = None
        self._heard = began
        self._tested = 0  # so that the curves of a run that tested nothing yet stay empty
        self._curves = Curves.empty()
        self._pulse: deque[PulseSample] = deque(maxlen=PULSE_SAMPLES)
        self._pulse_due = self._slow_due = began
        self._users: tuple[str, ...] = ()
        self._changes: tuple[AppliedChange, ...] = ()
        self._failure = ""
        self._unheard = ""
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="dashboard")
        self._reader = threading.Thread(target=self._read_on, name="dashboard-reader", daemon=True)

    @property
    def run(self) -> Run:
        """Return the run.

        Raises
        ------
        DeploymentError
            If it has not started yet, or could not be started.
        """
        if self._run is None:
            raise DeploymentError(self._failure or "the engine is still starting; try again in a moment")
        return self._run

    def start(self) -> None:
        """Begin to read, and to start the run if it has to be made."""
        if self._make is not None:
            threading.Thread(target=self._start_run, name="dashboard-start", daemon=True).start()
        self._reader.start()

    def stop(self) -> None:
        """Stop reading; the run itself goes on, it belongs to whoever made it."""
        self._stopping.set()
        if self._reader.is_alive():
            self._reader.join(timeout=5.0)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def now(self) -> float:
        """Return the clock's seconds."""
        return self._clock()

    def ask(self, question: Callable[[], T]) -> Future[T]:
        """Call ``question`` away from the server's event loop, because it may block."""
        return self._pool.submit(question)

    def read(self) -> Reading:
        """Read the run once and publish what came; a failure is published too, as ``problem``."""
        now = self._clock()
        try:
            reading = self._reading(now)
        except Exception as error:  # whatever it is, pages must say so instead of standing still
            last = self.state.reading
            problem = f"The engine could not be read: {error or type(error).__name__}"
            if problem != last.problem:
                log.exception("run could not be read")
            reading = replace(last, age_s=now - self._moved, problem=problem)
        try:
            self.state.reading = reading
        except Exception as error:  # of one page's watcher: no reason to leave all others without readings
            if repr(error) != self._unheard:  # said once, not at every reading
                log.exception("a page could not be told of a reading")
            self._unheard = repr(error)
        return reading

    def _reading(self, now: float) -> Reading:
        if self._run is None:
            status = starting_status()
            if self._failure:
                status = replace(status, phase=Phase.FAILED, message=self._failure)
            return Reading(status=status, phase_s=self._phase_s(status.phase, now))
        status = self._run.status()
        if status is not self._status:  # a run that lives says so anew a few times a second
            self._status, self._heard = status, now
        if status.events != self._events:
            self._events, self._moved = status.events, now
        is_slow = now >= self._slow_due
        if is_slow:
            self._slow_due = now + _SLOW_EVERY_S
            if status.tested != self._tested:
                self._curves = Curves.from_dataset(self._run.history()).settled()
                self._tested = status.tested
        if status.phase in (Phase.STARTING, Phase.RECOVERING):  # there is nobody (yet) to ask for more
            return Reading(
                status=status,
                phase_s=self._phase_s(status.phase, now),
                curves=self._curves,
                pulse=tuple(self._pulse),
                users=self._users,
                changes=self._changes,
            )
        if is_slow:
            self._users = tuple(self._run.recent_users())
        self._changes = tuple(self._run.changes())
        reading = Reading(
            status=status,
            age_s=now - self._moved,
            silent_s=now - self._heard,
            phase_s=self._phase_s(status.phase, now),
            curves=self._curves,
            users=self._users,
            changes=self._changes,
        )
        if now >= self._pulse_due and status.phase is Phase.RUNNING:
            self._pulse_due = now + _PULSE_EVERY_S
            self._pulse.append(reading.sample(datetime.now(UTC)))
        return replace(reading, pulse=tuple(self._pulse))

    def _phase_s(self, phase: Phase, now: float) -> float:
        if phase is not self._phase:
            self._phase, self._phase_since = phase, now
        return now - self._phase_since

    def _read_on(self) -> None:
        while not self._stopping.is_set():
            self.read()
            self._stopping.wait(self._interval_s)

    def _start_run(self) -> None:
        assert self._make is not None
        try:
            self._run = self._make()
        except Exception as error:  # shown on every page and logged
            log.exception("run could not be started")
            self._failure = str(error) or type(error).__name__
