"""EASE: against a textbook solve, and its updates against a fit of everything."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from rtrec.errors import CorruptionError
from rtrec.models.nearline.ease import EASE, inverse_at_once, inverse_by_blocks
from rtrec.models.nearline.interactions import Interactions
from tests.models.nearline.contract import ITEMS, WEIGHTS, NearlineContract, history

RIDGE = 5.0


def small(**options: object) -> EASE:
    return EASE(ridge=RIDGE, neighbours=20, **options)


def textbook(matrix: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """Return B as Steck (2019) prints it."""
    inverse = np.linalg.inv(matrix.T @ matrix + ridge * np.eye(matrix.shape[1]))
    b = inverse / -np.diag(inverse)
    np.fill_diagonal(b, 0.0)
    return b


def scored(model: EASE, given: Interactions) -> np.ndarray:
    """Return the scores of every user for what they had once, ``(user, item)``."""
    had = given.matrix(binary=True).toarray()
    return np.array(
        [model.score(np.flatnonzero(row).astype(np.int32), np.ones(int(row.sum()))) for row in had]
    )


def first_seen_late(n_events: int = 1200) -> Interactions:
    """A history in which items 20 to 29 and users 30 to 39 come in the last third only."""
    given = history(n_events)
    early = np.arange(n_events) < 2 * n_events // 3
    item, user = given.item_num.copy(), given.user_num.copy()
    item[early] %= 20
    user[early] %= 30
    return given._replace(item_num=item, user_num=user)


class TestEASE(NearlineContract):
    def make(self):
        return small()


class TestEASEByBlocks(NearlineContract):
    def make(self):
        return small(blocked_above=0, block_size=7)


def test_scores_are_those_of_the_textbook():
    given = history()
    model = small()
    model.fit(given)
    had = given.matrix(binary=True).toarray().astype(float)

    np.testing.assert_allclose(scored(model, given), had @ textbook(had), rtol=1e-6, atol=1e-12)


def test_weights_are_summed_unless_binary():
    given = history()
    model = small(binary=False)
    model.fit(given)
    b = textbook(given.matrix().toarray().astype(float))

    expected = WEIGHTS @ b[ITEMS]

    np.testing.assert_allclose(model.score(ITEMS, WEIGHTS), expected, rtol=1e-6, atol=1e-12)


def test_no_step_from_it_makes_the_objective_smaller():
    """A column of B solves its ridge problem, without asking how B was found."""
    given = history(300)
    model = small()
    model.fit(given)
    had = given.matrix(binary=True).toarray().astype(float)
    others = np.delete(had, 4, axis=1)

    def loss(beta: np.ndarray) -> float:
        return float(((had[:, 4] - others @ beta) ** 2).sum() + RIDGE * (beta**2).sum())

    found = minimize(loss, np.zeros(29), jac=lambda b: 2 * (others.T @ (others @ b - had[:, 4]) + RIDGE * b))
    column = [model.score(np.array([item], np.int32), np.ones(1))[4] for item in range(30) if item != 4]
    assert column == pytest.approx(found.x, abs=1e-5)


def test_the_same_item_twice_counts_twice():
    model = small()
    model.fit(history())

    once = model.score(np.array([3], np.int32), np.array([1.5]))
    twice = model.score(np.array([3, 3], np.int32), np.array([1.0, 0.5]))

    np.testing.assert_allclose(twice, once, rtol=1e-12)
    assert once[3] == pytest.approx(0.0, abs=1e-12)  # nothing speaks for itself


def test_table_holds_the_strongest_positive_weights():
    given = history()
    model = EASE(ridge=RIDGE, neighbours=3)
    model.fit(given)
    b = textbook(given.matrix(binary=True).toarray().astype(float))

    table = model.table()

    for item in range(30):
        best = np.argsort(-b[item])[:3]
        assert table.item[item].tolist() == best.tolist()
        assert table.weight[item] == pytest.approx(b[item, best], rel=1e-6)


@pytest.mark.parametrize("given", [history(), first_seen_late()], ids=["known", "growing"])
@pytest.mark.parametrize("binary", [True, False])
def test_updates_equal_a_fit_of_everything(given, binary):
    model, whole = small(binary=binary, most_updates=1000), small(binary=binary)
    given = given.part(0, 990)
    model.fit(given.part(0, 790))
    for start in range(790, 990, 2):
        model.update(given.part(0, start + 2), start)
    whole.fit(given)

    assert model.n_updates == 100  # none of them had to be a fit
    expected = scored(whole, given)
    assert np.abs(scored(model, given) - expected).max() < 1e-6 * np.abs(expected).max()
    np.testing.assert_array_equal(model.table().item[:, 0], whole.table().item[:, 0])


def test_update_is_a_fit_where_that_is_cheaper_or_due():
    given = history()
    fresh = small(most_updates=2)
    fresh.fit(given.part(0, 600))
    steps = []
    for start, stop in [(600, 602), (602, 604), (604, 606), (606, 608), (608, 1200)]:
        fresh.update(given.part(0, stop), start)
        steps.append(fresh.n_updates)

    # Two updates, a fit that was due, an update, and a batch that changes nearly every user.
    assert steps == [1, 2, 0, 1, 0]


def test_update_that_skips_events_is_a_fit():
    given = history()
    model, whole = small(), small()
    model.fit(given.part(0, 600))
    model.update(given.part(0, 1000), 998)
    whole.fit(given.part(0, 1000))

    assert model.n_updates == 0
    np.testing.assert_array_equal(model.score(ITEMS, WEIGHTS), whole.score(ITEMS, WEIGHTS))


def test_drift_is_noticed_and_repaired():
    given = history()
    model, whole = small(), small()
    model.fit(given.part(0, 1000))
    arrays = model.to_arrays()
    model.restore(arrays | {"inverse": arrays["inverse"] * (1 + 1e-6)})
    model.update(given.part(0, 1002), 1000)
    whole.fit(given.part(0, 1002))

    assert model.n_updates == 0
    np.testing.assert_array_equal(model.score(ITEMS, WEIGHTS), whole.score(ITEMS, WEIGHTS))


def test_a_repeated_event_changes_nothing():
    given = history()
    again = given._replace(
        **{
            name: np.append(column, column[-1:])
            for name, column in zip(given._fields[:5], given[:5], strict=True)
        }
    )
    model = small()
    model.fit(given)
    before = model.to_arrays()["inverse"]
    model.update(again, 1200)

    assert model.n_updates == 1
    np.testing.assert_array_equal(model.to_arrays()["inverse"], before)


def test_only_the_most_frequent_items_take_part():
    given = history()
    counts = np.bincount(given.item_num)
    frequent = np.sort(np.lexsort((np.arange(30), -counts))[:12])
    model = small(most_items=12)
    model.fit(given)
    had = given.matrix(binary=True).toarray().astype(float)[:, frequent]

    scores = model.score(frequent[:2].astype(np.int32), np.array([1.0, 0.5]))

    assert np.flatnonzero(~np.isnan(scores)).tolist() == frequent.tolist()
    expected = textbook(had)
    np.testing.assert_allclose(scores[frequent], expected[0] + 0.5 * expected[1], rtol=1e-6, atol=1e-12)
    assert model.table().size[np.setdiff1d(np.arange(30), frequent)].tolist() == [0] * 18


def test_items_wait_for_the_next_fit_once_there_is_no_room():
    given = first_seen_late()
    given.item_num[804:] = 25  # by then the most frequent of all
    model = small(most_items=20, most_updates=1)
    model.fit(given.part(0, 800))
    before = model.items
    model.update(given.part(0, 804), 800)
    assert model.n_updates == 1
    np.testing.assert_array_equal(model.items, before)
    model.update(given, 804)

    assert model.n_updates == 0
    assert 25 in model.items


@pytest.mark.parametrize("block_size", [7, 15, 30, 100])
def test_blocked_solve_equals_the_direct_one(block_size):
    matrix = small().matrix(history(), np.arange(30, dtype=np.int32))

    direct, blocked = inverse_at_once(matrix, RIDGE), inverse_by_blocks(matrix, RIDGE, block_size)

    np.testing.assert_allclose(blocked, direct, rtol=1e-9, atol=1e-13)
    np.testing.assert_array_equal(blocked, blocked.T)
    np.testing.assert_array_equal(direct, direct.T)


def test_a_ridge_too_small_to_solve_with_is_refused():
    pair = history(2)._replace(user_num=np.zeros(2, np.int32), item_num=np.arange(2, dtype=np.int32))

    # X^T X is [[1, 1], [1, 1]], and 1 + 1e-300 is 1.
    with pytest.raises(ValueError, match=r"ridge of 1e-300 is lost.*use a larger one"):
        EASE(ridge=1e-300).fit(pair)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="ridge above 0; got 0"):
        EASE(ridge=0.0)
    with pytest.raises(ValueError, match="most_items of at least 1; got 0"):
        EASE(most_items=0)


def test_a_state_of_the_wrong_shape_is_refused():
    model = small()
    model.fit(history())
    arrays = model.to_arrays()

    with pytest.raises(CorruptionError, match=r"as many rows and columns as items; got 3, \(29, 30\), 30"):
        small().restore(arrays | {"inverse": arrays["inverse"][1:]})
