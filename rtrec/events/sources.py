"""Replay a file of recorded events: raw rows in chunks, from any row on, at any speed.

A source knows nothing of events. It hands out raw rows with their place in the file; the
:class:`rtrec.events.cleaning.Cleaner` of that source makes events of them, and the log keeps the place
together with the events, so that a restart goes on exactly where the last durable batch ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import structlog

from rtrec.events.mapping import ColumnMapping
from rtrec.events.parsing import RawColumn
from rtrec.events.poison import piecewise
from rtrec.events.readers import open_reader
from rtrec.events.rules import Rule
from rtrec.files import new_hash
from rtrec.types import Floats

#: So much of a file that is read in its own order tells it from others.
_HEAD_BYTES = 1 << 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RawChunk:
    """Some consecutive rows of a replay.

    ``first_row`` is the place of the first row in the replay, from 1. The index of ``frame``, named ``row``,
    holds each row's number in the file; the two differ only where the replay is sorted.
    """

    first_row: int
    frame: pd.DataFrame
    mapping: ColumnMapping

    @property
    def position(self) -> int:
        """Rows handed out once this chunk is done: store it, and start there after a restart."""
        return self.first_row - 1 + len(self.frame)

    def times(self) -> Floats:
        """Return event times in seconds since 1970 UTC, NaN where unreadable, shape ``(row,)``."""
        return _microseconds(self.frame, self.mapping) / 1e6

    def part(self, start: int, stop: int) -> RawChunk:
        """Return rows ``start`` to ``stop - 1`` of this chunk as a chunk."""
        return replace(self, first_row=self.first_row + start, frame=self.frame.iloc[start:stop])


class FileSource:
    """A CSV, Parquet or JSON Lines file, chosen by suffix; the text formats also gzipped (``.gz``).

    Everything that makes the file unusable is found here, before the first row is handed out. A single row
    that cannot be read is none of that: it is handed out as such, and becomes a dead letter.

    Parameters
    ----------
    path
        The file.
    mapping
        Which column means what.
    chunk_rows
        Rows in a chunk.
    sort
        Replay in order of event time (ties keep file order, rows without a readable time come last). Reads
        the whole file into memory; data sets that are sorted by user need it.
    encoding
        Of the text formats.
    rules
        What the data set leaves out; the columns of these rules are read too.

    Attributes
    ----------
    name : str
        The file's name, by which log and dead letters know the source.
    n_rows : int
        About how many rows there are (exact for Parquet, and where every row of text is one line).

    Raises
    ------
    InputError
        If the file is missing, empty, truncated beyond use, in another encoding, or without a column.
    """

    def __init__(
        self,
        path: Path,
        mapping: ColumnMapping,
        *,
        chunk_rows: int = 2000,
        sort: bool = False,
        encoding: str = "utf-8",
        rules: Sequence[Rule] = (),
    ) -> None:
        if chunk_rows < 1:
            raise ValueError(f"a chunk has at least one row; got chunk_rows={chunk_rows}")
        self.path = Path(path)
        self.name = self.path.name
        self.mapping = mapping
        self.rules = tuple(rules)
        self._encoding = encoding
        self._chunk_rows = chunk_rows
        self._sort = sort
        of_rules = (name for rule in rules for name in rule.columns)
        self._columns = tuple(dict.fromkeys((*mapping.columns, *of_rules)))
        self._reader = open_reader(self.path, encoding=encoding)
        self._reader.require(self._columns)
        self.n_rows = self._reader.n_rows
        if self._reader.may_be_cut:
            _log.warning(
                "no line end after the last row: the file may be cut, and its last field short",
                file=str(path),
            )

    def identity(self) -> dict[str, Any]:
        """Return what tells this replay from any other, as a JSON object: the file's content and its reading.

        In file order a row keeps its number while the file grows, so its beginning is enough. In order of
        time any row may come between two others, so the whole file counts.
        """
        size = self.path.stat().st_size
        checked = size if self._sort else min(size, _HEAD_BYTES)
        identity = {
            "file": self.name,
            "columns": asdict(self.mapping),
            "left out": [rule.reason for rule in self.rules],
            "encoding": self._encoding,
            "order": "time" if self._sort else "file",
            "bytes": checked,
            "checksum": _checksum(self.path, checked),
        }
        return json.loads(json.dumps(identity))

    def difference(self, identity: Mapping[str, Any]) -> str | None:
        """Return why row numbers of the replay of ``identity`` mean nothing in this one; None if they do."""
        mine = self.identity()
        for name in ("file", "columns", "left out", "encoding", "order"):
            if mine[name] != identity.get(name):
                return f"its {name} was {identity.get(name)!r}, now {mine[name]!r}"
        checked = int(identity["bytes"])
        if self._sort and mine["bytes"] != checked:
            return f"the file had {checked:,} bytes, now {mine['bytes']:,}: rows in order of time have moved"
        if _checksum(self.path, checked) != identity["checksum"]:
            return f"the first {checked:,} bytes of the file are not what they were"
        return None

    def chunks(self, start_row: int = 0) -> Iterator[RawChunk]:
        """Yield the rows after the first ``start_row`` of the replay.

        Raises
        ------
        InputError
            If the file turns out to be damaged further on (Parquet pages are checked as they are read).
        """
        frames = self._sorted(start_row) if self._sort else self._in_file_order(start_row)
        first_row = start_row + 1
        for frame in frames:
            yield RawChunk(first_row, frame, self.mapping)
            first_row += len(frame)

    def _in_file_order(self, start_row: int) -> Iterator[pd.DataFrame]:
        return self._reader.frames(self._columns, chunk_rows=self._chunk_rows, start_row=start_row)

    def _sorted(self, start_row: int) -> Iterator[pd.DataFrame]:
        frames = list(self._reader.frames(self._columns, chunk_rows=65_536, start_row=0))
        times = np.concatenate([_microseconds(each, self.mapping) for each in frames])
        order = np.argsort(times, kind="stable")
        whole = pd.concat(frames)
        frames.clear()
        for start in range(start_row, len(whole), self._chunk_rows):
            yield whole.iloc[order[start : start + self._chunk_rows]]


def _microseconds(frame: pd.DataFrame, mapping: ColumnMapping) -> Floats:
    """Return event times in microseconds, NaN where there is none, or where our own code fails on a cell."""
    cells = frame[mapping.time]
    pieces = piecewise(
        lambda start, stop: RawColumn(cells.iloc[start:stop]).microseconds(mapping), 0, len(cells)
    )
    return np.concatenate(
        [
            np.full(stop - start, np.nan) if isinstance(times, Exception) else times
            for start, stop, times in pieces
        ]
    )


def _checksum(path: Path, size: int) -> str:
    """Return the checksum of a file's first ``size`` bytes."""
    digest = new_hash()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
