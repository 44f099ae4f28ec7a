"""How well a full ranking finds what a user took: one figure a user, from the list and the relevant items.

Lists hold item numbers, best first, and -1 past their end: shape ``(user, place)``. They are the top of a
ranking of *all* items; a metric on a sample of items ranks models differently (Krichene, Rendle 2020). A list
shorter than k is filled up with misses. Binary metrics call an item relevant that is in the test part; graded
NDCG weighs it. A user without a relevant item has no figure (NaN).

Where definitions differ in the literature, the one taken here:

- recall divides by all relevant items, not by the k that fit (so it can be below 1 for a perfect list)
- average precision divides by ``min(k, relevant items)``, NDCG by the best list of k
- discounts are ``1 / log2(1 + place)`` (Järvelin, Kekäläinen 2002, as Burges et al. 2005 write it)
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from rtrec.types import Floats, Ints, Nums

Bools = npt.NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)


class Relevant(NamedTuple):
    """The relevant items of each user, by user and then by number."""

    user: Ints  # (pair,) row of the user, rising
    item: Ints  # (pair,)
    grade: Floats  # (pair,) above 0
    n_users: int

    @classmethod
    def of(cls, user: npt.ArrayLike, item: npt.ArrayLike, grade: Floats | None, n_users: int) -> Relevant:
        """Sort the pairs; of one that comes several times the highest grade holds (None: all 1).

        Raises
        ------
        ValueError
            If a grade is not above 0, or a row beyond ``n_users``.
        """
        users, items = np.asarray(user, np.int64), np.asarray(item, np.int64)
        grades = np.ones(len(users)) if grade is None else np.asarray(grade, np.float64)
        if len(grades) and not (np.isfinite(grades).all() and grades.min() > 0.0):
            raise ValueError("relevant items: expected grades above 0; leave out what is not relevant")
        if len(users) and not 0 <= users.min() <= users.max() < n_users:
            raise ValueError(f"relevant items: expected users 0 to {n_users - 1}; got {users.max()}")
        order = np.lexsort((-grades, items, users))
        users, items, grades = users[order], items[order], grades[order]
        first = np.ones(len(users), bool)
        first[1:] = (np.diff(users) != 0) | (np.diff(items) != 0)
        return cls(users[first], items[first], grades[first], n_users)

    @property
    def n_relevant(self) -> Ints:
        """Return how many relevant items each user has, ``(user,)``."""
        return np.bincount(self.user, minlength=self.n_users)

    def gains(self, lists: Nums) -> Floats:
        """Return the grade of each listed item, 0 where it is not relevant; the shape of ``lists``."""
        if len(lists) != self.n_users:
            raise ValueError(f"expected a list for each of {self.n_users} users; got {len(lists)}")
        if not len(self.item):
            return np.zeros(lists.shape)
        width = max(int(self.item.max()), int(lists.max(initial=0))) + 2  # -1, no item, has a column too
        keys = self.user * width + self.item + 1
        wanted = np.arange(self.n_users)[:, None] * width + lists + 1
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, self.grade[place], 0.0)

    def ideal(self, k: int) -> Floats:
        """Return each user's k highest grades, falling, 0 past their end: shape ``(user, k)``."""
        grades = np.zeros((self.n_users, k))
        order = np.lexsort((-self.grade, self.user))
        n_relevant = self.n_relevant
        place = np.arange(len(order)) - np.repeat(n_relevant.cumsum() - n_relevant, n_relevant)
        kept = place < k
        grades[self.user[order][kept], place[kept]] = self.grade[order][kept]
        return grades


def recall(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return the share of a user's relevant items that are among the first ``k``, ``(user,)``.

    >>> recall(np.array([[True, False, True]]), np.array([4]), k=3).tolist()
    [0.5]
    """
    return _over(_first(hits, k).sum(axis=1), n_relevant)


def precision(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return the share of ``k`` places that hold a relevant item, ``(user,)``.

    >>> precision(np.array([[True, False, True, True]]), np.array([4]), k=2).tolist()
    [0.5]
    """
    return _known(_first(hits, k).sum(axis=1), n_relevant) / k


def hit_rate(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return 1 if any of the first ``k`` is relevant, else 0, ``(user,)``.

    >>> hit_rate(np.array([[False, True]]), np.array([4]), k=1).tolist()
    [0.0]
    """
    return _known(np.where(_first(hits, k).any(axis=1), 1.0, 0.0), n_relevant)


def reciprocal_rank(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return 1 / place of the first relevant item, 0 if none is among ``k``, ``(user,)``.

    Its mean over users is the MRR (Voorhees 1999).

    >>> reciprocal_rank(np.array([[False, True, True]]), np.array([2]), k=3).tolist()
    [0.5]
    """
    first = _first(hits, k)
    places = 1.0 + first.argmax(axis=1)
    return _known(np.where(first.any(axis=1), 1.0 / places, 0.0), n_relevant)


def average_precision(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return the mean precision at the places of the hits, ``(user,)``; its mean over users is the MAP.

    AP@k = sum over places p <= k with a hit of (hits up to p) / p, divided by min(k, relevant items).

    >>> average_precision(np.array([[True, False, True]]), np.array([2]), k=3).tolist()  # (1/1 + 2/3) / 2
    [0.8333333333333333]
    """
    first = _first(hits, k)
    precisions = first.cumsum(axis=1) / np.arange(1, first.shape[1] + 1)
    return _over((precisions * first).sum(axis=1), np.minimum(n_relevant, k))


def ndcg(gains: Floats, ideal: Floats, k: int) -> Floats:
    """Return the discounted gain of the list over that of the best list possible, ``(user,)``.

    DCG@k = sum over places p <= k of gain_p / log2(1 + p). ``gains`` and ``ideal`` are what
    :meth:`Relevant.gains` and :meth:`Relevant.ideal` return, as they are (linear gain: Järvelin, Kekäläinen
    2002) or transformed alike, for example ``2**grade - 1`` (Burges et al. 2005).

    >>> ndcg(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), k=2).round(4).tolist()  # 1 / log2(3)
    [0.6309]
    """
    gains, ideal = _first(gains, k), _first(ideal, k)
    discount = 1.0 / np.log2(np.arange(2.0, max(gains.shape[1], ideal.shape[1]) + 2.0))
    return _over(gains @ discount[: gains.shape[1]], ideal @ discount[: ideal.shape[1]])


def _first(values: npt.NDArray[_Scalar], k: int) -> npt.NDArray[_Scalar]:
    if k < 1:
        raise ValueError(f"k is the length of a list, so at least 1; got {k}")
    return values[:, :k]


def _over(sums: npt.NDArray[Any], parts: npt.NDArray[Any]) -> Floats:
    """Divide, with NaN for users without a relevant item."""
    whole = np.asarray(parts, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0.0, np.asarray(sums, np.float64) / whole, np.nan)


def _known(values: npt.NDArray[Any], n_relevant: Ints) -> Floats:
    return np.where(n_relevant > 0, values, np.nan)
