"""A source gone bad is noticed row by row, wherever its batches end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtrec.events.flood import FloodWatch
from rtrec.events.letters import DeadLetter
from tests.events.test_watermark import BY_ID, TEN_MINUTES, cleaner, rows


def letter(row: int, reason: str = "missing user") -> DeadLetter:
    return DeadLetter("shop.csv", row, reason, "user", f'{{"row": {row}}}')


def see(watch: FloodWatch, bad: list[int]) -> str | None:
    return watch.see(np.array(bad, bool), [letter(row) for row, each in enumerate(bad, 1) if each])


def test_it_takes_more_than_the_share_of_a_whole_window():
    watch = FloodWatch(rows=10, share=0.2)
    assert see(watch, [1, 1, 1, 0, 0, 0, 0, 0, 0]) is None  # nine rows are too few to tell
    assert see(watch, [0]) is not None
    assert see(FloodWatch(rows=10, share=0.2), [1, 1] + [0] * 8 + [1, 1] + [0] * 8) is None


@pytest.mark.parametrize("size", [1, 3, 40])
def test_a_burst_within_a_batch_is_seen_wherever_batches_end(size: int):
    bad = [0] * 15 + [1, 1, 0, 1] + [0] * 21
    watch = FloodWatch(rows=10, share=0.2)
    said = [see(watch, bad[start : start + size]) for start in range(0, 40, size)]
    assert sum(each is not None for each in said) == 1


def test_it_says_how_many_why_and_shows_one():
    watch = FloodWatch(rows=4, share=0.2)
    letters = [letter(7, "unparsable time"), letter(8), letter(9, "unparsable time")]
    said = watch.see(np.array([True, True, True, False]), letters)
    assert said == (
        "shop.csv: 3 of the last 4 rows cannot be events (unparsable time 2, missing user 1); the last: "
        "row 9, column 'user', unparsable time: {\"row\": 9}; say how times are written (time unit, or a "
        "strptime format)"
    )


def test_behind_an_alarm_it_counts_anew():
    watch = FloodWatch(rows=4, share=0.5)
    assert see(watch, [1, 1, 1, 0]) is not None
    assert see(watch, [1, 1, 1]) is None
    assert see(watch, [0]) is not None


def test_late_and_repeated_rows_and_those_a_rule_leaves_out_are_not_bad():
    clean = cleaner(mapping=BY_ID)
    frame = rows(*[50] * 1000, ids="a" * 1000)
    clean.clean(frame, 1)
    assert clean.flood is None
    clean.clean(rows(*[0] * 1000, ids="b" * 1000), 1001)
    assert clean.counts == {"accepted": 1, "duplicate id": 999, "late": 1000}
    assert clean.flood is None
    bad = rows(*[50] * 1000, ids="c" * 1000)
    bad.loc[:200, "user"] = None
    clean.clean(bad, 2001)
    assert "201 of the last 1,000 rows cannot be events (missing user 201)" in str(clean.flood)
    assert cleaner(TEN_MINUTES).flood is None


def test_a_quiet_batch_takes_the_alarm_back():
    clean = cleaner()
    clean.clean(pd.DataFrame({"user": [None] * 1000, "item": "7", "time": "2024-05-01"}), 1)
    assert clean.flood
    clean.clean(rows(1), 1001)
    assert clean.flood is None
