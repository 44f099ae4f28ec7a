"""A shard takes batches one after the other, each once."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.engine.exchange import Agreement, Batch
from rtrec.engine.shard import Shard
from rtrec.errors import ShardError
from rtrec.models.ranker import new_ranker
from rtrec.models.tables import empty_operations
from rtrec.settings import Settings
from rtrec.types import NumberedEvents


def batch(seq: int) -> Batch:
    n_events = 5
    events = NumberedEvents(
        user_num=np.arange(n_events, dtype=np.int32),
        item_num=np.full(n_events, seq, np.int32),
        timestamp=np.arange(n_events) + 100.0 * seq,
        kind=np.zeros(n_events, np.uint8),
        value=np.full(n_events, np.nan, np.float32),
    )
    return Batch(seq, events)


def shard() -> Shard:
    return Shard(0, 1, Settings().model_dump())


def test_a_gap_is_refused() -> None:
    """Fails if a shard applies a batch that is not the next one."""
    one = shard()
    one.step(batch(1))
    with pytest.raises(ShardError, match="shard 0: expected batch 2, got 3"):
        one.step(batch(3))


def test_an_agreement_on_another_batch_than_the_last_is_refused() -> None:
    """Fails if a shard learns what the others agreed on after a batch that it has not seen."""
    one = Shard(0, 2, Settings().model_dump())
    one.step(batch(1))
    with pytest.raises(ShardError, match="shard 0: expected the agreement on batch 1, got 2"):
        one.settle(Agreement(2, empty_operations(0, 10), new_ranker()))


def test_a_repeated_batch_is_answered_again_and_learned_once() -> None:
    """Fails if a shard does not know the batch that it applied last."""
    one = shard()
    first = one.step(batch(1))
    again = one.step(batch(1))
    np.testing.assert_array_equal(first.ranks, again.ranks)
    assert one.arrays(None, items=True)["items/total"].tolist() == [0.0, 5.0]


def test_a_state_handed_out_does_not_change_any_more() -> None:
    one = shard()
    one.step(batch(1))
    before = one.arrays(None, items=True)
    copy = {name: array.copy() for name, array in before.items()}
    one.step(batch(2))
    for name, array in before.items():
        np.testing.assert_array_equal(array, copy[name], err_msg=name)
