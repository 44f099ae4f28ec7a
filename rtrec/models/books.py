"""The books of a stream: what each user has had, which items there are, and what was recommended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.models.arrays import stored
from rtrec.types import Floats, Nums

Mask = npt.NDArray[np.bool_]


class Books:
    """What a plain model need not keep itself, so that all answer under the same rules.

    A list has the best of all items known so far, less what the user had (with ``repeat``, less what their
    last event on it hides). An item is known from its first event of positive weight on.
    """

    def __init__(self) -> None:
        self._had: defaultdict[int, set[int]] = defaultdict(set)
        self._hidden: defaultdict[int, set[int]] = defaultdict(set)
        self._is_known: Mask = np.zeros(0, np.bool_)  # (item,) with room for more items than there are
        self._shown: set[int] = set()

    @property
    def n_items(self) -> int:
        """Return a number that none of the known items reaches."""
        return len(self._is_known)

    def note(self, user_num: int, item_num: int, *, hides: bool) -> None:
        """Note that a user had an item, in an event that ``hides`` it or one that shows that it is there."""
        self._had[user_num].add(item_num)
        if hides:
            self._hidden[user_num].add(item_num)
        else:
            self._know(item_num)
            self._hidden[user_num].discard(item_num)

    def best(self, user_num: int, scores: Floats, k: int, *, repeat: bool) -> Nums:
        """Return the at most ``k`` items that suit a user best, by their score, ``(item,)``; NaN: none."""
        allowed = np.full(len(scores), False)
        allowed[: len(self._is_known)] = self._is_known[: len(scores)]
        barred = self._hidden if repeat else self._had
        allowed[[item for item in barred.get(user_num, ()) if item < len(scores)]] = False
        return best_items(scores, allowed, k)

    def show(self, items: list[int]) -> None:
        """Note that items were recommended, for :meth:`coverage`."""
        self._shown.update(items)

    def start_showing(self) -> None:
        """Forget what was recommended so far."""
        self._shown.clear()

    def coverage(self) -> float:
        """Return the share of known items that were recommended."""
        n_known = np.count_nonzero(self._is_known)
        return len(self._shown) / int(n_known) if n_known else 0.0

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the books as arrays for :mod:`rtrec.models.snapshot`, as copies."""
        return {
            "base/had": _pairs(self._had),
            "base/disliked": _pairs(self._hidden),
            "base/known": np.flatnonzero(self._is_known),
            "base/shown": np.array(sorted(self._shown), np.int64),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], model: str) -> Books:
        """Return the books behind :meth:`to_arrays`; ``model`` stored them.

        Raises
        ------
        CorruptionError
            If arrays are missing or have the wrong shape.
        """
        had, hidden = (
            stored(arrays, f"base/{name}", (None, 2), model, kind="i") for name in ("had", "disliked")
        )
        known, shown = (
            stored(arrays, f"base/{name}", (None,), model, kind="i") for name in ("known", "shown")
        )
        books = cls()
        books._had, books._hidden = _sets(had), _sets(hidden)
        books._is_known = np.zeros(int(known.max(initial=-1)) + 1, np.bool_)
        books._is_known[known] = True
        books._shown = set(shown.tolist())
        return books

    def _know(self, item_num: int) -> None:
        if item_num >= len(self._is_known):
            # Twice the room each time: one copy of all items in every doubling of them.
            longer = max(item_num + 1, 2 * len(self._is_known)) - len(self._is_known)
            self._is_known = np.pad(self._is_known, (0, longer))
        self._is_known[item_num] = True


def best_items(scores: Floats, allowed: Mask, k: int) -> Nums:
    """Return the at most ``k`` best of the allowed items, by score and then by number.

    >>> best_items(np.array([0.5, 2.0, np.nan, 2.0]), np.array([True, True, True, True]), 2)
    array([1, 3], dtype=int32)
    """
    items = np.flatnonzero(allowed[: len(scores)] & ~np.isnan(scores[: len(allowed)]))
    if len(items) > 4 * k:  # all that reach the k-th best score, ties too
        items = items[scores[items] >= np.partition(scores[items], -k)[-k]]
    return items[np.lexsort((items, -scores[items]))][:k].astype(np.int32)


def _pairs(sets: Mapping[int, set[int]]) -> npt.NDArray[np.int64]:
    """Return the pairs (key, member) of a mapping of sets, sorted, ``(pair, 2)``."""
    return np.array(sorted((key, one) for key, each in sets.items() for one in each), np.int64).reshape(-1, 2)


def _sets(pairs: npt.NDArray[Any]) -> defaultdict[int, set[int]]:
    sets: defaultdict[int, set[int]] = defaultdict(set)
    for key, one in pairs.tolist():
        sets[key].add(one)
    return sets
