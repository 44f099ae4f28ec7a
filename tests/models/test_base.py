"""The rules under which every plain model answers, against a slow reading of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.models.base import Recommender
from rtrec.types import KINDS, NumberedEvents

DISLIKE = KINDS.index("dislike")


class Fixed(Recommender):
    """The same scores for everybody."""

    def __init__(self, scores: list[float], *, repeat: bool) -> None:
        super().__init__(repeat=repeat)
        self.scores = np.array(scores)

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        return self.scores

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        pass


def log(rows: list[tuple[int, int, int]]) -> NumberedEvents:
    user, item, kind = (np.array(column) for column in zip(*rows, strict=True)) if rows else np.zeros((3, 0))
    return NumberedEvents(
        user.astype(np.int32),
        item.astype(np.int32),
        np.arange(len(rows), dtype=np.float64),
        kind.astype(np.uint8),
        np.full(len(rows), np.nan, np.float32),
    )


def slowly(scores: list[float], rows: list[tuple[int, int, int]], user: int, k: int, repeat: bool) -> list:
    known = {item for _, item, kind in rows if kind != DISLIKE}
    last = {(who, item): kind for who, item, kind in rows}
    barred = {item for who, item in last if who == user and (not repeat or last[who, item] == DISLIKE)}
    there = [item for item in known - barred if item < len(scores) and scores[item] == scores[item]]
    return sorted(there, key=lambda item: (-scores[item], item))[:k]


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), max_size=30),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.sampled_from([0, 3, DISLIKE])), max_size=40),
    st.booleans(),
    st.integers(1, 4),
)
def test_the_list_is_the_best_of_what_is_known_and_not_barred(scores, rows, repeat, k):
    """Scores may be fewer or more than the items known; items may come far beyond those before them."""
    model = Fixed(scores, repeat=repeat)
    model.test_then_learn(log(rows), k=k, batch=7)

    for user in range(4):
        assert model.recommend(user, 0.0, k=k) == slowly(scores, rows, user, k, repeat)


@pytest.mark.parametrize(("scores", "shape"), [(1.0, r"\(\)"), ([[0.0, 1.0]], r"\(1, 2\)")])
def test_scores_that_are_not_one_an_item_are_refused_by_name(scores, shape):
    with pytest.raises(ValueError, match=rf"Fixed.score: expected one number an item, .* got shape {shape}"):
        Fixed(scores, repeat=False).test_then_learn(log([(0, 0, 0)]), k=1)


def test_coverage_counts_the_items_known_and_not_the_room_for_more():
    model = Fixed([0.0, 3.0, 2.0], repeat=True)
    assert model.coverage() == 0.0

    model.test_then_learn(log([(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 2, 0), (0, 9, DISLIKE)]), k=1)

    # Shown were item 0 (the only one known then) and item 1; known are 0, 1 and 2.
    assert model.coverage() == 2 / 3


class Bare(Fixed):
    """A model whose own beginning is all it has."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = np.array(scores)


def test_a_model_of_ones_own_need_not_call_the_beginning_of_the_base():
    rows = [(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 2, DISLIKE)]
    bare, fixed = Bare([3.0, 2.0, 1.0]), Fixed([3.0, 2.0, 1.0], repeat=False)
    assert not bare.repeat
    np.testing.assert_array_equal(bare.test_then_learn(log(rows), k=2), fixed.test_then_learn(log(rows), k=2))
    assert [bare.recommend(user, 9.0, k=2) for user in (0, 1, 2)] == [[], [0], [0, 1]]
    assert bare.coverage() == fixed.coverage()
    other = Bare([3.0, 2.0, 1.0])  # has nothing of the first
    assert other.recommend(2, 9.0, k=2) == []
