"""Memory is bounded by settings, however many ids come by."""

from __future__ import annotations

import numpy as np
import psutil
import pyarrow as pa
import pytest

from rtrec.events.numbering import Numbering
from rtrec.models.blend import Blend
from rtrec.settings import Settings
from rtrec.types import Columns

#: An item comes at three events in a row, so that it is admitted and something is learned of it.
EVENTS_AN_ITEM = 3
N_EVENTS, CHUNK = 3_750_000, 50_000
MOST = 5000


def events(start: int) -> pa.Table:
    """Return events of as many users who come once, and of items that come three times."""
    number = np.arange(start, start + CHUNK)
    return pa.table(
        {
            Columns.USER_ID: pa.array(number).cast(pa.string()),
            Columns.ITEM_ID: pa.array(number // EVENTS_AN_ITEM).cast(pa.string()),
            Columns.TIMESTAMP: pa.array(number * 1_000_000, pa.timestamp("us", "UTC")),
            Columns.KIND: pa.array(["view"] * CHUNK),
            Columns.VALUE: pa.array(np.full(CHUNK, np.nan, np.float32)),
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_million_ids_come_by_and_memory_stays_flat() -> None:
    settings = Settings(most_users=MOST, most_items=MOST, most_pairs=1 << 13, row_length=10)
    numbering, blend = Numbering(1, settings), Blend(settings, racers=())
    resident_mb = []
    for start in range(0, N_EVENTS, CHUNK):
        [part], [forgetting] = numbering.number([events(start)], start)
        ends = [each.position for each in forgetting] + [CHUNK]
        blend.step(part.part(0, ends[0]))
        for each, end in zip(forgetting, ends[1:], strict=True):
            blend.forget(each)
            blend.step(part.part(each.position, end))
        resident_mb.append(psutil.Process().memory_info().rss / 1e6)
    assert numbering.n_forgotten > 4_900_000  # of 3.75 million users and 1.25 million items
    assert len(numbering.users[0]) <= MOST
    assert len(numbering.items) <= MOST
    arrays = blend.to_arrays()
    assert len(arrays["items/total"]) == len(arrays["users/n_events"]) == MOST
    assert len(arrays["users/pair"]) == 2 * (1 << 13)
    early, late = resident_mb[len(resident_mb) // 5], resident_mb[-1]
    assert late - early < 10.0, [round(each) for each in resident_mb]
