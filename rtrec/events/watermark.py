"""How late an event may come: a watermark that follows event time, and never runs ahead of the clock.

The watermark of a source is the highest event time accepted from it, less the lateness that is allowed. What
is older than that when it arrives is *late*. One client whose clock is fast must not make everybody else
late, so an event moves the watermark no further than to :data:`CLOCK_ERROR` past the present.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from rtrec.types import Floats

#: The lateness that allows any: nothing is late. So it is for files, whose rows may stand in any order.
ANY_LATENESS = timedelta.max
#: How far past the present an event may move a watermark: clocks of servers that are kept agree to this.
CLOCK_ERROR = timedelta(seconds=5)


class Sighting(NamedTuple):
    """Events as a watermark sees them arrive, one after the other.

    Attributes
    ----------
    behind
        How many microseconds each is older than the highest event time before it, 0 if it is not;
        shape ``(event,)``.
    is_late
        Whether that is more than is allowed.
    highest
        The highest event time after all of them, in microseconds since 1970; minus infinity for none.
    """

    behind: Floats
    is_late: np.ndarray
    highest: float


class Watermark:
    """The watermark of one source.

    Parameters
    ----------
    lateness
        How much older than the newest event one may be.

    Attributes
    ----------
    most_behind : float
        The most microseconds that an event was older than the highest before it, late ones included.

    >>> watermark = Watermark(timedelta(seconds=10))
    >>> sighting = watermark.sight(np.array([100e6, 90e6, 89e6]), latest=1e9)
    >>> sighting.is_late.tolist()
    [False, False, True]
    >>> watermark.take(sighting)
    >>> watermark.moment
    datetime.datetime(1970, 1, 1, 0, 1, 30, tzinfo=datetime.timezone.utc)
    """

    def __init__(self, lateness: timedelta = ANY_LATENESS) -> None:
        if lateness < timedelta(0):
            raise ValueError(f"an allowed lateness is zero or more; got {lateness}")
        self.lateness = lateness
        self.most_behind = 0.0
        self._highest = -np.inf

    @classmethod
    def resumed(cls, stored: Mapping[str, Any], lateness: timedelta | None = None) -> Watermark:
        """Return the watermark that a log has stored; ``lateness``, if given, holds from now on."""
        kept = stored.get("lateness_us")
        if lateness is None:
            lateness = ANY_LATENESS if kept is None else timedelta(microseconds=kept)
        watermark = cls(lateness)
        watermark.most_behind = float(stored.get("most_behind_us", 0))
        highest = stored.get("highest_us")
        watermark._highest = -np.inf if highest is None else float(highest)
        return watermark

    def stored(self) -> dict[str, Any]:
        """Return what :meth:`resumed` takes, as a JSON object."""
        return {
            "highest_us": None if self._highest == -np.inf else int(self._highest),
            "most_behind_us": int(self.most_behind),
            "lateness_us": None if self.is_open else self.lateness // timedelta(microseconds=1),
        }

    @property
    def is_open(self) -> bool:
        """Say whether any lateness is allowed."""
        return self.lateness == ANY_LATENESS

    @property
    def moment(self) -> datetime | None:
        """Return the time below which an event is late; None where nothing is."""
        if self.is_open or self._highest == -np.inf:
            return None
        return datetime.fromtimestamp(self._highest / 1e6, UTC) - self.lateness

    def sight(self, times: Floats, *, latest: float) -> Sighting:
        """Say of events in the order they arrive how late each is; nothing moves before :meth:`take`.

        Parameters
        ----------
        times
            Event times in microseconds since 1970, shape ``(event,)``.
        latest
            How far they may move the watermark: the present and :data:`CLOCK_ERROR`, in microseconds.
        """
        reached = np.maximum.accumulate(np.concatenate([[self._highest], np.minimum(times, latest)]))
        behind = np.maximum(reached[:-1] - times, 0.0)
        allowed = self.lateness / timedelta(microseconds=1)  # 9e19 for any, and no two times are so far apart
        return Sighting(behind, behind > allowed, float(reached[-1]))

    def take(self, sighting: Sighting) -> None:
        """Move on behind the events of a sighting."""
        self._highest = sighting.highest
        self.most_behind = max(self.most_behind, float(sighting.behind.max(initial=0.0)))
