"""Three file formats, one shape: frames of raw columns, one row for every data row of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rtrec.errors import InputError, nearest
from rtrec.events.mapping import require_columns
from rtrec.events.rawrows import ROW, require_readable, typed_frame
from rtrec.events.textreaders import DelimitedReader, JsonLinesReader

DELIMITED = (".csv", ".tsv", ".txt", ".dat")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")


class Reader(Protocol):
    """What a file format offers to a source."""

    @property
    def n_rows(self) -> int:
        """About how many rows there are."""
        ...

    @property
    def may_be_cut(self) -> bool:
        """Whether the file ends in the middle of a line, so that its last row may be half of one."""
        ...

    def require(self, names: Sequence[str]) -> list[str]:
        """Return the columns there are; ``InputError`` if one of these is none, or there are no rows."""
        ...

    def frames(self, names: Sequence[str], *, chunk_rows: int, start_row: int) -> Iterator[pd.DataFrame]:
        """Yield the named columns from data row ``start_row + 1`` on; the index ``row`` numbers the rows."""
        ...


class ParquetReader:
    """Rows of a Parquet file, read a batch at a time."""

    may_be_cut = False

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; expected a Parquet file")
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: not a whole Parquet file ({error}); it may have been cut in copying: fetch it again"
            ) from error

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self._file.metadata.num_rows)

    def require(self, names: Sequence[str]) -> list[str]:
        """Return the columns there are; ``InputError`` if one of these is none, or there are no rows."""
        schema = self._file.schema_arrow
        require_columns(names, schema.names, where=str(self.path))
        wanted = pa.schema([schema.field(name) for name in names])
        require_readable(wanted, where=str(self.path))
        typed_frame(wanted.empty_table(), where=str(self.path))
        if self.n_rows == 0:
            raise InputError(f"{self.path}: no rows; expected rows of events")
        return list(schema.names)

    def frames(self, names: Sequence[str], *, chunk_rows: int, start_row: int) -> Iterator[pd.DataFrame]:
        """Yield the named columns from data row ``start_row + 1`` on."""
        groups = list(range(self._file.num_row_groups))
        done = 0
        while groups and done + self._file.metadata.row_group(groups[0]).num_rows <= start_row:
            done += self._file.metadata.row_group(groups.pop(0)).num_rows
        if not groups:
            return
        batches = self._file.iter_batches(chunk_rows, row_groups=groups, columns=list(names))
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise InputError(
                    f"{self.path}: row {done + 1}: the file is damaged from here on ({error}); fetch it again"
                ) from error
            if batch is None:
                return
            part = batch.slice(min(max(start_row - done, 0), batch.num_rows))
            first_row = done + batch.num_rows - part.num_rows + 1
            done += batch.num_rows
            if part.num_rows:
                frame = typed_frame(part, where=str(self.path))
                frame.index = pd.RangeIndex(first_row, first_row + len(frame), name=ROW)
                yield frame


def open_reader(path: Path, *, encoding: str) -> Reader:
    """Return the reader for a file, chosen by its suffix (``.gz`` aside).

    Raises
    ------
    InputError
        If the file is missing, empty, of no known format, or cannot be read as that format.
    """
    if not path.exists():
        siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"{path}: no such file{nearest(path.name, siblings)}")
    if not path.is_file():
        raise InputError(f"{path}: expected a file; this is a folder or a device; name a file in it")
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in DELIMITED:
        return DelimitedReader(path, encoding=encoding)
    if suffix in JSON_LINES:
        return JsonLinesReader(path, encoding=encoding)
    if suffix in PARQUET:
        return ParquetReader(path)
    raise InputError(
        f"{path}: format {suffix or 'without a suffix'!r} is unknown; expected one of "
        f"{', '.join((*DELIMITED, *JSON_LINES, *PARQUET))}, the text ones also as .gz"
    )
