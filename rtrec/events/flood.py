"""Notice when a source goes bad: not a broken row here and there, but one in five.

Then something has changed (a column, how times are written, who sends), and reading on would only turn more
of the same into dead letters. Whoever reads the source stops there and asks.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rtrec.events.letters import DeadLetter, advice
from rtrec.events.payloads import readable

#: A flood is more than this share of so many rows. A thousand tell: of a source with 5% bad rows, more than
#: 200 in a thousand are bad by chance less than once in 10^60 times.
FLOOD_ROWS = 1000
FLOOD_SHARE = 0.2
_SHOWN_CHARACTERS = 200


class FloodWatch:
    """Watch the last rows of a source.

    >>> watch = FloodWatch(rows=4, share=0.5)
    >>> letter = DeadLetter("log.csv", 2, "missing user", "", "{}")
    >>> watch.see(np.array([False, True, True]), [letter, letter])
    >>> print(watch.see(np.array([True]), [letter]))
    log.csv: 3 of the last 4 rows cannot be events (missing user 3); the last: row 2, missing user: {}
    """

    def __init__(self, *, rows: int = FLOOD_ROWS, share: float = FLOOD_SHARE) -> None:
        self._n_rows = rows
        self._most = int(rows * share)
        self._bad: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._letters: deque[DeadLetter] = deque()  # of the bad rows among these

    def see(self, bad: npt.NDArray[np.bool_], letters: list[DeadLetter]) -> str | None:
        """Take the next rows, and the dead letters of the bad ones; return what to say of a flood.

        After a flood, the next is told by rows that come after it.
        """
        whole = np.concatenate([self._bad, bad])
        # Only what is said of them is kept: a payload may be long.
        self._letters.extend(
            replace(each, payload=readable(each.payload, each.kept)[:_SHOWN_CHARACTERS], kept="part")
            for each in letters
        )
        n_bad = np.cumsum(np.concatenate([[0], whole]))
        within = n_bad[self._n_rows :] - n_bad[: -self._n_rows]
        floods = np.flatnonzero(within > self._most)
        if len(floods):
            said = self._sentence(int(within[floods[0]]), int(n_bad[floods[0] + self._n_rows]))
            self._bad = np.zeros(0, np.bool_)
            self._letters.clear()
            return said
        self._bad = whole[-(self._n_rows - 1) :]
        while len(self._letters) > np.count_nonzero(self._bad):
            self._letters.popleft()
        return None

    def _sentence(self, n_bad: int, n_before: int) -> str:
        letters = list(self._letters)[n_before - n_bad : n_before]
        reasons = Counter(each.reason for each in letters).most_common()
        last = next(each for each in reversed(letters) if each.reason == reasons[0][0])
        said = ", ".join(f"{reason} {n:,}" for reason, n in reasons)
        column = f", column {last.column!r}" if last.column else ""
        return (
            f"{last.source}: {n_bad:,} of the last {self._n_rows:,} rows cannot be events ({said}); "
            f"the last: row {last.row:,}{column}, {last.reason}: {last.payload}{advice(last.reason)}"
        )
