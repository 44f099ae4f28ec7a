"""A log of records: each append is a record a partition, its place in the journal, its body wherever it fits.

The journal has a row for each record that is not compacted yet: which events they are, a seal over them, and
the body or where that lies. What no row names was never appended, whatever a crash left of it. Older events
move to Parquet files, which Dask and every other tool can read.
"""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from rtrec.events import history, journal, records
from rtrec.events.history import HistoryFile, read_history, verify_history, write_history
from rtrec.events.journal import Head, Source, lies_before
from rtrec.events.journaled_log import JournaledLog, check_between
from rtrec.events.log import Control, Position, Refusal
from rtrec.events.records import Record, Row, contiguous, encode
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.failpoints import failpoint
from rtrec.types import Columns

if TYPE_CHECKING:
    from rtrec.events.letters import DeadLetter

#: A history file gets about as many events.
_HISTORY_FILE_EVENTS = 100_000


class Kept(NamedTuple):
    """``n`` events of a partition whose body is durable; ``held`` is what the journal's row holds of it."""

    partition: int
    n: int
    body: bytes
    held: Any


class RecordedLog(JournaledLog, ABC):
    """An :class:`~rtrec.events.log.EventLog` less two things: where bodies go, and where they come from.

    Parameters, errors and use are those of :class:`~rtrec.events.journaled_log.JournaledLog`.
    """

    #: A body that would be larger is split in two.
    _MOST_BYTES: int | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._verified: set[Path] = set()
        self._compacting = threading.Lock()
        super().__init__(*arguments, **options)

    @abstractmethod
    def _keep(self, bodies: Sequence[tuple[int, bytes]]) -> list[Any]:
        """Make bodies durable, each with its partition; return for each what its row has to hold."""

    @abstractmethod
    def _fetch(self, rows: Sequence[Row]) -> Iterator[Record]:
        """Yield the record of each row, checked against its seal."""

    def append(
        self,
        parts: Sequence[pa.Table],
        *,
        source: str | None = None,
        position: Position | None = None,
        counts: Mapping[str, int] | None = None,
        watermark: Mapping[str, Any] | None = None,
        dead_letters: Sequence[DeadLetter] = (),
    ) -> tuple[int, ...]:
        """Append one event table to each partition, in one step with where they came from; durable on return.

        The parameters are those of :meth:`rtrec.events.log.EventLog.append`.

        Raises
        ------
        ValueError
            If a part is no event table, there is not one for each partition, or the position goes back.
        """
        extras = counts is not None or watermark is not None
        if (source is None) != (position is None) or (source is None and extras):
            raise ValueError(
                "source and position go together, and counts and watermark with them; got only some of them"
            )
        with failpoint("log.append"):
            kept = self._kept(parts)
            with self._database.writing() as connection:
                head = Head.load(connection, str(self.path))
                _insert(connection, head, kept)
                if source is not None and position is not None:
                    head.sources[source] = _moved_on(
                        source, head.sources.get(source, Source()), position, counts, watermark
                    )
                journal.insert_dead_letters(connection, dead_letters, self._clock())
                head.store(connection)
        return tuple(head.ends)

    def redrive(
        self, parts: Sequence[pa.Table], settled: Sequence[int], refused: Mapping[int, Refusal]
    ) -> Control | None:
        """Append events that were made of dead letters, and mark these, in one step; durable on return.

        See :meth:`rtrec.events.log.EventLog.redrive`.
        """
        kept = self._kept(parts)
        with failpoint("log.redrive"), self._database.writing() as connection:
            head = Head.load(connection, str(self.path))
            journal.settle_dead_letters(connection, settled, refused, self._clock())
            n_events = sum(part.num_rows for part in parts)
            if n_events == 0:
                return None
            starts = list(head.ends)
            _insert(connection, head, kept)
            body = {"control": "redriven", "n": n_events, "starts": starts, "ends": list(head.ends)}
            control = Control(head.controls, self._clock(), body)
            journal.insert_control(connection, control)
            head.controls += 1
            head.store(connection)
        return control

    def _kept(self, parts: Sequence[pa.Table]) -> list[Kept]:
        """Keep the bodies of what is to be appended; until a row names them, nothing was appended."""
        if len(parts) != self.partitions:
            raise ValueError(f"expected {self.partitions} event tables, one a partition; got {len(parts)}")
        pieces = [
            (partition, n, body)
            for partition, part in enumerate(parts)
            for n, body in encode(partition, part, self._MOST_BYTES)
        ]
        with failpoint("log.keep"):
            held = self._keep([(partition, body) for partition, _, body in pieces]) if pieces else []
        return [Kept(*piece, each) for piece, each in zip(pieces, held, strict=True)]

    def read(self, partition: int, start: int, stop: int | None = None) -> pa.Table:
        """Return the events ``start`` to ``stop - 1`` of a partition (to its end by default), checked.

        Raises
        ------
        ValueError
            If the log does not have these offsets.
        CorruptionError
            If one of them is damaged or missing; the message names file, partition and offset.
        """
        if not 0 <= partition < self.partitions:
            raise ValueError(f"partition {partition}: this log has the partitions 0 to {self.partitions - 1}")
        where = str(self.path)
        with self._database.reading() as connection:
            head = Head.load(connection, where)
            stop = head.ends[partition] if stop is None else stop
            if not 0 <= start <= stop <= head.ends[partition]:
                raise ValueError(
                    f"log {where}: partition {partition} ends at {head.ends[partition]}; "
                    f"asked for {start} to {stop}"
                )
            border = min(max(head.history[partition], start), stop)
            files = history.load_history(connection, self.history_folder, partition, start, border)
            rows = records.load_rows(connection, partition, border, stop)
        pieces = [EVENT_SCHEMA.empty_table()]
        for file in files:
            self._verify(file)
            pieces.append(read_history(file, max(start, file.first), min(border, file.stop)))
        for record in contiguous(self._fetch(rows), partition, border, stop, where):
            first = max(border, record.first)
            pieces.append(record.events(where).slice(first - record.first, min(stop, record.stop) - first))
        return pa.concat_tables(pieces)

    def recent_event_ids(self, n: int) -> Iterator[str]:
        """Yield the ids of about the last ``n`` events, oldest first.

        How appends to several partitions took turns is not kept in the history: there each partition gives
        its last ones, in proportion to how many it has.
        """
        newest: list[Row] = []
        missing = n
        with self._database.reading() as connection:
            for row in records.load_newest_rows(connection):
                if missing <= 0:
                    break
                newest.append(row)
                missing -= row.n
            files = history.load_newest_history(connection, self.history_folder)
        # As Arrow columns: a million Python strings would take twice the room.
        newest_first: list[pa.ChunkedArray] = [
            record.events(str(self.path)).column(Columns.EVENT_ID) for record in self._fetch(newest)
        ]
        held = [0] * self.partitions
        for file in files:
            held[file.partition] += file.stop - file.first
        shares = [-(-max(missing, 0) * each // max(sum(held), 1)) for each in held]
        for file in files:
            share = shares[file.partition]
            if share > 0:
                self._verify(file)
                ids = read_history(file, max(file.first, file.stop - share), file.stop, [Columns.EVENT_ID])
                newest_first.append(ids.column(0))
                shares[file.partition] -= ids.num_rows
        too_many = max(sum(len(ids) for ids in newest_first) - n, 0)
        while newest_first:
            ids = newest_first.pop()
            yield from ids.slice(too_many).to_pylist()
            too_many = max(too_many - len(ids), 0)

    def compact(self, ends: Sequence[int], cut_seq: int) -> list[Path]:
        """Move events below ``ends`` to Parquet files; they can be read as before.

        What moves is whole records, so up to one append's events below ``ends`` stay. A crash leaves at worst
        a file that the log does not list, which the next call for that partition deletes.

        Parameters
        ----------
        ends
            For each partition, the offset up to which events may move.
        cut_seq
            The cut that covers them (that of a snapshot, say): what no cut names yet stays where it is fast.

        Returns
        -------
        list of Path
            The files written.

        Raises
        ------
        ValueError
            If ``ends`` go beyond the cut.
        """
        with self._database.reading() as connection:
            last = Head.load(connection, str(self.path)).cuts
            if not 0 <= cut_seq <= last:
                raise ValueError(f"compaction at cut {cut_seq}: the last cut is {last}")
            covered = self._cut(connection, cut_seq).ends
        check_between((0,) * self.partitions, ends, covered, f"compaction at cut {cut_seq}")
        written = []
        with self._compacting:
            for partition, end in enumerate(ends):
                while (file := self._move_records(partition, end)) is not None:
                    written.append(file.path)
        return written

    def _move_records(self, partition: int, end: int) -> HistoryFile | None:
        """Move the events of one history file; return None if there are none to move.

        The file is whole before the transaction that lists it, and takes its rows away, begins: so appends do
        not wait for it, nor for where bodies come from.
        """
        where = str(self.path)
        with self._database.reading() as connection:
            first = Head.load(connection, where).history[partition]
            stop = max(first, min(end, first + _HISTORY_FILE_EVENTS))
            rows = records.load_rows(connection, partition, first, stop)
            listed = history.load_history(connection, self.history_folder, partition, 0, first)
        whole = [row for row in rows if row.stop <= end]
        if not whole:
            return None
        moved = whole[-1].stop
        found = contiguous(self._fetch(whole), partition, first, moved, where)
        events = pa.concat_tables(record.events(where) for record in found)
        history.remove_strays(self.history_folder, partition, listed)
        file = write_history(self.history_folder, partition, first, events)
        with failpoint("log.compact"), self._database.writing() as connection:
            head = Head.load(connection, where)
            history.insert_history(connection, file)
            records.delete_rows(connection, partition, moved)
            head.history[partition] = moved
            head.store(connection)
        return file

    def _verify(self, file: HistoryFile) -> None:
        # The whole file once; after that the checksums of its pages are enough.
        if file.path not in self._verified:
            verify_history(file)
            self._verified.add(file.path)


def _moved_on(
    name: str,
    before: Source,
    position: Position,
    counts: Mapping[str, int] | None,
    watermark: Mapping[str, Any] | None,
) -> Source:
    """Return where a source stands after an append."""
    if lies_before(position, before.position):
        raise ValueError(f"source {name!r}: position {position} lies before {before.position}")
    return Source(
        position,
        before.counts if counts is None else dict(counts),
        before.watermark if watermark is None else dict(watermark),
    )


def _insert(connection: sqlite3.Connection, head: Head, kept: Iterable[Kept]) -> None:
    """Name what was kept: from here on it is in the log, behind what ``head`` had."""
    for partition, n, body, held in kept:
        records.insert_row(connection, partition, head.ends[partition], n, body, held)
        head.ends[partition] += n
