"""The two kinds of table a model publishes, and what each says to a user's history."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.models.nearline.histories import Histories
from rtrec.types import Floats, Nums, Singles

#: The largest number float16 holds.
_MOST_HALF = 65504.0


class NeighbourTable(NamedTuple):
    """For each item at most M others with weights: what speaks for them once a user has had the item."""

    item: Nums  # (item, M)
    weight: npt.NDArray[np.floating]  # (item, M) float32; float16 to store (see pruned)
    size: Nums  # (item,) how much of its row is filled

    @property
    def n_items(self) -> int:
        """Return how many rows there are."""
        return len(self.size)

    def score(self, items: Nums, weights: Floats) -> Floats:
        """Return the weighted sum of the rows of a user's ``items``, ``(item,)``: 0 where no row speaks.

        Items beyond the table have no row yet and say nothing.
        """
        scores = np.zeros(self.n_items)
        for item, weight in zip(items.tolist(), weights.tolist(), strict=True):
            if item < self.n_items:
                size = self.size[item]
                scores[self.item[item, :size]] += weight * self.weight[item, :size].astype(np.float64)
        return scores

    def score_many(self, histories: Histories) -> Floats:
        """Return what :meth:`score` says to each history, ``(request, item)``."""
        scores: Floats = (histories.matrix(self.n_items) @ self.matrix()).toarray()
        return scores

    def matrix(self) -> sp.csr_array:
        """Return the weights as a sparse matrix, ``(item, item)``."""
        filled = np.arange(self.item.shape[1]) < self.size[:, None]
        end = np.concatenate([[0], np.cumsum(self.size)])
        weights = self.weight[filled].astype(np.float64)
        return sp.csr_array((weights, self.item[filled], end), shape=(self.n_items, self.n_items))


class VectorTable(NamedTuple):
    """For each item the vector it is found by; a user is the weighted mean of what each of theirs gives."""

    found: Singles  # (item, d) a score is a user's vector times this
    given: Singles  # (item, d) what an item brings into a user's vector; often the same array
    user: Singles  # (user, d) learned vectors, a row of NaN where there is none; (0, d) if the model has none

    @property
    def n_items(self) -> int:
        """Return how many items have a row."""
        return len(self.found)

    def user_vector(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return the vector of a user: the weighted mean of what their items give.

        Only without an item it is the learned one, which knows nothing of what came after the fit; without
        either it is 0.
        """
        known = items < self.n_items
        total = weights[known].sum()
        if total > 0.0:
            return weights[known] @ self.given[items[known]].astype(np.float64) / total
        return self.learned_user(user_num)

    def learned_user(self, user_num: int) -> Floats:
        """Return the learned vector of a user, 0 where there is none, ``(d,)``."""
        if 0 <= user_num < len(self.user) and not np.isnan(self.user[user_num, 0]):
            return self.user[user_num].astype(np.float64)
        return np.zeros(self.given.shape[1])

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return the product of the user's vector with each item's, ``(item,)``."""
        return self.found @ self.user_vector(items, weights, user_num)

    def user_vectors(self, histories: Histories) -> Floats:
        """Return :meth:`user_vector` of each history, ``(request, d)``."""
        had = histories.matrix(self.n_items)
        total = had.sum(axis=1)
        vectors = had @ self.given.astype(np.float64)
        vectors[total > 0.0] /= total[total > 0.0, None]
        for request in np.flatnonzero(total <= 0.0).tolist():
            vectors[request] = self.learned_user(int(histories.user_num[request]))
        return vectors

    def score_many(self, histories: Histories) -> Floats:
        """Return what :meth:`score` says to each history, ``(request, item)``."""
        return self.user_vectors(histories) @ self.found.T.astype(np.float64)

    def found_rows(self, items: slice | Nums) -> Singles:
        """Return what some items are found by, ``(item, d)``."""
        return self.found[items]

    def given_rows(self, items: slice | Nums) -> Singles:
        """Return what some items give, ``(item, d)``."""
        return self.given[items]


Table = NeighbourTable | VectorTable


def strongest_rows(weights: npt.NDArray[np.floating], n_items: int, m: int, nums: Nums) -> NeighbourTable:
    """Keep the ``m`` strongest positive weights of each row of a dense block, by weight, then by number.

    Parameters
    ----------
    weights
        ``(row, column)``: row and column r stand for item ``nums[r]``, in rising order; the diagonal is
        ignored.
    n_items
        Rows in the table that is returned; those not in ``nums`` stay empty.
    """
    table = empty_table(n_items, min(m, len(nums) - 1))
    for row, item in enumerate(nums.tolist()):
        keep_strongest(table, item, nums, weights[row])
    return table


def pruned(table: NeighbourTable, m: int, *, half: bool = False) -> NeighbourTable:
    """Return a copy that keeps the ``m`` strongest of each row, by weight, then by number.

    Parameters
    ----------
    half
        Store weights as float16, half the size: each is off by at most 1/2048 of itself. What rounds to 0
        is left out.

    Raises
    ------
    ValueError
        If ``m`` is below 1, or a weight is more than float16 holds.
    """
    if m < 1:
        raise ValueError(f"pruned table: a row keeps at least 1 neighbour; got {m}")
    filled = np.arange(table.item.shape[1]) < table.size[:, None]
    if half and (heaviest := table.weight[filled].max(initial=0.0)) > _MOST_HALF:
        raise ValueError(
            f"pruned table: float16 holds weights up to {_MOST_HALF:,.0f}, got {heaviest:,.0f}; divide all "
            "of them by one number, which changes no order, or keep float32"
        )
    kept = np.where(filled, table.weight, 0.0)
    rounded: Any = kept.astype(np.float16 if half else np.float32)
    order = np.lexsort((table.item, -rounded), axis=1)[:, :m]
    weight: npt.NDArray[np.floating] = np.take_along_axis(rounded, order, axis=1)
    item = np.where(weight > 0.0, np.take_along_axis(table.item, order, axis=1), 0).astype(np.int32)
    return NeighbourTable(item, weight, np.count_nonzero(weight > 0.0, axis=1).astype(np.int32))


def empty_table(n_items: int, m: int) -> NeighbourTable:
    """Return a table with room for ``m`` neighbours an item, as far as there are so many items."""
    m = max(min(m, n_items - 1), 1)
    return NeighbourTable(
        np.zeros((n_items, m), np.int32), np.zeros((n_items, m), np.float32), np.zeros(n_items, np.int32)
    )


def keep_strongest(
    table: NeighbourTable, item: int, others: npt.NDArray[np.integer], weights: npt.NDArray[np.floating]
) -> None:
    """Fill an item's row with the strongest positive weights, by weight, then by number; never itself."""
    kept, weight = strongest(item, others, weights, table.item.shape[1])
    table.item[item, : len(kept)] = kept
    table.weight[item, : len(kept)] = weight
    table.size[item] = len(kept)


def strongest(
    item: int, others: npt.NDArray[np.integer], weights: npt.NDArray[np.floating], m: int
) -> tuple[npt.NDArray[np.integer], Singles]:
    """Return the ``m`` others of the strongest positive weights, by weight, then by number, and those.

    Weights beyond what the table can hold (values of 1e38 came with events) count as the largest it can.
    """
    # First of all, so that what the table holds as equal is a tie.
    largest = np.finfo(np.float32).max
    weights = np.clip(weights, -largest, largest).astype(np.float32)
    kept = np.flatnonzero((weights > 0.0) & (others != item))
    if len(kept) > m:  # all that reach the m-th strongest, ties too
        kept = kept[weights[kept] >= np.partition(weights[kept], -m)[-m]]
    kept = kept[np.lexsort((others[kept], -weights[kept]))][:m]
    return others[kept], weights[kept]
