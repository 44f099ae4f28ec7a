"""Records: the events of one append to one partition, and their rows in the journal.

The body is an Arrow IPC stream (lz4), so it says its own schema; the seal covers where the record belongs as
well as what is in it. A row holds the body, or where that lies.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from rtrec.errors import CorruptionError
from rtrec.events.database import seal
from rtrec.events.schema import EVENT_SCHEMA, unknown_kinds
from rtrec.types import KINDS

# A batch is a few kilobytes: handing its columns to other threads takes ten times as long as the work.
_WRITE = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ = pa.ipc.IpcReadOptions(use_threads=False)


_SELECT = "SELECT partition, first, n, seal, body FROM records"


def tables(held: str) -> str:
    """Return the script that makes the table of records; ``held`` is the SQL type of what rows hold."""
    return f"""
CREATE TABLE records (
    id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, first INTEGER NOT NULL, n INTEGER NOT NULL,
    seal INTEGER NOT NULL, body {held} NOT NULL, UNIQUE (partition, first)
);
"""


class Row(NamedTuple):
    """Events ``first`` to ``first + n - 1`` of a partition; ``held`` is their body, or its place."""

    partition: int
    first: int
    n: int
    seal: int
    held: Any

    @property
    def stop(self) -> int:
        """Return the offset behind the last event."""
        return self.first + self.n

    def place(self, where: str) -> str:
        """Return where this record is, as error messages say it."""
        return f"log {where}: partition {self.partition}, offset {self.first}"


class Record(NamedTuple):
    """Events ``first`` to ``first + n - 1`` of a partition, with their body."""

    partition: int
    first: int
    n: int
    body: bytes

    @property
    def stop(self) -> int:
        """Return the offset behind the last event."""
        return self.first + self.n

    @classmethod
    def of(cls, row: Row, body: bytes, where: str) -> Record:
        """Return the record of a row.

        Raises
        ------
        CorruptionError
            If the body is not what the row seals; ``where`` is the file it came from.
        """
        if row.seal != seal(*row[:3], body):
            raise CorruptionError(
                f"{row.place(where)}: the record does not match its checksum; restore the file from a copy"
            )
        return cls(*row[:3], body)

    def place(self, where: str) -> str:
        """Return where this record is, as error messages say it."""
        return f"log {where}: partition {self.partition}, offset {self.first}"

    def events(self, where: str) -> pa.Table:
        """Return the events.

        Raises
        ------
        CorruptionError
            If they cannot be decoded, or are not what the record says.
        """
        try:
            events = pa.ipc.open_stream(self.body, options=_READ).read_all()
        except (pa.ArrowException, OSError) as error:
            raise CorruptionError(f"{self.place(where)}: the record cannot be decoded: {error}") from error
        if events.num_rows != self.n or not events.schema.equals(EVENT_SCHEMA):
            raise CorruptionError(
                f"{self.place(where)}: expected {self.n} events of the schema in rtrec.events.schema, "
                f"got {events.num_rows} with the columns {events.schema.names}"
            )
        return events


def encode(partition: int, events: pa.Table, most_bytes: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the bodies of records that hold ``events``, each with how many; none for no events.

    Parameters
    ----------
    most_bytes
        A body that would be larger is split, as long as it holds more than one event.

    Raises
    ------
    ValueError
        If ``events`` is no event table, lacks a value that every event has, or has an unknown kind.
    """
    if not events.schema.equals(EVENT_SCHEMA):
        raise ValueError(
            f"partition {partition}: expected an event table {EVENT_SCHEMA}, got {events.schema}"
        )
    for field, column in zip(EVENT_SCHEMA, events.columns, strict=True):
        if not field.nullable and column.null_count:
            raise ValueError(
                f"partition {partition}: {column.null_count} events without {field.name}; clean them"
            )
    unknown = unknown_kinds(events)
    if unknown:
        raise ValueError(
            f"partition {partition}: unknown kind {unknown[0]!r}; the kinds are {', '.join(KINDS)}"
        )
    return _bodies(events, most_bytes)


def _bodies(events: pa.Table, most_bytes: int | None) -> Iterator[tuple[int, bytes]]:
    n = events.num_rows
    if n == 0:
        return
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, EVENT_SCHEMA, options=_WRITE) as writer:
        writer.write_table(events.combine_chunks())
    body: bytes = buffer.getvalue().to_pybytes()
    if most_bytes is None or len(body) <= most_bytes or n == 1:
        yield n, body
    else:
        yield from _bodies(events.slice(0, n // 2), most_bytes)
        yield from _bodies(events.slice(n // 2), most_bytes)


def insert_row(
    connection: sqlite3.Connection, partition: int, first: int, n: int, body: bytes, held: Any
) -> None:
    """Name ``n`` encoded events, the first of which has offset ``first``, and what the row holds of them."""
    connection.execute(
        "INSERT INTO records (partition, first, n, seal, body) VALUES (?, ?, ?, ?, ?)",
        (partition, first, n, seal(partition, first, n, body), held),
    )


def load_rows(connection: sqlite3.Connection, partition: int, start: int, stop: int) -> list[Row]:
    """Return the rows that name events ``start`` to ``stop - 1``; see :func:`contiguous` for gaps."""
    query = "SELECT max(first) FROM records WHERE partition = ? AND first <= ?"
    (first,) = connection.execute(query, (partition, start)).fetchone()
    rows = connection.execute(
        f"{_SELECT} WHERE partition = ? AND first >= ? AND first < ? ORDER BY first",
        (partition, first or 0, stop),
    )
    return [Row(*row) for row in rows]


def load_newest_rows(connection: sqlite3.Connection) -> Iterator[Row]:
    """Yield all rows, that of the last append first."""
    for row in connection.execute(f"{_SELECT} ORDER BY id DESC"):
        yield Row(*row)


def delete_rows(connection: sqlite3.Connection, partition: int, stop: int) -> None:
    """Delete the rows of a partition that begin below ``stop``."""
    connection.execute("DELETE FROM records WHERE partition = ? AND first < ?", (partition, stop))


def contiguous(
    found: Iterable[Record], partition: int, start: int, stop: int, where: str
) -> Iterator[Record]:
    """Pass on the records that hold events ``start`` to ``stop - 1``, one after the other.

    Raises
    ------
    CorruptionError
        If an offset is missing, or is there twice.
    """
    reached = start
    for record in found:
        if not (record.first == reached or record.first < start == reached < record.stop):
            break
        reached = record.stop
        yield record
    if reached < stop:
        raise CorruptionError(
            f"log {where}: partition {partition}, offset {reached}: no record holds it; "
            "restore the file from a copy"
        )
