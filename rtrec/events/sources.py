"""Replay a file of recorded events: raw rows in chunks, from any row on, at any speed.

A source knows nothing of events. It hands out raw rows with their place in the file; the
:class:`rtrec.events.cleaning.Cleaner` of that source makes events of them, and the log keeps the place
together with the events, so that a restart goes on exactly where the last durable batch ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import structlog

from rtrec.events.mapping import ColumnMapping
from rtrec.events.plausible import doubt_about
from rtrec.events.readers import open_reader
from rtrec.events.rules import Rule
from rtrec.events.timeorder import TimeOrder, microseconds
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
        return microseconds(self.frame, self.mapping) / 1e6

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
        Replay in order of event time (:class:`rtrec.events.timeorder.TimeOrder`). Reads the whole file into
        memory, once, as it is then; data sets that are sorted by user need it.
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
        existing = self._reader.require(self._columns)
        self._others = [name for name in existing if name not in self._columns]
        self._is_doubted = False
        self.n_rows = self._reader.n_rows
        if self._reader.may_be_cut:
            _log.warning(
                "no line end after the last row: the file may be cut, and its last field short",
                file=str(path),
            )

    def identity(self) -> dict[str, Any]:
        """Return what tells this replay from any other, as a JSON object: the file's content and its reading.

        In file order a row keeps its number while the file grows, so its beginning is enough. In order of
        time any row may come between two others, so all that is read of the file counts.
        """
        identity: dict[str, Any] = {
            "file": self.name,
            "columns": asdict(self.mapping),
            "left out": [rule.reason for rule in self.rules],
            "encoding": self._encoding,
            "order": "time" if self._sort else "file",
        }
        if self._sort:
            n_rows = len(self._by_time)
            identity |= {"rows": n_rows, "checksum": self._by_time.checksum(self._columns, n_rows)}
        else:
            n_bytes = min(self.path.stat().st_size, _HEAD_BYTES)
            identity |= {"bytes": n_bytes, "checksum": _checksum(self.path, n_bytes)}
        kept: dict[str, Any] = json.loads(json.dumps(identity))
        return kept

    def difference(self, identity: Mapping[str, Any], position: int) -> str | None:
        """Return why the first ``position`` rows of the replay of ``identity`` are not those of this one.

        None if they are: nothing has happened to the file, or it has grown by rows that come later.
        """
        mine = self.identity()
        for name in ("file", "columns", "left out", "encoding", "order"):
            if mine[name] != identity.get(name):
                return f"its {name} was {identity.get(name)!r}, now {mine[name]!r}"
        if self._sort:
            return self._difference_by_time(identity, position)
        checked = int(identity["bytes"])
        if _checksum(self.path, checked) != identity["checksum"]:
            return f"the first {checked:,} bytes of the file are not what they were"
        return None

    def _difference_by_time(self, identity: Mapping[str, Any], position: int) -> str | None:
        if "rows" not in identity:
            return "an earlier version of rtrec read it, which did not keep what it takes to go on"
        n_before = int(identity["rows"])
        if len(self._by_time) < n_before:
            return f"the file had {n_before:,} rows, now {len(self._by_time):,}"
        if self._by_time.checksum(self._columns, n_before) != identity["checksum"]:
            return f"the first {n_before:,} rows of the file are not what they were"
        return self._by_time.moved(position, n_before)

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
        frames = self._reader.frames(self._columns, chunk_rows=self._chunk_rows, start_row=start_row)
        for frame in frames:
            if not self._is_doubted:
                self._doubt(microseconds(frame, self.mapping) / 1e6)
            yield frame

    def _sorted(self, start_row: int) -> Iterator[pd.DataFrame]:
        for start in range(start_row, len(self._by_time), self._chunk_rows):
            yield self._by_time.frame(start, start + self._chunk_rows)

    @cached_property
    def _by_time(self) -> TimeOrder:
        # Read once: a file that grows meanwhile must not change under a replay that has begun.
        whole = self._reader.frames(self._columns, chunk_rows=65_536, start_row=0)
        by_time = TimeOrder(whole, self.mapping)
        self._doubt(by_time.times)
        return by_time

    def _doubt(self, times: Floats) -> None:
        """Say it, once, if the first times that are read do not look like any."""
        doubt = None if self._is_doubted else doubt_about(times, self.mapping.time, self._others)
        self._is_doubted = True
        if doubt is not None:
            _log.warning(doubt, file=self.name)


def _checksum(path: Path, size: int) -> str:
    """Return the checksum of a file's first ``size`` bytes."""
    digest = new_hash()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
