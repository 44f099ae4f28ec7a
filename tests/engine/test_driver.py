"""Where the driver cuts the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.engine.cutting import in_step
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.schema import EVENT_SCHEMA

START = datetime(2024, 5, 1, tzinfo=UTC)


def events(times: list[int]) -> pa.Table:
    rows = [
        {
            "event_id": str(time),
            "user_id": "anna",
            "item_id": "7",
            "timestamp": START + timedelta(seconds=time),
            "kind": "view",
        }
        for time in times
    ]
    return pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)


@pytest.fixture
def make_log(tmp_path: Path):
    logs = []

    def make(*parts: list[int]) -> EmbeddedLog:
        log = EmbeddedLog(tmp_path / str(len(logs)) / "log.sqlite", partitions=len(parts))
        logs.append(log)
        log.append([events(part) for part in parts])
        return log

    yield make
    for log in logs:
        log.close()


def test_a_partition_with_few_events_does_not_run_ahead(make_log) -> None:
    log = make_log([0, 1, 2, 3, 4, 5, 6, 7], [0, 3, 9, 12])
    # Three at the most: the first partition comes to second 2, so the second one waits with those after it.
    assert in_step(log, (0, 0), (3, 3), log.ends()) == (3, 1)
    assert in_step(log, (3, 1), (6, 4), log.ends()) == (6, 2)


def test_an_event_that_came_late_holds_nothing_up(make_log) -> None:
    log = make_log([0, 9, 1, 2, 3, 10], [5, 9, 11])
    assert in_step(log, (0, 0), (3, 3), log.ends()) == (3, 2)


@settings(deadline=None, max_examples=40)
@given(
    parts=st.lists(st.lists(st.integers(0, 40), max_size=20).map(sorted), min_size=2, max_size=3),
    size=st.integers(1, 6),
)
def test_nothing_is_learned_before_something_earlier_is_answered(tmp_path_factory, parts, size) -> None:
    log = EmbeddedLog(tmp_path_factory.mktemp("log") / "log.sqlite", partitions=len(parts))
    log.append([events(part) for part in parts])
    at: tuple[int, ...] = (0,) * len(parts)
    while at != log.ends():
        ends = tuple(min(end, start + size) for start, end in zip(at, log.ends(), strict=True))
        ends = in_step(log, at, ends, log.ends()) if ends != log.ends() else ends
        assert ends != at
        cut = [part[start:end] for part, start, end in zip(parts, at, ends, strict=True)]
        rest = [part[end:] for part, end in zip(parts, ends, strict=True)]
        assert max(map(max, filter(None, cut))) <= min((min(each) for each in rest if each), default=99)
        at = ends
    log.close()
