"""From metric history to the columns of a plot."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.dashboard.curves import Curves
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
    history = history_of(FOUR, window=2)
    columns = Curves.from_dataset(history.to_xarray()).smoothed(2).columns()
    low, high = history.total().interval("hit_rate")
    assert columns["hr_default"].tolist() == [0.5, 0.75]
    assert columns["low"][-1] == pytest.approx(low[0])
    assert columns["high"][-1] == pytest.approx(high[0])


@pytest.mark.parametrize("windows", [2, 5, 30])
def test_smoothing_is_the_evaluation_layers_own(windows):
    hits = np.random.default_rng(3).integers(0, 11, (97, 2)).tolist()
    history = history_of(hits, window=4)
    ours = Curves.from_dataset(history.to_xarray()).smoothed(windows)
    theirs = history.to_xarray(smooth=windows)
    assert ours.hr == pytest.approx(theirs["hr"].values)
    assert ours.ndcg == pytest.approx(theirs["ndcg"].values)
    assert ours.n.tolist() == theirs["n"].values.tolist()


def test_smoothed_figures_are_not_smoothed_again():
    with pytest.raises(ValueError, match="smooth=2"):
        Curves.from_dataset(history_of(FOUR, window=2).to_xarray(smooth=2))


def test_no_history_is_no_curve():
    empty = Curves.empty()
    assert len(empty) == 0
    assert empty.window == 0
    assert len(empty.smoothed(5)) == 0
    assert len(Curves.from_dataset(MetricHistory(["default"], k=10).to_xarray())) == 0
