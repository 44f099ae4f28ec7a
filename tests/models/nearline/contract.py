"""What every fitted model promises: a test class names its model and inherits the tests."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import pytest

from rtrec.errors import CorruptionError
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.refitted import Refitted
from rtrec.models.nearline.tables import NeighbourTable, VectorTable
from rtrec.types import NumberedEvents
from tests.models.contract import ModelContract

ITEMS = np.array([3, 1, 7], np.int32)
WEIGHTS = np.array([1.0, 0.5, 0.25])


def history(n_events: int = 1200, *, n_users: int = 40, n_items: int = 30, seed: int = 5) -> Interactions:
    """Two groups of users, each with a taste for one half of the items, and for walking them in order."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, n_users, n_events).astype(np.int32)
    half = n_items // 2
    item = ((user % 2) * half + rng.integers(0, half, n_events)).astype(np.int32)
    strange = rng.random(n_events) < 0.1
    item[strange] = rng.integers(0, n_items, strange.sum())
    return Interactions(
        user,
        item,
        np.arange(n_events) * 60.0,
        np.ones(n_events),
        rng.integers(1, 6, n_events).astype(np.float32),
        n_users,
        n_items,
    )


class NearlineContract(ModelContract):
    """Inherit as ``class TestMyModel(NearlineContract)`` and write :meth:`make`."""

    #: A user of one group should have at least this share of their own group's items in a list of ten.
    own_taste = 0.8

    @abstractmethod
    def make(self) -> NearlineModel:
        """Return a new, small model; always the same one."""

    def make_model(self) -> Refitted:
        return Refitted(self.make(), refit_every=700)

    @pytest.fixture
    def fitted(self) -> NearlineModel:
        model = self.make()
        model.fit(history())
        return model

    def test_finds_the_taste_of_a_stranger(self, fitted):
        for half in (0, 15):
            items = np.arange(half, half + 5, dtype=np.int32)
            scores = fitted.score(items, np.ones(5))
            scores[items] = -np.inf
            best = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:10]
            assert np.mean((best >= half) & (best < half + 15)) >= self.own_taste

    def test_score_of_an_unknown_user_is_that_of_a_stranger(self, fitted):
        np.testing.assert_array_equal(fitted.score(ITEMS, WEIGHTS, 10_000), fitted.score(ITEMS, WEIGHTS, -1))

    def test_unknown_item_is_ignored(self, fitted):
        with_stranger = np.append(ITEMS, np.int32(10_000))
        scores = fitted.score(with_stranger, np.append(WEIGHTS, 0.1))
        assert scores.shape == (30,)
        assert np.isfinite(scores).any()

    def test_empty_history_gets_an_answer(self, fitted):
        scores = fitted.score(np.zeros(0, np.int32), np.zeros(0))
        assert scores.shape == (30,)

    def test_scores_are_finite_or_no_opinion(self, fitted):
        scores = fitted.score(ITEMS, WEIGHTS, 3)
        assert scores.dtype == np.float64
        assert not np.isinf(scores).any()
        assert np.isfinite(scores).any()

    def test_nothing_fitted_scores_nothing(self):
        model = self.make()
        assert len(model.score(ITEMS, WEIGHTS)) == 0
        assert model.table().n_items == 0

    def test_empty_history_is_learned(self):
        model = self.make()
        model.fit(history(0, n_users=0, n_items=0))
        assert len(model.score(ITEMS, WEIGHTS)) == 0

    def test_a_history_of_one_event_is_learned(self):
        model = self.make()
        model.fit(history().part(0, 1))
        assert not np.isinf(model.score(ITEMS, WEIGHTS)).any()

    def test_an_update_makes_room_for_new_users_and_items(self):
        model, whole = self.make(), history()
        model.fit(history(600, n_users=20, n_items=20))
        model.update(whole, 600)
        assert model.score(ITEMS, WEIGHTS, 39).shape == (30,)
        assert model.table().n_items == 30

    def test_same_history_gives_the_same_model(self, fitted):
        again = self.make()
        again.fit(history())
        np.testing.assert_array_equal(fitted.score(ITEMS, WEIGHTS, 3), again.score(ITEMS, WEIGHTS, 3))

    def test_same_question_gets_the_same_scores(self, fitted):
        first = fitted.score(ITEMS, WEIGHTS, 3).copy()
        fitted.score(np.array([9], np.int32), np.ones(1), 5)
        np.testing.assert_array_equal(fitted.score(ITEMS, WEIGHTS, 3), first)

    def test_many_at_once_are_scored_as_one_by_one(self, fitted):
        nothing = np.zeros(0, np.int32), np.zeros(0)
        requests = [
            (ITEMS, WEIGHTS, 3),
            (ITEMS, WEIGHTS, -1),
            (*nothing, 5),
            (*nothing, -1),
            (np.array([9, 10_000, 9], np.int32), np.array([1.0, 0.7, 0.5]), 10_000),
            (np.arange(20, dtype=np.int32), 0.9 ** np.arange(20), 8),
        ]
        many = fitted.score_many(Histories.of(requests))
        one_by_one = np.array([fitted.score(*request) for request in requests])
        np.testing.assert_allclose(many, one_by_one, rtol=1e-5, atol=1e-6)
        assert fitted.score_many(Histories.of([])).shape == (0, 30)

    def test_histories_are_untouched(self):
        given, model = history(), self.make()
        before = [np.copy(column) for column in given[:5]]
        model.fit(given)
        model.update(given, 600)
        items, weights = ITEMS.copy(), WEIGHTS.copy()
        model.score(items, weights, 3)[:] = 0.0
        model.score_many(Histories.of([(items, weights, 3)]))[:] = 0.0
        for column, was in zip(given[:5], before, strict=True):
            np.testing.assert_array_equal(column, was)
        np.testing.assert_array_equal(items, ITEMS)
        np.testing.assert_array_equal(weights, WEIGHTS)

    def test_what_was_fitted_survives_a_round_trip_and_is_updated_the_same(self):
        whole, model = history(), self.make()
        model.fit(whole.part(0, 900))
        arrays = {name: array.copy() for name, array in model.to_arrays().items()}
        assert all(array.dtype != object for array in arrays.values())
        other = self.make()
        other.restore(arrays)
        np.testing.assert_array_equal(other.score(ITEMS, WEIGHTS, 3), model.score(ITEMS, WEIGHTS, 3))
        model.update(whole, 900)
        other.update(whole, 900)
        np.testing.assert_array_equal(other.score(ITEMS, WEIGHTS, 3), model.score(ITEMS, WEIGHTS, 3))

    def test_fit_with_an_array_missing_is_refused(self, fitted):
        arrays = fitted.to_arrays()
        name = sorted(arrays)[0]
        with pytest.raises(CorruptionError, match=name.rsplit("/", maxsplit=1)[-1]):
            self.make().restore({other: array for other, array in arrays.items() if other != name})

    def test_table_is_well_formed(self, fitted):
        table = fitted.table()
        assert table.n_items == 30
        if isinstance(table, NeighbourTable):
            assert table.item.dtype == np.int32
            assert table.weight.dtype == np.float32
            for item, size in enumerate(table.size.tolist()):
                row, weight = table.item[item, :size], table.weight[item, :size]
                assert len(set(row.tolist())) == size
                assert item not in row
                assert (weight > 0).all()
                assert (np.diff(weight) <= 0).all()
                assert row.max(initial=0) < 30
        else:
            assert isinstance(table, VectorTable)
            assert table.found.shape == table.given.shape
            assert np.isfinite(table.found).all()
            assert np.isfinite(table.given).all()

    def test_runs_in_the_stream_and_beats_a_coin(self):
        given = history()
        model = Refitted(self.make(), refit_every=300)
        model.repeat = True
        events = NumberedEvents(
            given.user_num, given.item_num, given.timestamp, np.zeros(1200, np.uint8), given.value
        )
        ranks = model.test_then_learn(events, k=10)
        assert (ranks[:300] == 0).all()  # nothing was fitted yet
        assert np.mean(ranks[300:] > 0) > 1 / 3  # ten of thirty
