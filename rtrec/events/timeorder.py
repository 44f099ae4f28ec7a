"""A file's rows in order of time: which comes when, and whether that still holds once the file has grown.

A row's place in order of time depends on every other row. Rows that are appended to the file leave the places
of the others alone as long as they come later; one that comes earlier moves all behind it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from rtrec.events.mapping import ColumnMapping
from rtrec.events.parsing import RawColumn
from rtrec.events.poison import piecewise
from rtrec.files import new_hash
from rtrec.types import Floats

#: The checksum takes rows in pieces of this size; another size gives another checksum.
_PIECE = 65_536


class TimeOrder:
    """The rows of a file as it was when this was made; what is appended later is not among them.

    Ties keep file order. A row without a readable time stays behind the row before it in the file: were it
    put last, rows appended to the file would come before one that was read.

    Parameters
    ----------
    frames
        The whole file, in pieces.
    mapping
        Which column is the time.
    """

    def __init__(self, frames: Iterable[pd.DataFrame], mapping: ColumnMapping) -> None:
        pieces = list(frames)
        self._times = _filled(np.concatenate([microseconds(each, mapping) for each in pieces]))
        self._rows = pd.concat(pieces)
        self._order = np.argsort(self._times, kind="stable")

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def times(self) -> Floats:
        """Return the times of the rows in file order, in seconds since 1970 UTC."""
        return self._times / 1e6

    def frame(self, start: int, stop: int) -> pd.DataFrame:
        """Return the rows at places ``start`` to ``stop - 1`` in order of time."""
        return self._rows.iloc[self._order[start:stop]]

    def checksum(self, columns: Iterable[str], n_rows: int) -> str:
        """Return the checksum of some columns of the file's first ``n_rows`` rows, in file order."""
        digest = new_hash()
        for start in range(0, n_rows, _PIECE):
            piece = self._rows.iloc[start : min(start + _PIECE, n_rows)]
            for name in columns:
                cells = piece[name].astype(object)
                text = "\x1f".join(map(str, cells.where(cells.notna(), "")))
                digest.update(text.encode("utf-8", "replace"))
                digest.update(b"\x1e")
        return digest.hexdigest()

    def moved(self, position: int, n_before: int) -> str | None:
        """Return which row came before others that were read; None if the places of those still hold.

        Parameters
        ----------
        position
            How many rows were read in order of time.
        n_before
            How many rows the file had then.
        """
        added = self._order[:position][self._order[:position] >= n_before]
        if len(added) == 0:
            return None
        last = self._order[self._order < n_before][position - 1]
        return (
            f"its new {self._named(int(added[0]))} comes before {self._named(int(last))}, which has been "
            "read, and what was learned in order of time cannot be put in another order"
        )

    def _named(self, place: int) -> str:
        moment = np.datetime64(int(self._times[place]) // 1_000_000, "s")
        return f"row {self._rows.index[place]:,} ({str(moment).replace('T', ' ')} UTC)"


def microseconds(frame: pd.DataFrame, mapping: ColumnMapping) -> Floats:
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


def _filled(times: Floats) -> Floats:
    """Return times with those that are unknown as the last known one before them; -inf: none is."""
    known = np.where(np.isnan(times), 0, np.arange(len(times)))
    filled = times[np.maximum.accumulate(known)]
    return np.where(np.isnan(filled), -np.inf, filled)
