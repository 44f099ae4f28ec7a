"""The two kinds of table, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.models.nearline import tables
from rtrec.models.nearline.tables import NeighbourTable, VectorTable, nearest_rows, strongest_rows

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


def test_a_learned_user_keeps_their_vector_and_a_row_of_nan_is_a_stranger() -> None:
    table = VectorTable(
        np.eye(2, dtype=np.float32),
        np.eye(2, dtype=np.float32),
        np.array([[5, 7], [np.nan, np.nan]], np.float32),
    )
    items, weights = np.array([0], np.int32), np.ones(1)
    assert table.score(items, weights, 0).tolist() == [5.0, 7.0]
    assert table.score(items, weights, 1).tolist() == [1.0, 0.0]


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


def test_nearest_rows_are_the_best_of_each_item_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    found, given = rng.normal(size=(2, 30, 4)).astype(np.float32)
    table = VectorTable(found, given, np.zeros((0, 4), np.float32))
    rows = nearest_rows(table, 5)
    for item in range(30):
        scores = table.score(np.array([item], np.int32), np.ones(1))
        scores[item] = 0.0
        best = [int(each) for each in np.argsort(-scores)[:5] if scores[each] > 0]
        assert rows.item[item, : rows.size[item]].tolist() == best
        np.testing.assert_allclose(rows.weight[item, : rows.size[item]], scores[best], rtol=1e-5)


def test_one_item_alone_has_no_neighbours() -> None:
    table = VectorTable(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), NO_USERS)
    assert nearest_rows(table, 5).size.tolist() == [0]
