"""The event table: one row an interaction, the same columns and types wherever events travel.

Ids are strings, whatever they were in the file: ``"7"`` read from a CSV and ``7`` read from Parquet are the
same user. Times are UTC to the microsecond. ``context`` is a JSON object as text, so that an event may carry
what its source knew (a basket number, a device) without widening the table.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.types import KINDS, Columns, Ints

EVENT_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field(Columns.EVENT_ID, pa.string(), nullable=False),
        pa.field(Columns.USER_ID, pa.string(), nullable=False),
        pa.field(Columns.ITEM_ID, pa.string(), nullable=False),
        pa.field(Columns.TIMESTAMP, pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field(Columns.KIND, pa.string(), nullable=False),
        pa.field(Columns.VALUE, pa.float32()),
        pa.field(Columns.CONTEXT, pa.string()),
    ]
)


def empty_events() -> pa.Table:
    """Return an event table without rows.

    >>> empty_events().num_rows
    0
    """
    return EVENT_SCHEMA.empty_table()


def unknown_kinds(events: pa.Table) -> list[str | None]:
    """Return the kinds in an event table that are none of :data:`rtrec.types.KINDS`, each once."""
    kinds: list[str | None] = pc.unique(events[Columns.KIND]).to_pylist()
    return [kind for kind in kinds if kind not in KINDS]


def shard_of(user_ids: pa.Array | pa.ChunkedArray | Sequence[str], n_shards: int) -> Ints:
    """Return the shard that owns each user: ``crc32(utf-8 bytes) % n_shards``, shape ``(event,)``.

    The same on every machine, run and Python (``hash`` of a string is not), because a deployment relies on it
    for life.

    Raises
    ------
    ValueError
        If ``n_shards`` is less than one, or a user id is null.

    >>> shard_of(["anna", "ben", "cleo", "anna"], 3).tolist()
    [0, 2, 1, 0]
    """
    if n_shards < 1:
        raise ValueError(f"n_shards must be at least 1; got {n_shards}")
    if isinstance(user_ids, pa.ChunkedArray):
        user_ids = user_ids.combine_chunks()
    column = user_ids if isinstance(user_ids, pa.Array) else pa.array(user_ids, pa.string())
    if column.null_count:
        raise ValueError(
            f"a user id is needed to find the shard; {column.null_count} of {len(column)} are null"
        )
    if n_shards == 1:
        return np.zeros(len(column), np.int64)
    # Users repeat within a batch, so each distinct one is hashed once.
    encoded = column.dictionary_encode()
    hashes = (zlib.crc32(user_id.encode()) for user_id in encoded.dictionary.to_pylist())
    shards = np.fromiter(hashes, np.int64, count=len(encoded.dictionary)) % n_shards
    return shards[encoded.indices.to_numpy(zero_copy_only=False)]
