"""What lists are like, redone by hand."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from rtrec.evaluation.list_metrics import (
    calibration,
    coverage,
    coverage_without_each,
    diversity,
    gini,
    gini_without_each,
    listed_counts,
    novelty,
    similarity_of_users,
    similarity_of_vectors,
)

#: Four users and four items: who had what.
HAD = sp.csc_array(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]]))


def test_novelty_is_the_mean_surprise_in_bits():
    lists = np.array([[0, 1, 2], [2, -1, -1], [-1, -1, -1]])
    n_users_of = np.array([4, 2, 1, 0])

    # log2(4/4) = 0, log2(4/2) = 1, log2(4/1) = 2.
    assert novelty(lists, n_users_of, 4, k=3)[:2].tolist() == [(0 + 1 + 2) / 3, 2.0]
    assert novelty(lists, n_users_of, 4, k=2)[0] == (0 + 1) / 2
    assert np.isnan(novelty(lists, n_users_of, 4, k=3)[2])
    assert novelty(np.array([[3]]), n_users_of, 4, k=1).tolist() == [2.0]  # nobody's counts as one user's


def test_items_are_alike_by_the_users_they_share():
    alike = similarity_of_users(np.array([[0, 1, 2], [1, 2, 3]]), HAD)

    # Items 0 and 1 share 2 users of 4 and 2; 0 and 2 share 1 of 4 and 1; 1 and 2 share none.
    assert alike[0, 0, 1] == pytest.approx(2 / sqrt(4 * 2))
    assert alike[0, 0, 2] == pytest.approx(1 / sqrt(4 * 1))
    assert alike[0, 1, 2] == 0.0
    assert np.isnan(alike[1, 0, 2])  # item 3 has no users to share


def test_diversity_is_the_mean_distance_of_pairs():
    alike = similarity_of_users(np.array([[0, 1, 2], [2, 1, -1], [3, -1, -1]]), HAD)

    distances = [1 - 2 / sqrt(8), 1 - 1 / 2, 1 - 0]
    assert diversity(alike, k=3)[:2] == pytest.approx([sum(distances) / 3, 1.0])
    assert diversity(alike, k=2)[0] == pytest.approx(distances[0])
    assert np.isnan(diversity(alike, k=3)[2])  # one item has no pair
    assert np.isnan(diversity(alike, k=1)).all()


def test_items_are_alike_by_their_vectors():
    vectors = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]])
    alike = similarity_of_vectors(np.array([[0, 1, 2, 3]]), vectors)[0]

    assert alike[0, 1] == pytest.approx(3 / 5)
    assert alike[0, 3] == pytest.approx(-1.0)
    assert np.isnan(alike[0, 2])  # no direction, so no angle
    # Pairs 01, 03 and 13 can be compared: (2/5 + 2 + 8/5) / 3.
    assert diversity(alike[None], k=4) == pytest.approx([(2 / 5 + 2 + 8 / 5) / 3])


@given(st.lists(st.permutations(range(6)), min_size=1, max_size=4), st.integers(0, 100))
def test_users_shared_are_the_cosine_of_columns(lists, seed):
    had = (np.random.default_rng(seed).random((7, 6)) < 0.5).astype(float)

    by_users = similarity_of_users(np.array(lists), sp.csc_array(had))

    np.testing.assert_allclose(by_users, similarity_of_vectors(np.array(lists), had.T), atol=1e-12)


def test_many_lists_are_taken_in_blocks():
    lists = np.random.default_rng(0).permuted(np.tile(np.arange(4), (300, 1)), axis=1)[:, :2]

    whole = similarity_of_users(lists, HAD)

    for row in (0, 127, 128, 299):
        np.testing.assert_array_equal(whole[row], similarity_of_users(lists[[row]], HAD)[0])


def test_coverage_counts_the_items_listed():
    lists = np.array([[0, 1], [0, -1], [0, 3]])
    counts = listed_counts(lists, 2, 5)

    assert counts.tolist() == [3, 1, 0, 1, 0]
    assert coverage(counts) == 3 / 5
    assert coverage(listed_counts(lists, 1, 5)) == 1 / 5
    # Without the first list 1 is gone, without the second nothing, without the third 3.
    assert coverage_without_each(lists, 2, np.arange(5)).tolist() == [2 / 5, 3 / 5, 2 / 5]


def test_gini_is_0_for_equal_shares_and_near_1_for_a_single_item():
    assert gini(np.array([3, 3, 3])) == 0.0
    assert gini(np.array([0] * 99 + [7])) == pytest.approx(99 / 100)
    # By rising count 1, 2, 5: factors -2, 0, 2, so (-2 + 0 + 10) / (3 x 8).
    assert gini(np.array([5, 1, 2])) == pytest.approx(8 / 24)
    assert np.isnan(gini(np.zeros(3, int)))


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 1000))
def test_leaving_out_a_list_is_counting_the_others(n_users, k, seed):
    rng = np.random.default_rng(seed)
    lists = rng.permuted(np.tile(np.arange(7), (n_users, 1)), axis=1)[:, :k].astype(np.int32)
    lists[np.arange(k) >= rng.integers(0, k + 1, (n_users, 1))] = -1
    catalogue = np.arange(8, dtype=np.int32)
    others = [listed_counts(np.delete(lists, row, axis=0), k, 8) for row in range(n_users)]

    np.testing.assert_allclose(coverage_without_each(lists, k, catalogue), [coverage(c) for c in others])
    np.testing.assert_allclose(gini_without_each(lists, k, catalogue), [gini(c) for c in others])


def test_calibration_is_the_divergence_of_categories():
    # Items: 0 war, 1 drama, 2 both, 3 none. The history: item 0 twice, item 2 once.
    categories = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    history = sp.csr_array(np.array([[2.0, 0.0, 1.0, 0.0]]))
    # p: war (2 + 1/2) / 3, drama (1/2) / 3. The list 1, 2: war (1/2) / 2, drama (1 + 1/2) / 2.
    p, q = (5 / 6, 1 / 6), (1 / 4, 3 / 4)

    by_hand = sum(a * log(a / (0.99 * b + 0.01 * a)) for a, b in zip(p, q, strict=True))

    assert calibration(np.array([[1, 2]]), history, categories, k=2) == pytest.approx([by_hand])
    # The first item alone is all drama: q is 0 and 1, and smoothing keeps the logarithm finite.
    alone = 5 / 6 * log((5 / 6) / (0.01 * 5 / 6)) + 1 / 6 * log((1 / 6) / (0.99 + 0.01 / 6))
    assert calibration(np.array([[1, 2]]), history, categories, k=1) == pytest.approx([alone])


def test_a_list_like_the_history_is_calibrated():
    categories = np.eye(3)
    history = sp.csr_array(np.array([[4.0, 2.0, 0.0], [0.0, 0.0, 1.0]]))
    lists = np.array([[0, 1, 0], [2, -1, -1]])

    assert calibration(lists, history, categories, k=3) == pytest.approx([0.0, 0.0], abs=1e-15)


def test_without_categories_there_is_no_calibration():
    categories = np.array([[1.0], [0.0]])
    history = sp.csr_array(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    lists = np.array([[1], [0], [-1]])  # a list without, a history without, no list

    assert np.isnan(calibration(lists, history, categories, k=1)).all()


def test_the_size_of_vectors_plays_no_part():
    lists, vectors = np.array([[0, 1]]), np.array([[3.0, 4.0], [4.0, 3.0]])
    for size in (1e-300, 1.0, 1e300):  # cosine (12 + 12) / 25
        np.testing.assert_allclose(similarity_of_vectors(lists, size * vectors)[0, 0, 1], 24 / 25)
