"""The events of a cut: where it may end, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from rtrec.events.log import Cut, EventLog
from rtrec.types import Columns


def in_step(
    log: EventLog, starts: Sequence[int], ends: Sequence[int], logged: Sequence[int]
) -> tuple[int, ...]:
    """Shorten the ends of a cut so that no partition runs ahead of the others in event time.

    Where events wait, a partition with fewer of them would otherwise come to later ones in the same cut, and
    teach all shards about items before the others have answered what happened earlier.
    """
    times = [
        log.read(partition, start, end)[Columns.TIMESTAMP].cast(pa.int64()).to_numpy()
        for partition, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    latest = [np.maximum.accumulate(each) for each in times]  # events may come late
    # Some partition ends before what is logged, or there would be nothing to shorten.
    moment = min(each[-1] for each, end, last in zip(latest, ends, logged, strict=True) if end < last)
    return tuple(
        start + int(np.searchsorted(each, moment, side="right"))
        for each, start in zip(latest, starts, strict=True)
    )


def read_cut(log: EventLog, ends: Sequence[int], cut: Cut) -> list[pa.Table]:
    """Return each partition's events of a cut, where ``ends`` are those of the cut before."""
    return [
        log.read(partition, start, end)
        for partition, (start, end) in enumerate(zip(ends, cut.ends, strict=True))
    ]
