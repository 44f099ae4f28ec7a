"""Feeds: they end when they have handed out enough, and know whether a position means anything in them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rtrec.events import sources
from rtrec.events.feeds import STEP_S, Fed, Feed, FileFeed, SyntheticFeed
from rtrec.events.headstart import HeadStart
from rtrec.events.lag import SourceLag
from rtrec.events.mapping import ColumnMapping
from rtrec.events.rules import missing
from rtrec.events.sources import FileSource
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream

MAPPING = ColumnMapping("user", "item", "time")
#: Three rows of the same minute, one of them without a user, and a fourth that comes a year later.
CSV = "user,item,time\nanna,7,2023-05-01\n,8,2023-05-01\nben,9,2023-05-01\ncleo,7,2024-05-01\n"


def write(folder: Path, content: str = CSV, name: str = "log.csv") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    return folder / name


class Clock:
    """Remember how long was slept, and end the feed after some sleeps."""

    def __init__(self, n_sleeps: int) -> None:
        self.slept: list[float] = []
        self._n_sleeps = n_sleeps

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        return len(self.slept) >= self._n_sleeps


def start(feed, position, clock, *, n_more=None):
    return feed.start(
        position, speed=1e-6, n_more=n_more, counts={}, recent_ids=(), watermark={}, sleep=clock.sleep
    )


# ------------------------------------------------------------------------------------------- enough events


def take(feed: Feed, n_more: int, *, speed: float) -> list[Fed]:
    """Return what a paced feed hands out, and fail if it waits for more than ``n_more`` events."""
    taken: list[Fed] = []

    def sleep(_: float) -> None:
        n_taken = sum(fed.events.num_rows for fed in taken)
        assert n_taken < n_more, "it waited for an event that nobody wants"

    for fed in feed.start(0, speed=speed, n_more=n_more, counts={}, recent_ids=(), sleep=sleep):
        taken.append(fed)  # noqa: PERF402 - sleep has to see each at once
    return taken


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_a_paced_file_with_enough_events_does_not_wait_for_its_next_row(tmp_path, chunk_rows):
    feed = FileFeed(FileSource(write(tmp_path), MAPPING, chunk_rows=chunk_rows))
    taken = take(feed, 2, speed=1.0)
    assert [user for fed in taken for user in fed.events["user_id"].to_pylist()] == ["anna", "ben"]
    assert taken[-1].position == 3
    assert taken[-1].counts == {"accepted": 2, "missing user": 1}
    assert [letter.row for fed in taken for letter in fed.dead_letters] == [2]


def test_a_file_with_enough_events_stands_right_behind_the_last_of_them(tmp_path):
    # Row 2 is no event: whoever goes on from here has it before them, and loses nothing.
    (fed,) = take(FileFeed(FileSource(write(tmp_path), MAPPING)), 1, speed=1.0)
    assert (fed.events["user_id"].to_pylist(), fed.position) == (["anna"], 1)


def test_a_paced_stream_with_enough_events_does_not_wait_for_its_next_row():
    feed = SyntheticFeed(SyntheticStream(), chunk_rows=100)
    # Years lie between two events.
    (fed,) = take(feed, 1, speed=1e-6)
    assert (fed.events.num_rows, fed.position, fed.counts) == (1, 1, {"accepted": 1})


@pytest.mark.parametrize("n_more", [99, 100, 101])
def test_a_stream_gives_exactly_what_is_wanted_wherever_its_chunks_end(n_more):
    # Seventeen seconds lie between two events on average: at this speed, some nanoseconds.
    taken = take(SyntheticFeed(SyntheticStream(), chunk_rows=100), n_more, speed=1e9)
    assert sum(fed.events.num_rows for fed in taken) == taken[-1].position == n_more


# ----------------------------------------------------------------------------------------- with a head start


def test_a_head_start_comes_at_once_and_the_rest_is_paced():
    clock = Clock(3)
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    positions = [fed.position for fed in start(feed, 0, clock)]
    # The first row behind the head start is due when the pace begins; the next is years away.
    assert positions == [100, 200, 300, 301]
    assert len(clock.slept) == 3
    assert min(clock.slept) >= STEP_S


def test_started_again_behind_the_head_start_it_is_paced_from_the_first_row():
    clock = Clock(1)
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    assert [fed.position for fed in start(feed, 500, clock)] == [501]


def test_started_again_within_it_the_rest_of_it_comes_at_once():
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    assert [fed.position for fed in start(feed, 150, Clock(1))] == [250, 350, 351]


@pytest.mark.parametrize(("n_more", "positions"), [(150, [100, 150]), (300, [100, 200, 300])])
def test_a_limit_ends_it_within_the_head_start_or_right_at_its_end(n_more, positions):
    clock = Clock(1)
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    assert [fed.position for fed in start(feed, 0, clock, n_more=n_more)] == positions
    assert clock.slept == []


def test_a_feed_that_ends_within_its_head_start_is_not_started_again(tmp_path):
    clock = Clock(1)
    feed = HeadStart(FileFeed(FileSource(write(tmp_path), MAPPING)), 300)
    assert [fed.position for fed in start(feed, 0, clock)] == [4]
    assert clock.slept == []


def test_a_head_start_does_not_change_who_the_feed_is(tmp_path):
    feed = FileFeed(FileSource(write(tmp_path), MAPPING))
    ahead = HeadStart(feed, 300)
    assert (ahead.name, ahead.identity(), ahead.n_events()) == ("log.csv", feed.identity(), 3)
    assert ahead.difference(feed.identity(), 0) is None
    assert ahead.difference(feed.identity() | {"encoding": "latin-1"}, 0) is not None


# ------------------------------------------------------------------------------------------------- identity


def kept(feed: FileSource | Feed) -> dict[str, Any]:
    """Return a feed's identity as a deployment finds it again."""
    return json.loads(json.dumps(feed.identity(), allow_nan=False))


def difference(before: dict[str, Any], source: FileSource, position: int = 4) -> str | None:
    """Return what tells a source from one before; a feed of it must say the same."""
    said = source.difference(before, position)
    assert FileFeed(source).difference(before, position) == said
    return said


@pytest.mark.parametrize("sort", [False, True])
def test_the_same_file_read_alike_is_the_same_wherever_it_lies(tmp_path, sort):
    before = kept(FileSource(write(tmp_path / "a"), MAPPING, sort=sort, chunk_rows=1))
    assert difference(before, FileSource(write(tmp_path / "b"), MAPPING, sort=sort)) is None


def test_an_identity_survives_json(tmp_path):
    mapping = ColumnMapping("user", "item", "time", value="price", context=("note",), min_value=0.5)
    path = write(tmp_path, "user,item,time,price,note\nanna,7,2023-05-01,1,é\n")
    source = FileSource(path, mapping, rules=[missing("note", "no note")])
    assert kept(source) == source.identity() == FileFeed(source).identity()


@pytest.mark.parametrize("sort", [False, True])
def test_other_content_of_the_same_name_and_size_is_told_by_its_bytes(tmp_path, sort):
    before = kept(FileSource(write(tmp_path / "a"), MAPPING, sort=sort))
    other = FileSource(write(tmp_path / "b", CSV.replace("cleo", "dora")), MAPPING, sort=sort)
    what = "4 rows" if sort else f"{len(CSV)} bytes"
    assert difference(before, other) == f"the first {what} of the file are not what they were"


@pytest.mark.parametrize("sort", [False, True])
def test_a_file_that_has_shrunk_is_told_by_its_size(tmp_path, sort):
    before = kept(FileSource(write(tmp_path), MAPPING, sort=sort))
    shrunk = FileSource(write(tmp_path, CSV[: CSV.index("cleo")]), MAPPING, sort=sort)
    by_bytes = f"the first {len(CSV)} bytes of the file are not what they were"
    assert difference(before, shrunk) == ("the file had 4 rows, now 3" if sort else by_bytes)


@pytest.mark.parametrize("sort", [False, True])
def test_a_file_that_has_grown_by_later_rows_goes_on(tmp_path, sort):
    before = kept(FileSource(write(tmp_path), MAPPING, sort=sort))
    later = FileSource(write(tmp_path, CSV + "dora,7,2024-05-01\n"), MAPPING, sort=sort)
    assert difference(before, later) is None


@pytest.mark.parametrize("sort", [False, True])
def test_a_row_that_comes_before_one_that_was_read_is_named_with_both_times(tmp_path, sort):
    before = kept(FileSource(write(tmp_path), MAPPING, sort=sort))
    earlier = FileSource(write(tmp_path, CSV + "emil,7,2025-05-01\ndora,7,2023-12-24\n"), MAPPING, sort=sort)
    said = difference(before, earlier)
    moved = "its new row 6 (2023-12-24 00:00:00 UTC) comes before row 4 (2024-05-01 00:00:00 UTC), "
    assert said is None if not sort else said.startswith(moved)
    # Of the fourth row nothing had been read yet, and the new one comes behind the third.
    assert difference(before, earlier, position=3) is None


def test_a_time_that_cannot_be_read_stays_where_it_stood_when_the_file_grows(tmp_path):
    content = CSV + "dora,7,soon\n"
    before = kept(FileSource(write(tmp_path, content), MAPPING, sort=True))
    grown = FileSource(write(tmp_path, content + "emil,7,2024-06-01\n"), MAPPING, sort=True)
    assert difference(before, grown, position=5) is None


def test_a_source_in_order_of_time_keeps_to_the_rows_it_found(tmp_path):
    source = FileSource(write(tmp_path), MAPPING, sort=True)
    before = kept(source)
    write(tmp_path, CSV + "dora,7,2025-05-01\n")
    assert sum(len(chunk.frame) for chunk in source.chunks()) == 4
    assert kept(source) == before


@pytest.mark.parametrize("name", ["log.csv.gz", "log.parquet"])
def test_a_file_that_was_written_anew_with_more_rows_goes_on(tmp_path, name):
    frame = pd.DataFrame({"user": ["a", "b", "c"], "item": [7, 8, 9], "time": [10, 20, 30]})

    def source(n_rows: int) -> FileSource:
        write_out = frame[:n_rows].to_parquet if name.endswith("parquet") else frame[:n_rows].to_csv
        write_out(tmp_path / name, index=False)
        return FileSource(tmp_path / name, MAPPING, sort=True)

    assert difference(kept(source(2)), source(3), position=2) is None


def test_what_an_earlier_version_kept_is_said_to_be_too_little(tmp_path):
    source = FileSource(write(tmp_path), MAPPING, sort=True)
    before = kept(source)
    del before["rows"]
    assert "an earlier version of rtrec" in str(difference(before, source))


def test_of_a_long_file_in_its_own_order_the_beginning_is_compared(tmp_path, monkeypatch):
    # The header has 15 bytes, so the twentieth is the comma behind "anna".
    monkeypatch.setattr(sources, "_HEAD_BYTES", 20)
    before = kept(FileSource(write(tmp_path), MAPPING))
    behind = FileSource(write(tmp_path, CSV.replace("cleo", "dora")), MAPPING)
    assert difference(before, behind) is None
    within = FileSource(write(tmp_path, CSV.replace("anna", "emma")), MAPPING)
    assert difference(before, within) == "the first 20 bytes of the file are not what they were"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mapping": ColumnMapping("item", "user", "time")}, r"its columns was .*, now \{'user': 'item', "),
        (
            {"mapping": replace(MAPPING, value="item", min_value=4.0)},
            r"its columns was .*, now .*'min_value': 4\.0\}",
        ),
        ({"rules": [missing("item", "no item")]}, r"its left out was \[\], now \['no item'\]"),
        ({"encoding": "latin-1"}, "its encoding was 'utf-8', now 'latin-1'"),
        ({"sort": True}, "its order was 'file', now 'time'"),
    ],
)
def test_a_file_read_otherwise_is_told_by_what_differs(tmp_path, options, words):
    path = write(tmp_path)
    said = difference(kept(FileSource(path, MAPPING)), FileSource(path, **{"mapping": MAPPING} | options))
    assert said is not None
    assert re.match(words, said)


def test_a_file_of_another_name_is_told_by_it(tmp_path):
    before = kept(FileSource(write(tmp_path), MAPPING))
    renamed = FileSource(write(tmp_path, name="other.csv"), MAPPING)
    assert difference(before, renamed) == "its file was 'log.csv', now 'other.csv'"


def test_the_same_world_is_the_same_stream_however_it_is_cut():
    before = kept(SyntheticFeed(SyntheticStream(), chunk_rows=500))
    assert SyntheticFeed(SyntheticStream(), chunk_rows=7).difference(before, 9) is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SyntheticConfig(n_users=7), "its n_users was 2000, now 7"),
        (SyntheticConfig(drift_at=500), "its drift_at was None, now 500"),
        (
            SyntheticConfig(kinds=(("play", 1.0),)),
            "its kinds was [['view', 0.7], ['click', 0.2], ['buy', 0.1]]",
        ),
    ],
)
def test_another_world_of_the_same_seed_and_name_is_told_by_what_differs(config, words):
    before, after = SyntheticFeed(SyntheticStream()), SyntheticFeed(SyntheticStream(config))
    assert before.name == after.name
    said = after.difference(kept(before), 9)
    assert said is not None
    assert said.startswith(words)


# --------------------------------------------------------------------------------------------- how far behind


@pytest.mark.parametrize("is_file", [True, False])
def test_only_a_feed_with_a_pace_can_be_behind(tmp_path, is_file):
    feed = FileFeed(FileSource(write(tmp_path), MAPPING)) if is_file else SyntheticFeed(SyntheticStream())
    assert feed.lag() == SourceLag()
    options = {"counts": {}, "recent_ids": (), "watermark": {}, "sleep": Clock(1).sleep, "n_more": 2}
    unpaced, paced = (feed.start(0, speed=speed, **options) for speed in (None, 1e-6))
    next(unpaced)
    assert feed.lag() == SourceLag()
    next(paced)
    assert feed.lag().behind_s is not None
    assert HeadStart(feed, 1).lag().n_unread is None
