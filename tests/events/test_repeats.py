"""Events that are sent again: what is in the log is what was sent once, whatever came between."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.feeds import FileFeed
from rtrec.events.mapping import ColumnMapping
from rtrec.events.schema import shard_of
from rtrec.events.sources import FileSource

BY_ID = ColumnMapping("user", "item", "time", event_id="id", time_unit="s")
N = 300


def events() -> list[dict[str, object]]:
    rng = np.random.default_rng(3)
    return [
        {"id": f"e{n}", "user": f"u{rng.integers(9)}", "item": f"i{rng.integers(20)}", "time": 1e9 + 60 * n}
        for n in range(N)
    ]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def fill(log: EmbeddedLog, feed: FileFeed, *, n_more: int | None = None) -> None:
    """Append what a feed hands out, as a run does, from where the log stands."""
    for fed in feed.start(
        log.position(feed.name),
        n_more=n_more,
        counts=log.cleaning_counts(feed.name),
        recent_ids=log.recent_event_ids(1000),
        watermark=log.watermark(feed.name),
    ):
        shards = shard_of(fed.events["user_id"], log.partitions)
        parts = [fed.events.filter(pa.array(shards == each)) for each in range(log.partitions)]
        log.append(
            parts,
            source=feed.name,
            position=fed.position,
            counts=fed.counts,
            watermark=fed.watermark,
            dead_letters=fed.dead_letters,
        )


def contents(log: EmbeddedLog) -> list[list[dict[str, object]]]:
    return [log.read(partition, 0).to_pylist() for partition in range(log.partitions)]


@pytest.fixture(params=[1, 2])
def once(tmp_path: Path, request):
    log = EmbeddedLog(tmp_path / "once" / "events.sqlite", partitions=request.param)
    fill(log, FileFeed(FileSource(write(tmp_path / "once.jsonl", events()), BY_ID)))
    return log


def sent(how: str) -> list[dict[str, object]]:
    rng, rows = np.random.default_rng(4), events()
    if how == "one to three times":
        return [each for each in rows for _ in range(rng.integers(1, 4))]
    if how == "whole batches again":
        return [each for start in range(0, N, 50) for each in rows[start : start + 50] * 2]
    return rows + rows


@pytest.mark.parametrize("how", ["one to three times", "whole batches again", "all of it again"])
@pytest.mark.parametrize("chunk_rows", [25, 2000])
@pytest.mark.parametrize("restart_every", [None, 110])
def test_the_log_holds_each_event_once(tmp_path, once, how, chunk_rows, restart_every):
    """Fails if the window of ids is not asked, not filled, or not filled again from the log at a restart."""
    rows = sent(how)
    feed = FileFeed(FileSource(write(tmp_path / "again.jsonl", rows), BY_ID, chunk_rows=chunk_rows))
    path = tmp_path / "again" / "events.sqlite"
    log = EmbeddedLog(path, partitions=once.partitions)
    while log.position(feed.name) < len(rows):
        fill(log, feed, n_more=restart_every)
        if restart_every is not None and log.ends()[0] > 100:  # what is compacted is remembered as well
            log.compact(log.ends(), log.cut(log.ends(), 0).seq)
        log.close()
        log = EmbeddedLog(path)
    assert contents(log) == contents(once)
    assert log.cleaning_counts(feed.name) == {"accepted": N, "duplicate id": len(rows) - N}
    assert log.dead_letter_counts() == {}


def test_ids_that_came_by_another_way_are_known_at_once(tmp_path):
    feed = FileFeed(FileSource(write(tmp_path / "log.jsonl", events()), BY_ID, chunk_rows=100))
    fed = []
    for each in feed.start(0):
        fed.append(each)
        feed.remember(["e150", "e299"])
    ids = [event_id for each in fed for event_id in each.events["event_id"].to_pylist()]
    assert set(ids) == {f"e{n}" for n in range(N)} - {"e150", "e299"}
