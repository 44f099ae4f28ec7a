"""Load a whole event log at once, for evaluation and for the notebook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from rtrec.clock import utc_now
from rtrec.errors import InputError
from rtrec.events.cleaning import Cleaner, with_names
from rtrec.events.letters import DeadLetter
from rtrec.events.mapping import ColumnMapping, require_columns
from rtrec.events.parsing import RawColumn
from rtrec.events.plausible import doubt_about
from rtrec.events.rawrows import ROW
from rtrec.events.rules import Rule
from rtrec.events.schema import EVENT_SCHEMA, unknown_kinds
from rtrec.events.sources import FileSource
from rtrec.types import KINDS, Columns

_CHUNK_ROWS = 65_536
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LoadedEvents:
    """Clean events in order of time (ties keep their order), and what became of the rest."""

    name: str
    events: pa.Table
    counts: dict[str, int]
    dead_letters: list[DeadLetter]


def load_events(
    data: Path | str | FileSource | pd.DataFrame | pa.Table, mapping: ColumnMapping | None = None
) -> LoadedEvents:
    """Read and clean a file, a source or a frame; an event table that is clean already is only sorted.

    Rows are put in order of time before they are cleaned, as a run replays them, so that of events with the
    same id both keep the same one. A source keeps the order it was made with.

    Raises
    ------
    InputError
        If the file or frame cannot be used, or no row of it is an event.
    TypeError
        If ``data`` is none of these, or a file or frame comes without a mapping.
    """
    if not isinstance(data, Path | str | FileSource | pd.DataFrame | pa.Table):
        raise TypeError(
            "events: expected the path of a file, a FileSource, a pandas frame or an Arrow table; got "
            f"{type(data).__name__}; make a frame of it: pandas.DataFrame(...)"
        )
    if isinstance(data, pa.Table) and data.schema.equals(EVENT_SCHEMA):
        return _load_table(data)
    if isinstance(data, FileSource):
        return _load(data.name, data.mapping, data.rules, (chunk.frame for chunk in data.chunks()))
    if mapping is None:
        raise TypeError("say which columns are the user, the item and the time: mapping=ColumnMapping(...)")
    if isinstance(data, str | Path):
        return load_events(FileSource(Path(data), mapping, chunk_rows=_CHUNK_ROWS, sort=True))
    return _load("frame", mapping, (), iter([_sorted(data, mapping)]))


def _load(name: str, mapping: ColumnMapping, rules: tuple[Rule, ...], frames: Iterator[Any]) -> LoadedEvents:
    cleaner = Cleaner(mapping, source=name, clock=utc_now, rules=rules)
    tables, dead_letters = [EVENT_SCHEMA.empty_table()], []
    for frame in frames:
        batch = cleaner.clean(frame, 1)  # each row brings its own number
        tables.append(batch.events)
        dead_letters += batch.dead_letters
    cleaner.require_accepted()
    events = pa.concat_tables(tables).combine_chunks()
    in_file_order = sorted(dead_letters, key=lambda letter: letter.row)
    return LoadedEvents(name, events, dict(cleaner.counts), in_file_order)


def _load_table(events: pa.Table) -> LoadedEvents:
    unknown = unknown_kinds(events)
    if unknown:
        raise InputError(
            f"events: unknown kind {unknown[0]!r}; the kinds are {', '.join(KINDS)}; "
            "an event table is taken as it is: clean it first, with a ColumnMapping"
        )
    order = pc.sort_indices(events[Columns.TIMESTAMP])  # stable: ties keep their order
    return LoadedEvents("events", events.take(order).combine_chunks(), {"accepted": events.num_rows}, [])


def _sorted(data: pd.DataFrame | pa.Table, mapping: ColumnMapping) -> pd.DataFrame:
    """Return a frame in order of time, rows without a readable one last; each row keeps its number."""
    frame = with_names(data)
    require_columns(mapping.columns, list(frame.columns), where="frame")
    times = RawColumn(frame[mapping.time]).microseconds(mapping)
    doubt = doubt_about(times / 1e6, mapping.time, set(frame.columns) - set(mapping.columns))
    if doubt is not None:
        _log.warning(doubt, file="frame")
    order = np.argsort(times, kind="stable")
    frame = frame.iloc[order]
    frame.index = (order + 1).astype(np.int64)
    return frame.rename_axis(ROW)
