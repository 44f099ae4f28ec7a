"""Reading cells of any type as text, numbers and times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.errors import InputError
from rtrec.events.mapping import ColumnMapping, require_columns
from rtrec.events.parsing import RawColumn

# 2024-05-01 10:00:00 UTC in seconds: 19,844 days after 1970-01-01 and ten hours.
MAY_FIRST_TEN = 19_844 * 86_400 + 10 * 3_600


def seconds(cells: object, **options: object) -> list[float]:
    column = cells if isinstance(cells, pd.Series) else pd.Series(cells)
    return (RawColumn(column).microseconds(ColumnMapping("u", "i", "t", **options)) / 1e6).tolist()


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([17850, 7]),
        pd.Series([17850.0, 7.0]),
        pd.Series(["17850", " 7 "]),
        pd.Series([17850, 7], dtype="Int64"),
        pd.Series([17850, 7], dtype=pd.ArrowDtype(pa.int32())),
        pd.Series(["17850", 7], dtype=object),
        pd.Series([17850.0, "7"], dtype=object),
        pd.Series(["17850", "7"], dtype="category"),
        pd.Series([Decimal(17850), Decimal(7)]),
        pd.Series([b"17850", b"7"]),
    ],
)
def test_an_id_is_the_same_text_whatever_its_type(cells: pd.Series):
    assert RawColumn(cells).text.to_pylist() == ["17850", "7"]


def test_gaps_in_ids_are_null_and_whole_numbers_keep_no_point():
    assert RawColumn(pd.Series([17850.0, np.nan, 2.5, np.inf])).text.to_pylist() == [
        "17850",
        None,
        "2.5",
        None,
    ]


@pytest.mark.parametrize("cell", ["", "  ", "NaN", "nan", "NA", "NULL", "null", "None", None, np.nan, pd.NA])
def test_missing_values_are_null(cell: object):
    column = RawColumn(pd.Series(["x", cell], dtype=object))
    assert column.text.to_pylist() == ["x", None]
    assert column.given.tolist() == [True, False]


def test_large_ids_keep_every_digit():
    large = 2**63 - 1
    assert RawColumn(pd.Series([large, None], dtype="Int64")).text.to_pylist() == [str(large), None]
    assert RawColumn(pd.Series([2**80, "x"], dtype=object)).text.to_pylist() == [str(2**80), "x"]


@pytest.mark.parametrize("cell", [{"id": 7}, [7], "\ud800", b"\xff"])
def test_what_is_no_text_is_odd(cell: object):
    column = RawColumn(pd.Series(["x", cell], dtype=object))
    assert column.odd.tolist() == [False, True]
    assert column.text.to_pylist() == ["x", None]


def test_numbers_are_read_beside_texts_that_are_none():
    assert RawColumn(pd.Series(["1.5", "+2", "1e3", "x", ""])).numbers.tolist()[:3] == [1.5, 2.0, 1000.0]
    assert np.isnan(RawColumn(pd.Series(["1.5", "3,5", ""])).numbers).tolist() == [False, True, True]


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000, 1_000_000_000])
def test_unit_of_a_number_is_guessed_from_its_size(scale: int):
    assert seconds([MAY_FIRST_TEN * scale]) == [MAY_FIRST_TEN]
    assert seconds([str(MAY_FIRST_TEN * scale)]) == [MAY_FIRST_TEN]


def test_stated_unit_is_not_guessed():
    assert seconds([5_000], time_unit="ms") == [5.0]
    assert seconds([5_000]) == [5_000.0]


def test_a_number_that_reads_as_a_date_is_refused_unless_its_meaning_is_stated():
    assert np.isnan(seconds(["20240501"])).all()
    assert seconds(["20240501"], time_unit="s") == [20_240_501.0]
    assert seconds(["20240501"], time_format="%Y%m%d") == [19_844 * 86_400]
    assert seconds([20240501], time_format="%Y%m%d") == [19_844 * 86_400]


@pytest.mark.parametrize(
    "cell",
    [
        "2024-05-01T10:00:00Z",
        "2024-05-01 10:00",
        "2024-05-01T12:00:00+02:00",
        "2024-05-01T12:00:00.000+0200",
        "2024-05-01T05:00:00-05",
        datetime(2024, 5, 1, 10, tzinfo=UTC),
        datetime(2024, 5, 1, 10),
    ],
)
def test_iso_times_are_utc_unless_they_say_otherwise(cell: object):
    assert seconds(pd.Series([cell, "x"], dtype=object))[0] == MAY_FIRST_TEN


def test_compact_times_with_and_without_offset_are_read_as_if_alone():
    cells = ["20240501T100000Z", "2024-05-01T10+02", "2024-05-01 10:00", "20240501T120000+0200"]
    # Ten o'clock where clocks are two hours ahead is eight in UTC.
    expected = [MAY_FIRST_TEN, MAY_FIRST_TEN - 2 * 3_600, MAY_FIRST_TEN, MAY_FIRST_TEN]
    assert seconds(cells) == expected
    assert [seconds([cell])[0] for cell in cells] == expected
    assert seconds(cells[::-1]) == expected[::-1]


def test_times_without_offset_are_read_in_the_mapping_zone():
    # British summer time is an hour ahead of UTC.
    naive = ["2024-05-01 11:00", "2024-05-01T11:00:00+01:00"]
    assert seconds(naive, timezone="Europe/London") == [MAY_FIRST_TEN] * 2
    typed = pd.Series(pd.to_datetime(["2024-05-01 11:00"]))
    assert seconds(typed, timezone="Europe/London") == [MAY_FIRST_TEN]
    arrow = typed.astype(pd.ArrowDtype(pa.timestamp("ms")))
    assert seconds(arrow, timezone="Europe/London") == [MAY_FIRST_TEN]


def test_hour_that_a_clock_change_repeats_or_skips_is_still_a_time():
    # London, 2024-10-27: 01:30 comes twice, first at 00:30 UTC; 2024-03-31: 01:30 never comes.
    repeated, skipped = seconds(["2024-10-27 01:30", "2024-03-31 01:30"], timezone="Europe/London")
    assert datetime.fromtimestamp(repeated, UTC) == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    assert datetime.fromtimestamp(skipped, UTC) == datetime(2024, 3, 31, 1, 0, tzinfo=UTC)


def test_dates_and_other_formats():
    assert seconds(pd.Series([date(2024, 5, 1)])) == [19_844 * 86_400]
    assert seconds(["1/5/2024 10:00"], time_format="%d/%m/%Y %H:%M") == [MAY_FIRST_TEN]


@pytest.mark.parametrize(
    "cell", ["yesterday", "5/1/2024", "2024-13-01", "99999-01-01", "", "inf", "1e400", [1], {}]
)
def test_what_is_no_time_is_nan(cell: object):
    assert np.isnan(seconds(pd.Series(["2024-05-01T10:00Z", cell], dtype=object))).tolist() == [False, True]


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_typed_time_beyond_microseconds_is_nan_and_no_wrapped_date(unit: str, zone: str | None):
    per_s = {"s": 1, "ms": 1_000}[unit]
    # 2**64 microseconds, some 585,000 years, are what would wrap around to May again.
    wrapping = (MAY_FIRST_TEN + 2**64 // 10**6) * per_s
    counts = [MAY_FIRST_TEN * per_s, wrapping, -wrapping, 2**63 - 1, -(2**63) + 1, None]
    cells = pd.Series(
        pa.array(counts, pa.timestamp(unit, zone)), dtype=pd.ArrowDtype(pa.timestamp(unit, zone))
    )
    first, *others = seconds(cells)
    assert first == MAY_FIRST_TEN
    assert np.isnan(others).all()
    assert np.isnan(seconds(cells, timezone="America/Los_Angeles")[1:]).all()


def test_an_infinity_is_odd_and_not_missing_whatever_its_neighbours():
    for neighbour in ("x", 7, None):
        column = RawColumn(pd.Series([neighbour, np.inf, -np.inf, np.nan], dtype=object))
        assert column.odd.tolist()[1:] == [True, True, False]
        assert column.given.tolist()[1:] == [True, True, False]
        assert column.text.to_pylist()[1:] == [None, None, None]


# As files spell times: with and without separators and offset, in any year, to the nanosecond.
ISO_TIMES = st.builds(
    lambda year, day, between, clock, fraction, offset: f"{year}{day}{between}{clock}{fraction}{offset}",
    st.sampled_from(["2024", "1970", "0001", "1677", "2262", "9999"]),
    st.sampled_from(["-05-01", "0501", "-02-30", "-05"]),
    st.sampled_from(["T", " ", "t", "  "]),
    st.sampled_from(["10:00:00", "100000", "10:00", "1000", "10", "24:00", "99:00"]),
    st.sampled_from(["", ".5", ".123456", ".123456789", ",5"]),
    st.sampled_from(["", "Z", "z", "+02:00", "-0500", "+02", " +02:00", "+99:00", " UTC"]),
)
# Excluded as cells: nothing. Whatever a file may hold has to be read as something.
CELLS = st.one_of(
    ISO_TIMES,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.datetimes(),
    st.dictionaries(st.text(), st.integers()),
    st.decimals(),
    st.dates(),
    st.just(pd.NaT),
)


@settings(deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=8))
def test_no_cell_raises_and_none_depends_on_its_neighbours(cells: list[object]):
    def read(part: list[object]) -> list[tuple[object, str, str]]:
        column = RawColumn(pd.Series(part, dtype=object))
        times = column.microseconds(ColumnMapping("u", "i", "t"))
        texts = column.text.to_pylist()
        return [(texts[at], repr(column.numbers[at]), repr(times[at])) for at in range(len(part))]

    assert read(cells) == [read([cell])[0] for cell in cells]


def test_missing_column_is_named_with_those_that_exist_and_the_nearest():
    with pytest.raises(
        InputError, match=r"f\.csv: no column 'movieid'; it has 'userId', 'movieId'; did you mean 'movieId'"
    ):
        require_columns(["movieid"], ["userId", "movieId"], where="f.csv")
    with pytest.raises(InputError, match="'userId' is there 2 times"):
        require_columns(["userId"], ["userId", "userId"], where="f.csv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"default_kind": "veiw"}, "'veiw' is unknown.*did you mean 'view'"),
        ({"min_value": 2.0}, "value below 2 .* no column holds values; name it"),
        ({"min_value": float("nan"), "value": "v"}, "least value of an event is nan"),
        ({"time_unit": "seconds"}, "'seconds' is unknown; expected one of s, ms, us, ns"),
        ({"timezone": "Europe/Lodon"}, "'Europe/Lodon' is unknown"),
        ({"time_format": "%d.%m.%Q"}, r"time format '%d\.%m\.%Q': .*expected the signs of strptime"),
    ],
)
def test_mapping_that_no_row_can_satisfy_is_refused(options: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        ColumnMapping("u", "i", "t", **options)


def test_columns_are_named_once():
    mapping = ColumnMapping("u", "i", "t", kind="k", value="v", event_id="e", context=("v", "c"))
    assert mapping.columns == ("u", "i", "t", "k", "v", "e", "c")
