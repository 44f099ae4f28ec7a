"""What is packed as JSON can be read by everybody: JSON has no NaN and no infinity."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rtrec.events.cleaning import Cleaner
from rtrec.events.mapping import ColumnMapping
from rtrec.events.packing import json_objects, json_row


def parsed(text: str) -> Any:
    """Read JSON as a strict reader does."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


NESTED = [
    ({"a": np.nan, "b": [np.inf, 1.5]}, {"a": None, "b": ["inf", 1.5]}),
    ([-np.inf, [np.nan, "x"]], ["-inf", [None, "x"]]),
    (({"deep": {"er": np.nan}},), [{"deep": {"er": None}}]),
    (np.array([np.nan, np.inf, 2.0]), [None, "inf", 2.0]),
    (np.array([1.5, np.nan], np.float32), [1.5, None]),
    (np.array([1, 2]), [1, 2]),
    (np.inf, "inf"),
    ({1: "one"}, {"1": "one"}),
]


@pytest.mark.parametrize(("cell", "expected"), NESTED)
def test_nan_is_null_and_infinity_a_text_however_deep(cell: object, expected: object):
    frame = pd.DataFrame({"extra": pd.Series([cell, "x"], dtype=object)})
    first, second = json_objects(frame, ["extra"]).to_pylist()
    assert (parsed(first), parsed(second)) == ({"extra": expected}, {"extra": "x"})
    assert parsed(json_row({"extra": cell})) == {"extra": expected}


@pytest.mark.parametrize("cell", [np.nan, None, pd.NA, pd.NaT])
def test_an_empty_cell_is_left_out_of_a_context_and_null_in_a_row(cell: object):
    frame = pd.DataFrame({"extra": pd.Series([cell, "x"], dtype=object)})
    assert json_objects(frame, ["extra"]).to_pylist() == [None, '{"extra": "x"}']
    assert parsed(json_row({"extra": cell})) == {"extra": None}


def test_lists_of_an_arrow_column_keep_their_numbers():
    lists = pa.array([[1, 2], None], pa.list_(pa.int64()))
    frame = pd.DataFrame({"tags": pd.Series(lists, dtype=pd.ArrowDtype(lists.type))})
    first, second = json_objects(frame, ["tags"]).to_pylist()
    assert (parsed(first), second) == ({"tags": [1, 2]}, None)


def test_contexts_and_dead_letters_are_json_for_everybody():
    rows = [
        {"user": "anna", "item": 7, "time": 10, "extra": {"depth": [np.nan, np.inf]}},
        {"user": None, "item": np.inf, "time": 10, "extra": {"depth": [np.nan, np.inf]}},
    ]
    cleaner = Cleaner(
        ColumnMapping("user", "item", "time", context=("extra",)),
        source="log.jsonl",
        clock=lambda: datetime(2024, 5, 1, tzinfo=UTC),
    )
    events, (dead,) = cleaner.clean(pd.DataFrame(rows, dtype=object), 1)
    depth = {"depth": [None, "inf"]}
    assert parsed(events["context"][0].as_py()) == {"extra": depth}
    assert parsed(dead.payload) == {"user": None, "item": "inf", "time": 10, "extra": depth}
