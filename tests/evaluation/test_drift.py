"""A fall of the hit rate at a known event is noticed soon, dated, and the same after any restart."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.evaluation import drift as drift_module
from rtrec.evaluation.drift import Alarm, HitDrift

CHANGE = 3000


def changing(seed: int, before: float, after: float, n: int = 2 * CHANGE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(n) < np.where(np.arange(n) < CHANGE, before, after)


def watched(hits: np.ndarray, cuts=()) -> tuple[HitDrift, list[Alarm]]:
    drift, alarms = HitDrift(), []
    for part in np.split(np.arange(len(hits)), sorted(cuts)):
        alarms += drift.update(hits[part], offsets=100 + part, timestamps=1000.0 + part)
    return drift, alarms


def assert_same(one: HitDrift, other: HitDrift):
    arrays, expected = one.to_arrays(), other.to_arrays()
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert array.tobytes() == expected[name].tobytes(), name


@pytest.mark.parametrize("seed", range(5))
def test_a_fall_is_noticed_once_and_dated(seed):
    _, alarms = watched(changing(seed, 0.2, 0.05))

    (alarm,) = alarms
    seen = alarm.offset - 100
    assert alarm.kind == "accuracy"
    assert CHANGE < seen < CHANGE + 1000
    assert abs(seen + 1 - alarm.n_after - CHANGE) < 100
    assert alarm.before == pytest.approx(0.2, abs=0.03)
    assert alarm.time == datetime.fromtimestamp(1000.0 + seen, UTC)


def test_a_rise_is_an_improvement():
    _, alarms = watched(changing(0, 0.05, 0.2))

    assert [alarm.kind for alarm in alarms] == ["improvement"]


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_stream_raises_no_alarm(seed):
    assert watched(changing(seed, 0.1, 0.1))[1] == []


def test_hits_that_come_in_runs_raise_few_alarms(monkeypatch):
    def n_alarms() -> int:
        found = 0
        for seed in range(10):
            rng = np.random.default_rng(seed)
            sittings = rng.geometric(1 / 30, 500)  # each of a user who is easy to guess, or is not
            hits = rng.random(sittings.sum()) < np.repeat(rng.choice([0.02, 0.02, 0.3], 500), sittings)
            found += len(watched(hits)[1])
        return found

    assert n_alarms() <= 2
    monkeypatch.setattr(drift_module, "BLOCK", 1)  # as if each hit were independent
    assert n_alarms() > 20


def test_the_rates_are_those_on_both_sides_of_the_change():
    hits = np.r_[np.tile([True, False], CHANGE // 2), np.zeros(CHANGE, bool)]

    (alarm,) = watched(hits)[1]

    # Every second event a hit, then none. The last 0 of the first part belongs to the second as well.
    assert alarm.offset - 100 + 1 - alarm.n_after == CHANGE - 1
    assert alarm.before == (CHANGE / 2) / (CHANGE - 1)
    assert alarm.after == 0


def test_the_sentence_says_what_changed_and_when():
    alarm = Alarm(offset=12345, time=datetime(2024, 5, 1, tzinfo=UTC), before=0.2, after=0.05, n_after=1100)

    assert alarm.sentence == (
        "The hit rate fell from 0.200 to 0.050 about 1,100 tested events before event 12,345."
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 2 * CHANGE), max_size=5))
def test_any_cut_of_the_stream_gives_the_same_alarms_and_state(seed, cuts):
    hits = changing(seed, 0.3, 0.1)
    drift, alarms = watched(hits, cuts)
    expected, expected_alarms = watched(hits)

    assert alarms == expected_alarms
    assert_same(drift, expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.integers(0, 2 * CHANGE))
def test_a_restored_watch_goes_on_as_if_nothing_had_been(seed, cut):
    hits = changing(seed, 0.3, 0.1)
    later = np.arange(cut, len(hits))

    restored = HitDrift.from_arrays(watched(hits[:cut])[0].to_arrays())
    restored.update(hits[later], offsets=100 + later, timestamps=1000.0 + later)

    expected, alarms = watched(hits)
    assert_same(restored, expected)
    assert restored.alarms == tuple(alarms)


@pytest.mark.parametrize("cut", [999, 1000, 1001, 2500])
def test_only_the_newer_half_is_kept_and_a_restart_does_not_change_that(monkeypatch, cut):
    monkeypatch.setattr(drift_module, "MAX_HITS", 1000)
    hits = changing(1, 0.1, 0.1)[:2700]
    later = np.arange(cut, len(hits))

    drift, _ = watched(hits)
    restored = HitDrift.from_arrays(watched(hits[:cut])[0].to_arrays())
    restored.update(hits[later], offsets=100 + later, timestamps=1000.0 + later)

    assert int(drift.to_arrays()["n_hits"]) == 700
    assert_same(restored, drift)


@pytest.mark.parametrize("seed", range(3))
def test_a_drift_just_before_the_older_half_goes_is_still_noticed(monkeypatch, seed):
    monkeypatch.setattr(drift_module, "MAX_HITS", CHANGE + 50)

    _, alarms = watched(changing(seed, 0.2, 0.05))

    assert [alarm.kind for alarm in alarms] == ["accuracy"]


def test_a_stored_watch_is_a_bit_a_hit():
    drift, _ = watched(changing(0, 0.1, 0.1))

    assert drift.to_arrays()["hits"].nbytes == 2 * CHANGE / 8


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="got 2, 1 and 1"):
        HitDrift().update(np.array([True, False]), offsets=np.array([0]), timestamps=np.array([0.0]))
