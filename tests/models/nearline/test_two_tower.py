"""The two-tower model: its loss by hand, its table, its features."""

from __future__ import annotations

from itertools import product
from math import exp, log

import numpy as np
import pytest

from rtrec.models.nearline.deep import Training
from rtrec.models.nearline.two_tower import TwoTowerModel, corrected_softmax
from tests.models.nearline.contract import ITEMS, WEIGHTS, history
from tests.models.nearline.deep_contract import DeepContract, one_thread  # noqa: F401

torch = pytest.importorskip("torch")


def small(**options) -> TwoTowerModel:
    training = Training(epochs=10, update_epochs=5, batch_size=64, learning_rate=0.01)
    return TwoTowerModel(**{"embedding_size": 8, "n_negatives": 32, "training": training} | options)


class TestTwoTower(DeepContract):
    def make(self):
        return small()


class TestTwoTowerWithFeatures(DeepContract):
    """Features that say nothing must not hurt; items past the table have none."""

    def make(self):
        rng = np.random.default_rng(0)
        return small(item_features=rng.normal(size=(15, 3)), user_features=rng.normal(size=(10, 2)))

    def test_item_without_an_event_gets_no_opinion(self):
        model, given = self.make(), history(300, n_items=12)
        model.fit(given._replace(n_items=20))
        scores = model.score(ITEMS, WEIGHTS)
        assert np.isfinite(scores[12:15]).all()  # known by their features
        assert np.isnan(scores[15:]).all()


def test_correction_by_hand():
    scores = torch.tensor([[1.0, 2.0, 0.5, 0.0], [0.3, -1.0, 0.2, 0.0]])
    expected = torch.tensor([2.0, 4.0, 0.5, 1.0])
    item, candidate = np.array([7, 8]), np.array([7, 8, 9, 7])

    losses = corrected_softmax(scores, expected.log(), item, candidate)

    # Row 0 had item 7: candidates 0 and 3 are that item. Row 1 had item 8: candidate 1.
    first = -1.0 + log(exp(1.0) + exp(2.0) / 4 + exp(0.5) / 0.5)
    second = 1.0 + log(exp(-1.0) + exp(0.3) / 2 + exp(0.2) / 0.5 + exp(0.0) / 1)
    assert losses.tolist() == pytest.approx([first, second], rel=1e-5)


def test_corrected_sum_is_in_the_mean_that_over_all_items():
    """Over all draws of two candidates from three items, by unequal chances."""
    share, scores, own = np.array([0.5, 0.3, 0.2]), np.array([0.4, -0.7, 1.1]), 0
    mean = 0.0
    for drawn in product(range(3), repeat=2):
        candidate = np.array([own, *drawn])
        loss = corrected_softmax(
            torch.tensor(scores[None, candidate]),
            torch.tensor(np.log(2 * share[candidate])),
            np.array([own]),
            candidate,
        )
        mean += share[drawn[0]] * share[drawn[1]] * exp(loss.item() + scores[own])
    assert mean == pytest.approx(np.exp(scores).sum())


@pytest.fixture(scope="module")
def fitted() -> TwoTowerModel:
    model = small()
    model.fit(history())
    return model


def test_table_gives_exactly_the_score_of_the_towers(fitted):
    past = np.array([[3, 1, 7]], np.int32)
    weights = np.array([0.5 ** (age / 5.0) for age in range(3)])
    with torch.no_grad():
        padded = np.pad(past, ((0, 0), (0, 27)), constant_values=-1)
        user = fitted._user_tower(np.array([0], np.int32), padded)
        vectors, bias = fitted._item_tower(np.arange(30, dtype=np.int32))
        towers = (user @ vectors.T + bias).numpy()[0]
    np.testing.assert_allclose(fitted.table().score(past[0], weights), towers, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.score(past[0], weights), towers, rtol=1e-4, atol=1e-5)


def test_without_history_the_popular_come_first():
    model, given = small(), history()
    often = given._replace(item_num=np.where(given.timestamp % 180 == 0, 4, given.item_num).astype(np.int32))
    model.fit(often)  # every third event is item 4
    assert np.argmax(model.score(np.zeros(0, np.int32), np.zeros(0))) == 4


def test_examples_hold_what_a_user_had_before():
    model = small(most_history=2)
    given = history(5)._replace(
        user_num=np.array([0, 1, 0, 0, 0], np.int32), item_num=np.array([5, 6, 7, 8, 9], np.int32)
    )
    columns = model._examples(given, 0)
    assert columns["item"].tolist() == [5, 6, 7, 8, 9]
    assert columns["past"].tolist() == [[-1, -1], [-1, -1], [5, -1], [7, 5], [8, 7]]
    assert model._examples(given, 3)["past"].tolist() == [[7, 5], [8, 7]]


def test_an_update_mixes_old_examples_into_the_new():
    taught = []

    class Watched(TwoTowerModel):
        def _train(self, examples, epochs):
            taught.append(examples["user"].tolist())
            super()._train(examples, epochs)

    model = Watched(embedding_size=4, training=Training(epochs=1, update_epochs=1, replay=0.5))
    given = history(300)
    given.user_num[200:] = 39
    given.user_num[:200] %= 39
    model.fit(given.part(0, 200))
    model.update(given, 200)
    assert taught[0] == given.user_num[:200].tolist()
    assert taught[1][:100] == [39] * 100
    assert len(taught[1]) == 150
    assert max(taught[1][100:]) < 39
    assert model.reservoir.n_seen == 300


def half_features(n_items: int = 30) -> np.ndarray:
    """Say which half of the items each belongs to."""
    return np.eye(2)[(np.arange(n_items) >= 15).astype(int)]


def test_a_cold_item_is_found_by_its_features():
    given = history()
    cold = (given.item_num != 14) & (given.item_num != 29)
    seen = type(given)(*(each[cold] for each in given[:5]), given.n_users, given.n_items)
    model = small(item_features=half_features())
    model.fit(seen)
    first, second = (
        model.score(np.arange(start, start + 5, dtype=np.int32), np.ones(5)) for start in (0, 15)
    )
    assert first[14] - first[29] > second[14] - second[29] + 1.0
    assert first[14] > np.median(first[15:29])
    assert second[29] > np.median(second[:14])


def test_features_of_a_user_speak_for_one_without_history():
    given = history()
    model = small(user_features=np.eye(2)[np.arange(50) % 2])
    model.fit(given)  # users 40 to 49 have no event
    nothing = np.zeros(0, np.int32), np.zeros(0)
    even, odd = model.score(*nothing, 40), model.score(*nothing, 41)
    assert (even - odd)[:15].mean() > 0.2 > -0.2 > (even - odd)[15:].mean()


def test_features_can_be_given_later_and_survive_a_round_trip():
    model, other = small(item_features=half_features(10)), small(item_features=half_features(10))
    model.fit(history(300, n_items=12)._replace(n_items=14))
    assert np.isnan(model.score(ITEMS, WEIGHTS)[12:]).all()
    model.describe(item_features=half_features(14))
    scores = model.score(ITEMS, WEIGHTS)
    assert np.isfinite(scores).all()
    other.restore(model.to_arrays())
    np.testing.assert_array_equal(other.score(ITEMS, WEIGHTS), scores)


@pytest.mark.parametrize("features", [np.zeros(3), np.array([[np.nan]])])
def test_bad_features_are_refused(features):
    with pytest.raises(
        ValueError, match=r"item_features: expected finite numbers of shape \(item, feature\)"
    ):
        small(item_features=features)


def test_features_of_another_width_are_refused():
    with pytest.raises(ValueError, match="expected 2 columns"):
        small(item_features=half_features()).describe(item_features=np.zeros((3, 5)))


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="half_life positive"):
        TwoTowerModel(half_life=0.0)
