"""The history as a Dask frame: a partition for each Parquet file, and for what is not compacted yet.

A row is an event, with what the aggregates need of it and nothing more. Tasks read for themselves, so no
event passes through the driver; on a cluster of several machines the log must lie where all of them see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.events.history import HistoryFile, read_history, verify_history
from rtrec.events.log import EventLog
from rtrec.events.opening import open_log
from rtrec.events.schema import unknown_kinds
from rtrec.types import KINDS, Columns

if TYPE_CHECKING:
    import dask.dataframe as dd

#: What is not compacted yet is read by so many events a task.
CHUNK_EVENTS = 100_000
_READ = [Columns.USER_ID, Columns.ITEM_ID, Columns.TIMESTAMP, Columns.KIND, Columns.VALUE]
#: The empty frame: ids, seconds since 1970 UTC, kind's weight, value (NaN if none), and the place in the log.
EMPTY = pd.DataFrame(
    {
        "user_id": pd.Series([], dtype="string[pyarrow]"),
        "item_id": pd.Series([], dtype="string[pyarrow]"),
        "timestamp": pd.Series([], dtype=np.float64),
        "weight": pd.Series([], dtype=np.float64),
        "value": pd.Series([], dtype=np.float64),
        "partition": pd.Series([], dtype=np.int64),
        "offset": pd.Series([], dtype=np.int64),
    }
)


class FileSlice(NamedTuple):
    """Events ``start`` to ``stop - 1`` of a partition, in one file of its history."""

    file: HistoryFile
    start: int
    stop: int

    def read(self) -> pa.Table:
        """Read them from the file, checked."""
        verify_history(self.file)
        return read_history(self.file, self.start, self.stop, _READ)


class LogSlice(NamedTuple):
    """Events ``start`` to ``stop - 1`` of a partition, wherever the log has them: see :func:`open_log`."""

    path: Path
    at: str | None
    partition: int
    start: int
    stop: int

    def read(self) -> pa.Table:
        """Read them from the log, while another process may write it."""
        log = open_log(self.path, self.at, mode="read")
        try:
            return log.read(self.partition, self.start, self.stop).select(_READ)
        finally:
            log.close()


class TableSlice(NamedTuple):
    """Events that are in memory, such as a file that was loaded; they travel with the task."""

    events: pa.Table
    start: int

    def read(self) -> pa.Table:
        """Return them."""
        return self.events.select(_READ)


def frame_of_log(log: EventLog, ends: Sequence[int], kind_weight: Sequence[float]) -> dd.DataFrame:
    """Return the events of a log below ``ends``, one a partition, as a Dask frame.

    Parameters
    ----------
    ends
        For each partition, the offset behind the last event to read.
    kind_weight
        Of each of :data:`rtrec.types.KINDS`, in that order.
    """
    slices: list[FileSlice | LogSlice] = []
    history = log.history()
    for partition, end in enumerate(ends):
        reached = 0
        for file in history:
            if file.partition == partition and file.first < end:
                reached = min(file.stop, end)
                slices.append(FileSlice(file, file.first, reached))
        slices += [
            LogSlice(log.path, log.at, partition, start, min(start + CHUNK_EVENTS, end))
            for start in range(reached, end, CHUNK_EVENTS)
        ]
    return _frame(slices, kind_weight)


def frame_of_events(events: pa.Table, kind_weight: Sequence[float], *, n_partitions: int = 1) -> dd.DataFrame:
    """Return an event table as a Dask frame of so many partitions."""
    n_events = events.num_rows
    bounds = np.linspace(0, n_events, n_partitions + 1).astype(int).tolist()
    slices = [TableSlice(events.slice(start, stop - start), start) for start, stop in pairwise(bounds)]
    return _frame(slices, kind_weight)


def before(frame: dd.DataFrame, as_of: float) -> dd.DataFrame:
    """Return the events before a moment; one at that very moment is not among them."""
    return frame[frame["timestamp"] < as_of]


def moment_after(frame: dd.DataFrame) -> float:
    """Return the earliest moment that has every event of the frame before it, a microsecond after the last.

    Raises
    ------
    ValueError
        If there is no event.
    """
    last = float(frame["timestamp"].max().compute())
    if np.isnan(last):
        raise ValueError("history: expected at least one event; there is none")
    return last + 1e-6


def _frame(slices: Sequence[FileSlice | LogSlice | TableSlice], kind_weight: Sequence[float]) -> dd.DataFrame:
    import dask.dataframe as dd

    if len(kind_weight) != len(KINDS):
        raise ValueError(f"kind_weight: expected one for each of {len(KINDS)} kinds; got {len(kind_weight)}")
    if not slices:
        return dd.from_pandas(EMPTY, npartitions=1)
    # A name of its own for each reading: Dask takes frames of one name for the same, and to it two slices of
    # one Arrow table are (dask 2026.8: their token leaves out where they begin and end), as would be a log
    # and one made afresh in its place.
    label = f"history-{uuid4().hex}"
    return dd.from_map(_read, slices, kind_weight=tuple(kind_weight), meta=EMPTY, label=label)


def _read(part: FileSlice | LogSlice | TableSlice, kind_weight: Sequence[float]) -> pd.DataFrame:
    events = part.read()
    kind = pc.index_in(events[Columns.KIND].cast(pa.string()), pa.array(KINDS))
    if kind.null_count:
        raise ValueError(f"events of an unknown kind: {unknown_kinds(events)}; known: {', '.join(KINDS)}")
    microseconds = events[Columns.TIMESTAMP].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    partition = part.file.partition if isinstance(part, FileSlice) else getattr(part, "partition", 0)
    return pd.DataFrame(
        {
            "user_id": events[Columns.USER_ID].to_pandas().astype("string[pyarrow]"),
            "item_id": events[Columns.ITEM_ID].to_pandas().astype("string[pyarrow]"),
            "timestamp": microseconds.to_numpy() / 1e6,
            "weight": np.asarray(kind_weight, np.float64)[kind.to_numpy()],
            "value": np.asarray(events[Columns.VALUE].to_numpy(), np.float64),
            "partition": np.int64(partition),
            "offset": np.arange(part.start, part.start + events.num_rows, dtype=np.int64),
        }
    )
