"""Rows on which our own code fails: each becomes a dead letter, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtrec.errors import InputError
from rtrec.events import packing
from rtrec.events.cleaning import Cleaner
from rtrec.events.feeds import FileFeed
from rtrec.events.mapping import ColumnMapping
from rtrec.events.parsing import RawColumn
from rtrec.events.sources import FileSource
from tests.events.test_watermark import BY_ID, TEN_MINUTES, cleaner, rows

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def bug(monkeypatch):
    """Plant a bug: columns with a certain time in them cannot be read."""

    def microseconds(self, mapping, read=RawColumn.microseconds):
        times = read(self, mapping)
        if (times == 1_714_557_540e6).any():  # 2024-05-01 09:59 UTC
            raise TypeError("cannot compare apples with pears")
        return times

    monkeypatch.setattr(RawColumn, "microseconds", microseconds)


POISON = -121  # minutes from noon: 09:59


def test_a_row_that_makes_the_cleaner_raise_is_a_dead_letter_and_its_neighbours_are_events(bug):
    clean = cleaner()
    minutes = [1.0] * 1000
    minutes[123] = minutes[777] = POISON
    events, letters = clean.clean(rows(*minutes), 1)
    assert events.num_rows == 998
    assert events["event_id"].to_pylist()[122:124] == ["shop:123", "shop:125"]
    assert [(each.row, each.reason, each.detail) for each in letters] == [
        (124, "raised: TypeError", "cannot compare apples with pears"),
        (778, "raised: TypeError", "cannot compare apples with pears"),
    ]
    assert letters[0].kept == "cells"
    assert clean.counts == {"accepted": 998, "raised: TypeError": 2}


def test_what_was_cleaned_before_the_bug_struck_is_not_remembered_twice(bug):
    """Take ids or the watermark before all went well, and good rows come out as duplicates, or late."""
    clean = cleaner(TEN_MINUTES, mapping=BY_ID)
    events, letters = clean.clean(rows(0, 30, POISON, 25, 31, ids="abcde"), 1)
    assert events["event_id"].to_pylist() == ["a", "b", "d", "e"]
    assert [each.row for each in letters] == [3]
    assert clean.counts == {"accepted": 4, "raised: TypeError": 1}


def test_a_row_that_cannot_even_be_written_down_is_a_dead_letter_all_the_same(monkeypatch):
    monkeypatch.setattr(packing, "json_row", lambda record: 1 / 0)
    frame = rows(0, 1, 2)
    frame.loc[1, "user"] = None
    events, (dead,) = cleaner().clean(frame, 1)
    assert events.num_rows == 2
    assert (dead.reason, dead.kept) == ("missing user", "part")
    assert dead.payload == "a row that cannot be written down: ZeroDivisionError: division by zero"


def test_what_is_wrong_with_a_whole_source_still_ends_it():
    with pytest.raises(InputError, match="no column 'when'"):
        Cleaner(ColumnMapping("user", "item", "when"), source="f", clock=lambda: NOW).clean(rows(1), 1)


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("speed", [None, 1e9])
def test_it_stops_neither_sorting_nor_pacing(tmp_path: Path, bug, sort: bool, speed: float | None):
    path = tmp_path / "log.csv"
    path.write_text("user,item,time\na,7,2024-05-01T09:00Z\nb,7,2024-05-01T09:59Z\nc,7,2024-05-01T08:00Z\n")
    feed = FileFeed(FileSource(path, ColumnMapping("user", "item", "time"), sort=sort))
    fed = list(feed.start(0, speed=speed))
    users = [user for each in fed for user in each.events["user_id"].to_pylist()]
    assert sorted(users) == ["a", "c"]
    assert [each.row for part in fed for each in part.dead_letters] == [2]
