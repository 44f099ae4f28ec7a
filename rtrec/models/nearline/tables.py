"""The two kinds of table a model publishes, and what each says to a user's history."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.types import Floats, Nums

Singles = npt.NDArray[np.float32]
#: Rows of scores that are held at a time.
_BLOCK = 512


class NeighbourTable(NamedTuple):
    """For each item at most M others with weights: what speaks for them once a user has had the item."""

    item: Nums  # (item, M)
    weight: Singles  # (item, M)
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
                scores[self.item[item, :size]] += weight * self.weight[item, :size]
        return scores


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
        """Return the vector of a user: the learned one, else the weighted mean of what their items give."""
        if 0 <= user_num < len(self.user) and not np.isnan(self.user[user_num, 0]):
            return self.user[user_num].astype(np.float64)
        known = items < self.n_items
        total = weights[known].sum()
        if total <= 0.0:
            return np.zeros(self.given.shape[1])
        return weights[known] @ self.given[items[known]].astype(np.float64) / total

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return the product of the user's vector with each item's, ``(item,)``."""
        return self.found @ self.user_vector(items, weights, user_num)


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


def nearest_rows(table: VectorTable, m: int) -> NeighbourTable:
    """Return for each item the ``m`` others that a user who had just it would score highest, above zero.

    This is how a vector table becomes candidates and opinions of the kernel: a user who is the mean of what
    their items give scores an item as the mean of those items' rows does, as far as the rows reach.
    """
    n_items = table.n_items
    rows = empty_table(n_items, m)
    everyone = np.arange(n_items, dtype=np.int32)
    for start in range(0, n_items, _BLOCK):
        scores = table.given[start : start + _BLOCK] @ table.found.T
        for item, own in enumerate(scores, start):
            keep_strongest(rows, item, everyone, own)
    return rows


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
    m = table.item.shape[1]
    weights = weights.astype(np.float32)  # first, so that what the table holds as equal is a tie
    kept = np.flatnonzero((weights > 0.0) & (others != item))
    if len(kept) > m:  # all that reach the m-th strongest, ties too
        kept = kept[weights[kept] >= np.partition(weights[kept], -m)[-m]]
    kept = kept[np.lexsort((others[kept], -weights[kept]))][:m]
    table.item[item, : len(kept)] = others[kept]
    table.weight[item, : len(kept)] = weights[kept]
    table.size[item] = len(kept)
