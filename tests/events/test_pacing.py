"""Replay at a multiple of recorded speed, with a clock moved by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rtrec.clock import SteadyClock
from rtrec.events.feeds import FileFeed
from rtrec.events.mapping import ColumnMapping
from rtrec.events.pacing import Pace, paced
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.sources import FileSource, RawChunk

START = datetime(2024, 5, 1, 10, tzinfo=UTC)
NOW = START + timedelta(days=1)
MAPPING = ColumnMapping("user", "item", "time")


class HandClock:
    """Seconds that pass only by sleeping."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds


def table(*offsets_s: float) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "event_id": str(offset),
                "user_id": "anna",
                "item_id": "7",
                "timestamp": START + timedelta(seconds=offset),
                "kind": "view",
            }
            for offset in offsets_s
        ],
        schema=EVENT_SCHEMA,
    )


def raw(first_row: int, *times: str) -> RawChunk:
    frame = pd.DataFrame({"user": "anna", "item": "7", "time": list(times)})
    return RawChunk(
        first_row, frame.set_index(pd.RangeIndex(first_row, first_row + len(frame), name="row")), MAPPING
    )


def replay(chunks: list[object], speed: float, **options: float) -> list[tuple[float, int]]:
    """Return, for each part handed out, the seconds since the start and the number of rows."""
    clock = HandClock()
    parts = paced(chunks, speed=speed, pace=Pace(clock), sleep=clock.sleep, now=lambda: NOW, **options)
    return [
        (clock() - 1000, part.num_rows if isinstance(part, pa.Table) else len(part.frame)) for part in parts
    ]


def test_rows_come_when_due_at_a_multiple_of_recorded_speed():
    # At 60 times the speed, a minute takes a second.
    assert replay([table(0, 60, 60, 180)], 60) == [(0.0, 1), (1.0, 2), (3.0, 1)]


def test_due_times_go_on_across_chunks():
    assert replay([table(0, 10), table(20), table(), table(30)], 1) == [
        (0.0, 1),
        (10.0, 1),
        (20.0, 1),
        (30.0, 1),
    ]


def test_a_pause_is_cut_short_and_what_follows_comes_sooner_by_as_much():
    # Ten times as fast: an hour would take six minutes, and what is 10 s behind it comes a second later.
    chunks = [table(0, 10, 3610), table(3620), table(), table(7220, 7220, 7230)]
    cut = replay(chunks, 10, longest_wait_s=2.0)
    assert cut == [(0.0, 1), (1.0, 1), (3.0, 1), (4.0, 1), (6.0, 2), (7.0, 1)]
    assert replay(chunks, 10)[-1] == (723.0, 1)


@pytest.mark.parametrize(("options", "longest"), [({}, 2.0), ({"longest_wait_s": 0.5}, 0.5)])
def test_a_file_is_not_waited_for_through_its_empty_years(tmp_path, options, longest):
    (tmp_path / "log.csv").write_text("user,item,time\nanna,7,2001-01-01\nben,8,2011-01-01\n")
    feed = FileFeed(FileSource(tmp_path / "log.csv", MAPPING), **options)
    slept: list[float] = []

    def sleep(seconds: float) -> bool:
        slept.append(seconds)
        return True

    assert [fed.position for fed in feed.start(0, speed=1.0, sleep=sleep)] == [1]
    assert 0 < slept[0] <= longest


def test_a_late_event_is_due_at_once():
    assert replay([table(0, 10, 5, 11)], 1) == [(0.0, 1), (10.0, 2), (11.0, 1)]


def test_what_fell_due_meanwhile_comes_as_one_part():
    clock = HandClock()
    parts = paced([table(0, 1, 2, 3, 9)], speed=1, pace=Pace(clock), sleep=clock.sleep, now=lambda: NOW)
    assert next(parts).num_rows == 1
    clock.seconds += 3.5
    assert next(parts)["event_id"].to_pylist() == ["1", "2", "3"]


def test_a_pace_says_how_long_the_next_row_is_overdue():
    clock = HandClock()
    pace = Pace(clock)
    parts = paced([table(0, 1, 2), table(9)], speed=1, pace=pace, sleep=clock.sleep, now=lambda: NOW)
    assert (pace.behind_s(), next(parts).num_rows, pace.behind_s()) == (None, 1, 0.0)
    clock.seconds += 3.5  # whoever takes the first row takes so long, and rows 1 and 2 fall due meanwhile
    assert (pace.behind_s(), next(parts).num_rows, pace.behind_s()) == (3.5, 2, 2.5)
    assert (next(parts).num_rows, clock.seconds, pace.behind_s()) == (1, 1009.0, 0.0)


def test_without_a_speed_chunks_pass_unchanged_and_nobody_sleeps():
    clock = HandClock()
    chunks = [table(0, 3600), table(7200)]
    assert list(paced(chunks, speed=None, pace=Pace(clock), sleep=clock.sleep)) == chunks
    assert clock.sleeps == []


def test_parts_of_raw_chunks_keep_their_place_for_a_restart():
    clock = HandClock()
    chunk = raw(41, "2024-05-01T10:00Z", "2024-05-01T10:00Z", "2024-05-01T10:01Z")
    parts = list(paced([chunk], speed=1, pace=Pace(clock), sleep=clock.sleep, now=lambda: NOW))
    assert [(part.first_row, part.position) for part in parts] == [(41, 42), (43, 43)]
    assert [part.frame.index.tolist() for part in parts] == [[41, 42], [43]]


@pytest.mark.parametrize("time", ["garbage", "", "2999-01-01"])
def test_a_row_without_a_usable_time_does_not_hold_up_the_stream(time: str):
    chunks = [raw(1, time), raw(2, "2024-05-01T10:00Z", time, "2024-05-01T10:00:10Z")]
    assert replay(chunks, 1) == [(0.0, 1), (0.0, 2), (10.0, 1)]


def test_a_sleep_that_returns_true_ends_the_replay():
    pace = Pace(lambda: 0.0)
    parts = paced([table(0, 10)], speed=1, pace=pace, sleep=lambda seconds: True, now=lambda: NOW)
    assert [part.num_rows for part in parts] == [1]


def test_the_longest_wait_must_be_above_zero():
    with pytest.raises(ValueError, match="longest_wait_s must be above zero; got 0"):
        paced([], speed=1, longest_wait_s=0)


@pytest.mark.parametrize("speed", [0, -1, np.nan])
def test_speed_must_be_above_zero(speed: float):
    with pytest.raises(ValueError, match=r"speed must be above zero.*got"):
        paced([], speed=speed)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_jump_of_the_wall_clock_neither_holds_nor_hurries_a_replay(hours: int):
    """Measure what is due on the wall clock, or ask it what lies in the future, and this fails."""
    clock, wall = HandClock(), [START + timedelta(minutes=2)]

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        wall[0] += timedelta(seconds=seconds)
        if clock.seconds == 1020.0:
            wall[0] += timedelta(hours=hours)

    chunks = [table(offset) for offset in range(0, 60, 10)]
    steady = SteadyClock(wall=lambda: wall[0], monotonic=clock)
    handed_out = paced(chunks, speed=1.0, pace=Pace(clock), sleep=sleep, now=steady)
    assert [clock.seconds for _ in handed_out] == [1000.0 + offset for offset in range(0, 60, 10)]
