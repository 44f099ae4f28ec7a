"""Quarters of a day, on a weekday or at the weekend."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rtrec.models.dayparts import daypart_of


@pytest.mark.parametrize(
    ("moment", "part"),
    [
        (datetime(2024, 5, 1, 5, 59, tzinfo=UTC), 0),  # a Wednesday
        (datetime(2024, 5, 1, 6, 0, tzinfo=UTC), 1),
        (datetime(2024, 5, 3, 23, 0, tzinfo=UTC), 3),  # Friday night
        (datetime(2024, 5, 4, 0, 0, tzinfo=UTC), 4),  # Saturday
        (datetime(2024, 5, 5, 18, 0, tzinfo=UTC), 7),  # Sunday
        (datetime(2024, 5, 6, 0, 0, tzinfo=UTC), 0),  # Monday
        (datetime(1969, 12, 31, 12, 0, tzinfo=UTC), 2),  # before 1970, a Wednesday
    ],
)
def test_parts(moment: datetime, part: int) -> None:
    assert daypart_of(moment.timestamp()) == part
