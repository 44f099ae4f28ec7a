"""Load a whole event log at once, for evaluation and for the notebook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rtrec.events.cleaning import Cleaner, DeadLetter
from rtrec.events.mapping import ColumnMapping
from rtrec.events.pacing import utc_now
from rtrec.events.rules import Rule
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.sources import FileSource
from rtrec.types import Columns

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LoadedEvents:
    """Clean events in order of time (ties keep their order), and what became of the rest."""

    name: str
    events: pa.Table
    counts: dict[str, int]
    dead_letters: list[DeadLetter]


class RawRows(NamedTuple):
    """Rows as they came, and the number of the first."""

    frame: Any
    first_row: int


def load_events(
    data: Path | str | pd.DataFrame | pa.Table,
    mapping: ColumnMapping | None = None,
    *,
    rules: tuple[Rule, ...] = (),
    encoding: str = "utf-8",
) -> LoadedEvents:
    """Read and clean a file or a frame; an event table that is clean already is only sorted.

    Raises
    ------
    InputError
        If the file or frame cannot be used, or no row of it is an event.
    """
    if isinstance(data, pa.Table) and data.schema.equals(EVENT_SCHEMA):
        return LoadedEvents("events", _sorted(data), {"accepted": data.num_rows}, [])
    if mapping is None:
        raise TypeError("say which columns are the user, the item and the time: mapping=ColumnMapping(...)")
    if isinstance(data, str | Path):
        chunks: Iterator[RawRows]
        source = FileSource(Path(data), mapping, chunk_rows=65_536, encoding=encoding, rules=rules)
        name, chunks = source.name, (RawRows(chunk.frame, chunk.first_row) for chunk in source.chunks())
    else:
        name, chunks = "frame", iter([RawRows(data, 1)])
    cleaner = Cleaner(mapping, source=name, clock=utc_now, rules=rules)
    tables, dead_letters = [EVENT_SCHEMA.empty_table()], []
    for frame, first_row in chunks:
        batch = cleaner.clean(frame, first_row)
        tables.append(batch.events)
        dead_letters += batch.dead_letters
    cleaner.require_accepted()
    return LoadedEvents(name, _sorted(pa.concat_tables(tables)), dict(cleaner.counts), dead_letters)


def _sorted(events: pa.Table) -> pa.Table:
    order = pc.sort_indices(events[Columns.TIMESTAMP])  # stable: ties keep their order
    return events.take(order).combine_chunks()
