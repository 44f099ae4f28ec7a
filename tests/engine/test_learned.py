"""The log read back for a fit: the numbers and the order are those the engine learned it with."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rtrec.engine.cutting import read_cut
from rtrec.engine.exchange import in_common_order
from rtrec.engine.learned import learned_events, learned_numbers
from rtrec.engine.ledger import Ledger
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.schema import shard_of
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.settings import Settings
from rtrec.types import Columns

FIRST = ("made long ago", "item-00007")


@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("settings", [Settings(), Settings(most_users=100, most_items=100)], ids=["", "few"])
def test_numbers_and_order_are_those_of_the_ledger(tmp_path: Path, n_shards: int, settings: Settings) -> None:
    """Of users and items that were forgotten nothing is left, whoever has their numbers now."""
    events = SyntheticStream(SyntheticConfig(n_users=600, n_items=300)).events(2000)
    shards = shard_of(events[Columns.USER_ID], n_shards)
    parts = [events.filter(pa.array(shards == shard)) for shard in range(n_shards)]
    with closing(EmbeddedLog(tmp_path / "log.sqlite", partitions=n_shards)) as log:
        log.append(parts)
        for share in (0.05, 0.05, *np.linspace(0.1, 0.9, 17)):  # the second is empty, the last in no cut
            log.cut([int(share * part.num_rows) for part in parts], 0)
        log.compact([part.num_rows // 10 for part in parts], 4)
        ledger = Ledger(n_shards, settings, n_warm=0, first_items=FIRST)
        ends = ledger.ends
        learned: list[tuple[str, str, float]] = []
        for cut in log.cuts():
            tables = read_cut(log, ends, cut)
            numbered, _ = ledger.number(tables)
            times = np.concatenate([part.timestamp for part in numbered])
            order = np.arange(len(times)) if n_shards == 1 else np.argsort(times, kind="stable")
            everything = pa.concat_tables(tables).take(pa.array(order))
            ids = (everything[name].to_pylist() for name in (Columns.USER_ID, Columns.ITEM_ID))
            learned += list(zip(*ids, in_common_order(numbered).tolist(), strict=True))
            found = learned_events(log, cut.seq, settings, FIRST)
            expected = [
                (ledger.numbering.users[shard].lookup([user])[0] * n_shards + shard, item_num, time)
                for user, item, time in learned
                for shard in shard_of([user], n_shards).tolist()
                for item_num in ledger.items.lookup([item]).tolist()
                if user in ledger.numbering.users[shard] and item_num >= 0
            ]
            got = list(zip(*(column.tolist() for column in found.events[:3]), strict=True))
            if ledger.numbering.n_forgotten == 0:
                assert got == expected
            else:  # what somebody did before they were forgotten and came back does not count
                assert set(got) <= set(expected)
                assert len(got) > 0.8 * len(expected)
            assert found.n_read == len(learned)
            assert found.forgotten_at == ledger.numbering.forgotten_at
            assert found.events.item_num.dtype == found.events.user_num.dtype == np.int32
            ledger.n_events += len(order)
            ends = cut.ends
            numbering = learned_numbers(log, cut.seq, settings, FIRST)
            assert numbering.items.ids() == ledger.items.ids()
            for own, users in zip(numbering.users, ledger.numbering.users, strict=True):
                assert own.ids() == users.ids()
    assert (ledger.numbering.n_forgotten > 0) == (settings.most_items == 100)
