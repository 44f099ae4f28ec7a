"""Raw rows on their way to the cleaner: where each stood in its file, what could not be read, which types."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from rtrec.errors import InputError

#: Name of a frame's index that carries each row's number in its file.
ROW = "row"

#: Columns by which a reader marks a row it could not read: the reason, the row as it stood (at least its
#: first :data:`KEPT_CHARACTERS`), and how many characters it had in all.
UNREADABLE_REASON = "rtrec: reason"
UNREADABLE_TEXT = "rtrec: text"
UNREADABLE_SIZE = "rtrec: size"

#: A row up to this size is kept whole in its dead letter: as large as a single field may be.
KEPT_CHARACTERS = 65_536
#: What is left of a row that is cut.
PAYLOAD_CHARACTERS = 2_000


def cut(payload: str, size: int | None = None) -> str:
    """Return at most 2,000 characters of ``payload``, with its full size (``size``, if cut before) when cut.

    >>> cut("x" * 3000)[1998:]
    'xx... (3,000 characters in all)'
    """
    size = len(payload) if size is None else size
    if size <= PAYLOAD_CHARACTERS:
        return payload
    return f"{payload[:PAYLOAD_CHARACTERS]}... ({size:,} characters in all)"


def kept(row: str, size: int | None = None) -> tuple[str, bool]:
    """Return what a dead letter keeps of a row, and whether that is the whole of it."""
    size = len(row) if size is None else size
    return (row, True) if size <= KEPT_CHARACTERS else (cut(row, size), False)


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
