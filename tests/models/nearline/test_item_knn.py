"""Item-kNN: against a naive loop, against implicit, and its weightings by hand."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
import scipy.sparse as sp

from rtrec.errors import CorruptionError
from rtrec.models.nearline import item_knn
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.item_knn import ItemKNN, column_products
from tests.models.nearline.contract import NearlineContract, history


def events(pairs: list[tuple[int, int]], weights: list[float] | None = None) -> Interactions:
    """Return events of (user, item) pairs, in this order."""
    users, items = np.array(pairs, np.int32).T
    return Interactions(
        users,
        items,
        np.arange(len(pairs), dtype=float),
        np.ones(len(pairs)) if weights is None else np.array(weights),
        np.full(len(pairs), np.nan, np.float32),
        int(users.max()) + 1,
        int(items.max()) + 1,
    )


#: User 0 had items 0 and 1, user 1 items 0, 1 (twice) and 2, user 2 item 2.
SMALL = events([(0, 0), (0, 1), (1, 0), (1, 1), (1, 1), (1, 2), (2, 2)])


def row(model: ItemKNN, item: int) -> dict[int, float]:
    table = model.table()
    size = table.size[item]
    return dict(zip(table.item[item, :size].tolist(), table.weight[item, :size].tolist(), strict=True))


def naive_rows(columns: np.ndarray, m: int, shrink: float) -> list[list[tuple[int, float]]]:
    """The definition, one pair after another."""
    n_items = columns.shape[1]
    rows = []
    for i in range(n_items):
        found = []
        for j in range(n_items):
            product = sum(columns[u, i] * columns[u, j] for u in range(len(columns)))
            lengths = sqrt(sum(columns[:, i] ** 2)) * sqrt(sum(columns[:, j] ** 2))
            if i != j and product > 0:
                found.append((j, float(np.float32(product / (lengths + shrink)))))
        rows.append(sorted(found, key=lambda each: (-each[1], each[0]))[:m])
    return rows


class TestItemKNN(NearlineContract):
    def make(self):
        return ItemKNN(neighbours=20)


class TestItemKNNOfCosines(NearlineContract):
    def make(self):
        return ItemKNN(neighbours=20, weighting="binary", shrink=1.0)


@pytest.mark.parametrize("weighting", ["binary", "weight"])
def test_rows_are_those_of_a_naive_loop(weighting):
    given = history(300)
    model = ItemKNN(neighbours=6, shrink=2.0, weighting=weighting)
    model.fit(given)

    expected = naive_rows(given.matrix(binary=weighting == "binary").toarray().astype(float), 6, 2.0)

    for item, neighbours in enumerate(expected):
        got = row(model, item)
        assert list(got.values()) == pytest.approx([weight for _, weight in neighbours], rel=1e-6)
        if weighting == "weight":  # binary columns tie to the last bit or not, as they are added up
            assert list(got) == [other for other, _ in neighbours]


def test_cosine_and_shrinkage_by_hand():
    plain, shrunk, weighted = (
        ItemKNN(shrink=0.0, weighting="binary"),
        ItemKNN(shrink=3.0, weighting="binary"),
        ItemKNN(shrink=0.0, weighting="weight"),
    )
    for model in (plain, shrunk, weighted):
        model.fit(SMALL)

    # Binary columns: (1, 1, 0), (1, 1, 0), (0, 1, 1). With weights item 1 is (1, 2, 0).
    assert row(plain, 0) == pytest.approx({1: 1.0, 2: 1 / 2})
    assert row(shrunk, 0) == pytest.approx({1: 2 / (2 + 3), 2: 1 / (2 + 3)})
    assert row(weighted, 1) == pytest.approx({0: 3 / sqrt(5 * 2), 2: 2 / sqrt(5 * 2)})


def test_tfidf_counts_who_takes_everything_for_less():
    model = ItemKNN(shrink=0.0, weighting="tfidf")
    model.fit(SMALL)

    # Of 3 items user 0 had 2, user 1 all and user 2 one: the first two are below the floor of log 1.1.
    a, c = log(1.1), log(3 / 2)
    assert row(model, 2)[0] == pytest.approx(a * a / (sqrt(2 * a * a) * sqrt(a * a + c * c)))
    assert row(model, 0)[1] == pytest.approx(3 / sqrt(2 * 5))


def test_bm25_saturates_repeated_events():
    model = ItemKNN(shrink=0.0, weighting="bm25")
    model.fit(SMALL)

    # Columns sum to 2, 3, 2, mean 7 / 3; item 1 holds 1 and 2, and both its users are equally rare.
    long = 1 - 0.75 + 0.75 * 3 / (7 / 3)
    one, two = 1 * 2.2 / (1 + 1.2 * long), 2 * 2.2 / (2 + 1.2 * long)
    assert row(model, 0)[1] == pytest.approx((one + two) / (sqrt(2) * sqrt(one**2 + two**2)))


def test_score_is_the_weighted_sum_of_rows():
    model = ItemKNN(shrink=0.0, weighting="binary")
    model.fit(SMALL)

    scores = model.score(np.array([2, 0], np.int32), np.array([1.0, 0.5]))

    assert scores == pytest.approx([1 / 2, 1 / 2 + 0.5 * 1, 0.5 * 1 / 2])


def test_blocks_change_nothing_and_stay_small(monkeypatch):
    columns = history().matrix(binary=True)
    whole = list(column_products(columns))
    made = []
    multiply = sp.csr_array.__matmul__

    def watched(one, other):
        product = multiply(one, other)
        if sp.issparse(other):
            made.append(product.nnz)
        return product

    monkeypatch.setattr(item_knn, "MOST_PRODUCTS", 70)  # two rows of 30 items
    monkeypatch.setattr(sp.csr_array, "__matmul__", watched)
    parts = list(column_products(columns))

    assert len(made) == 15
    assert max(made) <= 70
    for one, other in zip(whole, parts, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_100_000_items_need_no_square_of_them():
    rng = np.random.default_rng(0)
    n_items = 100_000
    given = events(list(zip(rng.integers(0, 500, 3000), rng.integers(0, n_items, 3000), strict=True)))
    model = ItemKNN(neighbours=50)
    model.fit(given)

    table = model.table()

    assert sum(array.nbytes for array in table) == given.n_items * (50 * 8 + 4)
    assert table.size.max() > 1


@pytest.mark.filterwarnings("ignore:Method expects CSR input")
def test_agrees_with_implicit():
    neighbours = pytest.importorskip("implicit.nearest_neighbours", reason="implicit is not installed")
    # Weights without a tie, so that there is one order.
    rng = np.random.default_rng(1)
    given = history(400)._replace(weight=rng.uniform(0.5, 2.0, 400))
    model = ItemKNN(neighbours=8, shrink=0.0, weighting="weight")
    model.fit(given)
    peer = neighbours.CosineRecommender(K=9, num_threads=1)  # K counts the item itself
    peer.fit(sp.csr_matrix(given.matrix().astype(np.float64)), show_progress=False)

    for item in range(given.n_items):
        others, weights = peer.similar_items(item, N=9)
        expected = {
            int(each): weight
            for each, weight in zip(others, weights, strict=True)
            if each != item and weight > 0
        }
        assert row(model, item) == pytest.approx(expected, rel=1e-5)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match=r"at least 1 neighbour.*got 0, 10"):
        ItemKNN(neighbours=0)
    with pytest.raises(ValueError, match="shrink of at least 0; got 200, nan"):
        ItemKNN(shrink=float("nan"))
    with pytest.raises(ValueError, match="got 'binry'; did you mean 'binary'"):
        ItemKNN(weighting="binry")


def test_a_state_of_the_wrong_shape_is_refused():
    model = ItemKNN()
    model.fit(SMALL)
    arrays = model.to_arrays()

    with pytest.raises(CorruptionError, match=r"expected array 'table/item' of shape \(any, any\)"):
        ItemKNN().restore(arrays | {"table/item": np.zeros(3, np.int32)})
    with pytest.raises(CorruptionError, match="of one shape and a size a row"):
        ItemKNN().restore(arrays | {"table/size": np.zeros(2, np.int32)})
