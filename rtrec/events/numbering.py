"""From event tables to the numbered events that kernels read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.events.schema import unknown_kinds
from rtrec.events.vocabulary import Vocabulary
from rtrec.types import KINDS, Columns, NumberedEvents

_KINDS = pa.array(KINDS)


def number_events(events: pa.Table, users: Vocabulary, items: Vocabulary) -> NumberedEvents:
    """Return the events of a table as arrays; new users and items join the vocabularies.

    Raises
    ------
    ValueError
        If a kind is none of :data:`rtrec.types.KINDS`.
    """
    microseconds = events[Columns.TIMESTAMP].cast(pa.int64()).to_numpy()
    kinds = pc.index_in(events[Columns.KIND], _KINDS)
    if kinds.null_count:
        raise ValueError(
            f"events of an unknown kind: {unknown_kinds(events)}; the kinds are {', '.join(KINDS)}"
        )
    return NumberedEvents(
        user_num=users.numbers(events[Columns.USER_ID]),
        item_num=items.numbers(events[Columns.ITEM_ID]),
        timestamp=microseconds / 1e6,
        kind=np.asarray(kinds.to_numpy(), np.uint8),
        value=np.asarray(events[Columns.VALUE].to_numpy(), np.float32),
    )
