"""History: older events of a log as Parquet files, which Dask and every other tool can read.

One file holds consecutive events of one partition: ``partition-0/000000000000-000000099999.parquet`` has the
events with offsets 0 to 99,999. The log keeps the list of the files that count and their checksums; a file
that is not on the list was left by a crash and holds nothing that the log does not have as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rtrec.errors import CorruptionError
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.files import blake2b, make_folder, publish_file

#: Small enough that reading a thousand events out of a file stays a matter of a millisecond.
_ROW_GROUP = 8_192


TABLES = """
CREATE TABLE history (
    id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    checksum TEXT NOT NULL, UNIQUE (partition, first)
);
"""
_SELECT = "SELECT partition, first, last, checksum FROM history"


@dataclass(frozen=True)
class HistoryFile:
    """Events ``first`` to ``last`` of a partition, in the Parquet file at ``path``."""

    partition: int
    first: int
    last: int
    path: Path
    checksum: str

    @property
    def stop(self) -> int:
        """Return the offset behind the last event."""
        return self.last + 1


def write_history(folder: Path, partition: int, first: int, events: pa.Table) -> HistoryFile:
    """Write ``events``, the first of which has offset ``first``, as one durable file under ``folder``."""
    last = first + events.num_rows - 1
    path = _path(folder, partition, first, last)
    make_folder(path.parent)
    # Checksums on pages let a reader that comes without us (Dask, DuckDB) notice damage too.
    publish_file(
        path,
        lambda file: pq.write_table(
            events, file, row_group_size=_ROW_GROUP, compression="zstd", write_page_checksum=True
        ),
    )
    return HistoryFile(partition, first, last, path, blake2b(path))


def verify_history(file: HistoryFile) -> None:
    """Check a file against the checksum that the log has for it.

    Raises
    ------
    CorruptionError
        If the file is missing or has changed.
    """
    try:
        found = blake2b(file.path)
    except OSError as error:
        raise CorruptionError(f"history file {file.path}: cannot be read: {error}") from error
    if found != file.checksum:
        raise CorruptionError(
            f"history file {file.path} (partition {file.partition}, offsets {file.first} to {file.last}): "
            f"expected checksum {file.checksum}, got {found}; restore it from a copy"
        )


def read_history(file: HistoryFile, start: int, stop: int, columns: list[str] | None = None) -> pa.Table:
    """Return the events with offsets ``start`` to ``stop - 1``, all of which lie in ``file``.

    Raises
    ------
    CorruptionError
        If the file is missing, damaged, or does not hold these events.
    """
    groups = range((start - file.first) // _ROW_GROUP, (stop - 1 - file.first) // _ROW_GROUP + 1)
    try:
        with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
            events = parquet.read_row_groups(list(groups), columns=columns, use_threads=False)
    except (OSError, pa.ArrowException, IndexError) as error:
        raise CorruptionError(
            f"history file {file.path} (partition {file.partition}, offsets {start} to {stop - 1}): {error}"
        ) from error
    part = events.slice(start - file.first - groups.start * _ROW_GROUP, stop - start)
    if part.num_rows != stop - start:
        raise CorruptionError(
            f"history file {file.path}: expected {stop - start} events at {start}, got {part.num_rows}"
        )
    return part if columns else part.cast(EVENT_SCHEMA)


def insert_history(connection: sqlite3.Connection, file: HistoryFile) -> None:
    """Put a file on the list."""
    connection.execute(
        "INSERT INTO history (partition, first, last, checksum) VALUES (?, ?, ?, ?)",
        (file.partition, file.first, file.last, file.checksum),
    )


def load_history(
    connection: sqlite3.Connection, folder: Path, partition: int, start: int, stop: int
) -> list[HistoryFile]:
    """Return the files that hold events ``start`` to ``stop - 1``, in order.

    Raises
    ------
    CorruptionError
        If the list has none for an offset.
    """
    query = f"{_SELECT} WHERE partition = ? AND last >= ? AND first < ? ORDER BY first"
    files = _files(folder, connection.execute(query, (partition, start, stop)))
    reached = start
    for file in files:
        if not (file.first == reached or file.first < start == reached < file.stop):
            break
        reached = file.stop
    if reached < stop:
        raise CorruptionError(
            f"history {folder}: partition {partition}, offset {reached}: no file on the log's list holds it; "
            "restore log and history from a copy"
        )
    return files


def load_newest_history(connection: sqlite3.Connection, folder: Path) -> list[HistoryFile]:
    """Return all files, the one written last first."""
    return _files(folder, connection.execute(f"{_SELECT} ORDER BY id DESC"))


def remove_strays(folder: Path, partition: int, listed: Iterable[HistoryFile]) -> None:
    """Delete what a compaction that was cut short left among the files of a partition."""
    keep = {file.path for file in listed}
    for path in _partition_folder(folder, partition).glob("*.parquet"):
        if path not in keep:
            path.unlink()


def _files(folder: Path, rows: Iterable[tuple[int, int, int, str]]) -> list[HistoryFile]:
    return [
        HistoryFile(partition, first, last, _path(folder, partition, first, last), checksum)
        for partition, first, last, checksum in rows
    ]


def _path(folder: Path, partition: int, first: int, last: int) -> Path:
    return _partition_folder(folder, partition) / f"{first:012d}-{last:012d}.parquet"


def _partition_folder(folder: Path, partition: int) -> Path:
    return folder / f"partition-{partition}"
