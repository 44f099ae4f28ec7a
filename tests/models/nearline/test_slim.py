"""SLIM: what it keeps of EASE, and that it solves its own problem."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from rtrec.models.nearline.ease import EASE
from rtrec.models.nearline.slim import SLIM
from rtrec.models.nearline.tables import NeighbourTable
from tests.models.nearline.contract import NearlineContract, history

RIDGE = 5.0


def small(neighbours: int = 8, **options: object) -> SLIM:
    return SLIM(EASE(ridge=RIDGE, neighbours=neighbours), **options)


def as_matrix(table: NeighbourTable) -> np.ndarray:
    dense = np.zeros((table.n_items, table.n_items))
    for item, size in enumerate(table.size.tolist()):
        dense[item, table.item[item, :size]] = table.weight[item, :size]
    return dense


class TestSLIM(NearlineContract):
    def make(self):
        return small(15)


class TestSLIMWithoutRefit(NearlineContract):
    def make(self):
        return small(15, refit=False)


def test_without_a_refit_its_table_is_that_of_ease():
    model, ease = small(refit=False), EASE(ridge=RIDGE, neighbours=8)
    model.fit(history())
    ease.fit(history())

    np.testing.assert_array_equal(as_matrix(model.table()), as_matrix(ease.table()))


def test_each_column_solves_ridge_regression_over_what_it_kept():
    given = history()
    model, ease = small(), EASE(ridge=RIDGE, neighbours=8)
    model.fit(given)
    ease.fit(given)
    had = given.matrix(binary=True).toarray().astype(float)
    kept, solved = as_matrix(ease.table()) > 0, as_matrix(model.table())

    assert not (solved[~kept] != 0).any()
    assert np.abs(solved[kept] - as_matrix(ease.table())[kept]).max() > 0.01
    for target in range(30):
        sources = np.flatnonzero(solved[:, target])
        # Least squares with the ridge as extra rows: no normal equations.
        padded = np.vstack([had[:, sources], np.sqrt(RIDGE) * np.eye(len(sources))])
        aim = np.append(had[:, target], np.zeros(len(sources)))
        assert solved[sources, target] == pytest.approx(np.linalg.lstsq(padded, aim)[0], rel=1e-5)


def test_it_is_close_to_the_best_nonnegative_weights():
    """Items leave as their weights turn negative; an exact solver may let some back in, which hardly pays."""
    given = history()
    model, ease = small(), EASE(ridge=RIDGE, neighbours=8)
    model.fit(given)
    ease.fit(given)
    had = given.matrix(binary=True).toarray().astype(float)
    kept, solved = as_matrix(ease.table()) > 0, as_matrix(model.table())

    def loss(target: int, sources: np.ndarray, weights: np.ndarray) -> float:
        return float(((had[:, target] - had[:, sources] @ weights) ** 2).sum() + RIDGE * (weights**2).sum())

    for target in np.flatnonzero(kept.any(axis=0)):
        sources = np.flatnonzero(kept[:, target])
        padded = np.vstack([had[:, sources], np.sqrt(RIDGE) * np.eye(len(sources))])
        best = lsq_linear(padded, np.append(had[:, target], np.zeros(len(sources))), (0, np.inf)).x
        assert loss(target, sources, solved[sources, target]) <= 1.01 * loss(target, sources, best)


def test_most_sources_bounds_a_column():
    given = history()
    free, bounded = small(), small(most_sources=2)
    free.fit(given)
    bounded.fit(given)

    assert (as_matrix(free.table()) > 0).sum(axis=0).max() > 2
    assert (as_matrix(bounded.table()) > 0).sum(axis=0).max() == 2


def test_update_equals_a_fit_of_everything():
    given = history()
    model, whole = small(), small()
    model.fit(given.part(0, 1190))
    model.update(given.part(0, 1195), 1190)
    model.update(given, 1195)
    whole.fit(given)

    assert model.ease.n_updates == 2
    np.testing.assert_allclose(as_matrix(model.table()), as_matrix(whole.table()), rtol=1e-5, atol=1e-9)


def test_items_without_part_have_empty_rows():
    model = SLIM(EASE(ridge=RIDGE, neighbours=8, most_items=10))
    model.fit(history())

    table = model.table()

    assert table.n_items == 30
    assert (
        np.flatnonzero(table.size).tolist()
        == np.intersect1d(np.flatnonzero(table.size), model.ease.items).tolist()
    )
    assert 0 < np.count_nonzero(table.size) <= 10


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="most_sources of at least 1; got 0"):
        SLIM(most_sources=0)
