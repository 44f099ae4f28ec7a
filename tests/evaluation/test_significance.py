"""Chance is drawn from a seed and judged by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.evaluation.metrics import PairedCounts
from rtrec.evaluation.significance import (
    bootstrap_interval,
    bootstrap_means,
    jackknife_interval,
    paired_test,
)

FIGURES = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30)


def test_draws_repeat_with_their_seed():
    values = np.random.default_rng(3).random((20, 2))

    assert np.array_equal(bootstrap_means(values, seed=1), bootstrap_means(values, seed=1))
    assert not np.array_equal(bootstrap_means(values, seed=1), bootstrap_means(values, seed=2))


def test_draws_are_of_whole_users():
    # The second column is the first plus one, so it is in every draw of users.
    first = np.random.default_rng(3).random(20)

    means = bootstrap_means(np.column_stack([first, first + 1.0]), n_resamples=50)

    np.testing.assert_allclose(means[:, 1], means[:, 0] + 1.0)


def test_two_users_come_out_as_the_four_draws_there_are():
    means = bootstrap_means(np.array([[0.0], [1.0]]), n_resamples=4000)[:, 0]

    # Both the first: 1/4, one of each: 1/2, both the second: 1/4; standard deviation sqrt(4000 x 3/16) = 27.
    drawn = [int((means == each).sum()) for each in (0.0, 0.5, 1.0)]
    assert sum(drawn) == 4000
    assert np.abs(np.array(drawn) - [1000, 2000, 1000]).max() < 4 * 32


def test_interval_of_many_users_is_the_normal_one():
    values = np.tile([0.0, 1.0], 500)[:, None]

    low, high = bootstrap_interval(values, n_resamples=4000)

    # The standard error of a mean of 1,000 halves is sqrt(0.25 / 1000); means come in steps of 1/1000.
    half = 1.96 * sqrt(0.25 / 1000)
    assert (low[0], high[0]) == pytest.approx((0.5 - half, 0.5 + half), abs=0.003)


def test_blocks_do_not_change_the_draws(monkeypatch):
    values = np.random.default_rng(3).random((20, 2))
    whole = bootstrap_means(values, n_resamples=30)

    monkeypatch.setattr("rtrec.evaluation.significance._BLOCK_CELLS", 7 * 20)

    np.testing.assert_allclose(bootstrap_means(values, n_resamples=30), whole)


def test_users_without_a_figure_are_left_out_of_their_column():
    values = np.array([[1.0, 2.0], [np.nan, 2.0], [1.0, np.nan], [1.0, 2.0]])

    low, high = bootstrap_interval(values)

    assert (low.tolist(), high.tolist()) == ([1.0, 2.0], [1.0, 2.0])


def test_one_user_has_no_interval():
    assert np.isnan(bootstrap_interval(np.array([[0.5]]))).all()
    assert np.isnan(bootstrap_interval(np.zeros((0, 2)))).all()
    assert np.isnan(jackknife_interval(0.5, np.array([0.5]))).all()


@given(FIGURES)
def test_an_interval_lies_within_the_figures(figures):
    low, high = bootstrap_interval(np.array(figures)[:, None], n_resamples=100)

    assert min(figures) - 1e-9 <= low[0] <= high[0] <= max(figures) + 1e-9


@given(FIGURES)
def test_jackknife_of_a_mean_is_the_textbooks_standard_error(figures):
    values = np.array(figures, np.float64)
    n = len(values)

    low, high = jackknife_interval(values.mean(), (values.sum() - values) / (n - 1), within=(-9.0, 9.0))

    error = sqrt(values.var(ddof=1) / n)
    assert (high - low) / 2 == pytest.approx(1.959963984540054 * error, abs=1e-9)


def test_jackknife_stays_where_the_figure_can_be():
    low, high = jackknife_interval(0.95, np.array([0.5, 1.0, 0.9, 0.2]))

    assert 0.0 <= low < 0.95
    assert high == 1.0


def test_difference_is_paired_by_user():
    # B is hard users and easy users; A is always 0.1 better, which side by side nobody could tell.
    b = np.array([0.0, 0.9] * 20)

    both = paired_test(b + 0.1, b)

    assert both.difference.value == pytest.approx(0.1)
    assert (both.difference.low, both.difference.high) == pytest.approx((0.1, 0.1))
    assert both.difference.is_clear
    assert (both.a_wins, both.b_wins, both.n_users) == (40, 0, 40)
    assert both.p_sign == pytest.approx(2 / 2**40)
    # No draw of 1,000 is as far from the mean as the mean from zero: (1 + 0) / (1 + 1000).
    assert both.p_bootstrap == pytest.approx(1 / 1001)


def test_sign_test_leaves_out_ties():
    both = paired_test(np.array([1.0, 1, 1, 1, 1, 0, 0.5]), np.array([0.0, 0, 0, 0, 0, 1, 0.5]))

    # 5 wins against 1 of 6: 2 x (1 + 6) / 64.
    assert (both.a_wins, both.b_wins) == (5, 1)
    assert both.p_sign == pytest.approx(14 / 64)


def test_equal_models_cannot_be_told_apart():
    both = paired_test(np.array([0.2, 0.7]), np.array([0.2, 0.7]))

    assert tuple(both.difference) == (0.0, 0.0, 0.0)
    assert not both.difference.is_clear
    assert (both.p_bootstrap, both.p_sign) == (1.0, 1.0)


def test_chance_is_rarely_called_a_difference():
    rng = np.random.default_rng(0)
    pairs = [rng.random((2, 60)) for _ in range(200)]

    tests = [paired_test(a, b, n_resamples=200) for a, b in pairs]

    # At the level of 5% some 10 of 200 should be; 4 standard deviations of sqrt(200 x 0.05 x 0.95) = 3.1.
    assert sum(each.difference.is_clear for each in tests) <= 10 + 4 * 3.1
    assert sum(each.p_bootstrap < 0.05 for each in tests) <= 10 + 4 * 3.1
    assert sum(each.p_sign < 0.05 for each in tests) <= 10 + 4 * 3.1


@given(FIGURES, st.integers(0, 9))
def test_turning_the_models_round_turns_the_sign(figures, seed):
    a = np.array(figures, np.float64)
    b = np.random.default_rng(seed).random(len(a))

    one, other = paired_test(a, b, n_resamples=100), paired_test(b, a, n_resamples=100)

    assert one.difference.value == -other.difference.value
    assert (one.a_wins, one.b_wins) == (other.b_wins, other.a_wins)
    assert (one.p_sign, one.p_bootstrap) == (other.p_sign, other.p_bootstrap)


def test_users_without_a_figure_of_both_are_left_out():
    both = paired_test(np.array([1.0, np.nan, 0.5]), np.array([0.0, 1.0, np.nan]))

    assert (both.n_users, both.difference.value) == (1, 1.0)
    assert np.isnan([both.difference.low, both.difference.high]).all()
    assert paired_test(np.array([np.nan]), np.array([1.0])).n_users == 0


def test_hit_rates_agree_with_the_counts_of_ranks():
    ranks_a, ranks_b = np.array([1, 0, 2, 1, 0, 0]), np.array([0, 0, 1, 0, 3, 0])
    pair = PairedCounts(3)
    pair.add(ranks_a, ranks_b)

    both = paired_test((ranks_a > 0).astype(float), (ranks_b > 0).astype(float))

    assert both.difference.value == pytest.approx(pair.difference("hit_rate").value)
    assert (both.a_wins, both.b_wins) == pair.wins("hit_rate")
    assert both.p_sign == pair.sign_test("hit_rate")


def test_figures_of_other_users_are_refused():
    with pytest.raises(ValueError, match=r"one of each user from both models; got \(2,\) and \(3,\)"):
        paired_test(np.zeros(2), np.zeros(3))


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"between 0 and 1, for example 0\.95; got 95"):
        bootstrap_interval(np.zeros((3, 1)), level=95)
    with pytest.raises(ValueError, match="n_resamples is at least 1; got 0"):
        bootstrap_means(np.zeros((3, 1)), n_resamples=0)
