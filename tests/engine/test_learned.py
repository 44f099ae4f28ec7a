"""The log read back for a fit: the numbers and the order are those the engine learned it with."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rtrec.engine.driver import read_cut
from rtrec.engine.exchange import in_common_order
from rtrec.engine.learned import learned_events
from rtrec.engine.ledger import Ledger
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.schema import shard_of
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.settings import Settings
from rtrec.types import Columns

FIRST = ("made long ago", "item-00007")


@pytest.mark.parametrize("n_shards", [1, 3])
def test_numbers_and_order_are_those_of_the_ledger(tmp_path: Path, n_shards: int) -> None:
    events = SyntheticStream(SyntheticConfig(n_users=50, n_items=40)).events(700)
    shards = shard_of(events[Columns.USER_ID], n_shards)
    parts = [events.filter(pa.array(shards == shard)) for shard in range(n_shards)]
    with closing(EmbeddedLog(tmp_path / "log.sqlite", partitions=n_shards)) as log:
        log.append(parts)
        for share in (0.2, 0.2, 0.7, 0.9):  # the second one is empty, the last events are in no cut
            log.cut([int(share * part.num_rows) for part in parts], 0)
        log.compact([part.num_rows // 3 for part in parts], 4)
        ledger = Ledger(n_shards, Settings(), n_warm=0, items=Vocabulary(FIRST))
        ends, items, users, times = ledger.ends, [], [], []
        for cut in log.cuts():
            numbered = ledger.number(read_cut(log, ends, cut))
            ends = cut.ends
            order = np.argsort(np.concatenate([part.timestamp for part in numbered]), kind="stable")
            place = [part.user_num * n_shards + shard for shard, part in enumerate(numbered)]
            if n_shards == 1:
                order = np.arange(len(order))
            items.append(np.concatenate([part.item_num for part in numbered])[order])
            users.append(np.concatenate(place)[order])
            times.append(in_common_order(numbered))
        for seq in range(5):
            found = learned_events(log, seq, FIRST)
            np.testing.assert_array_equal(found.item_num, np.concatenate([[], *items[:seq]]))
            np.testing.assert_array_equal(found.user_num, np.concatenate([[], *users[:seq]]))
            np.testing.assert_array_equal(found.timestamp, np.concatenate([[], *times[:seq]]))
            assert found.item_num.dtype == found.user_num.dtype == np.int32
    assert ledger.items.id_of(0) == "made long ago"
