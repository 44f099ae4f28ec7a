"""Which column of a file means what, declared once for a source.

Files name their columns as they like (``userId``, ``CustomerID``, ``visitorid``); everything past this
declaration speaks the names of :class:`rtrec.types.Columns`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rtrec.errors import InputError, nearest
from rtrec.types import KINDS

#: Microseconds in one unit of a numeric time column.
TIME_UNITS: dict[str, float] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}


@dataclass(frozen=True)
class ColumnMapping:
    """Say which column of a source is the user, the item, the time, and so on.

    Parameters
    ----------
    user, item, time
        Names of the columns every event needs.
    kind
        Column with the kind of event; where there is none, or it is empty, ``default_kind`` holds.
    value
        Column with a rating, a price, a quantity or a play time; it may be empty in any row.
    event_id
        Column with the source's own id, by which repeated events are recognised. Without it the id is
        ``source:row``, which is unique by construction.
    context
        Columns kept with the event as a JSON object.
    time_unit
        Unit of a numeric time: ``s``, ``ms``, ``us`` or ``ns``. ``None`` guesses it from each number's size:
        below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. A number that
        reads as a calendar date, such as 20240501, is refused rather than guessed.
    time_format
        How a time that is neither a number nor ISO 8601 is written, in the signs of ``strptime``.
    timezone
        Where the clock stood that wrote times without an offset, by its IANA name.
    min_value
        Events whose value is below this are left out (and counted); events without a value stay.

    Raises
    ------
    InputError
        If a kind, a unit, a format or a time zone is unknown, or ``min_value`` has nothing to hold for.
    """

    user: str
    item: str
    time: str
    kind: str | None = None
    value: str | None = None
    event_id: str | None = None
    context: tuple[str, ...] = ()
    time_unit: str | None = None
    time_format: str | None = None
    timezone: str = "UTC"
    default_kind: str = "view"
    min_value: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no row could ever satisfy."""
        if self.default_kind not in KINDS:
            raise InputError(
                f"kind of event {self.default_kind!r} is unknown; the kinds are {', '.join(KINDS)}"
                f"{nearest(self.default_kind, KINDS)}"
            )
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            raise InputError(
                f"time unit {self.time_unit!r} is unknown; expected one of {', '.join(TIME_UNITS)}"
            )
        if self.time_format is not None:
            _check_format(self.time_format)
        if self.min_value is not None:
            if math.isnan(self.min_value):
                raise InputError(
                    "the least value of an event is nan, which no value reaches; expected a number, "
                    "or leave it out to take all events"
                )
            if self.value is None:
                raise InputError(
                    f"events with a value below {self.min_value:g} were to be left out, but no column holds "
                    "values; name it (value=..., or --value COLUMN)"
                )
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InputError(
                f"time zone {self.timezone!r} is unknown; expected an IANA name such as 'Europe/London'"
            ) from error

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the columns that become columns of the event table, each once."""
        named = (self.user, self.item, self.time, self.kind, self.value, self.event_id)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of all columns this mapping reads, each once."""
        return tuple(dict.fromkeys((*self.fields, *self.context)))


def _check_format(time_format: str) -> None:
    import pandas as pd

    try:
        pd.to_datetime(pd.Series(["?"]), format=time_format, errors="coerce")
    except ValueError as error:
        raise InputError(
            f"time format {time_format!r}: {error}; expected the signs of strptime, such as '%d.%m.%Y %H:%M'"
        ) from error


def require_columns(wanted: Iterable[str], existing: Sequence[str], *, where: str) -> None:
    """Raise if a wanted column does not exist, or exists twice.

    Raises
    ------
    InputError
        Naming the place, the column, the columns that exist and the nearest of them.
    """
    for name in wanted:
        if name not in existing:
            shown = ", ".join(repr(each) for each in existing[:30]) + (", ..." if len(existing) > 30 else "")
            raise InputError(f"{where}: no column {name!r}; it has {shown}{nearest(name, existing)}")
        if list(existing).count(name) > 1:
            raise InputError(
                f"{where}: column {name!r} is there {list(existing).count(name)} times; rename one"
            )
