"""Windows of tested events: where they begin, what they say, how they double."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.evaluation import history as history_module
from rtrec.evaluation.history import MetricHistory

MODELS = ["default", "popularity"]


def filled(ranks, *, window: int = 2, cuts=()) -> MetricHistory:
    history = MetricHistory(MODELS, k=3, window=window)
    rows = np.asarray(ranks, np.int64).reshape(-1, 2)
    places = np.arange(len(rows))
    for part in np.split(places, sorted(min(cut, len(rows)) for cut in cuts)):
        history.add(rows[part], timestamps=100.0 + part, offsets=10 + part)
    return history


def assert_same(one: MetricHistory, other: MetricHistory):
    arrays, expected = one.to_arrays(), other.to_arrays()
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert array.dtype == expected[name].dtype, name
        assert array.tobytes() == expected[name].tobytes(), name


def test_each_window_has_its_own_figures():
    cube = filled([[1, 0], [0, 0], [2, 1], [1, 1], [0, 3]]).to_xarray()

    assert cube["hr"].dims == ("window", "model")
    assert cube["hr"].sel(model="default").values.tolist() == [1 / 2, 1, 0]
    assert cube["hr"].sel(model="popularity").values.tolist() == [0, 1, 1]
    assert cube["ndcg"].sel(model="popularity").values.tolist() == [0, 1, 1 / 2]
    assert cube["n"].sel(model="default").values.tolist() == [2, 2, 1]


def test_a_window_has_time_and_offset_of_its_last_event():
    cube = filled([[1, 0]] * 5).to_xarray()

    assert cube["offset"].values.tolist() == [11, 13, 14]
    assert cube["time"].values[0] == np.datetime64("1970-01-01T00:01:41")


def test_smoothing_takes_the_events_of_several_windows_together():
    cube = filled([[1, 0], [1, 0], [0, 0], [0, 0], [1, 0]]).to_xarray(smooth=2)

    assert cube["hr"].sel(model="default").values.tolist() == [2 / 2, 2 / 4, 1 / 3]
    assert cube["n"].sel(model="default").values.tolist() == [2, 4, 3]


@pytest.mark.parametrize("smooth", [3, 100])
def test_smoothing_over_all_windows_ends_in_the_total(smooth):
    history = filled([[1, 0], [1, 2], [0, 0], [0, 0], [1, 0]])

    assert history.to_xarray(smooth)["hr"].values[-1].tolist() == history.total().hit_rate().tolist()


def test_no_event_makes_no_window():
    cube = MetricHistory(MODELS, k=10).to_xarray()

    assert dict(cube.sizes) == {"window": 0, "model": 2}


def test_too_many_windows_are_merged_two_by_two(monkeypatch):
    monkeypatch.setattr(history_module, "MAX_WINDOWS", 4)

    four = filled([[1, 0], [0, 0], [1, 1], [1, 1]], window=1)
    five = filled([[1, 0], [0, 0], [1, 1], [1, 1], [0, 0]], window=1)

    assert (four.window, four.n_windows) == (1, 4)
    assert (five.window, five.n_windows) == (2, 3)
    assert five.to_xarray()["hr"].sel(model="default").values.tolist() == [1 / 2, 1, 0]
    assert five.to_xarray()["offset"].values.tolist() == [11, 13, 14]


def test_two_thousand_windows_are_kept():
    history = filled(np.ones((8001, 2)), window=1)

    assert (history.window, history.n_windows) == (8, 1001)
    assert history.total().n_tested == 8001


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=60),
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(1, 5),
)
def test_any_cut_of_the_stream_gives_the_same_history(ranks, cuts, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_module, "MAX_WINDOWS", 4)

        assert_same(filled(ranks, window=window, cuts=cuts), filled(ranks, window=window))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30), st.integers(0, 30))
def test_a_restored_history_goes_on_as_if_nothing_had_been(ranks, cut):
    rows = np.array(ranks, np.int64).reshape(-1, 2)
    cut = min(cut, len(rows))
    later = np.arange(cut, len(rows))

    restored = MetricHistory.from_arrays(filled(rows[:cut]).to_arrays())
    restored.add(rows[later], timestamps=100.0 + later, offsets=10 + later)

    assert_same(restored, filled(rows))


def test_arrays_can_be_stored_without_pickle():
    stored = {}
    for name, array in filled([[1, 0]] * 5).to_arrays().items():
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        file.seek(0)
        stored[name] = np.load(file, allow_pickle=False)

    assert_same(MetricHistory.from_arrays(stored), filled([[1, 0]] * 5))


def test_arrays_with_a_hole_are_refused():
    arrays = filled([[1, 0]] * 5).to_arrays()
    arrays["counts"][0] = 0

    with pytest.raises(ValueError, match="3 windows do not hold 2 events each"):
        MetricHistory.from_arrays(arrays)


def test_histories_of_the_same_events_stand_beside_each_other():
    one, other = filled([[1, 0]] * 3), filled([[0, 2]] * 3)

    assert one.beside(other).models == (*MODELS, *MODELS)
    assert one.beside(other).total().hit_rate().tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError, match="not of the same events"):
        one.beside(filled([[0, 2]] * 4))


def test_unknown_times_are_not_a_time():
    history = MetricHistory(MODELS, k=3, window=1)
    history.add(np.array([[1, 0]]), timestamps=np.array([np.nan]), offsets=np.array([0]))

    assert np.isnat(history.to_xarray()["time"].values).all()


def test_columns_of_different_length_are_refused():
    history = MetricHistory(MODELS, k=3)

    with pytest.raises(ValueError, match="got 1, 2 and 1"):
        history.add(np.array([[1, 0]]), timestamps=np.array([1.0, 2.0]), offsets=np.array([0]))


def test_an_earlier_cube_does_not_change_with_the_stream():
    history = filled([[1, 0]])
    cube = history.to_xarray()
    history.add(np.array([[0, 0]]), timestamps=np.array([500.0]), offsets=np.array([99]))

    assert cube["offset"].values.tolist() == [10]
    assert cube["hr"].sel(model="default").values.tolist() == [1]
