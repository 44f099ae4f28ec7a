"""A whole log at once: in order of time, each row under its own number, as a sorted run reads it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from rtrec.errors import InputError
from rtrec.events.feeds import FileFeed
from rtrec.events.loading import load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.events.rules import not_positive
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.sources import FileSource

MAPPING = ColumnMapping("user", "item", "time", event_id="id")
#: Event "a" comes twice; row 3 is the earlier one.
REPEATED = pd.DataFrame(
    {"user": ["late", "ben", "early"], "item": [7, 8, 9], "time": [30, 10, 20], "id": ["a", "b", "a"]}
)


def as_csv(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


def as_parquet(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_parquet(folder / "log.parquet", index=False)
    return folder / "log.parquet"


def as_frame(frame: pd.DataFrame, _: Path) -> pd.DataFrame:
    return frame.set_index(pd.Index([9] * len(frame)))  # an index says nothing of the place of a row


def as_table(frame: pd.DataFrame, _: Path) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


Form = Callable[[pd.DataFrame, Path], Any]
FORMS = pytest.mark.parametrize("form", [as_csv, as_parquet, as_frame, as_table])


def event_table(*rows: tuple[str, str, int]) -> pa.Table:
    """Return an event of each user, kind and second."""
    users, kinds, seconds = (list(column) for column in zip(*rows, strict=True))
    n = len(rows)
    times = [datetime.fromtimestamp(each, UTC) for each in seconds]
    columns = [[f"e{number}" for number in range(n)], users, ["i"] * n, times, kinds, [None] * n, [None] * n]
    return pa.table(columns, schema=EVENT_SCHEMA)


@FORMS
def test_of_events_with_the_same_id_the_earliest_is_kept(tmp_path: Path, form: Form):
    loaded = load_events(form(REPEATED, tmp_path), MAPPING)
    assert loaded.events["user_id"].to_pylist() == ["ben", "early"]
    assert loaded.counts == {"accepted": 2, "duplicate id": 1}
    assert loaded.dead_letters == []


@FORMS
@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_what_is_loaded_is_what_a_sorted_run_is_fed_with(tmp_path: Path, form: Form, chunk_rows: int):
    feed = FileFeed(FileSource(as_csv(REPEATED, tmp_path), MAPPING, sort=True, chunk_rows=chunk_rows))
    fed = list(feed.start(0))
    assert load_events(form(REPEATED, tmp_path), MAPPING).events.equals(
        pa.concat_tables(each.events for each in fed).combine_chunks()
    )


@FORMS
def test_dead_letters_and_made_ids_have_the_rows_of_the_source(tmp_path: Path, form: Form):
    rows = {"user": ["anna", None, "ben", "cleo"], "item": ["7", "8", "9", None]}
    times = ["1970-01-01T00:00:40", "1970-01-01T00:00:30", "yesterday", "1970-01-01T00:00:10"]
    data = form(pd.DataFrame(rows | {"time": times}).convert_dtypes(), tmp_path)
    loaded = load_events(data, ColumnMapping("user", "item", "time"))
    assert [(letter.row, letter.reason) for letter in loaded.dead_letters] == [
        (2, "missing user"),
        (3, "unparsable time"),
        (4, "missing item"),
    ]
    assert loaded.events["event_id"].to_pylist() == [f"{loaded.name}:1"]


def test_ties_keep_their_order(tmp_path: Path):
    frame = pd.DataFrame({"user": list("dcba"), "item": 7, "time": [20, 10, 20, 10]})
    for form in (as_csv, as_frame):
        loaded = load_events(form(frame, tmp_path), ColumnMapping("user", "item", "time"))
        assert loaded.events["user_id"].to_pylist() == ["c", "a", "d", "b"]


def test_the_frame_is_not_changed():
    before = REPEATED.copy(deep=True)
    load_events(REPEATED, MAPPING)
    pd.testing.assert_frame_equal(REPEATED, before)


def test_columns_named_by_numbers_are_named_by_their_texts():
    frame = pd.DataFrame([["anna", 7, 20], ["ben", 8, 10]])
    loaded = load_events(frame, ColumnMapping("0", "1", "2"))
    assert loaded.events["user_id"].to_pylist() == ["ben", "anna"]
    with pytest.raises(InputError, match="frame: no column '3'; it has '0', '1', '2'"):
        load_events(frame, ColumnMapping("0", "1", "3"))


def test_a_source_is_read_with_its_rules_and_in_its_order(tmp_path: Path):
    path = as_csv(REPEATED.assign(price=[2, 0, 1], id=["a", "b", "c"]), tmp_path)
    source = FileSource(path, MAPPING, rules=[not_positive("price", "for free")], chunk_rows=2)
    loaded = load_events(source)
    assert (loaded.name, loaded.counts) == ("log.csv", {"accepted": 2, "for free": 1})
    assert loaded.dead_letters == []
    assert loaded.events["user_id"].to_pylist() == ["late", "early"]


def test_an_event_table_is_only_sorted():
    loaded = load_events(event_table(("anna", "view", 20), ("ben", "buy", 10), ("cleo", "view", 10)))
    assert loaded.events["user_id"].to_pylist() == ["ben", "cleo", "anna"]
    assert (loaded.counts, loaded.dead_letters) == ({"accepted": 3}, [])


def test_an_event_table_with_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="events: unknown kind 'stare'; the kinds are view, click"):
        load_events(event_table(("anna", "view", 1), ("ben", "stare", 2)))


def test_without_a_mapping_only_sources_and_event_tables_say_what_they_are():
    with pytest.raises(TypeError, match="say which columns are the user, the item and the time"):
        load_events(REPEATED)
