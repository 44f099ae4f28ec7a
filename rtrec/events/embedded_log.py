"""The event log that needs nothing but a folder: SQLite for what is recent, Parquet for history.

All partitions live in one file, so one transaction (and one sync of the disk) commits the events of all of
them, the position of their source and its dead letters together.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rtrec.clock import utc_now
from rtrec.errors import DeploymentError
from rtrec.events import history, journal, records
from rtrec.events.database import Database, Mode
from rtrec.events.history import HistoryFile, read_history, verify_history, write_history
from rtrec.events.journal import Head, Source
from rtrec.events.log import Control, Cut, Refusal, StoredDeadLetter
from rtrec.events.records import contiguous, encode
from rtrec.events.rewind import RolledBack, load_rolled_back, rewind
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.types import Columns

if TYPE_CHECKING:
    from rtrec.events.letters import DeadLetter

FORMAT_VERSION = 2
#: What makes a file of an earlier format one of the next.
_UPGRADES = {1: journal.UPGRADE}

#: A history file gets about as many events: writing one holds up appends, for about a tenth of a second.
_HISTORY_FILE_EVENTS = 100_000


class EmbeddedLog:
    """An :class:`~rtrec.events.log.EventLog` in one folder of this machine.

    May be used from several threads; several processes may have it open, one of them writing at a time.

    Parameters
    ----------
    path
        The SQLite file, for example ``home/log/events.sqlite``; history goes to ``history`` beside it.
    partitions
        Needed to create a log; for one that exists it is checked if given.
    clock
        Gives the times of controls and dead letters.
    mode
        ``"read"`` looks on while another process writes; ``"join"`` writes a control or redriven dead
        letters beside it now and then.

    Raises
    ------
    DeploymentError
        If there is no such log, it has another number of partitions, or it cannot be used now.
    CorruptionError
        If the file is damaged.
    """

    def __init__(
        self,
        path: Path,
        *,
        partitions: int | None = None,
        clock: Callable[[], datetime] = utc_now,
        mode: Mode = "write",
    ) -> None:
        if partitions is not None and partitions < 1:
            raise ValueError(f"partitions must be at least 1; got {partitions}")
        if partitions is None and not path.is_file():
            raise DeploymentError(f"log {path}: no such file; give the number of partitions to create it")
        self.path = path
        self.history_folder = path.parent / "history"
        self._clock = clock
        self._verified: set[Path] = set()
        self._database = Database(path, version=FORMAT_VERSION, mode=mode, upgrades=_UPGRADES)
        try:
            self._partitions = self._open(partitions)
        except BaseException:
            self._database.close()
            raise

    def _open(self, partitions: int | None) -> int:
        if self._database.is_new:
            if partitions is None:
                raise DeploymentError(
                    f"log {self.path}: it is empty; give the number of partitions to create it"
                )
            with self._database.creating(records.TABLES + history.TABLES + journal.TABLES) as connection:
                Head(ends=[0] * partitions, history=[0] * partitions).store(connection)
        found = len(self._head().ends)
        if partitions not in (None, found):
            raise DeploymentError(
                f"log {self.path}: expected {partitions} partitions, it was created with {found}; "
                f"their number is fixed: use {found}, or another folder"
            )
        return found

    def __repr__(self) -> str:
        return f"EmbeddedLog({str(self.path)!r}, partitions={self.partitions})"

    @property
    def partitions(self) -> int:
        """Return the number of partitions."""
        return self._partitions

    def close(self) -> None:
        """Close the file; the log cannot be used afterwards."""
        self._database.close()

    def append(
        self,
        parts: Sequence[pa.Table],
        *,
        source: str | None = None,
        position: int | None = None,
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
        bodies = self._encoded(parts)
        with self._database.writing() as connection:
            head = Head.load(connection, str(self.path))
            _insert_events(connection, head, parts, bodies)
            if source is not None and position is not None:
                before = head.sources.get(source, Source())
                if position < before.position:
                    raise ValueError(f"source {source!r}: position {position} lies before {before.position}")
                head.sources[source] = Source(
                    position,
                    before.counts if counts is None else dict(counts),
                    before.watermark if watermark is None else dict(watermark),
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
        bodies = self._encoded(parts)
        with self._database.writing() as connection:
            head = Head.load(connection, str(self.path))
            journal.settle_dead_letters(connection, settled, refused, self._clock())
            n_events = sum(part.num_rows for part in parts)
            if n_events == 0:
                return None
            starts = list(head.ends)
            _insert_events(connection, head, parts, bodies)
            body = {"control": "redriven", "n": n_events, "starts": starts, "ends": list(head.ends)}
            control = Control(head.controls, self._clock(), body)
            journal.insert_control(connection, control)
            head.controls += 1
            head.store(connection)
        return control

    def _encoded(self, parts: Sequence[pa.Table]) -> list[bytes]:
        if len(parts) != self.partitions:
            raise ValueError(f"expected {self.partitions} event tables, one a partition; got {len(parts)}")
        return [encode(partition, part) for partition, part in enumerate(parts)]

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
            recent = records.load_records(connection, partition, border, stop, where)
        pieces = [EVENT_SCHEMA.empty_table()]
        for file in files:
            self._verify(file)
            pieces.append(read_history(file, max(start, file.first), min(border, file.stop)))
        for record in contiguous(recent, partition, border, stop, where):
            first = max(border, record.first)
            pieces.append(record.events(where).slice(first - record.first, min(stop, record.stop) - first))
        return pa.concat_tables(pieces)

    def ends(self) -> tuple[int, ...]:
        """Return the offset behind the last event of each partition."""
        return tuple(self._head().ends)

    def position(self, source: str) -> int:
        """Return how many rows of ``source`` are in the log; 0 for a source never seen."""
        return self._head().sources.get(source, Source()).position

    def cleaning_counts(self, source: str) -> dict[str, int]:
        """Return the cleaning counts last stored for ``source``; none for a source never seen."""
        return self._head().sources.get(source, Source()).counts

    def watermark(self, source: str) -> dict[str, Any]:
        """Return what was last stored of the watermark of ``source``; nothing for a source never seen."""
        return self._head().sources.get(source, Source()).watermark

    def recent_event_ids(self, n: int) -> Iterator[str]:
        """Yield the ids of about the last ``n`` events, oldest first.

        How appends to several partitions took turns is not kept in the history: there each partition gives
        its last ones, in proportion to how many it has.
        """
        # As Arrow columns: a million Python strings would take twice the room.
        newest_first: list[pa.ChunkedArray] = []
        missing = n
        with self._database.reading() as connection:
            for record in records.load_newest_records(connection, str(self.path)):
                if missing <= 0:
                    break
                newest_first.append(record.events(str(self.path)).column(Columns.EVENT_ID))
                missing -= record.n
            files = history.load_newest_history(connection, self.history_folder)
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

    def append_control(self, body: Mapping[str, Any]) -> Control:
        """Append a control; ``body`` is a JSON object. Durable on return."""
        # Through JSON and back, so that what is returned is what a replay will read.
        content = json.loads(json.dumps(dict(body), allow_nan=False))
        with self._database.writing() as connection:
            head = Head.load(connection, str(self.path))
            control = Control(head.controls, self._clock(), content)
            journal.insert_control(connection, control)
            head.controls += 1
            head.store(connection)
        return control

    def controls(self, start: int = 0, stop: int | None = None) -> list[Control]:
        """Return the controls with offsets ``start`` to ``stop - 1`` (to the last one by default).

        Raises
        ------
        ValueError
            If the log does not have these offsets.
        """
        with self._database.reading() as connection:
            end = Head.load(connection, str(self.path)).controls
            stop = end if stop is None else stop
            if not 0 <= start <= stop <= end:
                raise ValueError(f"the controls end at offset {end}; asked for {start} to {stop}")
            return journal.load_controls(connection, start, stop, str(self.path))

    def cut(self, ends: Sequence[int], controls: int) -> Cut:
        """Journal the next cut; durable on return.

        Raises
        ------
        ValueError
            If it takes back what an earlier cut has, or names what is not in the log.
        """
        with self._database.writing() as connection:
            head = Head.load(connection, str(self.path))
            before = self._cut(connection, head.cuts)
            cut = Cut(before.seq + 1, tuple(int(end) for end in ends), controls)
            _check_between(before.ends, cut.ends, head.ends, f"cut {cut.seq}")
            if not before.controls <= controls <= head.controls:
                raise ValueError(
                    f"cut {cut.seq}: expected controls between {before.controls} and {head.controls}; "
                    f"got {controls}"
                )
            journal.insert_cut(connection, cut)
            head.cuts = cut.seq
            head.store(connection)
        return cut

    def cuts(self, after: int = 0) -> list[Cut]:
        """Return the cuts with ``seq > after``, in order.

        Raises
        ------
        ValueError
            If there is no cut ``after``: a snapshot that names it belongs to another log.
        """
        with self._database.reading() as connection:
            last = Head.load(connection, str(self.path)).cuts
            if not 0 <= after <= last:
                raise ValueError(f"log {self.path}: its last cut is {last}; asked for those after {after}")
            return journal.load_cuts(connection, after + 1, last, str(self.path))

    def rewind(self, cut: Cut, to: str) -> RolledBack:
        """Undo all cuts and controls behind ``cut``; durable on return. See :mod:`rtrec.events.rewind`.

        Raises
        ------
        ValueError
            If the log has not come so far.
        """
        with self._database.writing() as connection:
            return rewind(
                connection,
                seq=cut.seq,
                n_controls=cut.controls,
                to=to,
                time=self._clock(),
                where=str(self.path),
            )

    def rolled_back(self) -> list[RolledBack]:
        """Return all that was ever rolled back, oldest first."""
        with self._database.reading() as connection:
            return load_rolled_back(connection, str(self.path))

    def dead_letters(
        self,
        *,
        limit: int = 100,
        reason: str | None = None,
        ids: tuple[int, int] | None = None,
        after: int = -1,
    ) -> list[StoredDeadLetter]:
        """Return dead letters that wait; see :meth:`rtrec.events.log.EventLog.dead_letters`."""
        with self._database.reading() as connection:
            return journal.load_dead_letters(connection, limit, reason, ids, after)

    def dead_letter_counts(self) -> dict[str, int]:
        """Return how many dead letters wait, for each reason."""
        with self._database.reading() as connection:
            return journal.count_dead_letters(connection)

    def compact(self, ends: Sequence[int], cut_seq: int) -> list[Path]:
        """Move events below ``ends`` from the SQLite file to Parquet files; they can be read as before.

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
        _check_between((0,) * self.partitions, ends, covered, f"compaction at cut {cut_seq}")
        written = []
        for partition, end in enumerate(ends):
            while (file := self._move_records(partition, end)) is not None:
                written.append(file.path)
        return written

    def history(self) -> list[HistoryFile]:
        """Return the files that hold compacted events, by partition and offset."""
        with self._database.reading() as connection:
            files = history.load_newest_history(connection, self.history_folder)
        return sorted(files, key=lambda file: (file.partition, file.first))

    def _move_records(self, partition: int, end: int) -> HistoryFile | None:
        """Move the events of one history file, in one transaction; return None if there are none to move."""
        where = str(self.path)
        with self._database.writing() as connection:
            head = Head.load(connection, where)
            first = head.history[partition]
            stop = max(first, min(end, first + _HISTORY_FILE_EVENTS))
            found = records.load_records(connection, partition, first, stop, where)
            whole = [record for record in found if record.stop <= end]
            if not whole:
                return None
            moved = whole[-1].stop
            events = [record.events(where) for record in contiguous(whole, partition, first, moved, where)]
            listed = history.load_history(connection, self.history_folder, partition, 0, first)
            history.remove_strays(self.history_folder, partition, listed)
            file = write_history(self.history_folder, partition, first, pa.concat_tables(events))
            history.insert_history(connection, file)
            records.delete_records(connection, partition, moved)
            head.history[partition] = moved
            head.store(connection)
        return file

    def _head(self) -> Head:
        with self._database.reading() as connection:
            return Head.load(connection, str(self.path))

    def _cut(self, connection: sqlite3.Connection, seq: int) -> Cut:
        if seq == 0:
            return Cut(0, (0,) * self.partitions, 0)
        return journal.load_cuts(connection, seq, seq, str(self.path))[0]

    def _verify(self, file: HistoryFile) -> None:
        # The whole file once; after that the checksums of its pages are enough.
        if file.path not in self._verified:
            verify_history(file)
            self._verified.add(file.path)


def _insert_events(
    connection: sqlite3.Connection, head: Head, parts: Sequence[pa.Table], bodies: Sequence[bytes]
) -> None:
    for partition, (part, body) in enumerate(zip(parts, bodies, strict=True)):
        if part.num_rows:
            records.insert_record(connection, partition, head.ends[partition], part.num_rows, body)
            head.ends[partition] += part.num_rows


def _check_between(low: Sequence[int], ends: Sequence[int], high: Sequence[int], what: str) -> None:
    if len(ends) != len(low):
        raise ValueError(f"{what}: expected {len(low)} ends, one a partition; got {len(ends)}")
    for partition, (least, end, most) in enumerate(zip(low, ends, high, strict=True)):
        if not least <= end <= most:
            raise ValueError(
                f"{what}: expected an end of partition {partition} between {least} and {most}; got {end}"
            )
