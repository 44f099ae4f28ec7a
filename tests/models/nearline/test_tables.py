"""The two kinds of table, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.stored import stored_table, table_arrays
from rtrec.models.nearline.tables import NeighbourTable, VectorTable, pruned, strongest_rows

NO_USERS = np.zeros((0, 2), np.float32)


def test_a_score_is_the_weighted_sum_of_the_rows_of_what_the_user_had() -> None:
    table = NeighbourTable(
        np.array([[1, 2], [2, 0], [0, 0]], np.int32),
        np.array([[0.5, 0.25], [1.0, 9.0], [0.0, 0.0]], np.float32),
        np.array([2, 1, 0], np.int32),  # the 9 is beyond the end of its row
    )
    scores = table.score(np.array([0, 1, 7], np.int32), np.array([1.0, 2.0, 5.0]))
    assert scores.tolist() == [0.0, 0.5, 0.25 + 2.0 * 1.0]


def test_a_stranger_is_the_mean_of_what_their_items_give() -> None:
    table = VectorTable(
        found=np.array([[1, 0], [0, 1]], np.float32),
        given=np.array([[2, 0], [0, 4]], np.float32),
        user=NO_USERS,
    )
    items = np.array([0, 1, 9], np.int32)
    assert table.user_vector(items, np.array([3.0, 1.0, 5.0])).tolist() == [(3 * 2) / 4, (1 * 4) / 4]
    assert table.score(items, np.array([3.0, 1.0, 5.0])).tolist() == [1.5, 1.0]
    assert table.user_vector(items[:0], np.zeros(0)).tolist() == [0.0, 0.0]


def test_a_learned_vector_speaks_only_for_who_has_no_history() -> None:
    table = VectorTable(
        np.eye(2, dtype=np.float32),
        np.eye(2, dtype=np.float32),
        np.array([[5, 7], [np.nan, np.nan]], np.float32),
    )
    items, weights = np.array([0], np.int32), np.ones(1)
    assert table.score(items, weights, 0).tolist() == [1.0, 0.0]
    assert table.score(items[:0], weights[:0], 0).tolist() == [5.0, 7.0]
    assert table.score(np.array([9], np.int32), weights, 0).tolist() == [5.0, 7.0]  # an item it has not met
    assert table.score(items[:0], weights[:0], 1).tolist() == [0.0, 0.0]


def test_rows_keep_the_strongest_by_weight_then_number_and_never_the_item_itself() -> None:
    weights = np.array(
        [[9.0, 0.5, 0.5, -1.0], [0.1, 9.0, 0.3, 0.2], [0.0, 0.0, 9.0, 0.0], [1.0, 1.0, 1.0, 9.0]]
    )
    nums = np.array([2, 3, 5, 8], np.int32)
    table = strongest_rows(weights, 10, 2, nums)
    assert table.size.tolist() == [0, 0, 2, 2, 0, 0, 0, 0, 2, 0]
    assert table.item[2].tolist() == [3, 5]  # a tie: the lower number first
    assert table.item[3].tolist() == [5, 8]
    assert table.weight[3].tolist() == pytest.approx([0.3, 0.2])
    assert table.item[8].tolist() == [2, 3]


ROWS = NeighbourTable(
    np.array([[3, 1, 2], [2, 3, 0], [0, 0, 0], [1, 0, 0]], np.int32),
    np.array([[0.5, 0.5, 2.0], [1.0, 3.0, 9.0], [0.0, 0.0, 0.0], [1e-9, 0.0, 0.0]], np.float32),
    np.array([3, 2, 0, 1], np.int32),  # the 9 is beyond the end of its row
)


def test_pruned_rows_keep_the_strongest_by_weight_then_number() -> None:
    table = pruned(ROWS, 2)
    assert table.size.tolist() == [2, 2, 0, 1]
    assert table.item.tolist() == [[2, 1], [3, 2], [0, 0], [1, 0]]
    assert table.weight[:3].tolist() == [[2.0, 0.5], [3.0, 1.0], [0.0, 0.0]]
    assert table.weight.dtype == np.float32
    assert ROWS.item[0].tolist() == [3, 1, 2]  # a copy


def test_weights_as_float16_take_half_and_are_scored_alike() -> None:
    table = pruned(ROWS, 3, half=True)
    assert table.weight.dtype == np.float16
    assert table.size.tolist() == [3, 2, 0, 0]  # a billionth rounds to nothing
    items, weights = np.array([0, 1], np.int32), np.array([1.0, 2.0])
    assert table.score(items, weights).tolist() == ROWS.score(items, weights).tolist()


def test_a_pruned_row_says_less_and_nothing_else() -> None:
    items, weights = np.array([0, 1], np.int32), np.array([1.0, 2.0])
    assert pruned(ROWS, 1).score(items, weights).tolist() == [0.0, 0.0, 2.0, 2.0 * 3.0]


def test_what_cannot_be_pruned_is_refused() -> None:
    with pytest.raises(ValueError, match="keeps at least 1 neighbour; got 0"):
        pruned(ROWS, 0)
    heavy = ROWS._replace(weight=ROWS.weight * np.float32(1e6))
    with pytest.raises(ValueError, match=r"float16 holds weights up to 65,504, got 3,000,000; divide"):
        pruned(heavy, 2, half=True)


def test_a_half_table_survives_storage() -> None:
    table = pruned(ROWS, 2, half=True)
    again = stored_table(table_arrays(table), "mine")
    for one, other in zip(table, again, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_many_histories_at_once_are_scored_as_one_by_one() -> None:
    vectors = VectorTable(
        np.array([[1, 0], [0, 1], [2, 2]], np.float32),
        np.array([[2, 0], [0, 4], [1, 1]], np.float32),
        np.array([[5, 7], [np.nan, np.nan]], np.float32),
    )
    none = np.zeros(0, np.int32), np.zeros(0)
    requests = [
        (np.array([0, 1, 0, 9], np.int32), np.array([1.0, 0.5, 0.25, 3.0]), 0),
        (*none, 0),
        (*none, 1),
        (np.array([2], np.int32), np.ones(1), -1),
    ]
    for table in (vectors, ROWS):
        many = table.score_many(Histories.of(requests))
        for row, (items, weights, user) in zip(many, requests, strict=True):
            one = vectors.score(items, weights, user) if table is vectors else ROWS.score(items, weights)
            np.testing.assert_allclose(row, one, rtol=1e-12)
        assert table.score_many(Histories.of([])).shape == (0, table.n_items)
