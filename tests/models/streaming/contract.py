"""What every streaming model promises: a test class names its model and inherits the tests."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import pytest

from rtrec.errors import CorruptionError
from rtrec.models.streaming.state import StreamingModel
from rtrec.types import KINDS, NumberedEvents
from tests.models.contract import DISLIKE, VIEW, ModelContract, same_arrays, stream


def taught(model: StreamingModel, events: NumberedEvents) -> StreamingModel:
    model.test_then_learn(events, k=10)
    return model


def same(one: StreamingModel, other: StreamingModel) -> None:
    same_arrays(one.to_arrays(), other.to_arrays())


class StreamingContract(ModelContract):
    """Inherit as ``class TestMyModel(StreamingContract)`` and write :meth:`make`."""

    #: A user of one group should have at least this share of their own group's items in a list of ten.
    own_taste = 0.8

    @abstractmethod
    def make(self) -> StreamingModel:
        """Return a new, small model; always the same one."""

    @abstractmethod
    def make_wild(self) -> StreamingModel:
        """Return one with the largest steps it allows."""

    def make_model(self) -> StreamingModel:
        return self.make()

    @pytest.fixture
    def model(self, known) -> StreamingModel:
        return known

    def test_learns_two_tastes(self):
        model = self.make()
        model.repeat = True
        taught(model, stream())
        for user in range(40):
            best = np.array(model.recommend(user, 0.0, k=10))
            low = 15 * (user % 2)
            assert np.mean((best >= low) & (best < low + 15)) >= self.own_taste, user

    def test_score_of_an_unknown_user_is_that_of_a_stranger(self, model):
        scores = model.score(10_000, 0.0)
        np.testing.assert_array_equal(scores, model.score(-1, 0.0))
        assert np.isfinite(scores).all()
        assert len(model.recommend(10_000, 0.0)) == 10

    def test_unknown_item_is_never_recommended(self, model):
        model.make_room(0, 50)  # rows 30 to 50 exist now, but nothing taught them
        assert np.isnan(model.score(3, 0.0)[30:]).all()
        assert max(model.recommend(3, 0.0, k=51)) < 30

    def test_nothing_learned_has_no_scores(self):
        model = self.make()
        assert len(model.score(0, 0.0)) == 0
        assert model.recommend(0, 0.0) == []

    def test_rows_grow_and_what_was_learned_stays(self, model):
        user, item = np.array([5000], np.int32), np.array([3000], np.int32)
        before = model.score(3, 0.0)
        model.test_then_learn(
            NumberedEvents(user, item, np.zeros(1), np.zeros(1, np.uint8), np.ones(1, np.float32)), k=10
        )
        scores = model.score(5000, 0.0)
        assert scores.shape == (3001,)
        assert np.isfinite(scores[:30]).all()
        assert np.isfinite(scores[3000])
        assert np.isnan(scores[30:3000]).all()
        assert np.corrcoef(model.score(3, 0.0)[:30], before)[0, 1] > 0.9  # what was learned is still there

    def test_dislike_lowers(self, model):
        item = model.recommend(3, 0.0, k=1)[0]
        before = model.score(3, 0.0)
        model.learn_one(3, item, 0.0, DISLIKE, 1.0)
        after = model.score(3, 0.0)
        assert after[item] - before[item] < np.median(np.delete(after - before, item))

    @pytest.mark.parametrize("weights", [(1.0,) * 3, (1.0,) * (len(KINDS) + 1)])
    def test_weights_are_one_for_each_kind(self, weights):
        with pytest.raises(ValueError, match="expected a weight for each of view, "):
            type(self.make())(n_factors=8, kind_weights=weights)

    @pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, -0.5])
    def test_an_event_moves_vectors_as_far_as_its_weight_says(self, weight):
        """Half the weight is half the step, for what is small enough a step not to be cut."""
        models = {w: self.make() for w in (weight, 1.0, -1.0)}
        for w, model in models.items():
            model.test_then_learn(stream(50), k=10)
            model.kind_weights = (w,) * len(KINDS)
            model._options = model._options._replace(n_negatives=min(model._options.n_negatives, 1))
            model._options = model._options._replace(learning_rate=1e-3)
        user, item = int(stream(50).user_num[0]), int(stream(50).item_num[0])
        before = models[weight].user_vector(user)
        for model in models.values():
            model.learn_one(user, item, 0.0, VIEW, np.nan)
        moved = {w: model.user_vector(user) - before for w, model in models.items()}
        whole = moved[1.0 if weight >= 0.0 else -1.0]
        assert np.abs(whole).max() > 1e-6
        assert moved[weight] == pytest.approx(abs(weight) * whole, rel=0.02, abs=1e-6)

    def test_an_event_of_no_weight_teaches_nothing_and_hides_the_item(self, model):
        model.kind_weights = (0.0,) * len(KINDS)
        item = model.recommend(3, 0.0, k=1)[0]
        before = model.to_arrays()
        event = NumberedEvents(
            *(np.array([each]) for each in (3, item)),
            np.zeros(1),
            np.zeros(1, np.uint8),
            np.ones(1, np.float32),
        )
        model.test_then_learn(event, k=10)
        after = model.to_arrays()
        for name in ("user", "item", "user_events", "item_events", "mean"):
            np.testing.assert_array_equal(after[name], before[name])
        assert item not in model.recommend(3, 0.0, k=30)

    def test_cuts_of_the_stream_change_nothing(self):
        events = stream(600)
        whole, cut = self.make(), self.make()
        expected = whole.test_then_learn(events, k=10)
        ranks = [cut.test_then_learn(events.part(start, start + 7), k=10) for start in range(0, 600, 7)]
        np.testing.assert_array_equal(np.concatenate(ranks), expected)
        same(whole, cut)

    def test_start_of_a_row_depends_on_its_number_alone(self):
        at_once, in_steps = self.make(), self.make()
        at_once.learn_one(3000, 9, 0.0, VIEW, 1.0)
        for user in (1, 1500, 2999):
            in_steps.make_room(user, 1)
        in_steps.learn_one(3000, 9, 0.0, VIEW, 1.0)
        same(at_once, in_steps)

    def test_same_question_gets_the_same_scores(self, model):
        first = model.score(3, 0.0).copy()
        model.score(3, 0.0)[:] = 7.0
        model.score(5, 1.0)
        model.recommend(4, 0.0)
        np.testing.assert_array_equal(model.score(3, 0.0), first)

    def reborn(self, arrays) -> StreamingModel:
        model = self.make()
        model.restore(arrays)
        return model

    def test_state_of_the_wrong_shape_or_type_is_refused(self, model):
        arrays = model.to_arrays()
        for name, array in arrays.items():
            for wrong in (array[..., None], array.astype(str)):
                with pytest.raises(CorruptionError, match=f"array '{name}'"):
                    self.make().restore(arrays | {name: wrong})
        for name in ("user", "item"):
            with pytest.raises(CorruptionError, match=f"array '{name}'"):
                self.make().restore(arrays | {name: arrays[name][:-1]})

    def test_refused_state_leaves_the_model_alone(self, model):
        before = model.to_arrays()
        with pytest.raises(CorruptionError):
            model.restore(before | {"base/known": np.zeros((2, 2), np.int64)})
        for name, array in model.to_arrays().items():
            np.testing.assert_array_equal(array, before[name])

    def test_compiling_changes_nothing(self, model):
        other = self.reborn(model.to_arrays())
        model.compile()
        same(model, other)
        same(taught(model, stream(100, seed=9)), taught(other, stream(100, seed=9)))

    def test_largest_steps_stay_finite(self):
        model = taught(self.make_wild(), stream())
        for _ in range(2000):  # one pair for ever, then a stranger
            model.learn_one(3, 3, 0.0, VIEW, 1.0)
        for user in (0, 3, 10_000):
            assert np.isfinite(model.score(user, 0.0)).all()
        for name, array in model.to_arrays().items():
            assert np.isfinite(array).all(), name

    def test_scores_are_float64(self, model):
        assert model.score(3, 0.0).dtype == np.float64
