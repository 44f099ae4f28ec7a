"""What a log of events promises, whatever keeps it.

The log is the only truth: what is not in it did not happen. It has a fixed number of *partitions*, each a
sequence of events with offsets 0, 1, 2, ..., and one sequence of *controls* (changed settings, promotions).
A *cut* says which events make up one step of the engine; cuts are journaled, so that a run that was killed
repeats its last step exactly. Positions of sources are stored together with the events read from there: that
is what makes a restart neither lose nor repeat a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa

from rtrec.events.letters import DeadLetter
from rtrec.events.payloads import Kept

if TYPE_CHECKING:
    from rtrec.events.history import HistoryFile


#: How far a source was read: so many rows, or, where it has parts of its own, the offset reached in each.
Position = int | dict[str, int]


@dataclass(frozen=True)
class Cut:
    """One step of the engine: the events and controls up to here, less those of earlier cuts.

    Attributes
    ----------
    seq
        Number of the cut, from 1, without gaps.
    ends
        For each partition, the offset behind its last event.
    controls
        Controls with an offset below this apply before the events of this cut.
    """

    seq: int
    ends: tuple[int, ...]
    controls: int


@dataclass(frozen=True)
class Control:
    """A change of how the engine works, in the order of the log; ``time`` is when it was appended."""

    offset: int
    time: datetime
    body: dict[str, Any]


@dataclass(frozen=True)
class StoredDeadLetter:
    """A :class:`~rtrec.events.letters.DeadLetter` as the log keeps it; ``time`` is when it was appended."""

    id: int
    time: datetime
    source: str
    row: int
    reason: str
    column: str
    payload: str
    kept: Kept = "part"
    detail: str = ""


class Refusal(NamedTuple):
    """Why a dead letter that was tried again is still no event; see ``DeadLetter``."""

    reason: str
    column: str
    detail: str


class EventLog(Protocol):
    """A durable, partitioned log of events and everything that must commit with them.

    Offsets are dense and never change. Whatever a method returns is durable; after a crash, of what was being
    appended there is all or nothing. Bad arguments are ``TypeError`` or ``ValueError``, damaged storage is a
    :class:`~rtrec.errors.CorruptionError`, a log that cannot be used now a
    :class:`~rtrec.errors.DeploymentError`.
    """

    @property
    def path(self) -> Path:
        """Return the file of the journal."""

    @property
    def at(self) -> str | None:
        """Return the topic that has the events, None if they are in the file and beside it."""

    @property
    def partitions(self) -> int:
        """Return the number of partitions, fixed when the log was created."""

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
        """Append one event table to each partition, in one step with where they came from.

        Parameters
        ----------
        parts
            An event table (:data:`~rtrec.events.schema.EVENT_SCHEMA`) for each partition, possibly empty.
        source, position
            How far ``source`` is in the log, whether as events or otherwise; it never goes back.
        counts
            The cleaning counts of ``source`` so far; stored as they are.
        watermark
            What :meth:`rtrec.events.watermark.Watermark.stored` says of ``source``; stored as it is.
        dead_letters
            The rows among them that could not become events.

        Returns
        -------
        tuple of int
            The new end offset of each partition.
        """

    def append_control(self, body: Mapping[str, Any]) -> Control:
        """Append a control; ``body`` is a JSON object."""

    def controls(self, start: int = 0, stop: int | None = None) -> list[Control]:
        """Return the controls with offsets ``start`` to ``stop - 1`` (to the last one by default)."""

    def cut(self, ends: Sequence[int], controls: int) -> Cut:
        """Journal the next cut; it takes nothing back and names nothing that is not in the log."""

    def cuts(self, after: int = 0) -> list[Cut]:
        """Return the cuts with ``seq > after``, in order."""

    def read(self, partition: int, start: int, stop: int | None = None) -> pa.Table:
        """Return the events ``start`` to ``stop - 1`` of a partition (to its end by default)."""

    def ends(self) -> tuple[int, ...]:
        """Return the offset behind the last event of each partition."""

    def position(self, source: str) -> Position:
        """Return how far ``source`` is in the log; 0 for a source never seen."""

    def cleaning_counts(self, source: str) -> dict[str, int]:
        """Return the cleaning counts last stored for ``source``."""

    def watermark(self, source: str) -> dict[str, Any]:
        """Return what was last stored of the watermark of ``source``; nothing for a source never seen."""

    def dead_letters(
        self,
        *,
        limit: int = 100,
        reason: str | None = None,
        ids: tuple[int, int] | None = None,
        after: int = -1,
    ) -> list[StoredDeadLetter]:
        """Return dead letters that wait, those that were redriven left out, oldest first.

        Without ``ids`` and ``after`` these are the last ``limit``; with them the first ``limit`` whose ids
        lie between the two (both included), and are more than ``after``.
        """

    def dead_letter_counts(self) -> dict[str, int]:
        """Return how many dead letters wait, for each reason."""

    def redrive(
        self, parts: Sequence[pa.Table], settled: Sequence[int], refused: Mapping[int, Refusal]
    ) -> Control | None:
        """Append events that were made of dead letters, and mark these, in one step.

        Beside a run this is as safe as without one: the control that is appended too has it take the events.

        Parameters
        ----------
        parts
            An event table for each partition.
        settled
            The ids of the letters that do not wait any more: those these events were, and those that need not
            become one.
        refused
            By id, why others are still no events.

        Returns
        -------
        Control or None
            The record of it: ``{"control": "redriven", "n": ..., "starts": [...], "ends": [...]}`` with the
            offsets of the events in each partition; None if there are no events.

        Raises
        ------
        DeploymentError
            If a letter does not wait any more; then nothing is appended or marked.
        """

    def recent_event_ids(self, n: int) -> Iterable[str]:
        """Return the ids of about the last ``n`` events appended to all partitions, oldest first."""

    def history(self) -> list[HistoryFile]:
        """Return the Parquet files that hold compacted events, by partition and offset."""

    def compact(self, ends: Sequence[int], cut_seq: int) -> list[Path]:
        """Move events below ``ends`` to the history; they can be read as before."""

    def close(self) -> None:
        """Let go of files and connections; the log cannot be used afterwards."""
