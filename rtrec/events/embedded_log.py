"""The event log that needs nothing but a folder: SQLite for what is recent, Parquet for history.

All partitions live in one file, so one transaction (and one sync of the disk) commits the events of all of
them, the position of their source and its dead letters together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rtrec.events import records
from rtrec.events.recorded_log import RecordedLog
from rtrec.events.records import Record, Row


class EmbeddedLog(RecordedLog):
    """An :class:`~rtrec.events.log.EventLog` in one folder of this machine.

    Parameters, errors and use are those of :class:`~rtrec.events.journaled_log.JournaledLog`.
    """

    _TABLES = records.tables("BLOB")

    def _keep(self, bodies: Sequence[tuple[int, bytes]]) -> list[bytes]:
        # The transaction that writes the row makes the body durable with it.
        return [body for _, body in bodies]

    def _fetch(self, rows: Sequence[Row]) -> Iterator[Record]:
        for row in rows:
            yield Record.of(row, row.held, str(self.path))
