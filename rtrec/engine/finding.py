"""Find users: by a part of their id, and those of the last events."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from rtrec.events.log import EventLog
from rtrec.types import Columns

#: Events of a partition that are looked through for recent users when a run starts.
_LAST_EVENTS = 2000


def matching_ids(ids: Iterable[str | None], text: str, limit: int) -> list[str]:
    """Return at most ``limit`` ids that have ``text`` in them, in either case.

    The id itself comes first, then those that begin with it, then the rest, each in the order of ``ids``;
    None, which nobody is called, is passed over.

    Examples
    --------
    >>> matching_ids(["anna", "Hanna", None, "Ann"], "ann", 10)
    ['Ann', 'anna', 'Hanna']
    >>> matching_ids(["anna", "Hanna", "Ann"], "ann", 1)
    ['Ann']
    """
    sought = text.casefold()
    exact: list[str] = []
    beginning: list[str] = []
    within: list[str] = []
    for each in ids:
        if each is None:
            continue
        folded = each.casefold()
        if sought not in folded:
            continue
        if folded == sought:
            exact.append(each)
        elif folded.startswith(sought):
            if len(beginning) < limit:
                beginning.append(each)
        elif len(within) < limit:
            within.append(each)
    return [*exact, *beginning, *within][:limit]


def users_seen_last(log: EventLog) -> list[str]:
    """Return the users of each partition's last events in order of event time, newest last."""
    tails = [log.read(each, max(end - _LAST_EVENTS, 0), end) for each, end in enumerate(log.ends())]
    users: list[str] = pa.concat_tables(tails).sort_by(Columns.TIMESTAMP)[Columns.USER_ID].to_pylist()
    return users
