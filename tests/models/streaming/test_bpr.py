"""BPR: its step worked out by hand, what it draws against what it should."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from rtrec.models.streaming.bpr import BPR, add_chance, chance_of, draw_item
from rtrec.types import KINDS
from tests.models.streaming.contract import StreamingContract

DISLIKE = KINDS.index("dislike")


class TestBPRContract(StreamingContract):
    def make(self):
        return BPR(n_factors=8, n_negatives=4, learning_rate=0.1, seed=3)

    def make_wild(self):
        return BPR(n_factors=8, learning_rate=1.0, regularization=0.0, n_negatives=20, spread=50.0)


class TestPopularNegativesContract(StreamingContract):
    def make(self):
        return BPR(n_factors=8, n_negatives=4, learning_rate=0.1, negative_power=0.75)

    def make_wild(self):
        return BPR(n_factors=8, learning_rate=1.0, regularization=0.0, spread=5.0, negative_power=0.75)


def placed() -> BPR:
    """Return a model with two items, of which item 1 has been so popular that it alone is drawn."""
    model = BPR(n_factors=2, learning_rate=0.5, regularization=0.1, n_negatives=1, negative_power=1.0)
    for item in range(2):
        model.learn_one(0, item, 0.0, 0, np.nan)
    arrays = model.to_arrays()
    arrays["user"][:] = [[1.0, 0.5]]
    arrays["item"][:] = [[0.2, 0.4], [0.6, -0.2]]
    arrays["item_bias"][:] = [0.3, 0.1]
    arrays["item_events"][:] = [1, 10**9]
    model.restore(arrays)
    return model


@pytest.mark.parametrize(("kind", "sign"), [(0, 1.0), (DISLIKE, -1.0)])
def test_one_event_is_one_step_from_the_vectors_as_they_were(kind, sign):
    model = placed()
    model.learn_one(0, 0, 0.0, kind, np.nan)
    # s_0 = 0.3 + 0.2 + 0.2 = 0.7 and s_1 = 0.1 + 0.6 - 0.1 = 0.6; a disliked item 0 is the worse of the two.
    g = sign / (1 + exp(sign * (0.7 - 0.6)))
    arrays = model.to_arrays()
    assert arrays["user"][0] == pytest.approx(
        [1.0 + 0.5 * (g * (0.2 - 0.6) - 0.1 * 1.0), 0.5 + 0.5 * (g * (0.4 + 0.2) - 0.1 * 0.5)], rel=1e-6
    )
    assert arrays["item"][0] == pytest.approx(
        [0.2 + 0.5 * (g * 1.0 - 0.1 * 0.2), 0.4 + 0.5 * (g * 0.5 - 0.1 * 0.4)], rel=1e-6
    )
    assert arrays["item"][1] == pytest.approx(
        [0.6 + 0.5 * (-g * 1.0 - 0.1 * 0.6), -0.2 + 0.5 * (-g * 0.5 + 0.1 * 0.2)], rel=1e-6
    )
    assert arrays["item_bias"] == pytest.approx(
        [0.3 + 0.5 * (g - 0.1 * 0.3), 0.1 + 0.5 * (-g - 0.1 * 0.1)], rel=1e-6
    )


@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
def test_items_are_drawn_by_their_events_to_the_power(power):
    n_events = [0, 1, 16, 0, 81]
    tree, chance = np.zeros(8 + 1, np.int64), np.array([7], np.uint64)
    for item, n in enumerate(n_events):
        add_chance(tree, item, chance_of(n, power))
    drawn = np.bincount([draw_item(tree, chance) for _ in range(20_000)], minlength=8)
    shares = np.array([n**power if n else 0.0 for n in n_events] + [0.0] * 3)
    shares /= shares.sum()
    assert (drawn[shares == 0.0] == 0).all()
    # Four standard deviations of a share of 20,000 draws.
    assert np.abs(drawn / 20_000 - shares).max() < 4 * np.sqrt(0.25 / 20_000)


def test_tree_of_chances_is_the_same_planted_anew():
    model = BPR(negative_power=0.75, n_factors=1)
    rng = np.random.default_rng(1)
    for item in np.minimum(rng.zipf(1.3, 800), 3000).tolist():  # grows past its first rows on the way
        model.learn_one(0, item, 0.0, 0, np.nan)
    other = BPR(negative_power=0.75, n_factors=1)
    other.restore(model.to_arrays())
    np.testing.assert_array_equal(model._tree, other._tree)
    assert len(model._tree) > 2048


def test_popular_items_score_higher_for_a_stranger():
    model, rng = BPR(n_factors=4, n_negatives=4, learning_rate=0.05), np.random.default_rng(2)
    for user in range(1500):
        model.learn_one(user % 50, int(rng.choice(4, p=[0.55, 0.3, 0.1, 0.05])), 0.0, 0, np.nan)
    assert np.argsort(-model.score(999, 0.0)).tolist() == [0, 1, 2, 3]


def test_another_seed_gives_another_model():
    one, other = BPR(seed=1, n_factors=4), BPR(seed=2, n_factors=4)
    for model in (one, other):
        model.learn_one(0, 0, 0.0, 0, np.nan)
    assert (one.user_vector(0) != other.user_vector(0)).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": 1.5}, "learning_rate is above 0 and at most 1.* got 1.5"),
        ({"n_negatives": 0}, "n_negatives is at least 1"),
        ({"negative_power": -0.5}, "negative_power from 0 to 1; got 32, -0.5"),
        ({"spread": 0.0}, "spread above 0"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        BPR(**options)
