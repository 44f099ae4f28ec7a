"""What was found of the rows of a batch: the first fault of each, or none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

ACCEPTED = "accepted"


class Verdicts:
    """The first fault found in each row; ``code`` is 0 while a row has none.

    >>> verdicts = Verdicts(3)
    >>> verdicts.mark([False, True, True], "missing user", "user")
    >>> verdicts.mark([False, False, True], "missing item", "item")
    >>> verdicts.counts(), verdicts.dead()
    ({'accepted': 1, 'missing user': 2}, [(1, 'missing user', 'user'), (2, 'missing user', 'user')])
    """

    def __init__(self, n_rows: int) -> None:
        self.code = np.zeros(n_rows, np.int32)
        self._faults: list[tuple[str, str, bool]] = [("", "", False)]

    def mark(self, rows: Any, reason: str, column: str = "", *, dead: bool = True) -> None:
        """Find ``reason`` in the rows of a mask that have no fault yet."""
        self._faults.append((reason, column, dead))
        self.code[np.asarray(rows, np.bool_) & (self.code == 0)] = len(self._faults) - 1

    def counts(self) -> dict[str, int]:
        """Return how many rows each reason holds for, ``accepted`` among them."""
        counts: Counter[str] = Counter()
        for code, n_rows in enumerate(np.bincount(self.code, minlength=len(self._faults)).tolist()):
            if n_rows:
                counts[self._faults[code][0] or ACCEPTED] += n_rows
        return dict(counts)

    def dead(self) -> list[tuple[int, str, str]]:
        """Return position, reason and column of each row that becomes a dead letter."""
        faults = ((position, self._faults[self.code[position]]) for position in np.flatnonzero(self.code))
        return [(int(position), reason, column) for position, (reason, column, dead) in faults if dead]
