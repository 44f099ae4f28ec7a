"""How shards put together what each has learned."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.engine.exchange import Outcome, agree, batch_order, cut_up
from rtrec.models.arrays import leaves
from rtrec.models.blend import Blend
from rtrec.models.guard import MOST_SQUARES
from rtrec.models.ranker import Ranker, merge_rankers, new_ranker
from rtrec.models.tables import empty_operations
from rtrec.settings import Settings
from rtrec.types import NumberedEvents


def events(times: list[float], users: list[int], items: list[int]) -> NumberedEvents:
    n_events = len(times)
    return NumberedEvents(
        user_num=np.array(users, np.int32),
        item_num=np.array(items, np.int32),
        timestamp=np.array(times, np.float64),
        kind=np.zeros(n_events, np.uint8),
        value=np.full(n_events, np.nan, np.float32),
    )


def test_event_time_decides_the_order_then_shard_then_place() -> None:
    parts = [events([1.0, 5.0, 5.0], [0] * 3, [0] * 3), events([0.0, 5.0], [0] * 2, [0] * 2)]
    assert batch_order(parts).tolist() == [3, 0, 1, 2, 4]


def test_the_first_events_of_all_shards_together_warm_up() -> None:
    parts = [events([1.0, 5.0, 6.0], [0] * 3, [0] * 3), events([0.0, 4.0], [0] * 2, [0] * 2)]
    batches, _ = cut_up(7, parts, 3)  # those at 0, 1 and 4
    assert [(each.seq, each.n_warm) for each in batches] == [(7, 1), (7, 2)]


def test_shards_that_agree_hold_the_item_tables_of_one_that_saw_it_all() -> None:
    rng = np.random.default_rng(3)
    shards = [Blend(Settings(), shard=index, n_shards=2) for index in (0, 1)]
    ranker = new_ranker()
    whole = Blend(Settings())
    for seq in range(1, 6):
        times = np.sort(rng.uniform(100.0 * seq, 100.0 * seq + 100.0, 40))
        users, items = rng.integers(0, 10, 40), rng.integers(0, 30, 40)
        parts = [
            events(times[mine].tolist(), (users[mine] // 2).tolist(), items[mine].tolist())
            for mine in (users % 2 == 0, users % 2 == 1)
        ]
        order = batch_order(parts)
        learned = [shard.step(part, defer=True) for shard, part in zip(shards, parts, strict=True)]
        outcomes = [
            Outcome(each.ranks, each.operations, shard.ranker, each.faults)
            for each, shard in zip(learned, shards, strict=True)
        ]
        agreement = agree(seq, ranker, outcomes, order)
        assert agreement.operations.timestamp.tolist() == times.tolist()
        for shard in shards:
            shard.learn_items(agreement.operations)
        whole.step(events(times.tolist(), users.tolist(), items.tolist()))
    expected = whole.to_arrays()
    for name in expected:
        if name.startswith("items/"):
            for shard in shards:
                np.testing.assert_array_equal(shard.to_arrays()[name], expected[name], err_msg=name)


def test_merged_weights_are_averaged_by_how_much_each_shard_learned() -> None:
    base = new_ranker()

    def taught(step: float, n_taught: float) -> Ranker:
        return base._replace(
            weight=base.weight + step,
            squared_gradient=base.squared_gradient + step,
            n_seen=base.n_seen + np.array([n_taught, n_taught]),
        )

    merged = merge_rankers(base, [taught(1.0, 30.0), taught(3.0, 10.0)])
    assert merged.weight == pytest.approx(base.weight + (30 * 1.0 + 10 * 3.0) / 40)
    assert merged.squared_gradient == pytest.approx(base.squared_gradient + 1.0 + 3.0)
    assert merged.n_seen.tolist() == [40.0, 40.0]


def test_shards_that_learned_nothing_leave_the_ranker_as_it_was() -> None:
    base = new_ranker()
    for (name, one), (_, other) in zip(leaves(merge_rankers(base, [base, base])), leaves(base), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def outcome(ranker: Ranker) -> Outcome:
    return Outcome(np.zeros((0, 5), np.int16), empty_operations(0, 1), ranker, np.zeros(0, np.uint8))


def test_what_is_only_insane_together_leaves_all_shards_with_the_ranker_they_had() -> None:
    base, nothing = new_ranker(), np.zeros(0, np.int64)
    taught = base._replace(
        squared_gradient=base.squared_gradient + 0.6 * MOST_SQUARES,
        n_seen=base.n_seen + 1.0,
        strikes=np.array([2.0]),
    )
    alone = agree(1, base, [outcome(taught), outcome(base)], nothing)
    assert (alone.refused, alone.ranker.strikes.tolist()) == (False, [2.0])
    both = agree(1, base, [outcome(taught), outcome(taught)], nothing)
    assert (both.refused, both.ranker.strikes.tolist()) == (True, [3.0])
    for (name, one), (_, other) in zip(leaves(both.ranker), leaves(base), strict=True):
        if name != "strikes":
            np.testing.assert_array_equal(one, other, err_msg=name)
