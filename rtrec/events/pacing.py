"""Replay at a multiple of recorded speed: hand rows out no sooner than they are due."""

from __future__ import annotations

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


Chunk = TypeVar("Chunk", bound="pa.Table | Timed")


def paced(
    chunks: Iterable[Chunk],
    *,
    speed: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], datetime] = utc_now,
) -> Iterator[Chunk]:
    r"""Yield rows no sooner than :math:`(t - t_0) / speed` seconds after the first.

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
    clock
        Returns seconds that only ever grow.
    sleep
        Waits for some seconds. If it returns true the replay ends: pass ``threading.Event().wait``.

    Raises
    ------
    ValueError
        If ``speed`` is not above zero.
    """
    if speed is not None and not speed > 0:
        raise ValueError(f"speed must be above zero, or None for as fast as possible; got {speed}")
    return _paced(chunks, speed, clock, sleep, now)


def _paced(
    chunks: Iterable[Chunk],
    speed: float | None,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    now: Callable[[], datetime],
) -> Iterator[Chunk]:
    if speed is None:
        yield from chunks
        return
    began = first = None
    latest = -np.inf
    for chunk in chunks:
        times = _times(chunk)
        known = np.where(times <= now().timestamp(), times, -np.inf)
        reached = np.maximum.accumulate(np.concatenate([[latest], known]))[1:]
        if first is None:
            dated = reached[np.isfinite(reached)]
            if len(dated) == 0:
                yield chunk
                continue
            began, first = clock(), dated[0]
        latest = reached[-1] if len(reached) else latest
        due = began + (reached - first) / speed
        handed_out = 0
        while handed_out < len(due):
            present = clock()
            ready = int(np.searchsorted(due, present, side="right"))
            if ready > handed_out:
                yield _part(chunk, handed_out, ready)
                handed_out = ready
            elif sleep(float(due[handed_out] - present)):
                return


def _times(chunk: pa.Table | Timed) -> Floats:
    if isinstance(chunk, pa.Table):
        return chunk[Columns.TIMESTAMP].cast(pa.int64()).to_numpy().astype(np.float64) / 1e6
    return chunk.times()


def _part(chunk: Any, start: int, stop: int) -> Any:
    if isinstance(chunk, pa.Table):
        return chunk.slice(start, stop - start)
    return chunk.part(start, stop)
