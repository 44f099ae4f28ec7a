"""The embedding model: its split, its errors, its neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.errors import InputError
from rtrec.models.nearline.deep import Training
from rtrec.models.nearline.embedding import EmbeddingModel, split_by_time
from rtrec.models.nearline.interactions import Interactions
from tests.models.nearline.contract import ITEMS, WEIGHTS, history
from tests.models.nearline.deep_contract import DeepContract, one_thread  # noqa: F401

torch = pytest.importorskip("torch")


def small(**options) -> EmbeddingModel:
    training = Training(epochs=12, update_epochs=6, batch_size=64, learning_rate=0.01)
    return EmbeddingModel(
        **{"embedding_size": 8, "hidden": 16, "target": "event", "patience": 15, "training": training}
        | options
    )


class TestEmbedding(DeepContract):
    def make(self):
        return small()

    def test_a_known_user_without_a_history_at_hand_is_scored_by_the_head(self, fitted):
        with torch.no_grad():
            users, items = np.full(30, 3, np.int32), np.arange(30, dtype=np.int32)
            head = fitted._outputs(users, items).numpy()
        nothing = np.zeros(0, np.int32), np.zeros(0)
        np.testing.assert_allclose(fitted.score(*nothing, 3), head, rtol=1e-5)
        np.testing.assert_array_equal(fitted.score(ITEMS, WEIGHTS, 3), fitted.score(ITEMS, WEIGHTS, -1))
        assert not np.allclose(fitted.score(ITEMS, WEIGHTS, 3), head)


def ratings(n_events: int = 2000, *, noise: float = 0.0) -> Interactions:
    """Users like items of their own kind: 5, the others 1."""
    rng = np.random.default_rng(1)
    user, item = rng.integers(0, 20, n_events), rng.integers(0, 10, n_events)
    value = 1.0 + 4.0 * (user % 2 == item % 2) + noise * rng.integers(-1, 2, n_events)
    return Interactions(
        user.astype(np.int32),
        item.astype(np.int32),
        np.arange(float(n_events)),
        np.ones(n_events),
        value.astype(np.float32),
        20,
        10,
    )


def test_ratings_are_learned_in_their_own_units():
    model = small(target="auto")
    model.fit(ratings())
    scores = model.score(np.zeros(0, np.int32), np.zeros(0), 4)
    np.testing.assert_allclose(scores, [5.0, 1.0] * 5, atol=0.5)
    assert model.losses.n_events == (1600, 200, 200)
    assert max(model.losses.train, model.losses.validation, model.losses.test) < 0.5  # the mean's error is 4


def test_the_test_error_is_that_of_events_never_trained_on():
    """Noise of -1, 0 or 1 has a variance of 2/3, below which no honest error falls by much."""
    model = small(target="value", validation_share=0.2, test_share=0.2)
    model.fit(ratings(3000, noise=1.0))
    # 600 squares of 0 or 1: their mean has a standard error of sqrt(2/9 / 600) = 0.02.
    assert 2 / 3 - 0.06 < model.losses.test < 1.0
    assert 2 / 3 - 0.06 < model.losses.validation < 1.0


@pytest.mark.parametrize("target", ["value", "event"])
def test_what_is_tested_later_leaves_no_trace_in_training(target):
    given = history()
    changed = given._replace(item_num=given.item_num.copy(), value=given.value.copy())
    changed.value[1080:] = 9.0
    changed.item_num[1080:] = given.item_num[1080:][::-1]
    one, other = small(target=target), small(target=target)
    one.fit(given)
    other.fit(changed)
    assert one.losses.n_events == (960, 120, 120)
    assert one.losses.train == other.losses.train
    assert one.losses.validation == other.losses.validation
    assert one.losses.test != other.losses.test
    assert one._centre == other._centre


def test_validation_chooses_the_epoch_but_teaches_nothing():
    given = history()
    changed = given._replace(value=given.value.copy())
    changed.value[960:1080] = 9.0
    one, other = (small(target="value", training=Training(epochs=1)) for _ in range(2))
    one.fit(given)
    other.fit(changed)
    assert one.losses.train == other.losses.train
    assert one.losses.validation != other.losses.validation


def test_training_stops_when_the_validation_error_rises():
    noise = history()._replace(value=np.random.default_rng(0).normal(size=1200).astype(np.float32))
    model = small(target="value", patience=2, training=Training(epochs=60, batch_size=32, learning_rate=0.02))
    model.fit(noise)
    assert model.losses.epoch < 30
    assert model.losses.validation >= 0.7  # nothing to be learned: no better than the variance, 1


def test_held_out_events_are_learned_in_the_end():
    given = history()
    late = given._replace(item_num=given.item_num.copy(), n_items=31)
    late.item_num[-30:] = 30  # an item of the test part alone
    model = small()
    model.fit(late)
    assert np.isfinite(model.score(ITEMS, WEIGHTS, 3)[30])


def test_split_by_time_by_hand():
    assert split_by_time(100, 0.1, 0.2) == (70, 10, 20)
    assert split_by_time(3, 0.1, 0.1) == (3, 0, 0)


def test_parts_without_events_have_no_error():
    model = small(validation_share=0.0, test_share=0.0)
    assert model.losses is None
    model.fit(history(200))
    assert np.isfinite(model.losses.train)
    assert np.isnan([model.losses.validation, model.losses.test]).all()


@pytest.mark.parametrize(
    ("value", "by_value"),
    [
        (lambda n: np.tile([1.0, 2.0, 5.0, 3.0], n // 4), True),
        (lambda n: np.arange(float(n)), False),  # as many levels as events: a price
        (lambda n: np.ones(n), False),  # says nothing
        (lambda n: np.where(np.arange(n) == 7, np.nan, np.arange(n) % 5), False),  # one has none
    ],
)
def test_auto_takes_the_value_where_it_is_a_rating(value, by_value):
    given = history(400)
    model = small(target="auto", training=Training(epochs=1))
    model.fit(given._replace(value=value(400).astype(np.float32)))
    assert model._by_value is by_value


def test_events_without_a_value_are_left_out_of_ratings():
    model = small(target="value")
    given = history(8)._replace(value=np.array([1, np.nan, 3, 4, np.nan, 2, 2, 1], np.float32))
    model._by_value = True
    assert model._examples(given, 0)["target"].tolist() == [1, 3, 4, 2, 2, 1]


def test_ratings_cannot_be_learned_from_a_log_without_any():
    history = ratings()._replace(value=np.full(2000, np.nan, np.float32))
    with pytest.raises(InputError, match="none of the first 1,600 has one; try target='event'"):
        small(target="value").fit(history)


def test_negatives_are_items_the_user_has_not_had():
    model = small(n_negatives=50)
    given = history(400)
    model._note(given, 0)
    batch = model._examples(given.part(0, 20), 0)
    whole = model._with_negatives(batch)
    had = set(zip(given.user_num.tolist(), given.item_num.tolist(), strict=True))
    drawn = set(zip(whole["user"][20:].tolist(), whole["item"][20:].tolist(), strict=True))
    assert whole["target"].tolist() == [1.0] * 20 + [0.0] * (len(whole["target"]) - 20)
    assert len(drawn) > 100
    assert not drawn & had


def test_table_has_the_items_of_similar_vectors():
    """Cosines by hand: item 0 with 1 sqrt(1/2), with 5 one, with 2 zero, with 4 minus one; 3 is not known."""
    model = small(most_neighbours=2)
    given = history(5)._replace(item_num=np.array([0, 1, 2, 4, 5], np.int32), n_items=6)
    model._note(given, 0)
    vectors = np.array([[2, 0], [1, 1], [0, 5], [9, 9], [-1, 0], [1, 0]])
    arrays = model.to_arrays()
    arrays["weights/item/value"] = np.pad(vectors, ((0, 0), (0, 6))).astype(np.float32)
    model.restore(arrays)

    table = model.table()

    assert table.size.tolist() == [2, 2, 1, 0, 0, 2]
    assert table.item[0].tolist() == [5, 1]
    assert table.weight[0] == pytest.approx([1.0, 0.5**0.5])
    assert table.item[2, 0] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "rating"}, "got 'rating'"),
        ({"test_share": 0.95}, "leave something to train on"),
        ({"hidden": 0}, "at least 1"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        EmbeddingModel(**options)
