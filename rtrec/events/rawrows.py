"""Raw rows on their way to the cleaner: where each stood in its file, what could not be read, which types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from rtrec.errors import InputError
from rtrec.events.payloads import Kept

#: Name of a frame's index that carries each row's number in its file.
ROW = "row"

#: Columns by which a reader marks a row it could not read: the reason, what is kept of the row, and what that
#: is of it.
UNREADABLE_REASON = "rtrec: reason"
UNREADABLE_PAYLOAD = "rtrec: payload"
UNREADABLE_KEPT = "rtrec: kept"


class Unreadable(NamedTuple):
    """A row that is no record: why, what is kept of it, and what that is of it."""

    reason: str
    payload: str
    kept: Kept


def unreadable_columns(faults: Sequence[Unreadable | None]) -> dict[str, pd.Series]:
    """Return the columns that mark rows; None is one that could be read."""
    names = (UNREADABLE_REASON, UNREADABLE_PAYLOAD, UNREADABLE_KEPT)
    cells = zip(*(each or (None, None, None) for each in faults), strict=True)
    return {name: pd.Series(column, dtype=object) for name, column in zip(names, cells, strict=True)}


def read_object(text: str | bytes) -> dict[str, Any] | None:
    """Return a JSON object, None if it is none; bytes may be any UTF.

    >>> read_object('{"user": 7}'), read_object(b"[7]"), read_object("{")
    ({'user': 7}, None, None)
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def require_readable(schema: pa.Schema, *, where: str) -> None:
    """Raise if a typed column cannot be read at all.

    Raises
    ------
    InputError
        Naming the column and what is wrong with its type.
    """
    for column in schema:
        if not pa.types.is_timestamp(column.type) or column.type.tz is None:
            continue
        try:
            moment = pa.array([0], column.type)
            moment.cast(pa.string())
            moment.to_pylist()
        except (pa.ArrowException, LookupError, ValueError) as error:
            raise InputError(
                f"{where}: column {column.name!r}: time zone {column.type.tz!r} is unknown; expected an IANA "
                "name such as 'Europe/London'; write the column anew with one"
            ) from error


def typed_frame(rows: pa.Table | pa.RecordBatch, *, where: str) -> pd.DataFrame:
    """Return rows as a frame of Arrow columns.

    Raises
    ------
    InputError
        If a column has a type that pandas cannot hold.
    """
    # pandas cannot hold the view types that DuckDB and Polars write.
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    schema = pa.schema([(each.name, plain.get(each.type, each.type)) for each in rows.schema])
    try:
        return rows.cast(schema).to_pandas(types_mapper=pd.ArrowDtype)
    except (pa.ArrowException, NotImplementedError) as error:
        types = ", ".join(f"{each.name!r} {each.type}" for each in rows.schema)
        raise InputError(
            f"{where}: a column has a type that cannot be read ({error}): {types}; write it as plain text, "
            "numbers or times"
        ) from error
