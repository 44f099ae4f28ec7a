"""Times that are none: ratings or ids read as seconds after 1970, and nothing else would say so."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rtrec.types import Floats

#: Nobody recorded events on computers in 1970, and small numbers read as seconds of that year.
_YEAR_S = 366 * 86_400
#: So many rows to a time, in at least so many rows, are more than calendar days have in most logs.
_ROWS_TO_A_TIME, _LEAST_ROWS = 100, 1000
#: What columns of times are called, the likeliest first.
_NAMES = ("timestamp", "datetime", "date_time", "time", "date", "created_at", "created", "when", "at", "ts")
_PARTS = ("timestamp", "time", "date", "_at")


def doubt_about(times: Floats, column: str, columns: Iterable[str]) -> str | None:
    """Return what speaks against ``column`` being the time of events; None if nothing does.

    Parameters
    ----------
    times
        Seconds since 1970 UTC, NaN where unreadable.
    columns
        All that the file has; one that is called as times are is named.

    >>> doubt_about(np.array([4.0, 3.5]), "rating", ["rating", "timestamp"])
    "column 'rating' as the time puts all events in 1970; is it a time? the file also has 'timestamp'"
    """
    known = times[np.isfinite(times)]
    if len(known) == 0:
        return None
    likely = _likely(column, columns)
    instead = (
        f"? the file also has {likely!r}" if likely else "? if so, say how it is written: unit or format"
    )
    if np.abs(known).max() < _YEAR_S:
        return f"column {column!r} as the time puts all events in 1970; is it a time{instead}"
    n_times = len(np.unique(known))
    if len(known) >= _LEAST_ROWS and n_times * _ROWS_TO_A_TIME < len(known):
        return (
            f"column {column!r} has {n_times:,} different times in {len(known):,} rows, which otherwise keep "
            f"the order of the file; is it the time{instead}"
        )
    return None


def _likely(column: str, columns: Iterable[str]) -> str | None:
    others = {each.casefold(): each for each in columns if each != column}
    named = [others[name] for name in _NAMES if name in others]
    like = [each for part in _PARTS for folded, each in others.items() if part in folded]
    return next(iter([*named, *like]), None)
