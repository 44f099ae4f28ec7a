"""Number ids with a bound: at most so many have a number at a time, and numbers are used again.

An id that comes when all numbers are taken has to show that it is no passer-by: it gets a number at its
``admit_at``-th event, counted in a waiting room that forgets the oldest (2Q: Johnson, Shasha 1994). To make
room the coldest ids lose theirs, a sixteenth of all at a time: those with the smallest decayed count of
events, which halves every :data:`HALF_LIFE_S`. What belongs to a number has to be cleared before it is given
again, so whoever numbers events is told which were *forgotten* before which event.

All of it follows from the ids, in order: the same log gives the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from math import log2
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.errors import InputError
from rtrec.events.vocabulary import UNKNOWN, Id, Numbered, packed, unpacked
from rtrec.types import Floats, Nums

#: An id is kept over another by its events in about the last months.
HALF_LIFE_S = 30 * 86_400.0
#: One in so many ids is forgotten when a number is needed: looking for the coldest takes a look at all.
FORGOTTEN_AT_A_TIME = 16
_NEVER = float("-inf")


class Forgotten(NamedTuple):
    """Numbers that are free before an event: what belongs to them must be cleared before it."""

    position: int  # the event's, among those that were numbered together
    nums: Nums


class Roster(Numbered[Id]):
    """Ids that have a number, at most ``most`` at a time.

    While there is room this is a vocabulary: ids are numbered from 0 in order of first appearance. They are
    strings, or the numbers of a vocabulary that holds them all.

    Parameters
    ----------
    what
        What the ids name, and the setting behind ``most``, for messages.
    most
        How many ids have a number at a time.
    admit_at
        At which of its events an id gets a number, once they have all been taken; 1: at its first.
    first
        Ids that have a number before any event.

    Attributes
    ----------
    n_forgotten
        How many ids have lost their number so far.
    forgotten_at
        How many events had been numbered when that last happened; -1: never.

    Examples
    --------
    >>> items = Roster("items", 2)
    >>> nums, forgotten = items.number(["a", "b", "b", "c"], np.zeros(4))
    >>> nums.tolist(), [(each.position, each.nums.tolist()) for each in forgotten]
    ([0, 1, 1, 0], [(3, [0])])
    >>> items.lookup(["a", "b", "c"])
    array([-1,  1,  0], dtype=int32)
    """

    def __init__(self, what: str, most: int, *, admit_at: int = 1, first: Iterable[Id] = ()) -> None:
        super().__init__()
        self.what = what
        self.most = most
        self.admit_at = admit_at
        self.n_forgotten = 0
        self.forgotten_at = -1
        self._heat: list[float] = []  # by number: log2 of the decayed count, + time / half-life
        self._since: list[int] = []  # by number: events numbered before it was given, or was freed
        self._free: list[int] = []
        self._crowded = False  # whether an id ever found no number
        self._waiting: dict[Id, int] = {}  # events so far of ids without one, by how long they wait
        for each in first:
            if each not in self._nums:
                self._give(each, _NEVER, 0)
        if len(self._ids) > most:
            raise InputError(
                f"{len(self._ids):,} {what} are known before the first event, but setting 'most_{what}' is "
                f"{most:,}; raise it"
            )

    def __repr__(self) -> str:
        return f"Roster({len(self):,} of at most {self.most:,} {self.what})"

    @property
    def n_numbers(self) -> int:
        """Return how many numbers have ever been given: those are the rows of the arrays behind them."""
        return len(self._ids)

    def number(
        self,
        ids: Sequence[Id],
        timestamps: Floats,
        *,
        unit: int = 1,
        n_before: int = 0,
        forget: bool = True,
    ) -> tuple[Nums, list[Forgotten]]:
        """Return the number of the id of each event, -1 for one that is not admitted, and what was forgotten.

        Parameters
        ----------
        ids, timestamps
            Of the events, in order; times in seconds.
        unit
            Events that are learned together: nothing is forgotten between them, and no id among them is.
        n_before
            How many events were numbered before these (see :meth:`stale`).
        forget
            Without it an id that finds no number goes without: whoever made room before knows for whom.

        Raises
        ------
        InputError
            If the events of one unit have more ids than there are numbers.
        """
        nums = np.empty(len(ids), np.int32)
        forgotten = []
        known, heat, ages = self._nums.get, self._heat, (timestamps / HALF_LIFE_S).tolist()
        for start in range(0, len(ids), unit):
            stop = min(start + unit, len(ids))
            if forget and self.most - len(self._nums) < stop - start:
                gone = self.make_room(ids[start:stop], n_before + start)
                if len(gone):
                    forgotten.append(Forgotten(start, gone))
            for event in range(start, stop):
                each, age = ids[event], ages[event]
                num = known(each)
                if num is None:
                    num = self._meet(each, age, n_before + start)
                else:
                    high = heat[num]
                    low = age
                    if age > high:
                        high, low = age, high
                    heat[num] = high + log2(1.0 + 2.0 ** max(low - high, -1000.0))
                nums[event] = num
        return nums, forgotten

    def make_room(self, ids: Sequence[Id], n_before: int) -> Nums:
        """Forget the coldest until each of ``ids`` that is to have a number can; return those set free.

        Raises
        ------
        InputError
            If that cannot be, since there are too many.
        """
        coming = Counter(each for each in ids if each not in self._nums)
        n_free = self.most - len(self._nums)
        if len(coming) > n_free and self.admit_at > 1 and not self._crowded:
            return np.zeros(0, np.int32)  # the last numbers go to who comes first, then the waiting begins
        if self._crowded and self.admit_at > 1:
            waiting = self._waiting.get
            n_coming = sum(waiting(each, 0) + n >= self.admit_at for each, n in coming.items())
        else:
            n_coming = len(coming)
        if n_coming <= n_free:
            return np.zeros(0, np.int32)
        heat = np.array(self._heat)
        heat[self._free] = np.inf
        heat[[self._nums[each] for each in set(ids) if each in self._nums]] = np.inf
        n = max(n_coming - n_free, self.most // FORGOTTEN_AT_A_TIME)
        n = min(n, int(np.count_nonzero(heat < np.inf)))
        if n < n_coming - n_free:
            raise InputError(
                f"{len(set(ids)):,} {self.what} in {len(ids):,} events learned together, but setting "
                f"'most_{self.what}' is {self.most:,}; raise it, or learn fewer events at a time"
            )
        coldest = np.sort(np.lexsort((np.arange(len(heat)), heat))[:n]).astype(np.int32)
        self._crowded = True
        for num in coldest.tolist():
            del self._nums[self.id_of(num)]
            # What a free number was is forgotten with the rest.
            self._ids[num], self._heat[num], self._since[num] = None, _NEVER, n_before
        self._free += coldest.tolist()
        self.n_forgotten += n
        self.forgotten_at = n_before
        return coldest

    def ids(self) -> list[Id | None]:
        """Return the id behind each number, None where nobody has it."""
        return list(self._ids)

    def free_numbers(self) -> Nums:
        """Return the numbers that were taken away and not given again."""
        return np.array(self._free, np.int32)

    def stale(self, n_events: int) -> Nums:
        """Return the numbers that meant something else, or nothing yet, when ``n_events`` were numbered."""
        return np.flatnonzero(np.array(self._since, np.int64) >= max(n_events, 1)).astype(np.int32)

    def holds_since(self, nums: Nums, n_before: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say of each number whether it still means the id it was given for when so many were numbered."""
        since = np.array([*self._since, 0], np.int64)
        holds: npt.NDArray[np.bool_] = (nums >= 0) & (since[nums] <= n_before)
        return holds

    def to_arrays(self: Roster[str]) -> dict[str, npt.NDArray[Any]]:
        """Return all of it as arrays, for a snapshot."""
        arrays = {f"waiting/{name}": array for name, array in packed(list(self._waiting)).items()}
        return arrays | {
            **packed([each or "" for each in self._ids]),
            "heat": np.array(self._heat),
            "since": np.array(self._since, np.int64),
            "free": np.array(self._free, np.int32),
            "waiting/events": np.array(list(self._waiting.values()), np.int64),
            "counts": np.array([self.n_forgotten, self.forgotten_at, self._crowded], np.int64),
        }

    def frozen(self) -> Roster[Id]:
        """Return this roster as it is now, for :meth:`to_arrays` in another thread while this one goes on.

        Copying lists takes a twentieth of the time that making arrays of them does.
        """
        still = copy(self)
        still._ids, still._heat, still._since = self._ids.copy(), self._heat.copy(), self._since.copy()
        still._free, still._waiting = self._free.copy(), self._waiting.copy()
        return still

    def restore(self: Roster[str], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become what :meth:`to_arrays` wrote down.

        Raises
        ------
        ValueError
            If the arrays do not describe distinct ids one after the other.
        """
        self._free = arrays["free"].tolist()
        free = set(self._free)
        self._ids = [None if num in free else each for num, each in enumerate(unpacked(arrays))]
        self._nums = {each: num for num, each in enumerate(self._ids) if each is not None}
        if len(self._nums) + len(free) != len(self._ids):
            raise ValueError(f"roster arrays: of {len(self._ids):,} {self.what} some come twice")
        self._heat, self._since = arrays["heat"].tolist(), arrays["since"].tolist()
        waiting = unpacked({name: arrays[f"waiting/{name}"] for name in ("bytes", "ends")})
        self._waiting = dict(zip(waiting, arrays["waiting/events"].tolist(), strict=True))
        self.n_forgotten, self.forgotten_at, crowded = arrays["counts"].tolist()
        self._crowded = bool(crowded)

    def _meet(self, each: Id, age: float, n_before: int) -> int:
        """Give an id its number if it is to have one; else it waits."""
        if len(self._nums) >= self.most:
            self._crowded = True
        if self._crowded and self.admit_at > 1:
            n = self._waiting.get(each, 0) + 1
            if n < self.admit_at or len(self._nums) >= self.most:
                self._waiting[each] = n
                if len(self._waiting) > self.most:
                    del self._waiting[next(iter(self._waiting))]
                return UNKNOWN
            del self._waiting[each]
        return self._give(each, age, n_before)

    def _give(self, each: Id, heat: float, n_before: int) -> int:
        if self._free:
            num = self._free.pop()
            self._ids[num], self._heat[num], self._since[num] = each, heat, n_before
        else:
            num = len(self._ids)
            self._ids.append(each)
            self._heat.append(heat)
            self._since.append(n_before)
        self._nums[each] = num
        return num
