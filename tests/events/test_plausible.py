"""Columns that are taken for the time and are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from structlog.testing import capture_logs

from rtrec.events.loading import load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.events.plausible import doubt_about
from rtrec.events.sources import FileSource

DAY = 86_400.0
MAPPING = ColumnMapping("user", "item", "rating")
FRAME = pd.DataFrame({"user": [1, 2], "item": [7, 8], "rating": [3.5, 4.0], "timestamp": [9e8, 9e8 + 60]})
WORDS = "column 'rating' as the time puts all events in 1970; is it a time? the file also has 'timestamp'"


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0.0, 366 * DAY - 1], "puts all events in 1970"),
        ([0.0, 366 * DAY], None),
        ([np.nan, 4.0], "puts all events in 1970"),
        ([np.nan], None),
        ([1e9 + DAY * (row % 9) for row in range(1000)], "has 9 different times in 1,000 rows"),
        ([1e9 + DAY * (row % 10) for row in range(1000)], None),
        ([1e9] * 999, None),  # too few rows to say
    ],
)
def test_times_are_doubted_that_lie_in_1970_or_are_few_in_many_rows(times, words):
    said = doubt_about(np.array(times), "when", [])
    assert said is None if words is None else words in said


@pytest.mark.parametrize(
    ("columns", "likely"),
    [
        (["rating", "date", "timestamp"], "timestamp"),
        (["rating", "OrderDate"], "OrderDate"),
        (["rating", "last_time_seen", "Date"], "Date"),
        (["rating", "title"], None),
    ],
)
def test_the_column_that_is_called_as_times_are_is_named(columns, likely):
    said = doubt_about(np.array([1.0]), "rating", columns)
    assert said is not None
    assert said.endswith(f"the file also has {likely!r}" if likely else "unit or format")


@pytest.mark.parametrize("sort", [False, True])
def test_a_source_says_it_once_with_the_name_of_the_file(tmp_path, sort):
    FRAME.to_csv(tmp_path / "log.csv", index=False)
    with capture_logs() as logs:
        source = FileSource(tmp_path / "log.csv", MAPPING, sort=sort, chunk_rows=1)
        assert len([*source.chunks(), *source.chunks()]) == 4
    assert logs == [{"event": WORDS, "file": "log.csv", "log_level": "warning"}]


def test_a_frame_is_doubted_as_a_file_is():
    with capture_logs() as logs:
        load_events(FRAME, MAPPING)
    assert [each["event"] for each in logs] == [WORDS]
    with capture_logs() as logs:
        load_events(FRAME, ColumnMapping("user", "item", "timestamp"))
    assert logs == []
