"""The time on the wall; whoever needs it takes it as an argument, so that tests can hold it still."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """Return the present, timezone-aware."""
    return datetime.now(UTC)


def moment(timestamp: float) -> datetime | None:
    """Return seconds since 1970 as a time in UTC; None for NaN."""
    return datetime.fromtimestamp(timestamp, UTC) if math.isfinite(timestamp) else None


class SteadyClock:
    """The time on the wall, which never goes back: set back, it goes on as if nobody had touched it.

    For judging what others date: after a wall clock is set back by an hour, events of this minute would seem
    to come from the future. One that is set forth is followed, since it may have been slow.

    >>> wall, seconds = [datetime(2024, 5, 1, 12, tzinfo=UTC)], [0.0]
    >>> clock = SteadyClock(wall=lambda: wall[0], monotonic=lambda: seconds[0])
    >>> wall[0], seconds[0] = wall[0] - timedelta(hours=1), 60.0
    >>> f"{clock():%H:%M}"
    '12:01'
    """

    def __init__(
        self,
        *,
        wall: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._then, self._at = wall(), monotonic()

    def __call__(self) -> datetime:
        """Return the present, timezone-aware."""
        at = self._monotonic()
        now = max(self._wall(), self._then + timedelta(seconds=at - self._at))
        self._then, self._at = now, at
        return now
