"""The neighbourhood formula, worked out on a table of three users and four items."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from rtrec.errors import CorruptionError, InputError
from rtrec.models.nearline import neighbourhood
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.neighbourhood import Neighbourhood
from rtrec.models.nearline.tables import VectorTable
from tests.models.nearline.contract import NearlineContract, history

NAN = float("nan")
#: Ratings: user 0 gives (5, 3, 0, 1), user 1 (4, 0, 0, 1), user 2 (1, 1, 5, 0); 0 is none.
RATED = [(0, 0, 5), (0, 1, 3), (0, 3, 1), (1, 0, 4), (1, 3, 1), (2, 0, 1), (2, 1, 1), (2, 2, 5)]


def rated(rows: list[tuple[int, int, float]], weights: list[float] | None = None) -> Interactions:
    users, items, values = zip(*rows, strict=True)
    return Interactions(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.arange(len(rows), dtype=float),
        np.ones(len(rows)) if weights is None else np.array(weights),
        np.array(values, np.float32),
        max(users) + 1,
        max(items) + 1,
    )


def nums(*items: int) -> np.ndarray:
    return np.array(items, np.int32)


def fitted(model: Neighbourhood, given: Interactions | None = None) -> Neighbourhood:
    model.fit(rated(RATED) if given is None else given)
    return model


class TestNeighbourhood(NearlineContract):
    def make(self):
        return Neighbourhood(neighbours=20)


class TestNeighbourhoodOfRatings(NearlineContract):
    def make(self):
        return Neighbourhood(neighbours=20, ratings="value")


class TestNeighbourhoodOverVectors(NearlineContract):
    def make(self):
        # One axis for each half of the items, and a little of each item's own.
        half = np.repeat(np.eye(2), 15, axis=0)
        x = np.hstack([half, 0.1 * np.eye(30)]).astype(np.float32)
        return Neighbourhood(neighbours=20, vectors=VectorTable(x, x, np.zeros((0, 32), np.float32)))

    def test_empty_history_is_learned(self):
        model = self.make()
        model.fit(history(0, n_users=0, n_items=0))
        assert (model.score(nums(3), np.ones(1)) > 0).sum() == 14  # its half: vectors need no event


def test_formula_by_hand():
    model = fitted(Neighbourhood(ratings="value", alpha=0.5, eps=1.0))

    # Columns: x0 = (5, 4, 1), x1 = (3, 0, 1), x2 = (0, 0, 5), x3 = (1, 1, 0).
    # x0.x0 = 42, x1.x1 = 10, x3.x3 = 2; x2.x0 = 5, x2.x1 = 5, x2.x3 = 0.
    # User 0 had items 0, 1, 3 with R = 5, 3, 1; item 2 is new to them.
    y_02 = 0.5 * (5 * 5 / sqrt(42 + 1) + 3 * 5 / sqrt(10 + 1) + 1 * 0 / sqrt(2 + 1))
    # User 1 had items 0 and 3 with R = 4, 1. x1.x0 = 16, x1.x3 = 3; x2.x0 = 5.
    y_11 = 0.5 * (4 * 16 / sqrt(42 + 1) + 1 * 3 / sqrt(2 + 1))
    y_12 = 0.5 * (4 * 5 / sqrt(42 + 1))
    assert model.score(nums(3, 1, 0), np.ones(3), 0)[2] == pytest.approx(y_02)
    assert model.score(nums(0, 3), np.ones(2), 1)[[1, 2]] == pytest.approx([y_11, y_12])


def test_a_strangers_ratings_come_with_the_weights():
    model = fitted(Neighbourhood(ratings="value"))

    learned = model.score(nums(3, 0), np.array([1.0, 0.5]), 1)

    # User 1 rated item 3 with 1 and item 0 with 4.
    assert model.score(nums(3, 0), np.array([1.0 * 1, 0.5 * 4])) == pytest.approx(learned)


def test_an_item_since_the_last_fit_counts_as_the_users_mean():
    model = fitted(Neighbourhood(ratings="value"))

    # User 1's ratings are 4 and 1.
    scores = model.score(nums(1), np.ones(1), 1)

    assert scores == pytest.approx(2.5 * model.score(nums(1), np.ones(1)))
    assert scores.max() > 0


def test_weights_of_events_sum_up_to_a_rating():
    model = fitted(Neighbourhood(ratings="weight"), rated([(0, 0, NAN), (0, 0, NAN), (0, 1, NAN)], [1, 3, 2]))

    # x0 = (4), x1 = (2): row 0 holds 4 x 2 / sqrt(16) = 2, and R_00 = 4.
    assert model.table().weight[0, 0] == pytest.approx(2.0)
    assert model.score(nums(0), np.ones(1), 0) == pytest.approx([0, 8])


def test_binary_ratings_are_all_one():
    model = fitted(Neighbourhood())

    # x0 = (1, 1, 1), x2 = (0, 0, 1).
    assert model.score(nums(0), np.ones(1), 0)[2] == pytest.approx(1 / sqrt(3))
    np.testing.assert_array_equal(model.score(nums(0), np.ones(1), 0), model.score(nums(0), np.ones(1), -1))


def test_the_last_rating_counts_and_the_mean_where_none_came():
    model = fitted(
        Neighbourhood(ratings="value"), rated([(0, 0, 2), (0, 0, 4), (0, 0, NAN), (0, 1, NAN), (1, 1, 3)])
    )

    # User 0 rated item 0 with 4 last. All values are 2, 4 and 3, so item 1 counts 3 for user 0.
    # x0 = (4, 0), x1 = (3, 3).
    assert model.table().weight[0, 0] == pytest.approx(4 * 3 / 4)
    assert model.table().weight[1, 0] == pytest.approx(4 * 3 / sqrt(18))


def test_vectors_take_the_place_of_columns(monkeypatch):
    found = np.array([[1, 0], [2, 1], [0, 0], [NAN, NAN]], np.float32)
    given = np.array([[3, 4], [1, 1], [0, 0], [NAN, NAN]], np.float32)
    vectors = VectorTable(found, given, np.zeros((0, 2), np.float32))
    whole = fitted(Neighbourhood(vectors=vectors, eps=11.0), rated([(0, 0, NAN)]))
    monkeypatch.setattr(neighbourhood, "MOST_PRODUCTS", 1)
    in_blocks = fitted(Neighbourhood(vectors=vectors, eps=11.0), rated([(0, 0, NAN)]))

    # Item 0 gives (3, 4): to item 1, found at (2, 1), 10 / sqrt(25 + 11). Item 1 gives (1, 1): to item 0 1.
    for table in (whole.table(), in_blocks.table()):
        assert table.size.tolist() == [1, 1, 0, 0]
        assert table.weight[:2, 0] == pytest.approx([10 / 6, 1 / sqrt(13)])
    # Item 1 has no event and is scored all the same.
    assert whole.score(nums(0), np.ones(1)) == pytest.approx([0, 10 / 6, 0, 0])


def test_ratings_by_value_need_values():
    with pytest.raises(InputError, match="none of 2 has one; try ratings='weight'"):
        fitted(Neighbourhood(ratings="value"), rated([(0, 0, NAN), (0, 1, NAN)]))


def test_bad_options_are_refused():
    for options in ({"neighbours": 0}, {"alpha": 0.0}, {"eps": 0.0}):
        with pytest.raises(ValueError, match="alpha and eps above 0"):
            Neighbourhood(**options)
    with pytest.raises(ValueError, match="got 'valu'; did you mean 'value'"):
        Neighbourhood(ratings="valu")


def test_ratings_that_do_not_fit_together_are_refused():
    arrays = fitted(Neighbourhood()).to_arrays()

    with pytest.raises(CorruptionError, match="do not fit together"):
        Neighbourhood().restore(arrays | {"rating/item": arrays["rating/item"][:-1]})
    with pytest.raises(CorruptionError, match="do not fit together"):
        Neighbourhood().restore(arrays | {"rating/item": arrays["rating/item"] + np.int32(100)})


def test_state_of_a_history_keeps_the_ratings():
    given = history(300)
    model, other = fitted(Neighbourhood(ratings="value"), given), Neighbourhood(ratings="value")
    other.restore(model.to_arrays())

    items = given.item_num[given.user_num == 3][::-1]
    scores = other.score(items, np.ones(len(items)), 3)

    np.testing.assert_array_equal(scores, model.score(items, np.ones(len(items)), 3))
    assert not np.allclose(scores, other.score(items, np.ones(len(items))))
