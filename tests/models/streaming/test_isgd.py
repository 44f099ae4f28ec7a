"""ISGD: its steps worked out by hand, its queue against a list."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.errors import CorruptionError
from rtrec.models.streaming.isgd import ISGD, ISGDState, to_queue_end
from rtrec.types import KINDS
from tests.models.streaming.contract import StreamingContract

DISLIKE = KINDS.index("dislike")


class TestISGDContract(StreamingContract):
    def make(self):
        return ISGD(n_factors=8, n_negatives=0, seed=3)

    def make_wild(self):
        return ISGD(n_factors=8, learning_rate=1.0, regularization=0.0, n_negatives=10, spread=5.0)


class TestRAISGDContract(StreamingContract):
    def make(self):
        return ISGD(n_factors=8, n_negatives=2)

    def make_wild(self):
        return ISGD(n_factors=8, learning_rate=1.0, regularization=0.0, spread=50.0)


def placed(n_negatives: int, users: list[list[float]], items: list[list[float]]) -> ISGD:
    """Return a model with given vectors, whose items were learned in order of their numbers."""
    model = ISGD(n_factors=len(items[0]), learning_rate=0.5, regularization=0.1, n_negatives=n_negatives)
    for item in range(len(items)):
        model.learn_one(min(item, len(users) - 1), item, 0.0, 0, np.nan)
    arrays = model.to_arrays()
    arrays["user"][:], arrays["item"][:] = users, items
    model.restore(arrays)
    return model


def test_one_event_is_one_step_from_the_vectors_as_they_were():
    model = placed(0, [[1.0, 0.5]], [[0.2, 0.4]])
    model.learn_one(0, 0, 0.0, 0, np.nan)
    # e = 1 - (1 * 0.2 + 0.5 * 0.4) = 0.6, r = 0.5, l = 0.1
    arrays = model.to_arrays()
    assert arrays["user"][0] == pytest.approx(
        [1.0 + 0.5 * (0.6 * 0.2 - 0.1 * 1.0), 0.5 + 0.5 * (0.6 * 0.4 - 0.1 * 0.5)], rel=1e-6
    )
    assert arrays["item"][0] == pytest.approx(
        [0.2 + 0.5 * (0.6 * 1.0 - 0.1 * 0.2), 0.4 + 0.5 * (0.6 * 0.5 - 0.1 * 0.4)], rel=1e-6
    )


def test_dislike_steps_towards_zero():
    model = placed(0, [[1.0]], [[0.4]])
    model.learn_one(0, 0, 0.0, DISLIKE, np.nan)
    # e = 0 - 0.4
    assert model.to_arrays()["user"][0] == pytest.approx([1.0 + 0.5 * (-0.4 * 0.4 - 0.1 * 1.0)], rel=1e-6)
    assert model.to_arrays()["item"][0] == pytest.approx([0.4 + 0.5 * (-0.4 * 1.0 - 0.1 * 0.4)], rel=1e-6)


def test_the_longest_waiting_items_pull_the_user_alone_towards_zero():
    model = placed(1, [[1.0]], [[0.4], [0.5], [0.6]])
    # Each event so far sent the longest waiting item to the end, then its own. By hand:
    # item 0: [0]; item 1: 0 waits, [0] again, then 1: [0, 1]; item 2: 0 waits: [1, 0], then 2: [1, 0, 2].
    model.learn_one(0, 2, 0.0, 0, np.nan)
    # First 0 - 1 * 0.5 for item 1, then 1 - x * 0.6 for item 2 with the user as that step left it.
    x = 1.0 + 0.5 * (-0.5 * 0.5 - 0.1 * 1.0)
    arrays = model.to_arrays()
    error = 1.0 - x * 0.6
    assert arrays["user"][0] == pytest.approx([x + 0.5 * (error * 0.6 - 0.1 * x)], rel=1e-6)
    assert arrays["item"][:, 0] == pytest.approx([0.4, 0.5, 0.6 + 0.5 * (error * x - 0.1 * 0.6)], rel=1e-6)
    assert arrays["queue"].tolist() == [0 + 1, 2 + 1]  # item 1 went behind 0, item 2 behind both


def test_queue_keeps_the_order_of_a_list():
    rng = np.random.default_rng(0)
    nothing = np.zeros((20, 0), np.float32)
    events = np.zeros(20, np.int64)
    state = ISGDState(
        nothing, events, nothing, events, events.copy(), events.copy(), np.zeros(2, np.int64), np.zeros(1)
    )
    expected: list[int] = []
    for item in rng.integers(0, 20, 500).tolist():
        to_queue_end(state, item)
        if item in expected:
            expected.remove(item)
        expected.append(item)
        found, place = [], state.queue[0]
        while place:
            found.append(int(place) - 1)
            place = state.item_after[place - 1]
        assert found == expected
        assert state.queue[1] == item + 1


def test_queue_with_impossible_places_is_refused():
    arrays = placed(1, [[1.0]], [[0.4], [0.5]]).to_arrays()
    for name in ("queue", "item_before", "item_after"):
        for place in (-1, 3):
            with pytest.raises(CorruptionError, match=f"'{name}' has places beyond its 2 items"):
                ISGD(n_factors=1).restore(arrays | {name: np.full_like(arrays[name], place)})


def test_step_that_would_go_past_its_aim_is_cut():
    model = placed(0, [[2.0]], [[1.5]])
    model.learn_one(0, 0, 0.0, 0, np.nan)
    # e = 1 - 3 = -2; r = 0.5 would be above 1 / (4 + 2.25), which is taken instead.
    arrays, rate = model.to_arrays(), 1.0 / 6.25
    assert arrays["user"][0] == pytest.approx([2.0 + rate * (-2.0 * 1.5 - 0.1 * 2.0)], rel=1e-6)
    assert arrays["item"][0] == pytest.approx([1.5 + rate * (-2.0 * 2.0 - 0.1 * 1.5)], rel=1e-6)


def test_stranger_gets_the_mean_of_all_users():
    model = ISGD(n_factors=4)
    for user in range(9):
        for item in range(user, user + 3):
            model.learn_one(user, item, 0.0, 0, np.nan)
    assert model.user_vector(99) == pytest.approx(model.to_arrays()["user"].mean(axis=0), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": 0.0}, "learning_rate is above 0 .* got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is above 0"),
        ({"regularization": 1.0}, "regularization from 0 to below 1"),
        ({"n_negatives": -1}, "n_negatives is at least 0; got -1"),
        ({"n_factors": 0}, "n_factors is at least 1"),
        ({"seed": -1}, "seed from 0 to below"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        ISGD(**options)
