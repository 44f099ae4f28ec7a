"""iALS against textbook solves, one row at a time, and against another implementation."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import scipy.sparse as sp

from rtrec.errors import CorruptionError
from rtrec.models.nearline.ials import IALS
from rtrec.models.nearline.interactions import Interactions
from tests.models.nearline.contract import NearlineContract, history


class TestIALS(NearlineContract):
    def make(self):
        return IALS(n_factors=8)


class TestPlainL2(NearlineContract):
    def make(self):
        return IALS(
            n_factors=4, unobserved_weight=0.1, regularization=0.1, regularization_power=0.0, sweeps=6
        )


def weighted(n_users: int = 60, n_items: int = 40, n_events: int = 500, seed: int = 0) -> Interactions:
    """Return events of several weights, some pairs more than once, some users and items without any."""
    rng = np.random.default_rng(seed)
    return Interactions(
        rng.integers(0, n_users - 3, n_events).astype(np.int32),
        np.minimum(rng.geometric(0.08, n_events), n_items - 2).astype(np.int32),
        np.arange(n_events) * 1.0,
        rng.choice([0.5, 1.0, 3.0], n_events),
        np.full(n_events, np.nan, np.float32),
        n_users,
        n_items,
    )


def dense(given: Interactions) -> np.ndarray:
    matrix = np.zeros((given.n_users, given.n_items))
    np.add.at(matrix, (given.user_num, given.item_num), given.weight)
    return matrix


def textbook(matrix, others, *, a0, l2, power):
    """Return the best row vectors, each from its own dense normal equations."""
    n_others = (matrix.sum(axis=0) > 0).sum()
    rows = np.zeros((len(matrix), others.shape[1]))
    for row, weight in enumerate(matrix):
        if weight.any():
            system = a0 * others.T @ others + others.T @ np.diag(weight) @ others
            system += l2 * (weight.sum() + a0 * n_others) ** power * np.eye(others.shape[1])
            rows[row] = np.linalg.solve(system, others.T @ weight)
    return rows


def objective(matrix, users, items, *, a0, l2, power):
    observed = (matrix * (users @ items.T - 1.0) ** 2).sum()
    everywhere = a0 * ((users @ items.T) ** 2).sum()
    for vectors, weights, n_others in (
        (users, matrix.sum(axis=1), (matrix.sum(axis=0) > 0).sum()),
        (items, matrix.sum(axis=0), (matrix.sum(axis=1) > 0).sum()),
    ):
        observed += (l2 * (weights + a0 * n_others) ** power * (vectors**2).sum(axis=1)).sum()
    return observed + everywhere


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_half_sweeps_are_the_textbook_solve_of_each_row(power):
    given, options = weighted(), {"a0": 0.2, "l2": 0.05, "power": power}
    model = IALS(
        n_factors=5, unobserved_weight=0.2, regularization=0.05, regularization_power=power, sweeps=2
    )
    model.update_sweeps = 1
    model.fit(given)
    matrix, before = dense(given), model.to_arrays()
    # The last half sweep was over users; the next over users finds the same, and that over items goes on.
    np.testing.assert_allclose(before["user"], textbook(matrix, before["item"], **options), rtol=1e-8)
    model.update(given, given.n_events)
    after = model.to_arrays()
    np.testing.assert_allclose(after["item"], textbook(matrix.T, before["user"], **options), rtol=1e-8)


def test_objective_falls_with_every_sweep_and_comes_to_rest():
    given, options = weighted(), {"a0": 0.2, "l2": 0.01, "power": 1.0}
    model = IALS(n_factors=6, unobserved_weight=0.2, regularization=0.01, sweeps=1, update_sweeps=1)
    model.fit(given)
    values = []
    for _ in range(40):
        arrays = model.to_arrays()
        values.append(objective(dense(given), arrays["user"], arrays["item"], **options))
        model.update(given, given.n_events)
    assert (np.diff(values) < 1e-9).all()
    assert values[0] - values[1] > 100 * (values[-2] - values[-1])


def test_whole_history_folds_in_to_the_learned_vector():
    given = weighted()
    model = IALS(n_factors=6)
    model.fit(given)
    learned = model.to_arrays()["user"]
    for user in range(given.n_users):
        theirs = given.user_num == user
        if theirs.any():
            vector = model.user_vector(given.item_num[theirs], given.weight[theirs])
            np.testing.assert_allclose(vector, learned[user], rtol=1e-8)
            scores = model.score(given.item_num[theirs], given.weight[theirs], -1)
            expected = model.to_arrays()["item"] @ learned[user]
            np.testing.assert_allclose(scores[~np.isnan(scores)], expected[~np.isnan(scores)], rtol=1e-7)


def test_unit_of_the_weights_plays_no_part():
    given = weighted()
    one, other = IALS(n_factors=4), IALS(n_factors=4)
    one.fit(given)
    other.fit(given._replace(weight=given.weight * 4.0))
    np.testing.assert_allclose(one.to_arrays()["user"], other.to_arrays()["user"], rtol=1e-6)


def test_unobserved_pairs_count_twenty_times_the_events():
    given = weighted()
    model = IALS(n_factors=2)
    model.fit(given)
    n_pairs = len(np.unique(given.user_num)) * len(np.unique(given.item_num))
    assert model.to_arrays()["unobserved_weight"] == pytest.approx([20 * given.weight.sum() / n_pairs])


def test_blocks_and_dask_change_not_a_bit():
    given = weighted(n_users=700, n_items=600, n_events=6000)
    expected = IALS(n_factors=6, sweeps=3)
    expected.fit(given)
    for scheduler in (None, "synchronous", "threads"):
        model = IALS(n_factors=6, sweeps=3, block_rows=256, scheduler=scheduler)
        model.fit(given)
        for name, array in expected.to_arrays().items():
            np.testing.assert_array_equal(model.to_arrays()[name], array, err_msg=f"{scheduler}: {name}")


def test_each_block_of_each_half_sweep_is_a_dask_task():
    from dask.callbacks import Callback

    tasks = []
    with Callback(pretask=lambda key, graph, state: tasks.append(key)):
        IALS(n_factors=2, sweeps=3, block_rows=256, scheduler="synchronous").fit(weighted(700, 300, 3000))
    # Three blocks of users and two of items a sweep, and the users once more.
    assert sum("solve_block" in str(key) for key in tasks) == 3 * (3 + 2) + 3


def test_update_goes_on_from_the_last_vectors():
    whole = history()
    start = IALS(n_factors=8)
    start.fit(whole.part(0, 1000))
    anew, warm = IALS(n_factors=8, sweeps=20), IALS(n_factors=8)
    anew.fit(whole)
    warm.restore(start.to_arrays())
    warm.update(whole, 1000)
    arrays = warm.to_arrays()
    options = {"a0": arrays["unobserved_weight"][0], "l2": 0.008, "power": 1.0}
    found, best, before = (
        objective(dense(whole), model.to_arrays()["user"], model.to_arrays()["item"], **options)
        for model in (warm, anew, start)
    )
    assert best < before
    assert found < best + 0.1 * (before - best)


def test_new_users_and_items_are_folded_in():
    old = history(600, n_users=20, n_items=20)
    model = IALS(n_factors=6, update_sweeps=1)
    model.fit(old)
    model.update(history(1200), 600)
    table = model.table()
    assert np.isfinite(table.user).all()
    assert (np.abs(table.found[20:]).sum(axis=1) > 0).all()
    with pytest.raises(ValueError, match="learned 40 users and 30 items; expected a history that goes on"):
        model.update(old, 0)


def test_newcomers_among_themselves_are_learned():
    old, model = history(600, n_users=20, n_items=20), IALS(n_factors=6)
    model.fit(old)
    both = [
        np.concatenate([column, column + by]) for column, by in zip(old[:5], (20, 20, 0, 0, 0), strict=True)
    ]
    model.update(Interactions(*both, 40, 40), 600)
    scores = model.score(np.array([20, 21], np.int32), np.ones(2))  # what new users had, and no old one
    of_old = model.score(np.array([0, 1], np.int32), np.ones(2))
    assert scores[20:30].mean() > 0.5 * of_old[:10].mean()
    assert scores[20:30].mean() > 3 * np.abs(scores[:20]).max()


def test_rows_without_an_event_have_no_opinion():
    given = weighted()
    model = IALS(n_factors=3)
    model.fit(given)
    unseen = np.setdiff1d(np.arange(40), given.item_num)
    assert len(unseen)
    np.testing.assert_array_equal(
        np.flatnonzero(np.isnan(model.score(given.item_num[:3], np.ones(3)))), unseen
    )
    nobody = np.setdiff1d(np.arange(60), given.user_num)
    assert np.isnan(model.table().user[nobody]).all()
    assert (model.table().found[unseen] == 0).all()


def test_who_has_no_known_item_is_answered_by_what_was_learned():
    model = IALS(n_factors=3)
    model.fit(history())
    nothing, learned = (np.zeros(0, np.int32), np.zeros(0)), model.to_arrays()["user"]
    np.testing.assert_array_equal(model.user_vector(*nothing, 5), learned[5])
    np.testing.assert_allclose(model.user_vector(*nothing, 999), learned.mean(axis=0), rtol=1e-12)


def test_mean_of_what_items_give_is_near_the_fold_in():
    given = history(2400)
    model = IALS(n_factors=8)
    model.fit(given)
    table, near = model.table(), []
    for user in range(40):
        items = given.item_num[given.user_num == user]
        one, other = (
            model.user_vector(items, np.ones(len(items))),
            table.user_vector(items, np.ones(len(items))),
        )
        near.append(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
        assert 0.5 < np.linalg.norm(other) / np.linalg.norm(one) < 2.0
    assert np.mean(near) > 0.95


def test_state_of_the_wrong_shape_is_refused():
    model = IALS(n_factors=3)
    model.fit(history())
    arrays = model.to_arrays()
    with pytest.raises(CorruptionError, match=r"expected array 'item' of shape \(30, 4\).* got \(30, 3\)"):
        IALS(n_factors=4).restore(arrays)
    with pytest.raises(CorruptionError, match="one row for each of user_weight"):
        model.restore(arrays | {"user_weight": np.ones(3)})
    with pytest.raises(CorruptionError, match="unobserved_weight"):
        model.restore(arrays | {"unobserved_weight": np.ones(3)})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_factors": 0}, "n_factors, sweeps and update_sweeps are at least 1; got 0"),
        ({"regularization": 0.0}, "regularization are above 0"),
        ({"unobserved_weight": float("nan")}, "unobserved_weight and regularization are above 0"),
        ({"block_rows": 1000}, "block_rows is a multiple of 256; got 1000"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        IALS(**options)


@pytest.mark.skipif(
    importlib.util.find_spec("implicit") is None, reason="implicit not installed: pip install '.[peers]'"
)
def test_ranks_as_well_as_implicit():
    from implicit.cpu.als import AlternatingLeastSquares

    # Users and items at random places of a plane, events where they are near; a fifth is held back.
    rng = np.random.default_rng(4)
    users, items = rng.normal(size=(150, 2)), rng.normal(size=(120, 2))
    near = np.exp(-2.0 * ((users[:, None] - items) ** 2).sum(axis=2))
    taken = rng.random(near.shape) < 0.7 * near
    held = taken & (rng.random(near.shape) < 0.2)
    user, item = np.nonzero(taken & ~held)
    n = len(user)
    given = Interactions(
        user.astype(np.int32), item.astype(np.int32), np.arange(n) * 1.0, np.ones(n), np.zeros(n), 150, 120
    )

    def recall(scores):
        best = np.argsort(np.where(taken & ~held, np.inf, -scores), axis=1, kind="stable")[:, :10]
        return np.take_along_axis(held, best, axis=1).sum() / np.minimum(held.sum(axis=1), 10).sum()

    # With a0 = 1 / alpha and l = l2 / alpha both minimise the same, but for its alpha - 1 in place of alpha.
    # Both start from the same vectors, or they might end in different valleys.
    start = rng.normal(0.0, 0.1, (120, 8))
    ours = IALS(
        n_factors=8, unobserved_weight=0.1, regularization=0.5, regularization_power=0.0, update_sweeps=15
    )
    ours.fit(given)
    ours.restore(ours.to_arrays() | {"item": start})
    ours.update(given, n)
    theirs = AlternatingLeastSquares(
        8, alpha=10.0, regularization=5.0, iterations=15, use_cg=False, num_threads=1
    )
    theirs.item_factors = start.astype(np.float32)
    theirs.fit(sp.csr_matrix(given.matrix()), show_progress=False)
    arrays = ours.to_arrays()
    found, expected = (
        recall(arrays["user"] @ arrays["item"].T),
        recall(theirs.user_factors @ theirs.item_factors.T),
    )
    assert expected > 0.3
    assert found == pytest.approx(expected, abs=0.02)
