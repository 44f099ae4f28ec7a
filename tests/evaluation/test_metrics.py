"""Metrics from counts of ranks, redone by hand."""

from __future__ import annotations

from math import log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.evaluation.metrics import PairedCounts, RankCounts, gains

Z95 = 1.959963984540054
#: Four events, two models, lists of three: 0 is a miss.
RANKS = np.array([[1, 0], [0, 1], [2, 1], [3, 0]])
RANK_LISTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=6)


def counted(ranks) -> RankCounts:
    counts = RankCounts(2, k=3)
    counts.add(np.asarray(ranks))
    return counts


def in_parts(rows: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(rows, sorted(min(cut, len(rows)) for cut in cuts))


def as_rows(ranks) -> np.ndarray:
    return np.array(ranks, np.int64).reshape(-1, 2)


def test_metrics_are_means_over_all_events():
    counts = counted(RANKS)

    assert counts.n_tested == 4
    assert counts.hit_rate().tolist() == [3 / 4, 2 / 4]
    assert counts.ndcg() == pytest.approx([(1 + 1 / log2(3) + 1 / log2(4)) / 4, 2 / 4])
    assert counts.mrr() == pytest.approx([(1 + 1 / 2 + 1 / 3) / 4, 2 / 4])


def test_shorter_lists_are_cut_from_the_tested_ones():
    counts = counted(RANKS)

    assert counts.hit_rate(k=2).tolist() == [2 / 4, 2 / 4]
    assert counts.ndcg(k=2)[0] == pytest.approx((1 + 1 / log2(3)) / 4)


def test_nothing_tested_is_no_opinion():
    counts = RankCounts(2, k=3)

    assert np.isnan(counts.hit_rate()).all()
    assert np.isnan(counts.interval("hit_rate")).all()
    assert np.isnan(counts.interval("ndcg")).all()


def test_hit_rate_interval_is_wilsons():
    misses = counted(np.zeros((10, 2), int))
    halves = counted([[1, 0], [0, 1]] * 5)

    low, high = misses.interval("hit_rate")
    assert low == pytest.approx([0, 0])
    assert high == pytest.approx([Z95**2 / (10 + Z95**2)] * 2)
    low, high = halves.interval("hit_rate")
    half = Z95 / (2 * sqrt(10 + Z95**2))
    assert low == pytest.approx([0.5 - half] * 2)
    assert high == pytest.approx([0.5 + half] * 2)


def test_ndcg_interval_is_normal_with_the_sample_variance():
    counts = counted([[1, 2], [0, 2]] * 50)

    low, high = counts.interval("ndcg")

    # First model: 50 ones and 50 zeros, so the sample variance is 100 x 0.25 / 99.
    half = Z95 * sqrt(100 * 0.25 / 99 / 100)
    assert (low[0], high[0]) == pytest.approx((0.5 - half, 0.5 + half))
    assert (low[1], high[1]) == pytest.approx((1 / log2(3), 1 / log2(3)))


def test_a_higher_level_gives_a_wider_interval():
    low, high = counted(RANKS).interval("hit_rate", level=0.95)
    lower, higher = counted(RANKS).interval("hit_rate", level=0.99)

    assert (lower < low).all()
    assert (higher > high).all()


@given(RANK_LISTS, CUTS)
def test_any_cut_of_the_stream_gives_the_same_metrics_to_the_bit(ranks, cuts):
    rows = as_rows(ranks)
    parts, merged = RankCounts(2, k=3), RankCounts(2, k=3)
    for part in in_parts(rows, cuts):
        parts.add(part.astype(np.int16))
    for part in reversed(in_parts(rows, cuts)):
        merged.merge(counted(part))

    whole = counted(rows)

    assert parts == whole
    assert merged == whole
    assert parts.ndcg().tobytes() == whole.ndcg().tobytes()
    assert whole.model(1).ndcg().tobytes() == whole.ndcg()[1:].tobytes()
    assert RankCounts.from_array(whole.to_array()) == whole


@given(RANK_LISTS.filter(bool))
def test_an_interval_holds_its_metric(ranks):
    counts = counted(as_rows(ranks))

    for metric, value in (("hit_rate", counts.hit_rate()), ("ndcg", counts.ndcg()), ("mrr", counts.mrr())):
        low, high = counts.interval(metric)
        known = ~np.isnan(low)
        assert (low[known] <= value[known] + 1e-12).all()
        assert (high[known] >= value[known] - 1e-12).all()


def test_adding_leaves_the_ranks_as_they_were():
    ranks = RANKS.copy()

    counted(ranks)

    assert np.array_equal(ranks, RANKS)


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ([[1, 4]], r"0 \(miss\) to 3; got 1 to 4"),
        ([[-1, 0]], r"got -1 to 0"),
        ([1, 0], r"\(event, 2\); got int64\(2,\)"),
        ([[1.0, 0.0]], "expected integers"),
    ],
)
def test_ranks_that_do_not_fit_are_refused(ranks, words):
    with pytest.raises(ValueError, match=words):
        counted(ranks)


def test_counts_of_different_events_for_the_models_are_refused():
    with pytest.raises(ValueError, match="tested on the same events"):
        RankCounts.from_array(np.array([[1, 0], [0, 2]]))


def test_counts_of_another_k_are_not_merged():
    with pytest.raises(ValueError, match="another k"):
        counted(RANKS).merge(RankCounts(2, k=5))


def test_a_misspelt_metric_comes_with_the_nearest():
    with pytest.raises(ValueError, match="'ndgc'; did you mean 'ndcg'"):
        gains("ndgc", 10)


@pytest.mark.parametrize("cut_off", [0, 11])
def test_a_cut_off_beyond_the_list_is_refused(cut_off):
    with pytest.raises(ValueError, match="between 1 and 10"):
        gains("ndcg", 10, cut_off)


def paired(ranks_a, ranks_b) -> PairedCounts:
    pair = PairedCounts(k=3)
    pair.add(np.asarray(ranks_a), np.asarray(ranks_b))
    return pair


def test_difference_has_the_paired_variance():
    value, low, high = paired([1, 2, 0, 3], [0, 1, 0, 0]).difference("hit_rate")

    # Gains differ by 1, 0, 0, 1: mean 1/2, sample variance (4 x 1/4) / 3 = 1/3.
    assert value == 1 / 2
    assert (low, high) == pytest.approx((1 / 2 - Z95 * sqrt(1 / 12), 1 / 2 + Z95 * sqrt(1 / 12)))


def test_difference_of_ndcg_weighs_ranks():
    pair = paired([1, 2, 0], [2, 1, 3])

    assert pair.difference("ndcg").value == pytest.approx(-(1 / log2(4)) / 3)
    assert pair.difference("ndcg", k=2).value == pytest.approx(0)


def test_a_difference_is_clear_when_its_interval_leaves_out_zero():
    assert paired([1] * 9 + [0], [0] * 10).difference("hit_rate").is_clear
    assert not paired([1, 0], [0, 1]).difference("hit_rate").is_clear


def test_sign_test_counts_who_wins_more_often():
    pair = paired([1, 1, 1, 1, 2, 0, 0], [0, 0, 0, 2, 3, 1, 0])

    # 5 wins against 1 of 6: twice the chance of at most one loss, 2 x (1 + 6) / 64.
    assert pair.wins("ndcg") == (5, 1)
    assert pair.sign_test("ndcg") == pytest.approx(14 / 64)
    # As hits (McNemar): 3 wins against 1 of 4, 2 x (1 + 4) / 16.
    assert pair.wins("hit_rate") == (3, 1)
    assert pair.sign_test("hit_rate") == pytest.approx(10 / 16)


def test_without_a_win_nothing_is_significant():
    assert paired([1, 0], [1, 0]).sign_test() == 1.0


def test_one_event_has_no_interval():
    value, low, high = paired([1], [0]).difference("hit_rate")

    assert value == 1
    assert np.isnan([low, high]).all()


@given(RANK_LISTS, CUTS)
def test_any_cut_gives_the_same_pairs_and_marginal_metrics(ranks, cuts):
    rows = as_rows(ranks)
    parts = PairedCounts(k=3)
    for part in in_parts(rows, cuts):
        parts.add(part[:, 0], part[:, 1])

    marginals = RankCounts.from_array(np.stack([parts.counts.sum(axis=1), parts.counts.sum(axis=0)]))

    assert np.array_equal(parts.counts, paired(rows[:, 0], rows[:, 1]).counts)
    assert marginals == counted(rows)


def test_pairs_of_different_length_are_refused():
    with pytest.raises(ValueError, match="A has 2 ranks, B 1"):
        paired([1, 2], [1])
