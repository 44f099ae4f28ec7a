"""Records: the events of one append to one partition, as a row of the log.

The body is an Arrow IPC stream (lz4), so it says its own schema; the seal covers where the record belongs as
well as what is in it.
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


TABLES = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, first INTEGER NOT NULL, n INTEGER NOT NULL,
    seal INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (partition, first)
);
"""
_SELECT = "SELECT partition, first, n, seal, body FROM records"


class Record(NamedTuple):
    """Events ``first`` to ``first + n - 1`` of a partition, as stored."""

    partition: int
    first: int
    n: int
    seal: int
    body: bytes

    @property
    def stop(self) -> int:
        """Return the offset behind the last event."""
        return self.first + self.n

    @classmethod
    def of(cls, row: tuple[Any, ...], where: str) -> Record:
        """Return a row of the log as a record.

        Raises
        ------
        CorruptionError
            If the row does not match its seal; ``where`` is the file it came from.
        """
        record = cls(*row)
        if record.seal != seal(*record[:3], record.body):
            raise CorruptionError(
                f"{record.place(where)}: the record does not match its checksum; restore the file from a copy"
            )
        return record

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


def encode(partition: int, events: pa.Table) -> bytes:
    """Return the body of a record.

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
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, EVENT_SCHEMA, options=_WRITE) as writer:
        writer.write_table(events.combine_chunks())
    body: bytes = buffer.getvalue().to_pybytes()
    return body


def insert_record(connection: sqlite3.Connection, partition: int, first: int, n: int, body: bytes) -> None:
    """Write down ``n`` encoded events, the first of which has offset ``first``."""
    connection.execute(
        "INSERT INTO records (partition, first, n, seal, body) VALUES (?, ?, ?, ?, ?)",
        (partition, first, n, seal(partition, first, n, body), body),
    )


def load_records(
    connection: sqlite3.Connection, partition: int, start: int, stop: int, where: str
) -> list[Record]:
    """Return the records that hold events ``start`` to ``stop - 1``; see :func:`contiguous` for gaps."""
    query = "SELECT max(first) FROM records WHERE partition = ? AND first <= ?"
    (first,) = connection.execute(query, (partition, start)).fetchone()
    rows = connection.execute(
        f"{_SELECT} WHERE partition = ? AND first >= ? AND first < ? ORDER BY first",
        (partition, first or 0, stop),
    )
    return [Record.of(row, where) for row in rows]


def load_newest_records(connection: sqlite3.Connection, where: str) -> Iterator[Record]:
    """Yield all records, that of the last append first."""
    for row in connection.execute(f"{_SELECT} ORDER BY id DESC"):
        yield Record.of(row, where)


def delete_records(connection: sqlite3.Connection, partition: int, stop: int) -> None:
    """Delete the records of a partition that begin below ``stop``."""
    connection.execute("DELETE FROM records WHERE partition = ? AND first < ?", (partition, stop))


def contiguous(
    records: Iterable[Record], partition: int, start: int, stop: int, where: str
) -> Iterator[Record]:
    """Pass on the records that hold events ``start`` to ``stop - 1``, one after the other.

    Raises
    ------
    CorruptionError
        If an offset is missing, or is there twice.
    """
    reached = start
    for record in records:
        if not (record.first == reached or record.first < start == reached < record.stop):
            break
        reached = record.stop
        yield record
    if reached < stop:
        raise CorruptionError(
            f"log {where}: partition {partition}, offset {reached}: no record holds it; "
            "restore the file from a copy"
        )
