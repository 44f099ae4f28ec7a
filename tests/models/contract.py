"""What every model of the zoo promises: a test class names its model and inherits the tests.

Models of other kinds promise more (:mod:`tests.models.streaming.contract`,
:mod:`tests.models.nearline.contract`) and inherit this as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest

from rtrec.errors import CorruptionError
from rtrec.models.base import Model
from rtrec.types import KINDS, NumberedEvents

VIEW, DISLIKE = KINDS.index("view"), KINDS.index("dislike")
N_USERS, N_ITEMS = 40, 30
NOW = 1e6
STRANGERS = (-1, 10_000)


def stream(
    n_events: int = 1500, *, n_users: int = N_USERS, n_items: int = N_ITEMS, seed: int = 5
) -> NumberedEvents:
    """Two groups of users, each with a taste for one half of the items; a few events are dislikes."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, n_users, n_events).astype(np.int32)
    half = n_items // 2
    item = ((user % 2) * half + rng.integers(0, half, n_events)).astype(np.int32)
    kind = np.where(rng.random(n_events) < 0.03, DISLIKE, VIEW).astype(np.uint8)
    value = np.where(rng.random(n_events) < 0.5, rng.random(n_events) * 5.0, np.nan)
    return NumberedEvents(user, item, np.arange(n_events) * 60.0, kind, value.astype(np.float32))


def some(*rows: tuple[int, int, float]) -> NumberedEvents:
    """Views from (user, item, time)."""
    user, item, time = (np.array(column) for column in zip(*rows, strict=True))
    return NumberedEvents(
        user.astype(np.int32),
        item.astype(np.int32),
        time.astype(np.float64),
        np.full(len(rows), VIEW, np.uint8),
        np.full(len(rows), np.nan, np.float32),
    )


def same_arrays(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def everybody() -> np.ndarray:
    return np.array([*range(N_USERS), *STRANGERS], np.int32)


class ModelContract(ABC):
    """Inherit as ``class TestMyModel(ModelContract)`` and write :meth:`make_model`."""

    #: What was taught the whole stream, by test class: a fit is what takes time here.
    taught: ClassVar[dict[type, dict[str, np.ndarray]]] = {}

    @abstractmethod
    def make_model(self) -> Model:
        """Return a new, small model, as the registry would; always the same one."""

    @pytest.fixture
    def known(self) -> Model:
        """Return a model that was taught the stream."""
        model = self.make_model()
        if type(self) not in self.taught:
            model.test_then_learn(stream(), k=10)
            self.taught[type(self)] = model.to_arrays()
        model.restore(self.taught[type(self)])
        return model

    def test_a_list_has_known_items_once_each_that_the_user_did_not_have(self, known):
        events = stream()
        for user in (0, 3, 7, *STRANGERS):
            best = known.recommend(user, NOW, k=50)
            assert len(set(best)) == len(best)
            assert set(best) <= set(events.item_num.tolist())
            assert not set(best) & set(events.item_num[events.user_num == user].tolist())

    def test_an_unknown_user_is_a_stranger_and_is_answered(self, known):
        one, other = (known.recommend(user, NOW) for user in STRANGERS)
        assert one == other
        assert len(one) == 10

    def test_an_unknown_item_is_in_no_list_before_it_is_learned(self):
        """Fails if an event is learned before it is tested: then a stream of first items would have hits."""
        model = self.make_model()
        events = some(*((place % 7, place, place * 1.0) for place in range(60)))
        assert not (model.test_then_learn(events, k=10) > 0).any()

    def test_nothing_learned_recommends_nothing(self):
        model = self.make_model()
        assert model.recommend(0, NOW) == []
        assert (model.recommend_many(everybody(), NOW) == -1).all()
        assert model.coverage() == 0.0

    def test_no_events_change_nothing(self, known):
        before = known.to_arrays()
        assert len(known.test_then_learn(stream(0), k=10)) == 0
        same_arrays(known.to_arrays(), before)

    def test_one_event_is_learned(self):
        model = self.make_model()
        assert model.test_then_learn(some((3, 5, 0.0)), k=10).tolist() == [0]
        assert set(model.recommend(0, NOW)) <= {5}
        assert model.recommend(3, NOW) == []  # they had it

    def test_grows_with_new_users_and_items(self, known):
        before = known.recommend(3, NOW, k=50)
        known.test_then_learn(some((5000, 3000, NOW), (5001, 3000, NOW)), k=10)
        assert len(known.recommend(5000, NOW)) == 10
        after = known.recommend(3, NOW, k=50)
        assert set(after) - {3000} == set(before)  # nothing that was learned is lost
        assert max(known.recommend(-1, NOW, k=4000)) in (3000, max(stream().item_num))

    def test_same_question_gets_the_same_answer(self, known):
        first = known.recommend(3, NOW)
        known.recommend(5, NOW + 9.0, k=3)
        known.recommend_many(everybody(), NOW)
        assert known.recommend(3, NOW) == first

    def test_questions_change_nothing(self, known):
        before = known.to_arrays()
        for user in (3, *STRANGERS):
            known.recommend(user, NOW)
        known.recommend_many(everybody(), NOW)
        same_arrays(known.to_arrays(), before)

    def test_many_at_once_are_answered_as_one_by_one(self, known):
        lists = known.recommend_many(everybody(), NOW, k=7)
        assert lists.shape == (len(everybody()), 7)
        assert lists.dtype == np.int32
        for user, row in zip(everybody().tolist(), lists, strict=True):
            best = known.recommend(user, NOW, k=7)
            if row[row >= 0].tolist() != best:  # only where scores are equal up to rounding
                scores = known.score(user, NOW)
                np.testing.assert_allclose(scores[row[: len(best)]], scores[best], rtol=1e-5, atol=1e-6)
        assert known.recommend_many(np.zeros(0, np.int32), NOW, k=7).shape == (0, 7)

    def test_a_longer_list_begins_with_the_shorter_one(self, known):
        for user in (3, *STRANGERS):
            assert known.recommend(user, NOW, k=12)[:4] == known.recommend(user, NOW, k=4)

    def test_same_stream_gives_the_same_model(self, known):
        again = self.make_model()
        again.test_then_learn(stream(), k=10)
        same_arrays(again.to_arrays(), known.to_arrays())

    def test_inputs_are_untouched(self):
        events, users = stream(600), everybody()
        before = [np.copy(column) for column in events]
        model = self.make_model()
        model.test_then_learn(events, k=10)
        model.recommend_many(users, NOW)[:] = 0
        for column, was in zip(events, before, strict=True):
            np.testing.assert_array_equal(column, was)
        np.testing.assert_array_equal(users, everybody())

    def test_state_survives_a_round_trip_and_goes_on_the_same(self):
        events, model = stream(), self.make_model()
        model.test_then_learn(events.part(0, 900), k=10)
        model.start_testing()
        model.test_then_learn(events.part(900, 1000), k=10)
        arrays = model.to_arrays()
        assert all(array.dtype != object for array in arrays.values())
        other = self.make_model()
        other.restore(arrays)
        assert other.coverage() == model.coverage() > 0.0
        same_arrays(other.to_arrays(), arrays)
        rest = events.part(1000, 1500)
        np.testing.assert_array_equal(model.test_then_learn(rest, k=10), other.test_then_learn(rest, k=10))
        same_arrays(other.to_arrays(), model.to_arrays())

    def test_state_is_a_copy(self, known):
        arrays = known.to_arrays()
        before = {name: array.copy() for name, array in arrays.items()}
        other = self.make_model()
        other.restore(arrays)
        for model in (known, other):
            model.test_then_learn(stream(400, seed=9), k=10)
        same_arrays(arrays, before)

    def test_what_was_learned_is_forgotten_where_another_state_is_restored(self, known):
        young, other = self.make_model(), self.make_model()
        young.test_then_learn(stream(100), k=10)
        arrays = young.to_arrays()
        for model in (known, other):
            model.restore(arrays)
            model.test_then_learn(stream(900, seed=9), k=10)
        same_arrays(known.to_arrays(), other.to_arrays())

    def test_missing_state_is_refused(self, known):
        arrays = known.to_arrays()
        for name in arrays:
            rest = {other: array for other, array in arrays.items() if other != name}
            with pytest.raises(CorruptionError, match=name.rsplit("/", maxsplit=1)[-1]):
                self.make_model().restore(rest)

    def test_nothing_is_infinite_or_no_number_whatever_comes(self):
        """Values at the ends of what a float32 holds, times far apart, one user and item for ever."""
        rng, n = np.random.default_rng(3), 700
        events = stream(n)._replace(
            timestamp=np.sort(rng.choice([0.0, 1.0, 1e9, 4e9], n)),
            value=rng.choice(np.array([0.0, -1.0, 3e38, -3e38, 1e-38, np.nan], np.float32), n),
            kind=rng.integers(0, len(KINDS), n).astype(np.uint8),
        )
        model = self.make_model()
        model.test_then_learn(events, k=10)
        model.test_then_learn(some(*((3, 4, 4e9) for _ in range(300))), k=10)
        lists = model.recommend_many(everybody(), 4e9)
        assert lists.min() >= -1
        assert lists.max() < N_ITEMS
        assert (lists[-1] >= 0).all()  # a stranger's list is full
        for name, array in model.to_arrays().items():
            if array.dtype.kind == "f" and not name.endswith("event/value"):  # kept as it came
                assert np.isfinite(array).all(), name
