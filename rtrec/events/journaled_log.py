"""What every log keeps in a SQLite file of its own: its journal, and all that must commit with the events.

The journal is the truth about a log, wherever the bodies of its events lie: it says how many events each
partition has, where they came from, which of them make up which step, and what could not become an event.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rtrec.clock import utc_now
from rtrec.errors import DeploymentError
from rtrec.events import history, journal
from rtrec.events.database import Database, Mode
from rtrec.events.history import HistoryFile
from rtrec.events.journal import Head, Source
from rtrec.events.log import Control, Cut, Position, StoredDeadLetter
from rtrec.events.rewind import RolledBack, load_rolled_back, rewind
from rtrec.failpoints import failpoint

FORMAT_VERSION = 2
#: What makes a file of an earlier format one of the next.
_UPGRADES = {1: journal.UPGRADE}


class JournaledLog:
    """The part of an :class:`~rtrec.events.log.EventLog` that is the same wherever events are.

    By itself it is a log that can be asked about everything but its events, and be given controls: no broker
    has to be reached for that. May be used from several threads; several processes may have it open, one of
    them writing at a time.

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

    #: Tables beside those of the journal.
    _TABLES = ""

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
            with self._database.creating(self._TABLES + history.TABLES + journal.TABLES) as connection:
                Head(ends=[0] * partitions, history=[0] * partitions).store(connection)
                self._create(connection, partitions)
        found = len(self._head().ends)
        if partitions not in (None, found):
            raise DeploymentError(
                f"log {self.path}: expected {partitions} partitions, it was created with {found}; "
                f"their number is fixed: use {found}, or another folder"
            )
        return found

    def _create(self, connection: sqlite3.Connection, partitions: int) -> None:
        """Write what a new log of this kind begins with, in the transaction that creates it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, partitions={self.partitions})"

    @property
    def at(self) -> str | None:
        """Return the topic that has the events, None if they are in the file and beside it."""
        return None

    @property
    def partitions(self) -> int:
        """Return the number of partitions."""
        return self._partitions

    def close(self) -> None:
        """Close the file; the log cannot be used afterwards."""
        self._database.close()

    def ends(self) -> tuple[int, ...]:
        """Return the offset behind the last event of each partition."""
        return tuple(self._head().ends)

    def position(self, source: str) -> Position:
        """Return where in ``source`` the log has come to; 0 for a source never seen."""
        return self._head().sources.get(source, Source()).position

    def cleaning_counts(self, source: str) -> dict[str, int]:
        """Return the cleaning counts last stored for ``source``; none for a source never seen."""
        return self._head().sources.get(source, Source()).counts

    def watermark(self, source: str) -> dict[str, Any]:
        """Return what was last stored of the watermark of ``source``; nothing for a source never seen."""
        return self._head().sources.get(source, Source()).watermark

    def append_control(self, body: Mapping[str, Any]) -> Control:
        """Append a control; ``body`` is a JSON object. Durable on return."""
        # Through JSON and back, so that what is returned is what a replay will read.
        content = json.loads(json.dumps(dict(body), allow_nan=False))
        with failpoint("log.control"), self._database.writing() as connection:
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
        with failpoint("log.cut"), self._database.writing() as connection:
            head = Head.load(connection, str(self.path))
            before = self._cut(connection, head.cuts)
            cut = Cut(before.seq + 1, tuple(int(end) for end in ends), controls)
            check_between(before.ends, cut.ends, head.ends, f"cut {cut.seq}")
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
        with failpoint("log.rewind"), self._database.writing() as connection:
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

    def history(self) -> list[HistoryFile]:
        """Return the files that hold compacted events, by partition and offset."""
        with self._database.reading() as connection:
            files = history.load_newest_history(connection, self.history_folder)
        return sorted(files, key=lambda file: (file.partition, file.first))

    def _head(self) -> Head:
        with self._database.reading() as connection:
            return Head.load(connection, str(self.path))

    def _cut(self, connection: sqlite3.Connection, seq: int) -> Cut:
        if seq == 0:
            return Cut(0, (0,) * self.partitions, 0)
        return journal.load_cuts(connection, seq, seq, str(self.path))[0]


def check_between(low: Sequence[int], ends: Sequence[int], high: Sequence[int], what: str) -> None:
    """Raise ``ValueError`` unless each of the ends lies between the two that bound it."""
    if len(ends) != len(low):
        raise ValueError(f"{what}: expected {len(low)} ends, one a partition; got {len(ends)}")
    for partition, (least, end, most) in enumerate(zip(low, ends, high, strict=True)):
        if not least <= end <= most:
            raise ValueError(
                f"{what}: expected an end of partition {partition} between {least} and {most}; got {end}"
            )
