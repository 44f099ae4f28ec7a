"""Rows of delimited text and of JSON Lines, damaged ones included."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from rtrec.errors import InputError
from rtrec.events.mapping import require_columns
from rtrec.events.payloads import KEPT_CHARACTERS, cut, keep_text
from rtrec.events.rawrows import ROW, Unreadable, read_object, unreadable_columns
from rtrec.events.textfile import MAX_ROW_CHARACTERS, Lines, LongLine, check_text, open_lines

# The delimiter is whichever of these the header has most of; a comma if it has none.
_DELIMITERS = ",\t;|"
_KEYS_FROM_ROWS = 1_000


class TextReader(ABC):
    """Records of a text file one by one, gathered into frames of raw columns."""

    def __init__(self, path: Path, *, encoding: str) -> None:
        self.path = path
        self._encoding = encoding
        facts = check_text(path, encoding)
        self.n_lines = facts.n_lines + (not facts.ends_in_line_end)
        self.may_be_cut = not facts.ends_in_line_end
        self._ends_in_half_character = facts.ends_in_half_character

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """About how many rows there are; exact unless rows span lines."""

    @abstractmethod
    def require(self, names: Sequence[str]) -> list[str]:
        """Return the columns there are; ``InputError`` if one of these is none, or there are no rows."""

    @abstractmethod
    def _parse(self, lines: Lines) -> Iterator[Any]:
        """Yield a record or an :class:`Unreadable` for each data row."""

    @abstractmethod
    def _cell_getters(self, names: Sequence[str]) -> list[Callable[[Any], Any]]:
        """Return, for each column, what takes its cell from a record."""

    @abstractmethod
    def _series(self, cells: list[Any]) -> pd.Series:
        """Return cells as a column."""

    def frames(self, names: Sequence[str], *, chunk_rows: int, start_row: int) -> Iterator[pd.DataFrame]:
        """Yield the named columns from data row ``start_row + 1`` on.

        An unreadable row keeps its place: its cells are empty, and the marker columns of
        :mod:`rtrec.events.rawrows` say what is wrong with it.
        """
        getters = self._cell_getters(names)
        row = start_row + 1
        with closing(self._records()) as records:
            rest = islice(records, start_row, None)
            while chunk := list(islice(rest, chunk_rows)):
                yield self._frame(chunk, row, names, getters)
                row += len(chunk)

    def _records(self) -> Generator[Any, None, None]:
        with open_lines(self.path, self._encoding) as file:
            yield from self._parse(Lines(file))

    def _frame(
        self, chunk: list[Any], row: int, names: Sequence[str], getters: list[Callable[[Any], Any]]
    ) -> pd.DataFrame:
        bad = {place: record for place, record in enumerate(chunk) if isinstance(record, Unreadable)}
        columns = {}
        for name, get in zip(names, getters, strict=True):
            if bad:
                cells = [None if place in bad else get(record) for place, record in enumerate(chunk)]
            else:
                cells = [get(record) for record in chunk]
            columns[name] = self._series(cells)
        if bad:
            columns |= unreadable_columns([bad.get(place) for place in range(len(chunk))])
        frame = pd.DataFrame(columns)
        frame.index = pd.RangeIndex(row, row + len(chunk), name=ROW)
        return frame

    def _unreadable(self, reason: str, lines: Sequence[str | LongLine]) -> Unreadable:
        first = lines[: KEPT_CHARACTERS + 1]
        text = "".join(line if isinstance(line, str) else line.beginning for line in first).rstrip("\r\n")
        size = _size(lines)
        payload, kept = keep_text(text[:KEPT_CHARACTERS], size if size > KEPT_CHARACTERS else len(text))
        # What stands for half a character is not what stood there.
        return Unreadable(reason, payload, "part" if self._is_half(payload) else kept)

    def _is_half(self, line: str) -> bool:
        return self._ends_in_half_character and line.endswith("\ufffd")


class DelimitedReader(TextReader):
    """CSV and its kin: a header, then one record a row, split where the header says."""

    def __init__(self, path: Path, *, encoding: str) -> None:
        super().__init__(path, encoding=encoding)
        with open_lines(path, encoding) as file:
            lines = Lines(file)
            try:
                header = next(lines)
                self._delimiter = max(_DELIMITERS, key=header.count)
                lines.give_back([header])
                self._names = next(csv.reader(lines, delimiter=self._delimiter, strict=True), [])
            except (csv.Error, LongLine) as error:
                raise InputError(
                    f"{path}: line 1: expected a header of column names; it cannot be read: {error}"
                ) from error
        if not any(name.strip() for name in self._names):
            raise InputError(
                f"{path}: line 1: expected a header of column names; it names no columns: "
                f"{cut(header.rstrip())!r}; write their names there, with no blank lines above"
            )

    @property
    def n_rows(self) -> int:
        """About how many rows there are; exact unless rows span lines."""
        return max(self.n_lines - 1, 0)

    def require(self, names: Sequence[str]) -> list[str]:
        """Return the columns there are; ``InputError`` if one of these is none, or there are no rows."""
        require_columns(names, self._names, where=str(self.path))
        with closing(self._records()) as records:
            if next(records, None) is None:
                raise InputError(f"{self.path}: a header and no rows; expected rows of events below it")
        return list(self._names)

    def _parse(self, lines: Lines) -> Iterator[list[str] | Unreadable]:
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        n_fields = len(next(reader))
        while True:
            lines.start_row()
            try:
                record = next(reader)
            except StopIteration:
                return
            except (csv.Error, LongLine):
                record = []
            if len(record) == n_fields and not self._is_half(record[-1]):
                has_zero = any("\0" in field for field in record)
                yield self._unreadable("unparsable row", lines.taken) if has_zero else record
                continue
            if _size(lines.taken) > csv.field_size_limit() and self._take_whole_row(lines, n_fields):
                yield self._unreadable("oversize field", lines.taken)
                continue
            # A quote that is never closed swallows the rows below it: only the first line is at fault.
            first, *others = lines.taken
            lines.give_back(others)
            if isinstance(first, LongLine) or first.strip():
                # csv refuses a field over its limit even in columns nobody reads.
                too_long = _size([first]) > csv.field_size_limit()
                yield self._unreadable("oversize field" if too_long else "unparsable row", [first])

    def _take_whole_row(self, lines: Lines, n_fields: int) -> bool:
        """Take the lines that are left of a row too large for csv; say whether there is such a row at all."""
        row = _RowScan(self._delimiter)
        lines.give_back(lines.taken)
        lines.start_row()
        size = 0
        while size < MAX_ROW_CHARACTERS and row.n_fields <= n_fields:
            try:
                line: str | LongLine = next(lines)
            except StopIteration:
                return False
            except LongLine as long:
                line = long
            size += len(line) if isinstance(line, str) else len(line.beginning)
            row.read(line if isinstance(line, str) else line.skeleton)
            if row.ended is not None:
                return row.ended and row.n_fields == n_fields
        return False

    def _cell_getters(self, names: Sequence[str]) -> list[Callable[[Any], Any]]:
        return [itemgetter(self._names.index(name)) for name in names]

    def _series(self, cells: list[Any]) -> pd.Series:
        return pd.Series(pa.array(cells, pa.string()), dtype=pd.ArrowDtype(pa.string()))


class _RowScan:
    """Follow a row over its lines without keeping its fields.

    ``ended`` is None within the row, true behind its end, and false if its quotes do not fit.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._quoted = False
        self.n_fields = 1
        self.ended: bool | None = None

    def read(self, line: str) -> None:
        """Go on with the next line."""
        self.ended = self._read(line)

    def _read(self, line: str) -> bool | None:
        at = 0
        if not line:
            return False  # not even its skeleton was kept
        while True:
            if not self._quoted:
                if line.startswith('"', at):
                    self._quoted, at = True, at + 1
                    continue
                at = line.find(self._delimiter, at) + 1
                if not at:
                    return True
                self.n_fields += 1
                continue
            at = line.find('"', at) + 1
            if not at:
                return None
            behind = line[at : at + 1]
            if behind == '"':
                at += 1
                continue
            self._quoted = False
            if behind in ("", "\r", "\n"):
                return True
            if behind != self._delimiter:
                return False
            self.n_fields, at = self.n_fields + 1, at + 1


def _size(lines: Sequence[str | LongLine]) -> int:
    return sum(len(line) if isinstance(line, str) else line.size for line in lines)


class JsonLinesReader(TextReader):
    """JSON Lines: one object a line, keys in any order, and not every key in every line."""

    @property
    def n_rows(self) -> int:
        """About how many rows there are; exact unless there are blank lines."""
        return self.n_lines

    def require(self, names: Sequence[str]) -> list[str]:
        """Return the keys seen; ``InputError`` if one of these is in no line at all, or there are no rows."""
        seen: dict[str, None] = {}
        first: Any = None
        with closing(self._records()) as records:
            for row, record in enumerate(records, 1):
                first = record if first is None else first
                if isinstance(record, dict):
                    seen.update(dict.fromkeys(record))
                # A key may be rare; the rest of the file is read only to look for one not seen yet.
                if row >= _KEYS_FROM_ROWS and all(name in seen for name in names):
                    break
        if first is None:
            raise InputError(f"{self.path}: no rows; expected one JSON object a line")
        if isinstance(first, Unreadable) and (not seen or first.payload.lstrip().startswith("[")):
            raise InputError(
                f"{self.path}: row 1: expected one JSON object a line; got {first.payload[:80]!r}; "
                f"if the file is one big array, try: jq -c '.[]'"
            )
        require_columns(names, list(seen), where=str(self.path))
        return list(seen)

    def _parse(self, lines: Lines) -> Iterator[dict[str, Any] | Unreadable]:
        while True:
            lines.start_row()
            try:
                line = next(lines)
            except StopIteration:
                return
            except LongLine as long:
                yield self._unreadable("oversize field", [long])
                continue
            if not line.strip():
                continue
            record = read_object(line)
            yield self._unreadable("unparsable row", [line]) if record is None else record

    def _cell_getters(self, names: Sequence[str]) -> list[Callable[[Any], Any]]:
        return [_GetKey(name) for name in names]

    def _series(self, cells: list[Any]) -> pd.Series:
        return pd.Series(cells, dtype=object)


class _GetKey:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, record: dict[str, Any]) -> Any:
        return record.get(self._name)
