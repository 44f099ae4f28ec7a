"""Item-kNN: the neighbours of an item are those whose users are most alike.

With x_i the column of item i, one entry a user, and h a shrinkage, two items are as similar as

    s_ij = x_i . x_j / (|x_i| |x_j| + h)

the cosine (Sarwar, Karypis, Konstan, Riedl 2001), pulled towards 0 where there is little to tell it from
(Ferrari Dacrema, Cremonesi, Jannach 2019). A user's score of item i is the sum of s_ij over what they had,
as far as i is among the neighbours of j.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.errors import CorruptionError, nearest
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.types import Floats, Ints

#: What an entry of x_i may be.
WEIGHTINGS = ("binary", "weight", "tfidf", "bm25")
#: How many products of two columns are held at once: 12 bytes each.
MOST_PRODUCTS = 4_000_000
#: BM25's saturation of counts and correction for long columns (Robertson, Zaragoza 2009).
BM25_K1, BM25_B = 1.2, 0.75


class ItemKNN(NearlineModel):
    """The M items with the most similar users, by cosine with shrinkage.

    Parameters
    ----------
    neighbours
        M, the most neighbours a row keeps.
    shrink
        h, in units of the product of two columns' lengths: two binary columns of h users each have half
        their cosine. The other weightings make columns longer.
    weighting
        What an entry of a column is. ``binary``: 1 for any event; ``weight``: the summed weights of the
        user's events; ``tfidf``: ``weight`` times log(items / (1 + items of the user)), for who takes
        everything says little (inverse user frequency: Breese, Heckerman, Kadie 1998); ``bm25``: the same,
        and many events of one user count little more than one.

    Examples
    --------
    Users 0 and 1 had items 0 and 1, user 2 had items 1 and 2:

    >>> from rtrec.models.nearline.interactions import Interactions
    >>> history = Interactions(
    ...     np.array([0, 0, 1, 1, 2, 2], np.int32), np.array([0, 1, 0, 1, 1, 2], np.int32),
    ...     np.arange(6.0), np.ones(6), np.full(6, np.nan, np.float32), 3, 3)
    >>> model = ItemKNN(weighting="binary", shrink=0.0)
    >>> model.fit(history)
    >>> model.score(np.array([0], np.int32), np.ones(1)).round(3)  # 2 / sqrt(2 x 3)
    array([0.   , 0.816, 0.   ])
    """

    def __init__(self, *, neighbours: int = 200, shrink: float = 10.0, weighting: str = "bm25") -> None:
        if neighbours < 1 or not shrink >= 0.0:
            raise ValueError(
                f"item-kNN: expected at least 1 neighbour and a shrink of at least 0; "
                f"got {neighbours}, {shrink}"
            )
        if weighting not in WEIGHTINGS:
            raise ValueError(
                f"item-kNN: weighting is one of {', '.join(WEIGHTINGS)}; "
                f"got {weighting!r}{nearest(weighting, WEIGHTINGS)}"
            )
        self.neighbours = neighbours
        self.shrink = shrink
        self.weighting = weighting
        self._table = empty_table(0, neighbours)

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        columns = self._columns(history)
        length = np.sqrt((columns**2).sum(axis=0))
        self._table = empty_table(history.n_items, self.neighbours)
        for item, others, products in column_products(columns):
            similar = products / (length[item] * length[others] + self.shrink)
            keep_strongest(self._table, item, others, similar)

    def _columns(self, history: Interactions) -> sp.csr_array:
        """Return the columns that are compared, ``(user, item)``."""
        columns = history.matrix(binary=self.weighting == "binary").astype(np.float64)
        if self.weighting in ("binary", "weight") or not columns.nnz:
            return columns
        n_items = np.count_nonzero(columns.sum(axis=0))
        of_user = np.diff(columns.indptr)
        # At least a little, or a user of nearly every item would count with a negative sign.
        rarity = np.log(np.maximum(n_items / (1.0 + of_user), 1.1))
        if self.weighting == "bm25":
            total = columns.sum(axis=0)
            long = 1.0 - BM25_B + BM25_B * total / total[total > 0.0].mean()
            data = columns.data
            columns.data = data * (BM25_K1 + 1.0) / (data + BM25_K1 * long[columns.indices])
        return sp.csr_array(sp.diags_array(rarity) @ columns)

    def table(self) -> NeighbourTable:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        return self._table

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        return table_arrays(self._table)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        self._table = stored_table(arrays, "item-kNN")


def column_products(columns: sp.csr_array) -> Iterator[tuple[int, npt.NDArray[np.integer], Floats]]:
    """Yield for each item the others that share a user with it, itself too, and the products of columns.

    Parameters
    ----------
    columns
        ``(user, item)``. The products are made for so many items at once as give :data:`MOST_PRODUCTS`
        products at most, or for one item alone: never a whole item x item matrix.
    """
    by_item = columns.T.tocsr()
    n_items = by_item.shape[0]
    # A row of products has no more entries than its users have items, nor than there are items.
    longest = np.minimum(by_item.astype(bool).astype(np.int64) @ np.diff(columns.indptr), n_items)
    for start, stop in _blocks(longest, MOST_PRODUCTS):
        products = by_item[start:stop] @ columns
        for item in range(start, stop):
            row = slice(products.indptr[item - start], products.indptr[item - start + 1])
            yield item, products.indices[row], products.data[row]


def _blocks(sizes: Ints, most: int) -> Iterator[tuple[int, int]]:
    """Yield consecutive ranges whose sizes sum to at most ``most``, or that are one long."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + most, side="right")), start + 1)
        yield start, stop
        start = stop


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


def table_arrays(table: NeighbourTable) -> Arrays:
    """Return a table's arrays by name."""
    return {f"table/{name}": array for name, array in table._asdict().items()}


def stored_table(arrays: Mapping[str, npt.NDArray[Any]], model: str) -> NeighbourTable:
    """Return the table in the arrays that a model stored.

    Raises
    ------
    CorruptionError
        If one is missing, or they do not fit together.
    """
    item, weight, size = (
        stored(arrays, f"table/{name}", n_axes, model)
        for name, n_axes in (("item", 2), ("weight", 2), ("size", 1))
    )
    if item.shape != weight.shape or len(item) != len(size):
        raise CorruptionError(
            f"{model}: expected a table's item and weight of one shape and a size a row; "
            f"got {item.shape}, {weight.shape}, {size.shape}"
        )
    return NeighbourTable(item, weight, size)


def stored(arrays: Mapping[str, npt.NDArray[Any]], name: str, n_axes: int, model: str) -> npt.NDArray[Any]:
    """Return an array that a model stored.

    Raises
    ------
    CorruptionError
        If it is missing or has another number of axes.
    """
    if name not in arrays:
        raise CorruptionError(
            f"{model}: expected an array {name!r}; got {', '.join(sorted(arrays)) or 'none'}"
        )
    if arrays[name].ndim != n_axes:
        raise CorruptionError(f"{model}: expected {n_axes} axes in {name!r}; got shape {arrays[name].shape}")
    return arrays[name]
