"""The log as the shards learned it: every event up to a cut, numbered as the ledger numbered it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rtrec.engine.exchange import batch_order
from rtrec.events.log import Cut, EventLog
from rtrec.events.numbering import Numbering
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

#: Events that are held as texts at a time, where a log has one partition.
_AT_ONCE = 200_000


class LearnedEvents(NamedTuple):
    """Events in the order in which they were learned, without those of users and items that are unknown now.

    ``n_read`` counts those too; ``forgotten_at`` is how many had been read when somebody was last forgotten,
    -1 if nobody ever was.
    """

    events: NumberedEvents
    n_read: int
    forgotten_at: int


def learned_events(
    log: EventLog, seq: int, settings: Settings, first_items: Iterable[str] = ()
) -> LearnedEvents:
    """Return all events up to cut ``seq``, in the order in which they were learned.

    Items have the numbers they have everywhere; users are numbered over all shards as the item tables meet
    them, ``number in the shard * n_shards + shard``. As long as nobody is forgotten, both, and the order,
    stay as the log grows.

    Parameters
    ----------
    seq
        The last cut that counts; 0 is before all.
    settings
        Say how many users and items are known at a time.
    first_items
        Ids that had a number before the first event.
    """
    n_shards = log.partitions
    numbering = Numbering(n_shards, settings, first_items)
    parts, n_before, n_read = [], [], 0
    for tables in _steps(log, log.cuts()[:seq]):
        numbered, _ = numbering.number(tables, n_read)
        part = _in_order(numbered)
        parts.append(part)
        # Of several shards all events of a cut are numbered at once.
        within = np.arange(part.n_events) if n_shards == 1 else np.zeros(part.n_events, np.int64)
        n_before.append(n_read + within)
        n_read += part.n_events
    if not parts:
        parts = [_in_order(numbering.number([log.read(0, 0, 0)] * n_shards, 0)[0])]
    events = NumberedEvents(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    kept = _still_known(events, numbering, np.concatenate([*n_before, np.zeros(0, np.int64)]))
    events = NumberedEvents(*(column[kept] for column in events))  # type: ignore[arg-type]
    return LearnedEvents(events, n_read, numbering.forgotten_at)


def _still_known(
    events: NumberedEvents, numbering: Numbering, n_before: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Say of each event whether its user and its item are the ones who have these numbers now."""
    n_shards = len(numbering.users)
    kept = numbering.items.holds_since(events.item_num, n_before)
    for shard, users in enumerate(numbering.users):
        own = events.user_num % n_shards == shard
        kept[own] &= users.holds_since(events.user_num[own] // n_shards, n_before[own])
    return kept


def learned_numbers(
    log: EventLog, seq: int, settings: Settings, first_items: Iterable[str] = ()
) -> Numbering:
    """Return who had which number when all up to cut ``seq`` was learned; see :func:`learned_events`."""
    numbering, n_read = Numbering(log.partitions, settings, first_items), 0
    for tables in _steps(log, log.cuts()[:seq]):
        numbering.number(tables, n_read)
        n_read += sum(table.num_rows for table in tables)
    return numbering


def _steps(log: EventLog, cuts: Sequence[Cut]) -> Iterator[list[pa.Table]]:
    """Yield pieces of the log, a table a partition, that can be numbered one after the other."""
    if not cuts:
        return
    if log.partitions == 1:  # its order is that of the log, wherever it was cut
        end = cuts[-1].ends[0]
        for start in range(0, end, _AT_ONCE):
            yield [log.read(0, start, min(start + _AT_ONCE, end))]
        return
    whole = [log.read(partition, 0, end) for partition, end in enumerate(cuts[-1].ends)]
    starts: Sequence[int] = (0,) * log.partitions
    for cut in cuts:
        yield [
            each.slice(start, end - start) for each, start, end in zip(whole, starts, cut.ends, strict=True)
        ]
        starts = cut.ends


def _in_order(parts: Sequence[NumberedEvents]) -> NumberedEvents:
    """Return the shards' events as one, in their common order, users numbered over all shards."""
    order, n_shards = batch_order(parts), len(parts)
    walking = [
        part._replace(user_num=part.user_num * np.int32(n_shards) + np.int32(shard))
        for shard, part in enumerate(parts)
    ]
    columns = zip(*walking, strict=True)
    return NumberedEvents(*(np.concatenate(column)[order] for column in columns))
