"""From event tables to arrays."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from rtrec.events.numbering import Numbering, number_events
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.vocabulary import Vocabulary
from rtrec.settings import Settings
from rtrec.types import Columns


def events(*kinds: str) -> pa.Table:
    """Return an event of each kind, by two users in turn, half a second apart."""
    n = len(kinds)
    times = [datetime.fromtimestamp(number / 2, UTC) for number in range(n)]
    columns = [[f"e{number}" for number in range(n)], ["anna", "ben"] * (n // 2), ["i"] * n, times, kinds]
    return pa.table([*columns, [2.5] + [None] * (n - 1), [None] * n], schema=EVENT_SCHEMA)


def test_ids_kinds_and_times_become_numbers():
    users, items = Vocabulary(["ben"]), Vocabulary()
    numbered = number_events(events("view", "dislike"), users, items)
    assert numbered.user_num.tolist() == [1, 0]
    assert numbered.item_num.tolist() == [0, 0]
    assert numbered.timestamp.tolist() == [0.0, 0.5]
    assert numbered.kind.tolist() == [0, 7]  # the first and the last of KINDS
    assert numbered.value[0] == 2.5
    assert np.isnan(numbered.value[1])


def test_an_unknown_kind_is_refused_by_name_and_nobody_is_numbered():
    users, items = Vocabulary(), Vocabulary()
    with pytest.raises(ValueError, match=r"unknown kind: \['stare', 'sigh'\]; the kinds are view, click"):
        number_events(events("stare", "view", "sigh", "stare"), users, items)
    assert (len(users), len(items)) == (0, 0)


def test_what_shards_number_together_forgets_nobody_of_the_batch() -> None:
    """In the batch in which items run out one shard's item must not lose its number to the other's."""
    numbering = Numbering(2, Settings(most_items=100))
    old = [f"old {n}" for n in range(90)]
    numbering.number([table(old), table([])], 0)
    first, second = [f"new {n}" for n in range(11)], ["late", "late", "late"]
    parts, forgetting = numbering.number([table(first, start=90), table(second, start=101)], 90)
    assert parts[0].item_num.tolist() == [*range(90, 100), -1]
    assert parts[1].item_num.tolist() == [-1, -1, -1]  # no number is left, and it is too late to free one
    assert forgetting == [(), ()]
    parts, forgetting = numbering.number([table(["late"], start=104), table(old[50:], start=105)], 104)
    assert [each.items.tolist() for each in forgetting[0]] == [[0, 1, 2, 3, 4, 5]]
    assert [each.position for each in forgetting[1]] == [0]
    assert parts[0].item_num.tolist() == [5]
    assert parts[1].item_num.tolist() == list(range(50, 90))


def table(item_ids: list[str], *, start: int = 0) -> pa.Table:
    n = len(item_ids)
    return pa.table(
        {
            Columns.USER_ID: pa.array(["u"] * n, pa.string()),
            Columns.ITEM_ID: pa.array(item_ids, pa.string()),
            Columns.TIMESTAMP: pa.array(range(start, start + n), pa.timestamp("us", "UTC")),
            Columns.KIND: pa.array(["view"] * n, pa.string()),
            Columns.VALUE: pa.array([1.0] * n, pa.float32()),
        }
    )
