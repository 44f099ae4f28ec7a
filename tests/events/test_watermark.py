"""Lateness: what a watermark calls late, what moves it, and what it remembers."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.clock import SteadyClock
from rtrec.events.cleaning import Cleaner
from rtrec.events.mapping import ColumnMapping
from rtrec.events.watermark import ANY_LATENESS, Watermark

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MAPPING = ColumnMapping("user", "item", "time")
BY_ID = ColumnMapping("user", "item", "time", event_id="id")
TEN_MINUTES = timedelta(minutes=10)


def rows(*minutes: float, ids: str = "") -> pd.DataFrame:
    """Return an event for each: so many minutes past noon; with an id of one letter each if there are any."""
    times = [(NOON + timedelta(minutes=each)).isoformat() for each in minutes]
    return pd.DataFrame(
        {"user": "anna", "item": "7", "time": times, "id": list(ids or "x" * len(times))}, dtype=object
    )


def cleaner(
    lateness: timedelta = TEN_MINUTES, *, now: datetime = NOON + timedelta(hours=1), mapping=MAPPING
) -> Cleaner:
    return Cleaner(mapping, source="shop", clock=lambda: now, watermark=Watermark(lateness))


def test_an_event_is_late_that_is_older_than_the_newest_by_more_than_is_allowed():
    clean = cleaner()
    events, (late,) = clean.clean(rows(20, 10, 9.5, 30), 1)
    assert events.num_rows == 3
    assert (late.row, late.reason, late.column) == (3, "late", "time")
    assert late.detail == "0:10:30 older than the newest event so far; 0:10:00 is allowed"
    assert json.loads(late.payload)["time"] == "2024-05-01T12:09:30+00:00"
    assert clean.counts == {"accepted": 3, "late": 1}
    assert clean.watermark.moment == NOON + timedelta(minutes=20)


def test_without_a_bound_nothing_is_late_but_how_late_it_comes_is_known():
    clean = cleaner(ANY_LATENESS)
    events, letters = clean.clean(rows(20, -600, 30), 1)
    assert (events.num_rows, letters, clean.watermark.moment) == (3, [], None)
    assert clean.watermark.most_behind == 620 * 60e6


def test_an_event_dated_2099_moves_nothing():
    clean = cleaner()
    far = rows(20, 0, 12)
    far.loc[1, "time"] = "2099-01-01T00:00:00Z"
    events, (dead,) = clean.clean(far, 1)
    assert events.num_rows == 2
    assert dead.reason == "far future"
    assert clean.watermark.moment == NOON + timedelta(minutes=10)


def test_a_client_whose_clock_is_five_minutes_ahead_moves_it_to_now_and_a_clock_error_at_most():
    clean = cleaner(now=NOON)
    events, letters = clean.clean(rows(5, -10, -9.9), 1)
    assert letters[0].row == 2  # ten minutes before now and 5 s
    assert events.num_rows == 2
    assert clean.watermark.moment == NOON + timedelta(seconds=5) - TEN_MINUTES


def test_a_refused_row_and_a_late_one_do_not_move_it():
    clean = cleaner()
    bad = rows(5, 40, 0)
    bad.loc[1, "user"] = None
    clean.clean(bad, 1)
    assert clean.counts == {"accepted": 2, "missing user": 1}
    assert clean.watermark.moment == NOON - timedelta(minutes=5)


def test_what_came_before_is_a_repeat_however_late_and_is_no_dead_letter():
    clean = cleaner(mapping=BY_ID)
    clean.clean(rows(0, 30, ids="ab"), 1)
    events, letters = clean.clean(rows(0, 30, 40, ids="abc"), 3)  # the whole batch, sent again
    assert (events["event_id"].to_pylist(), letters) == (["c"], [])
    assert clean.counts == {"accepted": 3, "duplicate id": 2}


def test_a_late_event_does_not_use_up_its_id():
    """Else a run that was killed in between, which knows the ids of events only, would go on otherwise."""
    clean = cleaner(mapping=BY_ID)
    events, (late,) = clean.clean(rows(30, 0, 25, ids="abb"), 1)
    assert events["event_id"].to_pylist() == ["a", "b"]
    assert late.row == 2


@given(
    minutes=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    ids=st.lists(st.sampled_from("abcdef"), min_size=12, max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=4),
    mapping=st.sampled_from([MAPPING, BY_ID]),
)
def test_it_does_not_matter_where_a_stream_is_cut_nor_whether_it_was_interrupted(minutes, ids, cuts, mapping):
    """Let late events use up ids, or judge a batch at once, and this fails."""
    whole = cleaner(mapping=mapping)
    frame = rows(*minutes, ids="".join(ids[: len(minutes)]))
    expected = whole.clean(frame, 1)

    edges = sorted({0, len(frame), *(cut for cut in cuts if cut < len(frame))})
    going_on = cleaner(mapping=mapping)  # one process, which sees piece by piece
    pieces = [going_on.clean(frame[start:stop], start + 1) for start, stop in itertools.pairwise(edges)]
    assert [letter for piece in pieces for letter in piece.dead_letters] == expected.dead_letters
    assert going_on.counts == whole.counts

    stored, counts, taken, refused = {}, {}, [], []
    for start, stop in itertools.pairwise(edges):
        again = cleaner(mapping=mapping)  # a new process each time, which knows what the log has
        again.watermark = Watermark.resumed(json.loads(json.dumps(stored)))
        again.watermark.lateness = TEN_MINUTES
        again.counts.update(counts)
        again.remember(taken)
        batch = again.clean(frame[start:stop], start + 1)
        taken += batch.events["event_id"].to_pylist()
        refused += batch.dead_letters
        stored, counts = again.watermark.stored(), again.counts
    assert taken == expected.events["event_id"].to_pylist()
    assert refused == expected.dead_letters
    assert counts == whole.counts
    assert stored == whole.watermark.stored()


def test_the_lateness_that_was_stored_holds_until_another_is_given():
    watermark = Watermark(TEN_MINUTES)
    watermark.take(watermark.sight(np.array([1e6 * 3600]), latest=np.inf))
    stored = json.loads(json.dumps(watermark.stored()))
    assert Watermark.resumed(stored).lateness == TEN_MINUTES
    assert Watermark.resumed(stored).moment == watermark.moment
    assert Watermark.resumed(stored, ANY_LATENESS).is_open
    assert Watermark.resumed({}).is_open


def test_what_is_stored_is_what_a_log_has_always_held():
    watermark = Watermark(TEN_MINUTES)
    assert watermark.stored() == {"highest_us": None, "most_behind_us": 0, "lateness_us": 600_000_000}
    watermark.take(watermark.sight(np.array([5e6, 3e6, 4e6]), latest=np.inf))
    stored = {"highest_us": 5_000_000, "most_behind_us": 2_000_000, "lateness_us": 600_000_000}
    assert watermark.stored() == stored
    again = Watermark.resumed(stored)
    assert again.stored() == stored
    assert again.sight(np.array([1e6]), latest=np.inf).behind.tolist() == [4e6]
    assert json.dumps(again.stored()) == json.dumps(stored)  # 600000000, not 600000000.0
    assert (Watermark.resumed({}, TEN_MINUTES).moment, Watermark.resumed({}).most_behind) == (None, 0.0)
    assert Watermark().stored()["lateness_us"] is None


def test_events_in_their_order_are_not_behind_and_none_at_all_move_nothing():
    watermark = Watermark(timedelta(0))
    sighting = watermark.sight(np.array([1e6, 1e6, 2e6]), latest=np.inf)
    assert sighting.behind.tolist() == [0.0, 0.0, 0.0]
    assert sighting.is_late.tolist() == [False, False, False]
    watermark.take(sighting)
    watermark.take(watermark.sight(np.array([]), latest=np.inf))
    assert watermark.stored() == {"highest_us": 2_000_000, "most_behind_us": 0, "lateness_us": 0}
    assert watermark.sight(np.array([2e6 - 1, 2e6]), latest=np.inf).is_late.tolist() == [True, False]


def test_the_most_behind_of_all_sightings_is_kept():
    watermark = Watermark()
    for seconds in ([9.0, 4.0, 8.0], [8.0]):
        watermark.take(watermark.sight(np.array(seconds) * 1e6, latest=np.inf))
    assert watermark.most_behind == 5e6


def test_a_negative_lateness_is_refused():
    with pytest.raises(ValueError, match="zero or more; got -1 day"):
        Watermark(timedelta(days=-1))


# --------------------------------------------------------------------------------------------------- clocks


class HandHeld:
    """A wall clock and a monotonic one, moved by hand."""

    def __init__(self) -> None:
        self.wall, self.seconds = NOON, 0.0

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds

    def steady(self) -> SteadyClock:
        return SteadyClock(wall=lambda: self.wall, monotonic=lambda: self.seconds)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wall_clock_that_jumps_by_an_hour_refuses_no_event_of_the_moment(hours):
    hands = HandHeld()
    clean = Cleaner(MAPPING, source="shop", clock=hands.steady(), watermark=Watermark(TEN_MINUTES))
    true_time = 0.0
    for _ in range(100):
        hands.pass_by(60)
        true_time += 1
        if true_time == 30:
            hands.wall += timedelta(hours=hours)
        clean.clean(rows(true_time), 1)
    assert clean.counts == {"accepted": 100}


def test_the_steady_clock_follows_one_that_is_set_forth_and_not_back():
    hands = HandHeld()
    clock = hands.steady()
    hands.wall += timedelta(hours=1)
    assert clock() == NOON + timedelta(hours=1)
    hands.wall -= timedelta(hours=2)
    hands.pass_by(90)
    assert clock() == NOON + timedelta(hours=1, seconds=90)
    hands.wall += timedelta(hours=3)
    assert clock() == NOON + timedelta(hours=2, seconds=90)
