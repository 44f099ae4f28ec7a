"""Nearest items: exact by hand, and by an index that says how much it misses."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from structlog.testing import capture_logs

from rtrec.models.nearline import nearest
from rtrec.models.nearline.compressed import compress
from rtrec.models.nearline.nearest import Search, find_nearest, nearest_rows, recall_of
from rtrec.models.nearline.tables import NeighbourTable, VectorTable

needs_usearch = pytest.mark.skipif(
    importlib.util.find_spec("usearch") is None, reason="usearch not installed: pip install '.[ann]'"
)


def table_of(n_items: int, d: int, seed: int = 0, *, clusters: int = 0) -> VectorTable:
    rng = np.random.default_rng(seed)
    found, given = rng.normal(size=(2, n_items, d)).astype(np.float32)
    if clusters:
        centre = 2.0 * rng.normal(size=(clusters, d)).astype(np.float32)
        found = found + centre[rng.integers(0, clusters, n_items)]
        given = found
    return VectorTable(found, given, np.zeros((0, d), np.float32))


def test_nearest_rows_are_the_best_of_each_item_alone(monkeypatch):
    monkeypatch.setattr(nearest, "_BLOCK_CELLS", 7 * 30)
    monkeypatch.setattr(nearest, "_BLOCK_ROWS", 11)
    table = table_of(30, 4)
    rows = nearest_rows(table, 5)
    for item in range(30):
        scores = table.score(np.array([item], np.int32), np.ones(1))
        scores[item] = 0.0
        best = [int(each) for each in np.argsort(-scores)[:5] if scores[each] > 0]
        assert rows.item[item, : rows.size[item]].tolist() == best
        np.testing.assert_allclose(rows.weight[item, : rows.size[item]], scores[best], rtol=1e-5)


def test_one_item_alone_has_no_neighbours():
    one = np.ones((1, 2), np.float32)
    assert nearest_rows(VectorTable(one, one, one[:0]), 5).size.tolist() == [0]
    assert nearest_rows(VectorTable(one[:0], one[:0], one[:0]), 5).n_items == 0


def test_exact_rows_say_so():
    found = find_nearest(table_of(30, 4), 5)
    assert found.about() == {"search": "exact", "recall": 1.0, "recall_sample": 0}


def test_recall_is_the_share_of_the_exact_neighbours_found():
    rows = NeighbourTable(
        np.array([[1, 2], [5, 0], [0, 0]], np.int32),
        np.ones((3, 2), np.float32),
        np.array([2, 1, 0], np.int32),
    )
    # Of item 0's two 1 is there, of item 1's two neither (the 0 is beyond the end of the row).
    items, exact = np.array([0, 1], np.int32), [np.array([1, 3]), np.array([0, 4])]
    assert recall_of(rows, items, exact) == 1 / 4
    assert recall_of(rows, items[:0], []) == 1.0


@needs_usearch
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_an_index_finds_nearly_all_and_says_how_many(precision):
    table = table_of(3000, 16, clusters=40)
    table = table if precision == "float32" else compress(table, precision)
    exact = nearest_rows(table, 10)
    with capture_logs() as logs:
        found = find_nearest(table, 10, Search(approximate_above=1000, sample=100))

    assert (found.method, found.sample) == ("usearch", 100)
    assert found.recall >= 0.95
    whole = recall_of(
        found.rows, np.arange(3000, dtype=np.int32), [exact.item[i, : exact.size[i]] for i in range(3000)]
    )
    assert found.recall == pytest.approx(whole, abs=0.03)  # the sample speaks for all
    assert [entry["log_level"] for entry in logs] == ["info"]
    # What both have is weighed alike, and rows are in order and without the item itself.
    for item in range(0, 3000, 97):
        size = found.rows.size[item]
        assert item not in found.rows.item[item, :size]
        assert (np.diff(found.rows.weight[item, :size]) <= 0).all()
        ours = dict(zip(found.rows.item[item, :size].tolist(), found.rows.weight[item, :size], strict=True))
        theirs = dict(zip(exact.item[item].tolist(), exact.weight[item], strict=True))
        both = ours.keys() & theirs.keys()
        assert [ours[each] for each in both] == pytest.approx([theirs[each] for each in both], rel=1e-4)


@needs_usearch
def test_a_search_is_widened_until_the_recall_is_met_or_given_up_with_a_warning(monkeypatch):
    monkeypatch.setattr(nearest, "_FIRST_WIDTH", 2)
    monkeypatch.setattr(nearest, "_MOST_WIDTH", 40)
    table = table_of(4000, 32)
    with capture_logs() as logs:
        found = find_nearest(table, 10, Search(approximate_above=1000, sample=80, recall=0.9999))

    assert found.recall < 0.9999
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert "raise approximate_above" in entry["event"]
    assert entry["width"] == 40  # from 2 x 10, doubled once
    assert entry["recall"] == round(found.recall, 4)


@needs_usearch
def test_items_without_a_vector_and_huge_ones_are_no_trouble():
    table = table_of(1500, 8, clusters=10)
    found = table.found * np.float32(1e6)
    found[::3] = 0.0
    table = VectorTable(found, found, table.user)
    rows = nearest_rows(table, 5, Search(approximate_above=100))

    assert not rows.size[::3].any()
    assert (rows.size[1::3] == 5).all()
    assert not (rows.item[1] % 3 == 0).any()
    nothing = np.zeros((200, 8), np.float32)
    assert not nearest_rows(
        VectorTable(nothing, nothing, table.user), 5, Search(approximate_above=100)
    ).size.any()


@needs_usearch
def test_the_same_vectors_give_the_same_rows():
    table, search = table_of(2000, 8, clusters=20), Search(approximate_above=100)
    one, other = nearest_rows(table, 5, search), nearest_rows(table, 5, search)
    np.testing.assert_array_equal(one.item, other.item)
    np.testing.assert_array_equal(one.weight, other.weight)


def test_without_usearch_rows_are_exact_and_a_warning_says_what_to_install(monkeypatch):
    monkeypatch.setattr(nearest, "find_spec", lambda name: None)
    table = table_of(50, 4)
    with capture_logs() as logs:
        found = find_nearest(table, 5, Search(approximate_above=20))

    assert found.method == "exact"
    np.testing.assert_array_equal(found.rows.item, nearest_rows(table, 5).item)
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert "pip install -c constraints.txt -e '.[ann]'" in entry["event"]
