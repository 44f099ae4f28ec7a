"""The best of what a user may get, against a full sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtrec.models.books import best_items


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), max_size=60), st.integers(1, 5), st.integers(0, 99))
def test_the_best_are_those_of_a_full_sort(scores, k, seed):
    allowed = np.random.default_rng(seed).random(len(scores)) < 0.7
    ordered = sorted((-score, item) for item, score in enumerate(scores) if allowed[item] and score == score)

    assert best_items(np.array(scores), allowed, k).tolist() == [item for _, item in ordered[:k]]


def test_scores_may_be_shorter_or_longer_than_the_items_known():
    allowed = np.array([True, True, True])

    assert best_items(np.array([1.0, 2.0]), allowed, 3).tolist() == [1, 0]
    assert best_items(np.array([1.0, 2.0, 0.0, 9.0]), allowed, 3).tolist() == [1, 0, 2]
