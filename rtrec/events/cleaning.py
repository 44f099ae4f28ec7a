"""Turn raw rows into events, and say of every other row why it is none.

Three things can happen to a row, and each is counted under its name:

- it becomes an event (``accepted``);
- it is sound, but a rule of the data set leaves it out (a cancelled order): counted under the rule's reason;
- it cannot be an event (no user, a time in the year 2999, later than is allowed, a row on which our own code
  fails): it becomes a :class:`~rtrec.events.letters.DeadLetter` that keeps where it stood, why it was refused
  and what it said, so that it can be looked at, mended and sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from rtrec.errors import InputError
from rtrec.events.arrival import Arrival, arrive
from rtrec.events.flood import FloodWatch
from rtrec.events.letters import LATE, DeadLetter, advice
from rtrec.events.mapping import ColumnMapping, require_columns
from rtrec.events.packing import json_objects, row_kept
from rtrec.events.parsing import RawColumn, null_mask
from rtrec.events.payloads import readable
from rtrec.events.poison import piecewise
from rtrec.events.rawrows import ROW, UNREADABLE_REASON, require_readable, typed_frame
from rtrec.events.recent import RecentIds
from rtrec.events.rules import Rule
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.verdicts import ACCEPTED, Verdicts
from rtrec.events.watermark import CLOCK_ERROR, Watermark
from rtrec.types import KINDS, Floats, Ints

#: So many of the last event ids are remembered.
DEDUP_WINDOW = 1_000_000

#: What other systems call the kinds of :data:`rtrec.types.KINDS`.
KIND_SYNONYMS = {
    "purchase": "buy",
    "transaction": "buy",
    "order": "buy",
    "addtocart": "cart",
    "add_to_cart": "cart",
    "pageview": "view",
    "listen": "play",
    "watch": "play",
    "rate": "rating",
}

_log = structlog.get_logger(__name__)
# Nobody recorded interactions before; the publisher's impossible years in Last.fm 2K start at 1956.
_EARLIEST = datetime(1950, 1, 1, tzinfo=UTC)


class CleanBatch(NamedTuple):
    """Events of some raw rows (an event table, in row order), and the rows that could not become events."""

    events: pa.Table
    dead_letters: list[DeadLetter]


class _Piece(NamedTuple):
    """Some rows of a batch: their events, their dead letters, and which rows were bad, ``(row,)``."""

    events: pa.Table
    dead_letters: list[DeadLetter]
    bad: npt.NDArray[np.bool_]


class Cleaner:
    """Clean the rows of one source, chunk by chunk.

    Parameters
    ----------
    mapping
        Which column means what.
    source
        The source's name, in dead letters and in the ids of events that bring none.
    clock
        Returns the present, timezone-aware; times more than ``future_tolerance`` ahead of it are refused.
    max_field_bytes
        A longer field makes its row a dead letter.
    dedup_window
        How many of the last event ids are remembered to drop repeated events.
    rules
        What the data set leaves out.
    watermark
        Says which events are late: they become dead letters, all others move it. Without one, none is.
    kind_names
        What kinds are called in this source, beside :data:`KIND_SYNONYMS`.

    Attributes
    ----------
    counts : dict[str, int]
        Rows so far by what became of them, ``accepted`` among them.
    flood : str or None
        What there is to say if too many of the last rows could not be events, as of the last batch. What a
        rule left out, what came again and what came late is sound, and does not count.

    >>> mapping = ColumnMapping("user", "item", "time")
    >>> cleaner = Cleaner(mapping, source="demo", clock=lambda: datetime.now(UTC))
    >>> frame = pd.DataFrame({"user": ["anna", None], "item": [7, 8], "time": ["2024-05-01T10:00Z"] * 2})
    >>> batch = cleaner.clean(frame, first_row=1)
    >>> batch.events.select(["event_id", "user_id", "item_id"]).to_pylist()
    [{'event_id': 'demo:1', 'user_id': 'anna', 'item_id': '7'}]
    >>> batch.dead_letters[0].row, batch.dead_letters[0].reason, cleaner.counts
    (2, 'missing user', {'accepted': 1, 'missing user': 1})
    """

    def __init__(
        self,
        mapping: ColumnMapping,
        *,
        source: str,
        clock: Callable[[], datetime],
        max_field_bytes: int = 65_536,
        future_tolerance: timedelta = timedelta(minutes=5),
        dedup_window: int = DEDUP_WINDOW,
        rules: Sequence[Rule] = (),
        watermark: Watermark | None = None,
        kind_names: Mapping[str, str] | None = None,
    ) -> None:
        self.mapping = mapping
        self.source = source
        self.rules = tuple(rules)
        self.watermark = Watermark() if watermark is None else watermark
        self.counts: dict[str, int] = {}
        self.flood: str | None = None
        named = {name.lower(): kind for name, kind in (kind_names or {}).items()}
        self._kind_names = KIND_SYNONYMS | named
        self._flood_watch = FloodWatch()
        self._clock = clock
        self._max_field_bytes = max_field_bytes
        self._future_tolerance = future_tolerance
        self._recent = RecentIds(dedup_window)
        self._first_dead: DeadLetter | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the raw columns that are read, those of the rules included."""
        of_rules = (name for rule in self.rules for name in rule.columns)
        return tuple(dict.fromkeys((*self.mapping.columns, *of_rules)))

    def remember(self, event_ids: Iterable[str]) -> None:
        """Count these ids as seen, oldest first: after a restart, those the log ends with."""
        self._recent.add(event_ids)

    def clean(self, frame: pd.DataFrame | pa.Table, first_row: int) -> CleanBatch:
        """Return the events in raw rows; what cannot be one comes back as a dead letter, never an error.

        Parameters
        ----------
        frame
            Raw columns of any type. An index named ``row`` carries each row's number in its file; else rows
            count up from ``first_row``.
        first_row
            Number of the first row, from 1.

        Raises
        ------
        InputError
            If a column of the mapping or of a rule does not exist at all.
        """
        frame = with_names(frame)
        require_columns(self.columns, list(frame.columns), where=self.source)
        # Somebody's own index may be called row as well, and hold anything.
        numbered = frame.index.name == ROW and pd.api.types.is_integer_dtype(frame.index.dtype)
        rows = (
            np.asarray(frame.index, np.int64)
            if numbered
            else first_row + np.arange(len(frame), dtype=np.int64)
        )
        pieces = []
        clean = piecewise(
            lambda start, stop: self._clean(frame.iloc[start:stop], rows[start:stop]), 0, len(frame)
        )
        for start, stop, result in clean:
            if isinstance(result, Exception):
                result = self._raised(frame.iloc[start:stop], rows[start:stop], result)
            pieces.append(result)
        letters = [each for piece in pieces for each in piece.dead_letters]
        bad = np.concatenate([piece.bad for piece in pieces])
        self.flood = self._flood_watch.see(bad, [each for each in letters if each.reason != LATE])
        return CleanBatch(pa.concat_tables([piece.events for piece in pieces]), letters)

    def _clean(self, frame: pd.DataFrame, rows: Ints) -> _Piece:
        """Clean some rows; nothing is remembered of them unless all goes well."""
        now = self._clock()
        raw = {name: RawColumn(frame[name]) for name in self.mapping.fields}
        contexts = json_objects(frame, self.mapping.context)
        verdicts = Verdicts(len(frame))
        self._check_readable(verdicts, frame, raw, contexts)
        self._apply_rules(verdicts, frame)
        self._check_ids(verdicts, raw)
        times = self._check_times(verdicts, raw, now)
        kinds = self._check_kinds(verdicts, raw, len(frame))
        values = self._check_values(verdicts, raw, kinds)
        event_ids = self._event_ids(raw, rows)
        arrival = self._check_arrival(verdicts, event_ids, times, now)

        accepted = pa.array(np.flatnonzero(verdicts.code == 0))
        columns = [
            event_ids,
            raw[self.mapping.user].text,
            raw[self.mapping.item].text,
            # The times of refused rows are anything at all, and are not taken.
            pa.array(
                np.where(verdicts.code == 0, times, 0).astype(np.int64), EVENT_SCHEMA.field("timestamp").type
            ),
            kinds,
            pa.array(values, pa.float32(), from_pandas=True),
            contexts,
        ]
        events = pa.Table.from_arrays([column.take(accepted) for column in columns], schema=EVENT_SCHEMA)
        letters = self._dead_letters(verdicts, frame, rows, arrival)
        bad = np.zeros(len(frame), np.bool_)
        bad[[position for position, reason, _ in verdicts.dead() if reason != LATE]] = True

        # Nothing fails from here on.
        if self.mapping.event_id is not None:
            self._recent.add(events.column(0).to_pylist())
        self.watermark.take(arrival.sighting)
        self._count(verdicts.counts(), letters)
        return _Piece(events, letters, bad)

    def _raised(self, frame: pd.DataFrame, rows: Ints, error: Exception) -> _Piece:
        """Return a row on which our own code failed as a dead letter."""
        reason = f"raised: {type(error).__name__}"
        if reason not in self.counts:
            _log.error("a row could not be cleaned", source=self.source, row=int(rows[0]), exc_info=error)
        letters = [
            DeadLetter(self.source, int(row), reason, "", *row_kept(record), detail=str(error)[:500])
            for row, record in zip(rows, _records(frame), strict=True)
        ]
        self._count({reason: len(letters)}, letters)
        return _Piece(EVENT_SCHEMA.empty_table(), letters, np.ones(len(letters), np.bool_))

    def _count(self, counts: Mapping[str, int], letters: Sequence[DeadLetter]) -> None:
        for reason, n_rows in counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + n_rows
        if letters and self._first_dead is None:
            self._first_dead = letters[0]

    def require_accepted(self) -> None:
        """Raise if rows were seen and not one became an event: such a source was misread, not merely dirty.

        Raises
        ------
        InputError
            With the counts per reason, and the row and column of the first dead letter.
        """
        if not self.counts or self.counts.get(ACCEPTED):
            return
        reasons = ", ".join(f"{reason} {n_rows:,}" for reason, n_rows in self.counts.items())
        message = f"{self.source}: none of {sum(self.counts.values()):,} rows is an event ({reasons})"
        if (first := self._first_dead) is not None:
            place = f"row {first.row}" + (f", column {first.column!r}" if first.column else "")
            said = readable(first.payload, first.kept)[:200]
            message += f"; the first refused: {place}, {first.reason}: {said}{advice(first.reason)}"
        raise InputError(message)

    def _check_readable(
        self, verdicts: Verdicts, frame: pd.DataFrame, raw: dict[str, RawColumn], contexts: pa.StringArray
    ) -> None:
        if UNREADABLE_REASON in frame.columns:
            reasons = frame[UNREADABLE_REASON].to_numpy(object)
            for reason in sorted({each for each in reasons if isinstance(each, str)}):
                verdicts.mark(reasons == reason, reason)
        for name in self.mapping.fields:
            verdicts.mark(raw[name].sizes > self._max_field_bytes, "oversize field", name)
        packed = pc.fill_null(pc.binary_length(contexts), 0).to_numpy(zero_copy_only=False)
        verdicts.mark(packed > self._max_field_bytes, "oversize field", ", ".join(self.mapping.context))

    def _apply_rules(self, verdicts: Verdicts, frame: pd.DataFrame) -> None:
        for rule in self.rules:
            left_out = pd.array(np.asarray(rule.leaves_out(frame), object), "boolean")
            verdicts.mark(left_out.to_numpy(np.bool_, na_value=False), rule.reason, dead=False)

    def _check_ids(self, verdicts: Verdicts, raw: dict[str, RawColumn]) -> None:
        named = {"user": self.mapping.user, "item": self.mapping.item, "event id": self.mapping.event_id}
        for role, name in named.items():
            if name is not None:
                # JSON and Parquet can spell a zero character; databases end texts at it.
                zero = pc.fill_null(pc.match_substring(raw[name].text, "\0"), False)
                verdicts.mark(raw[name].odd | zero.to_numpy(zero_copy_only=False), f"{role} is no text", name)
                verdicts.mark(null_mask(raw[name].text), f"missing {role}", name)

    def _check_times(self, verdicts: Verdicts, raw: dict[str, RawColumn], now: datetime) -> Floats:
        name = self.mapping.time
        times = raw[name].microseconds(self.mapping)
        latest = (now + self._future_tolerance).timestamp() * 1e6
        verdicts.mark(~raw[name].given, "missing time", name)
        verdicts.mark(np.isnan(times), "unparsable time", name)
        verdicts.mark(times > latest, "far future", name)
        verdicts.mark(times < _EARLIEST.timestamp() * 1e6, "absurd past", name)
        return times

    def _check_kinds(self, verdicts: Verdicts, raw: dict[str, RawColumn], n_rows: int) -> pa.StringArray:
        if self.mapping.kind is None:
            return pa.repeat(self.mapping.default_kind, n_rows)
        given = raw[self.mapping.kind]
        spelt = pc.utf8_lower(given.text).dictionary_encode()
        names = [self._kind_names.get(name, name) for name in spelt.dictionary.to_pylist()]
        kinds = pc.fill_null(pa.array(names, pa.string()).take(spelt.indices), self.mapping.default_kind)
        known = pc.is_in(kinds, value_set=pa.array(KINDS)).to_numpy(zero_copy_only=False)
        verdicts.mark(given.odd | ~known, "unknown kind", self.mapping.kind)
        return kinds

    def _check_values(self, verdicts: Verdicts, raw: dict[str, RawColumn], kinds: pa.StringArray) -> Floats:
        name = self.mapping.value
        if name is None:
            return np.full(len(kinds), np.nan)
        values = raw[name].numbers
        # What overflows float32 would reach the kernel as infinity.
        too_large = np.abs(values) > np.finfo(np.float32).max
        verdicts.mark((raw[name].given & np.isnan(values)) | too_large, "not a number", name)
        # A rating scale may go below zero; a price, a quantity or a play time may not.
        rated = pc.equal(kinds, "rating").to_numpy(zero_copy_only=False)
        verdicts.mark((values < 0) & ~rated, "negative quantity", name)
        if self.mapping.min_value is not None:
            verdicts.mark(values < self.mapping.min_value, "below minimum value", name, dead=False)
        return np.where(too_large, np.nan, values)

    def _check_arrival(
        self, verdicts: Verdicts, event_ids: pa.StringArray, times: Floats, now: datetime
    ) -> Arrival:
        """Refuse what came before, and what comes too late; the window and the watermark stay as they are."""
        candidates = np.flatnonzero(verdicts.code == 0)
        ids = None
        if self.mapping.event_id is not None:
            ids = event_ids.take(pa.array(candidates)).to_pylist()
        latest = (now + CLOCK_ERROR).timestamp() * 1e6
        arrival = arrive(
            times[candidates], ids, window=self._recent, watermark=self.watermark, latest=latest
        ).among(len(times), candidates)
        verdicts.mark(arrival.repeated, "duplicate id", self.mapping.event_id or "", dead=False)
        verdicts.mark(arrival.late, LATE, self.mapping.time)
        return arrival

    def _event_ids(self, raw: dict[str, RawColumn], rows: Ints) -> pa.StringArray:
        if self.mapping.event_id is not None:
            return raw[self.mapping.event_id].text
        return pc.binary_join_element_wise(self.source, pa.array(rows).cast(pa.string()), ":")

    def _dead_letters(
        self, verdicts: Verdicts, frame: pd.DataFrame, rows: Ints, arrival: Arrival
    ) -> list[DeadLetter]:
        dead = verdicts.dead()
        records = _records(frame.iloc[[position for position, _, _ in dead]])
        return [
            DeadLetter(
                self.source,
                int(rows[position]),
                reason,
                column,
                *row_kept(record),
                detail=self._how_late(arrival.behind[position]) if reason == LATE else "",
            )
            for (position, reason, column), record in zip(dead, records, strict=True)
        ]

    def _how_late(self, behind_us: float) -> str:
        behind = timedelta(seconds=round(behind_us / 1e6))
        return f"{behind} older than the newest event so far; {self.watermark.lateness} is allowed"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): cell for name, cell in record.items()}
        for record in frame.astype(object).to_dict("records")
    ]


def with_names(frame: pd.DataFrame | pa.Table) -> pd.DataFrame:
    """Return raw rows as a frame whose columns are named by texts, as a mapping names them."""
    if isinstance(frame, pa.Table):
        require_readable(frame.schema, where="table")
        frame = typed_frame(frame, where="table")
    return frame.set_axis([str(name) for name in frame.columns], axis="columns")
