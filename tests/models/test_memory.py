"""Memory is bounded by settings, however many ids come by.

Measured in a process of its own, since what other tests leave behind comes and goes.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import psutil
import pyarrow as pa
import pytest

from rtrec.events.numbering import Numbering
from rtrec.models.blend import Blend
from rtrec.settings import Settings
from rtrec.types import Columns

#: An item comes at two events in a row, so that it is admitted and something is learned of it.
EVENTS_AN_ITEM = 2
N_EVENTS, CHUNK = 3_400_000, 50_000
MOST = 5000


def events(start: int) -> pa.Table:
    """Return events of as many users who come once, and of items that come twice."""
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


def measure() -> dict[str, object]:
    """Let all of them go by; return what is held at the end, and the resident memory on the way in MB."""
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
    arrays = blend.to_arrays()
    return {
        "forgotten": numbering.n_forgotten,
        "known": [len(numbering.users[0]), len(numbering.items)],
        "rows": [len(arrays["users/n_events"]), len(arrays["items/total"])],
        "pairs": len(arrays["users/pair"]),
        "resident_mb": resident_mb,
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_million_ids_come_by_and_memory_stays_flat() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held = json.loads(done.stdout.splitlines()[-1])
    assert held["forgotten"] > 5_000_000  # of 3.4 million users and 1.7 million items
    assert max(held["known"]) <= MOST
    assert held["rows"] == [MOST, MOST]
    assert held["pairs"] == 2 * (1 << 13)
    resident = held["resident_mb"]
    assert resident[-1] - resident[len(resident) // 5] < 10.0, [round(each) for each in resident]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()))
