"""The log as the shards learned it: every event up to a cut, numbered as the ledger numbered it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from rtrec.engine.exchange import batch_order
from rtrec.events.log import Cut, EventLog
from rtrec.events.numbering import number_events
from rtrec.events.vocabulary import Vocabulary
from rtrec.types import NumberedEvents

#: Events that are held as texts at a time, where a log has one partition.
_AT_ONCE = 200_000


def learned_events(log: EventLog, seq: int, first_items: Iterable[str]) -> NumberedEvents:
    """Return all events up to cut ``seq``, in the order in which they were learned.

    Items have the numbers they have everywhere; users are numbered over all shards as the item tables meet
    them, ``number in the shard * n_shards + shard``. Both, and the order, stay as the log grows.

    Parameters
    ----------
    seq
        The last cut that counts; 0 is before all.
    first_items
        Ids that had a number before the first event.
    """
    items = Vocabulary(first_items)
    users = [Vocabulary() for _ in range(log.partitions)]
    cuts = log.cuts()[:seq]
    parts = [_in_order(_numbered(tables, users, items)) for tables in _steps(log, cuts)]
    if not parts:
        return _in_order(_numbered([log.read(0, 0, 0)] * log.partitions, users, items))
    return NumberedEvents(*(np.concatenate(column) for column in zip(*parts, strict=True)))


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


def _numbered(
    tables: Sequence[pa.Table], users: Sequence[Vocabulary], items: Vocabulary
) -> list[NumberedEvents]:
    n_shards = len(tables)
    parts = [number_events(table, each, items) for table, each in zip(tables, users, strict=True)]
    return [
        part._replace(user_num=part.user_num * np.int32(n_shards) + np.int32(shard))
        for shard, part in enumerate(parts)
    ]


def _in_order(parts: Sequence[NumberedEvents]) -> NumberedEvents:
    order = batch_order(parts)
    columns = zip(*parts, strict=True)
    return NumberedEvents(*(np.concatenate(column)[order] for column in columns))
