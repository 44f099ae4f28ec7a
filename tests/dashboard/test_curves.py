"""From metric history to the columns of a plot."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.dashboard.curves import Curves, wilson
from rtrec.evaluation.history import MetricHistory


def history_of(hits: list[list[int]], window: int) -> MetricHistory:
    """Return the history of two models whose item was first in the list, or missing."""
    history = MetricHistory(["default", "popularity"], k=10, window=window)
    n = len(hits)
    history.add(np.array(hits), np.arange(n, dtype=float), np.arange(n))
    return history


FOUR = [[1, 0], [0, 0], [1, 1], [1, 0]]


def test_curves_hold_the_history_window_by_window():
    curves = Curves.from_dataset(history_of(FOUR, window=2).to_xarray())
    assert curves.models == ("default", "popularity")
    assert curves.hr.tolist() == [[0.5, 0.0], [1.0, 0.5]]
    assert curves.offset.tolist() == [1.0, 3.0]
    assert curves.window == 2


def test_smoothing_weighs_windows_by_their_events():
    curves = Curves.from_dataset(history_of([*FOUR, [0, 0]], window=2).to_xarray())
    # windows hold 2, 2 and 1 events with 1, 2 and 0 hits of the first model
    assert curves.smoothed(2).hr[:, 0] == pytest.approx([1 / 2, 3 / 4, 2 / 3])
    assert curves.smoothed(1) is curves


def test_smoothing_leaves_earlier_points_as_they_were():
    hits = np.random.default_rng(3).integers(0, 2, (40, 2)).tolist()
    short = Curves.from_dataset(history_of(hits[:30], window=2).to_xarray()).smoothed(5)
    long = Curves.from_dataset(history_of(hits, window=2).to_xarray()).smoothed(5)
    assert np.array_equal(long.hr[:15], short.hr)


def test_an_open_window_with_few_events_is_not_drawn():
    hits = [[1, 0]] * 9
    assert len(Curves.from_dataset(history_of(hits, window=4).to_xarray()).settled()) == 2
    assert len(Curves.from_dataset(history_of(hits[:6], window=4).to_xarray()).settled()) == 2
    assert len(Curves.from_dataset(history_of(hits[:1], window=4).to_xarray()).settled()) == 1


def test_columns_carry_the_interval_of_the_first_model():
    columns = Curves.from_dataset(history_of(FOUR, window=2).to_xarray()).columns()
    low, high = wilson(np.array([0.5]), np.array([2.0]))
    assert columns["hr_default"].tolist() == [0.5, 1.0]
    assert columns["low"][0] == pytest.approx(low[0])
    assert columns["high"][0] == pytest.approx(high[0])


def test_wilson_interval_of_one_in_two_by_hand():
    z2 = 1.959963984540054**2
    half = (z2 / (4 * 2) * 2 + z2**2 / (4 * 4)) ** 0.5 / (1 + z2 / 2)
    low, high = wilson(np.array([0.5]), np.array([2.0]))
    # the middle of a share of one half is one half; half width: z / (1 + z2/n) * sqrt(1/(4n) + z2/(4 n^2))
    assert (low[0] + high[0]) / 2 == pytest.approx(0.5)
    expected = z2**0.5 / (1 + z2 / 2) * (1 / 8 + z2 / 16) ** 0.5
    assert high[0] - 0.5 == pytest.approx(expected)
    assert half > 0


def test_no_history_is_no_curve():
    empty = Curves.empty()
    assert len(empty) == 0
    assert empty.window == 0
    assert len(empty.smoothed(5)) == 0
    assert len(Curves.from_dataset(MetricHistory(["default"], k=10).to_xarray())) == 0
