"""Replay at a multiple of recorded speed: hand rows out no sooner than they are due, and say how late."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa

from rtrec.clock import utc_now
from rtrec.types import Columns, Floats


class Timed(Protocol):
    """Rows that know when they happened."""

    def times(self) -> Floats:
        """Return event times in seconds since 1970 UTC, NaN where unknown, shape ``(row,)``."""
        ...

    def part(self, start: int, stop: int) -> Self:
        """Return rows ``start`` to ``stop - 1``."""
        ...


class Pace:
    """Where a replay stands in its schedule; one thread keeps it, any may ask.

    Parameters
    ----------
    clock
        Returns seconds that only ever grow.

    Attributes
    ----------
    due
        When the row that is handed out next, or was last, fell or falls due; None where no pace is kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.due: float | None = None

    def behind_s(self) -> float | None:
        """Return how long that row is overdue, None where no pace is kept."""
        due = self.due
        return None if due is None else max(self.clock() - due, 0.0)


Chunk = TypeVar("Chunk", bound="pa.Table | Timed")


def paced(
    chunks: Iterable[Chunk],
    *,
    speed: float | None,
    longest_wait_s: float = math.inf,
    pace: Pace | None = None,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], datetime] = utc_now,
) -> Iterator[Chunk]:
    r"""Yield rows no sooner than :math:`(t - t_0) / speed` seconds after the first, less the waits cut short.

    A chunk is split where its rows fall due, so a slow replay does not wait for whole chunks. Time never runs
    backwards: an event older than one before it is due at once. So is a row without a time, or with one later
    than ``now()``: a clock that was wrong once must not stop the stream for years.

    Parameters
    ----------
    chunks
        Event tables, or raw chunks of a :class:`rtrec.events.sources.FileSource` (whose parts keep their
        place in the file, so that a restart goes on exactly behind the last part).
    speed
        1 is as recorded, 60 an hour in a minute; ``None`` passes chunks on as fast as they are taken.
    longest_wait_s
        Wait no longer than so many seconds between two rows: a log of years has weeks without an event, and a
        replay of it would stand still for minutes. What follows comes sooner by as much.
    pace
        Has the clock to go by, and is kept up to date.
    sleep
        Waits for some seconds. If it returns true the replay ends: pass ``threading.Event().wait``.

    Raises
    ------
    ValueError
        If ``speed`` or ``longest_wait_s`` is not above zero.
    """
    if speed is not None and not speed > 0:
        raise ValueError(f"speed must be above zero, or None for as fast as possible; got {speed}")
    if not longest_wait_s > 0:
        raise ValueError(f"longest_wait_s must be above zero; got {longest_wait_s}")
    return _paced(chunks, speed, longest_wait_s, pace or Pace(), sleep, now)


def _paced(
    chunks: Iterable[Chunk],
    speed: float | None,
    longest_wait_s: float,
    pace: Pace,
    sleep: Callable[[float], object],
    now: Callable[[], datetime],
) -> Iterator[Chunk]:
    if speed is None:
        yield from chunks
        return
    latest = last_due = None
    for chunk in chunks:
        times = _times(chunk)
        known = np.where(times <= now().timestamp(), times, -np.inf)
        if latest is None or last_due is None:
            dated = known[np.isfinite(known)]
            if len(dated) == 0:
                yield chunk
                continue
            latest, last_due = dated[0], pace.clock()
        reached = np.maximum.accumulate(np.concatenate([[latest], known]))
        waits = np.minimum(np.diff(reached) / speed, longest_wait_s)
        due = last_due + np.cumsum(waits)
        if len(due):
            latest, last_due = reached[-1], due[-1]
        handed_out = 0
        while handed_out < len(due):
            pace.due, present = float(due[handed_out]), pace.clock()
            ready = int(np.searchsorted(due, present, side="right"))
            if ready > handed_out:
                yield _part(chunk, handed_out, ready)
                handed_out = ready
            elif sleep(pace.due - present):
                return


def _times(chunk: pa.Table | Timed) -> Floats:
    if isinstance(chunk, pa.Table):
        return chunk[Columns.TIMESTAMP].cast(pa.int64()).to_numpy().astype(np.float64) / 1e6
    return chunk.times()


def _part(chunk: Any, start: int, stop: int) -> Any:
    if isinstance(chunk, pa.Table):
        return chunk.slice(start, stop - start)
    return chunk.part(start, stop)
