"""A log read as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtrec.errors import InputError
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.jobs.findings import read_log, settings_now
from rtrec.settings import Settings
from rtrec.types import Columns


@pytest.fixture
def log(tmp_path: Path):
    log = EmbeddedLog(tmp_path / "log" / "events.sqlite", partitions=2)
    yield log
    log.close()


def test_events_of_all_partitions_come_in_order_of_time(log, parts, events):
    log.append(parts, source="made", position=1500, counts={"accepted": 1500, "no customer": 4})
    contents = read_log(log, source="made")
    assert contents.ends == tuple(part.num_rows for part in parts)
    assert contents.events.num_rows == 1500
    times = contents.events[Columns.TIMESTAMP].to_pylist()
    assert times == sorted(times)
    assert set(contents.events[Columns.EVENT_ID].to_pylist()) == set(events[Columns.EVENT_ID].to_pylist())
    assert contents.counts == {"accepted": 1500, "no customer": 4}


def test_events_moved_to_the_history_are_read_too(log, parts):
    ends = log.append(parts, source="made", position=1500)
    cut = log.cut(ends, 0)
    before = read_log(log, source="made").events
    log.compact(ends, cut.seq)
    assert read_log(log, source="made").events.equals(before)


def test_an_empty_log_is_refused_with_what_to_do(log):
    with pytest.raises(InputError, match="no events yet: start `rtrec run`"):
        read_log(log, source="made")


def test_settings_are_those_at_first_and_every_change_since(log):
    first = Settings(ring_length=5).model_dump()
    log.append_control({"control": "settings", "changes": {"ring_length": 20}})
    log.append_control({"control": "promote", "model": "x"})
    log.append_control({"control": "settings", "changes": {"learning_rate": 0.1}})
    assert settings_now(log, first) == Settings(ring_length=20, learning_rate=0.1)
