"""Neighbourhood collaborative filtering over interaction columns, or over vectors from anywhere.

The score of item i for user u is

    y_ui = alpha * sum over j in N(u) of R_uj (x_i . x_j) / sqrt(x_j . x_j + eps)

with N(u) the items u had, R_uj the rating u gave j (or what u's events with j weigh) and x the item vectors:
columns of interactions, or the vectors of any other model. It divides by the length of j alone, so unlike a
cosine (:mod:`~rtrec.models.nearline.item_knn`) it favours items with long vectors: the popular ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.errors import CorruptionError, InputError, nearest
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.item_knn import MOST_PRODUCTS, column_products
from rtrec.models.nearline.stored import stored, stored_table, table_arrays
from rtrec.models.nearline.tables import NeighbourTable, VectorTable, empty_table, keep_strongest
from rtrec.types import Floats, Nums

#: What R may be.
RATINGS = ("binary", "weight", "value")


class Neighbourhood(NearlineModel):
    """The formula above; row j of its table holds (x_i . x_j) / sqrt(x_j . x_j + eps) for the strongest i.

    How R enters a score: for a user the model has learned, ``weights`` is how recent each item is, and the
    model multiplies it by the R_uj it knows, or by the user's mean R where j came after the last fit. For a
    stranger it knows no R, so ``weights`` is R times how recent. With ``binary`` ratings R is 1 for all, and
    ``weights`` may hold whatever the caller thinks fit.

    Parameters
    ----------
    neighbours
        The most items a row keeps.
    alpha
        Scale of the scores; no order depends on it.
    eps
        Keeps an item without a vector from a division by 0; larger, it makes little of short vectors.
    ratings
        What R and the interaction columns hold. ``binary``: 1 for any event; ``weight``: the summed weights
        of the events; ``value``: the last rating that came with one, and their mean where none came.
    vectors
        The x of each item; by default its interaction column. A table with two vectors an item gives
        ``found`` for x_i and ``given`` for x_j. Items that have a vector but no event are scored as well.

    Examples
    --------
    User 0 rated item 0 with 2 and item 1 with 1, user 1 rated item 1 with 3 and item 2 with 4:

    >>> from rtrec.models.nearline.interactions import Interactions
    >>> history = Interactions(
    ...     np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 1, 2], np.int32), np.arange(4.0),
    ...     np.ones(4), np.array([2.0, 1.0, 3.0, 4.0], np.float32), 2, 3)
    >>> model = Neighbourhood(ratings="value")
    >>> model.fit(history)
    >>> had = np.array([1, 0], np.int32)
    >>> model.score(had, np.ones(2), user_num=0)[2].round(3)  # 1 x 12 / sqrt(10) + 2 x 0 / sqrt(4)
    np.float64(3.795)
    """

    def __init__(
        self,
        *,
        neighbours: int = 200,
        alpha: float = 1.0,
        eps: float = 1e-9,
        ratings: str = "binary",
        vectors: VectorTable | None = None,
    ) -> None:
        if neighbours < 1 or not alpha > 0.0 or not eps > 0.0:
            raise ValueError(
                f"neighbourhood: expected at least 1 neighbour, and alpha and eps above 0; "
                f"got {neighbours}, {alpha}, {eps}"
            )
        if ratings not in RATINGS:
            raise ValueError(
                f"neighbourhood: ratings is one of {', '.join(RATINGS)}; "
                f"got {ratings!r}{nearest(ratings, RATINGS)}"
            )
        self.neighbours = neighbours
        self.alpha = alpha
        self.eps = eps
        self.ratings = ratings
        self.vectors = vectors
        self._table = empty_table(0, neighbours)
        self._rating = sp.csr_array((0, 0))  # (user, item) R

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        self._rating = self._ratings(history)
        if self.vectors is None:
            products = column_products(self._rating)
            squares: Floats = (self._rating**2).sum(axis=0)
            n_items = history.n_items
        else:
            products = _vector_products(self.vectors)
            squares = (self.vectors.given.astype(np.float64) ** 2).sum(axis=1)
            n_items = max(history.n_items, self.vectors.n_items)
        self._table = empty_table(n_items, self.neighbours)
        for item, others, product in products:
            keep_strongest(self._table, item, others, product / np.sqrt(squares[item] + self.eps))

    def _ratings(self, history: Interactions) -> sp.csr_array:
        """Return R, ``(user, item)``, items in order of number."""
        if self.ratings == "value" and history.n_events:
            rating = _last_values(history)
        else:
            rating = history.matrix(binary=self.ratings == "binary")
        rating.sort_indices()
        return rating.astype(np.float64)

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`; how R enters is said above."""
        return self.alpha * self._table.score(items, weights * self._ratings_of(user_num, items))

    def score_many(self, histories: Histories) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        rated = [
            weights * self._ratings_of(user_num, items)
            for items, weights, user_num in map(histories.one, range(histories.n_requests))
        ]
        weights = np.concatenate([np.zeros(0), *rated])
        return self.alpha * self._table.score_many(histories._replace(weight=weights))

    def _ratings_of(self, user_num: int, items: Nums) -> Floats:
        """Return R_uj of each item, ``(event,)``."""
        if not 0 <= user_num < self._rating.shape[0]:
            return np.ones(len(items))
        row = slice(self._rating.indptr[user_num], self._rating.indptr[user_num + 1])
        rated, rating = self._rating.indices[row], self._rating.data[row]
        if not len(rated):
            return np.ones(len(items))
        place = np.minimum(np.searchsorted(rated, items), len(rated) - 1)
        return np.where(rated[place] == items, rating[place], rating.mean())

    def table(self) -> NeighbourTable:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        return self._table

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        rating = self._rating
        return {
            **table_arrays(self._table),
            "rating/end": rating.indptr.astype(np.int64),
            "rating/item": rating.indices.astype(np.int32),
            "rating/value": rating.data,
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        table = stored_table(arrays, "neighbourhood")
        end, item, value = (
            stored(arrays, f"rating/{name}", 1, "neighbourhood") for name in ("end", "item", "value")
        )
        try:
            rating = sp.csr_array((value, item, end), shape=(len(end) - 1, table.n_items))
            rating.check_format()
        except ValueError as error:
            raise CorruptionError(
                f"neighbourhood: the stored ratings do not fit together: {error}"
            ) from error
        self._table, self._rating = table, rating


def _last_values(history: Interactions) -> sp.csr_array:
    """Return the last value that came with events of each user and item, their mean where none came."""
    known = np.isfinite(history.value)
    if not known.any():
        raise InputError(
            f"neighbourhood: ratings='value' needs events with a value; none of {history.n_events} has one; "
            "try ratings='weight' or 'binary'"
        )
    pair = history.user_num.astype(np.int64) * history.n_items + history.item_num
    # In order of pair, then with a value or without, then of time: the last of a pair is the one to take.
    order = np.lexsort((np.arange(len(pair)), known, pair))
    last = order[np.append(np.diff(pair[order]) != 0, True)]
    value = np.where(known[last], history.value[last], history.value[known].mean(dtype=np.float64))
    places = (history.user_num[last], history.item_num[last])
    return sp.coo_array((value, places), shape=(history.n_users, history.n_items)).tocsr()


def _vector_products(vectors: VectorTable) -> Iterator[tuple[int, Nums, Floats]]:
    """Yield for each item j all items and the products x_i . x_j, made for a bounded block at once."""
    others = np.arange(vectors.n_items, dtype=np.int32)
    found = vectors.found.astype(np.float64)
    step = max(MOST_PRODUCTS // max(vectors.n_items, 1), 1)
    for start in range(0, vectors.n_items, step):
        products = vectors.given[start : start + step].astype(np.float64) @ found.T
        for row, product in enumerate(products):
            yield start + row, others, product
