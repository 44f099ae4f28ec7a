"""Rows become events, are left out by a rule, or become dead letters; each is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.errors import InputError
from rtrec.events.cleaning import Cleaner
from rtrec.events.mapping import ColumnMapping
from rtrec.events.rules import missing, not_positive
from rtrec.events.schema import EVENT_SCHEMA

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
GOOD = {
    "user": "anna",
    "item": "7",
    "time": "2024-05-01T10:00:00Z",
    "kind": "view",
    "value": "2.5",
    "id": "e1",
}
MAPPING = ColumnMapping("user", "item", "time", kind="kind", value="value")


def cleaner(mapping: ColumnMapping = MAPPING, **options: object) -> Cleaner:
    return Cleaner(mapping, source="log.csv", clock=lambda: NOW, **options)


def rows(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([GOOD | change for change in changes], dtype=object)


def test_a_good_row_becomes_an_event():
    clean = cleaner()
    events, dead_letters = clean.clean(rows({}), 1)
    assert events.schema == EVENT_SCHEMA
    assert events.to_pylist() == [
        {
            "event_id": "log.csv:1",
            "user_id": "anna",
            "item_id": "7",
            "timestamp": datetime(2024, 5, 1, 10, tzinfo=UTC),
            "kind": "view",
            "value": 2.5,
            "context": None,
        }
    ]
    assert dead_letters == []
    assert clean.counts == {"accepted": 1}


@pytest.mark.parametrize(
    ("change", "reason", "column"),
    [
        ({"user": None}, "missing user", "user"),
        ({"user": float("nan")}, "missing user", "user"),
        ({"user": "NaN"}, "missing user", "user"),
        ({"user": ["anna"]}, "user is no text", "user"),
        ({"user": "an\0na"}, "user is no text", "user"),
        ({"item": "  "}, "missing item", "item"),
        ({"item": {"id": 7}}, "item is no text", "item"),
        ({"time": ""}, "missing time", "time"),
        ({"time": "yesterday"}, "unparsable time", "time"),
        ({"time": [1]}, "unparsable time", "time"),
        ({"time": "2999-01-01"}, "far future", "time"),
        ({"time": 99_999_999_999}, "far future", "time"),
        ({"time": "1949-12-31T23:59:59Z"}, "absurd past", "time"),
        ({"time": "0001-01-01"}, "absurd past", "time"),
        ({"kind": "sneeze"}, "unknown kind", "kind"),
        ({"kind": {}}, "unknown kind", "kind"),
        ({"value": "cheap"}, "not a number", "value"),
        ({"value": "inf"}, "not a number", "value"),
        ({"value": 1e39}, "not a number", "value"),
        ({"value": [1]}, "not a number", "value"),
        ({"value": -0.01}, "negative quantity", "value"),
        ({"user": "x" * 10_000_000}, "oversize field", "user"),
        ({"time": "1" * 10_000_000}, "oversize field", "time"),
    ],
)
def test_a_bad_row_becomes_a_dead_letter_and_its_neighbours_are_kept(
    change: dict[str, object], reason: str, column: str
):
    clean = cleaner()
    events, (dead,) = clean.clean(rows({"user": "ben"}, change, {"user": "cleo"}), 101)
    assert events["user_id"].to_pylist() == ["ben", "cleo"]
    assert events["event_id"].to_pylist() == ["log.csv:101", "log.csv:103"]
    assert (dead.source, dead.row, dead.reason, dead.column) == ("log.csv", 102, reason, column)
    assert clean.counts == {"accepted": 2, reason: 1}


def test_a_dead_letter_keeps_the_raw_row():
    _, (dead,) = cleaner().clean(rows({"user": None, "item": "Käse \ud800"}), 1)
    assert json.loads(dead.payload) == GOOD | {"user": None, "item": "Käse \ud800"}
    assert "Käse" in dead.payload
    dead.payload.encode()


def test_a_long_payload_is_cut_with_its_size_said():
    _, (dead,) = cleaner().clean(rows({"user": "x" * 100_000}), 1)
    assert len(dead.payload) < 2_100
    # The other fields and the quotes add a little to the 100,000.
    assert dead.payload.endswith(" characters in all)")
    assert "... (100," in dead.payload


def test_first_fault_in_a_row_is_the_one_reported():
    _, (dead,) = cleaner().clean(rows({"user": "", "item": "", "time": "x", "value": "x"}), 1)
    assert dead.reason == "missing user"


def test_a_little_into_the_future_is_tolerated():
    times = [NOW + timedelta(minutes=5), NOW + timedelta(minutes=5, seconds=1)]
    clean = cleaner()
    events, _ = clean.clean(rows(*({"time": time.isoformat()} for time in times)), 1)
    assert events["timestamp"].to_pylist() == times[:1]
    assert clean.counts == {"accepted": 1, "far future": 1}


def test_kinds_are_folded_and_empty_ones_take_the_default():
    events, _ = cleaner().clean(rows({"kind": "BUY"}, {"kind": "addtocart"}, {"kind": None}), 1)
    assert events["kind"].to_pylist() == ["buy", "cart", "view"]


def test_a_rating_may_be_below_zero_and_a_value_may_be_missing():
    events, _ = cleaner().clean(rows({"kind": "rating", "value": "-3"}, {"value": None}), 1)
    assert events["value"].to_pylist() == [-3.0, None]


def test_small_values_are_left_out_and_counted_but_are_no_dead_letters():
    mapping = ColumnMapping("user", "item", "time", value="value", min_value=4.0)
    clean = cleaner(mapping)
    events, dead_letters = clean.clean(rows({"value": 3.5}, {"value": 4}, {"value": None}), 1)
    assert events["value"].to_pylist() == [4.0, None]
    assert dead_letters == []
    assert clean.counts == {"accepted": 2, "below minimum value": 1}


def test_rules_leave_rows_out_before_anything_is_called_a_fault():
    rules = [missing("user", "no customer"), not_positive("value", "quantity not positive")]
    clean = cleaner(rules=rules)
    events, dead_letters = clean.clean(
        rows({"user": None}, {"value": "-1"}, {"value": 0}, {"value": None}), 1
    )
    assert events.num_rows == 1
    assert dead_letters == []
    assert clean.counts == {"accepted": 1, "no customer": 1, "quantity not positive": 2}


def test_a_repeated_id_is_dropped_within_and_across_chunks():
    """Fails if repeats are not looked for, not left out, or ids are not remembered."""
    mapping = ColumnMapping("user", "item", "time", event_id="id")
    clean = cleaner(mapping)
    events, dead_letters = clean.clean(rows({"id": "a"}, {"id": "b"}, {"id": "a", "item": "8"}), 1)
    assert events["event_id"].to_pylist() == ["a", "b"]
    assert dead_letters == []  # there is nothing to mend, and it must never be tried again
    events, dead_letters = clean.clean(rows({"id": "b"}, {"id": "c"}), 4)
    assert events["event_id"].to_pylist() == ["c"]
    assert dead_letters == []
    assert clean.counts == {"accepted": 3, "duplicate id": 2}


def test_a_refused_row_does_not_use_up_its_id():
    clean = cleaner(ColumnMapping("user", "item", "time", event_id="id"))
    events, (dead,) = clean.clean(rows({"id": "a", "user": None}, {"id": "a"}), 1)
    assert events["event_id"].to_pylist() == ["a"]
    assert dead.reason == "missing user"


def test_a_row_without_the_id_it_should_bring_is_refused():
    _, (dead,) = cleaner(ColumnMapping("user", "item", "time", event_id="id")).clean(rows({"id": None}), 1)
    assert dead.reason == "missing event id"


def test_after_a_restart_remembered_ids_are_known():
    clean = cleaner(ColumnMapping("user", "item", "time", event_id="id"))
    clean.remember(["a"])
    clean.clean(rows({"id": "a"}, {"id": "b"}), 1)
    assert clean.counts == {"accepted": 1, "duplicate id": 1}


def test_context_columns_are_packed_as_json():
    frame = rows({}, {}).assign(basket=[536365, None], device=["tv", ""], tags=[["a"], None])
    mapping = ColumnMapping("user", "item", "time", context=("basket", "device", "tags"))
    events, _ = cleaner(mapping).clean(frame, 1)
    first, second = events["context"].to_pylist()
    assert json.loads(first) == {"basket": 536365, "device": "tv", "tags": ["a"]}
    assert second is None


def test_oversize_context_is_a_dead_letter():
    mapping = ColumnMapping("user", "item", "time", context=("note",))
    _, (dead,) = cleaner(mapping).clean(rows({"note": "x" * 70_000}), 1)
    assert (dead.reason, dead.column) == ("oversize field", "note")


def test_an_index_named_row_numbers_the_rows():
    frame = rows({"user": None}, {}).set_index(pd.Index([40, 7], name="row"))
    events, (dead,) = cleaner().clean(frame, 1)
    assert dead.row == 40
    assert events["event_id"].to_pylist() == ["log.csv:7"]


def test_an_arrow_table_is_cleaned_like_a_frame():
    frame = pd.DataFrame([GOOD, GOOD | {"user": None}])
    from_frame = cleaner().clean(frame, 1)
    from_table = cleaner().clean(pa.Table.from_pandas(frame, preserve_index=False), 1)
    assert from_table.events.equals(from_frame.events)
    assert from_table.dead_letters == from_frame.dead_letters


def test_the_frame_is_not_changed():
    frame = rows({}, {"user": None})
    before = frame.copy(deep=True)
    cleaner().clean(frame, 1)
    pd.testing.assert_frame_equal(frame, before)


def test_no_rows_are_no_events():
    clean = cleaner()
    events, dead_letters = clean.clean(rows({}).iloc[:0], 1)
    assert events.num_rows == 0
    assert events.schema == EVENT_SCHEMA
    assert dead_letters == []
    assert clean.counts == {}


def test_a_missing_column_is_named_with_source_and_nearest():
    with pytest.raises(InputError, match=r"log\.csv: no column 'time'; it has .*; did you mean 'timme'\?"):
        cleaner().clean(rows({}).rename(columns={"time": "timme"}), 1)
    with pytest.raises(InputError, match="no column 'Quantity'"):
        cleaner(rules=[not_positive("Quantity", "quantity not positive")]).clean(rows({}), 1)


def test_a_source_without_a_single_event_was_misread():
    clean = cleaner()
    clean.require_accepted()  # no rows seen yet: nothing to say
    clean.clean(rows({"time": "5/1/2024"}, {"time": "5/2/2024"}), 1)
    with pytest.raises(
        InputError, match=r"log\.csv: none of 2 rows is an event \(unparsable time 2\).*row 1, column 'time'"
    ):
        clean.require_accepted()
    clean.clean(rows({}), 3)
    clean.require_accepted()


MESS = st.one_of(
    st.none(),
    st.sampled_from(["anna", "7", "buy", "2024-05-01", "NaN", "-1", "9e9"]),
    st.text(),
    st.integers(),
    st.floats(),
    st.lists(st.integers(), max_size=2),
    st.binary(max_size=3),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(GOOD, MESS)), max_size=12), st.integers(1, 5))
def test_any_mess_is_accounted_for_row_by_row_however_it_is_cut(mess: list[dict[str, object]], size: int):
    mapping = ColumnMapping("user", "item", "time", kind="kind", value="value", event_id="id")
    frame = pd.DataFrame(mess, columns=list(GOOD), dtype=object)
    whole, cut = cleaner(mapping), cleaner(mapping)
    events, dead_letters = whole.clean(frame, 1)
    parts = [cut.clean(frame.iloc[start : start + size], start + 1) for start in range(0, len(frame), size)]
    assert sum(whole.counts.values()) == len(frame)
    assert events.num_rows + len(dead_letters) + whole.counts.get("duplicate id", 0) == len(frame)
    assert cut.counts == whole.counts
    assert [dead for part in parts for dead in part.dead_letters] == dead_letters
    assert [row for part in parts for row in part.events.to_pylist()] == events.to_pylist()


def test_movielens_is_clean(shared_datasets: Path):
    frame = pd.read_csv(shared_datasets / "ml-latest-small" / "ratings.csv", dtype=str)
    clean = cleaner(ColumnMapping("userId", "movieId", "timestamp", value="rating", default_kind="rating"))
    events, dead_letters = clean.clean(frame, 1)
    assert clean.counts == {"accepted": 100_004}
    assert dead_letters == []
    # The span the data set's README states.
    times = events["timestamp"].to_numpy()
    assert times.min() == np.datetime64("1995-01-09T11:46:49")
    assert times.max() == np.datetime64("2016-10-16T17:57:24")


@pytest.fixture
def online_retail(shared_datasets: Path) -> Callable[..., Cleaner]:
    whole = pd.read_parquet(shared_datasets / "online-retail" / "online_retail.parquet")

    def clean(n_rows: int | None = None, **options: object) -> Cleaner:
        mapping = ColumnMapping(
            "CustomerID",
            "StockCode",
            "InvoiceDate",
            value="Quantity",
            default_kind="buy",
            timezone="Europe/London",
        )
        result = cleaner(mapping, **options)
        result.clean(whole.iloc[:n_rows], 1)
        return result

    return clean


def test_online_retail_keeps_what_its_usual_cleaning_keeps(online_retail: Callable[..., Cleaner]):
    rules = [
        missing("CustomerID", "no customer"),
        not_positive("Quantity", "quantity not positive"),
        not_positive("UnitPrice", "price not positive"),
    ]
    counts = online_retail(rules=rules).counts
    assert counts["accepted"] == 397_884
    assert counts["no customer"] == 135_080
    assert sum(counts.values()) == 541_909
    assert set(counts) == {"accepted", *(rule.reason for rule in rules)}


def test_online_retail_without_rules_has_dead_letters(online_retail: Callable[..., Cleaner]):
    counts = online_retail(n_rows=20_000).counts
    assert sum(counts.values()) == 20_000
    assert set(counts) == {"accepted", "missing user", "negative quantity"}


def test_an_index_of_texts_named_as_row_numbers_are_is_passed_over():
    frame = rows({}, {"user": None}).set_index(pd.Index(["x", "y"], name="row"))
    events, (dead,) = cleaner().clean(frame, 11)
    assert (events["event_id"].to_pylist(), dead.row) == (["log.csv:11"], 12)
