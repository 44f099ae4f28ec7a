"""Remember the last event ids of a stream, to recognise one that comes again.

Kept as 64-bit hashes, not strings: eight bytes an id in arrival order, eight more in sorted order. Two
different ids of a window of a million share a hash with probability 5e-14 a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]
_MERGE_AT = 65_536


class RecentIds:
    """The last ``size`` ids; about 16 bytes each, plus a few MB for the newest.

    >>> recent = RecentIds(1000)
    >>> recent.add(["a", "b", "a"]).tolist()
    [True, True, False]
    >>> recent.add(["b", "c"]).tolist()
    [False, True]
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a window holds at least one id; got {size}")
        self._size = size
        self._merged: Hashes = np.empty(0, np.int64)  # in arrival order
        self._sorted: Hashes = np.empty(0, np.int64)
        self._newest: dict[int, None] = {}  # not merged yet, in arrival order

    def __len__(self) -> int:
        """Return how many ids the window holds."""
        return min(self._size, len(self._merged) + len(self._newest))

    def add(self, ids: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Take ids in order and return, for each, whether the window did not hold it yet."""
        news = [np.zeros(0, np.bool_)]
        remaining = iter(ids)
        # Part by part: what is not merged yet takes ten times the room.
        while part := list(islice(remaining, _MERGE_AT)):
            # hash() of a string is keyed per process, so nobody can send ids that collide on purpose; the
            # window lives in this process only.
            hashes = [hash(each) for each in part]
            new = ~self._in_merged(hashes)
            for position, each in enumerate(hashes):
                if new[position]:
                    if each in self._newest:
                        new[position] = False
                    else:
                        self._newest[each] = None
            if len(self._newest) >= min(_MERGE_AT, self._size):
                self._merge()
            news.append(new)
        return np.concatenate(news)

    def holds(self, ids: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Return of each id whether the window holds it, and take none."""
        hashes = [hash(each) for each in ids]
        return self._in_merged(hashes) | np.array([each in self._newest for each in hashes], np.bool_)

    def _in_merged(self, hashes: list[int]) -> npt.NDArray[np.bool_]:
        if len(self._sorted) == 0:
            return np.zeros(len(hashes), np.bool_)
        wanted = np.array(hashes, np.int64)
        places = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        held: npt.NDArray[np.bool_] = self._sorted[places] == wanted
        return held

    def _merge(self) -> None:
        newest = np.fromiter(self._newest, np.int64, count=len(self._newest))
        self._merged = np.concatenate([self._merged, newest])[-self._size :]
        self._sorted = np.sort(self._merged)
        self._newest.clear()
