"""From event tables to arrays."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from rtrec.events.numbering import number_events
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.vocabulary import Vocabulary


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
