"""Pack raw cells as JSON text: the context of an event, and the row a dead letter keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.events.parsing import RawColumn, as_arrow
from rtrec.events.payloads import Payload, keep_text
from rtrec.events.rawrows import UNREADABLE_KEPT, UNREADABLE_PAYLOAD, UNREADABLE_REASON

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str)


def json_objects(frame: pd.DataFrame, names: Sequence[str]) -> pa.StringArray:
    """Return the named columns of each row as a JSON object without its empty cells; null if all are empty.

    >>> frame = pd.DataFrame({"basket": [7, 8], "device": ["tv", None]})
    >>> json_objects(frame, ["basket", "device"]).to_pylist()
    ['{"basket": 7, "device": "tv"}', '{"basket": 8}']
    """
    if not names:
        return pa.nulls(len(frame), pa.string())
    # Every piece brings its own comma: joining with null_handling="skip" loses rows that are all null.
    pieces = [
        pc.fill_null(pc.binary_join_element_wise(f", {_encoded(name)}", _json_cells(frame[name]), ": "), "")
        for name in names
    ]
    inside = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*pieces, ""), start=2)
    whole = pc.binary_join_element_wise("{", inside, "}", "")
    return pc.if_else(pc.equal(inside, ""), pa.scalar(None, pa.string()), whole)


def json_row(record: Mapping[Any, Any]) -> str:
    """Return a raw row as a JSON object, empty cells as null.

    >>> json_row({"userId": 7.5, "movieId": float("nan")})
    '{"userId": 7.5, "movieId": null}'
    """
    return _encoded({name: None if _is_empty(cell) else cell for name, cell in record.items()})


def row_kept(record: Mapping[Any, Any]) -> Payload:
    """Return what a dead letter keeps of a raw row: what its reader says, or its cells."""
    cells = dict(record)
    row, what = cells.pop(UNREADABLE_PAYLOAD, None), cells.pop(UNREADABLE_KEPT, None)
    cells.pop(UNREADABLE_REASON, None)
    if isinstance(row, str):
        return Payload(row, what)
    return cells_kept(cells)


def cells_kept(cells: Mapping[Any, Any]) -> Payload:
    """Return what a dead letter keeps of cells.

    >>> cells_kept({"userId": 7, "movieId": None})
    Payload(text='{"userId": 7, "movieId": null}', kept='cells')
    """
    try:
        return keep_text(json_row(cells), as_kept="cells")
    except Exception as error:  # of the cells themselves: whatever they are, their row must not be lost
        return Payload(f"a row that cannot be written down: {type(error).__name__}: {error}"[:500], "part")


def _json_cells(column: pd.Series) -> pa.StringArray:
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        # As with ids: 536365.0 is how pandas holds 536365 in a column with gaps.
        return RawColumn(column).text
    array = as_arrow(column)
    if array is not None and (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        # Device names and basket numbers repeat, so each distinct text is encoded once.
        distinct = array.cast(pa.string()).dictionary_encode()
        encoded = [_encoded(cell) if cell else None for cell in distinct.dictionary.to_pylist()]
        return pa.array(encoded, pa.string()).take(distinct.indices)
    cells = column.astype(object)
    return pa.array(
        [None if _is_empty(cell) or _is_blank(cell) else _encoded(cell) for cell in cells], pa.string()
    )


def _encoded(cell: object) -> str:
    # A lone surrogate, which JSON may spell, has no UTF-8 form.
    return _ENCODER.encode(_spelt(cell)).encode("utf-8", "backslashreplace").decode()


def _spelt(cell: Any) -> Any:
    """Return a cell with NaN as null, infinities and bytes as texts, however deep: JSON has none of them."""
    if isinstance(cell, dict):
        return {str(name): _spelt(each) for name, each in cell.items()}
    if isinstance(cell, list | tuple | np.ndarray):
        return [_spelt(each) for each in cell]
    if isinstance(cell, np.number | np.bool_) and not isinstance(cell, np.timedelta64):
        cell = cell.item()  # the encoder would spell NumPy's numbers as texts
    if isinstance(cell, bytes):
        # As the column is read: text if it can be, and else never taken for some.
        return cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, float) and not np.isfinite(cell):
        return None if np.isnan(cell) else str(cell)
    return cell


def _is_empty(cell: object) -> bool:
    return (
        cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and bool(np.isnan(cell)))
    )


def _is_blank(cell: object) -> bool:
    return isinstance(cell, str) and not cell
