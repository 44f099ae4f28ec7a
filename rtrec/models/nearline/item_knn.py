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

from rtrec.errors import nearest
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.stored import stored_table, table_arrays
from rtrec.models.nearline.tables import NeighbourTable, empty_table, keep_strongest
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
