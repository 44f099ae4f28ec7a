"""EASE: the linear item-to-item model with a closed form, kept up to date by low-rank updates.

With X the events (user x item, 1 for any) and lambda a ridge, B minimises |X - X B|^2 + lambda |B|^2 under a
diagonal of zeros (Steck 2019). With the inverse Gram matrix P it is

    P = (X^T X + lambda I)^-1,    B_ij = -P_ij / P_jj  (i != j),    scores of a user with row x:  x B

New events turn a user's row x into x', so X^T X grows by x' x'^T - x x^T. All rows a batch changes are the
columns of U (item, rank), with signs C = diag(+1, -1), and P follows by the Woodbury identity

    P' = P - P U (C^-1 + U^T P U)^-1 U^T P

(Jeunen, Van Balen, Goethals 2022) in O(item^2 rank) instead of O(item^3). An item without an event so far
adds the row and column of lambda I to X^T X, and that of I / lambda to P.

X forgets no event; what a user had long ago counts less by the weights a score is asked with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import lapack
from scipy.linalg import solve as solve_dense

from rtrec.errors import CorruptionError
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.stored import stored
from rtrec.models.nearline.tables import NeighbourTable, empty_table, keep_strongest
from rtrec.types import Floats, Nums

#: Above this share of the items, a batch's rank is no longer cheaper than to invert anew.
MOST_RANK = 0.25
#: How far P X^T X may be from the identity (on a random vector, relative) before P is computed anew.
MOST_DRIFT = 1e-8


class EASE(NearlineModel):
    """Closed-form item weights over the most frequent items.

    The score is the exact x B, negative weights too; the table holds the strongest positive ones of each
    row. Items that are not among the most frequent have an empty row and no opinion (NaN).

    Parameters
    ----------
    ridge
        Lambda: higher trusts fewer events less.
    neighbours
        The most weights a row of the table keeps.
    most_items
        How many items take part: those with most events, counted at each full fit. Memory is 8 bytes for
        each pair of them, four times that during a fit, and a fit's time goes with the third power.
    binary
        Count any number of events of a user with an item as one; otherwise their summed weights.
    most_updates
        After so many updates the next one is a full fit, as it is when the rank of a batch is above
        :data:`MOST_RANK` of the items, when more items came than ``most_items`` leaves room for, or when
        rounding has made P drift (:data:`MOST_DRIFT`).
    blocked_above
        With more items than this, the system is solved by blocks as tasks of Dask: on its cluster if this
        process is connected to one, else on the threads of this machine.
    block_size
        Items to a side of such a block.

    Examples
    --------
    Two users had items 0 and 1, a third had item 2 alone. With lambda 1, X^T X + I is [[3, 2], [2, 3]] over
    the first two items, so P_01 / P_11 = -2 / 3:

    >>> from rtrec.models.nearline.interactions import Interactions
    >>> history = Interactions(
    ...     np.array([0, 0, 1, 1, 2], np.int32), np.array([0, 1, 0, 1, 2], np.int32),
    ...     np.arange(5.0), np.ones(5), np.full(5, np.nan, np.float32), 3, 3)
    >>> model = EASE(ridge=1.0)
    >>> model.fit(history)
    >>> model.score(np.array([0], np.int32), np.ones(1)).round(3) + 0.0
    array([0.   , 0.667, 0.   ])
    """

    def __init__(
        self,
        *,
        ridge: float = 100.0,
        neighbours: int = 200,
        most_items: int = 5000,
        binary: bool = True,
        most_updates: int = 50,
        blocked_above: int = 8000,
        block_size: int = 2000,
    ) -> None:
        if not ridge > 0.0:
            raise ValueError(f"EASE: expected a ridge above 0; got {ridge}")
        counts = {
            "neighbours": (neighbours, 1),
            "most_items": (most_items, 1),
            "most_updates": (most_updates, 0),
            "blocked_above": (blocked_above, 0),
            "block_size": (block_size, 1),
        }
        for name, (count, least) in counts.items():
            if count < least:
                raise ValueError(f"EASE: expected {name} of at least {least}; got {count}")
        self.ridge = ridge
        self.neighbours = neighbours
        self.most_items = most_items
        self.binary = binary
        self.most_updates = most_updates
        self.blocked_above = blocked_above
        self.block_size = block_size
        self._items = np.zeros(0, np.int32)  # those that take part, in rising order
        self._inverse = np.zeros((0, 0))  # P, symmetric to the bit, never changed in place
        self._n_items = self._n_events = self._n_updates = 0
        self._table: NeighbourTable | None = None

    @property
    def n_updates(self) -> int:
        """Return how many updates there were since the last full fit."""
        return self._n_updates

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        items = _most_frequent(history, self.most_items)
        matrix = self.matrix(history, items)
        if len(items) > self.blocked_above:
            inverse = inverse_by_blocks(matrix, self.ridge, self.block_size)
        else:
            inverse = inverse_at_once(matrix, self.ridge)
        self._publish(history, items, inverse, 0)

    def update(self, history: Interactions, start: int) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        if start != self._n_events or self._n_updates >= self.most_updates or not self._learn(history, start):
            self.fit(history)

    def _learn(self, history: Interactions, start: int) -> bool:
        """Learn new events by an update of P; False: a fit is cheaper, or needed."""
        came = np.setdiff1d(history.item_num[start:], self._items).astype(np.int32)
        items = self._items
        # A full table waits for the next fit to tell which items are the most frequent now.
        if len(self._items) < self.most_items:
            items = np.union1d(self._items, came)
        if not 0 < len(items) <= self.most_items:
            return False
        matrix = self.matrix(history, items)
        changed, signs = self._changed_rows(history, start, items, matrix)
        if len(signs) > MOST_RANK * len(items):
            return False
        inverse = _woodbury(self._enlarged(items), changed, signs)
        if _drift(inverse, matrix, self.ridge) > MOST_DRIFT:
            return False
        self._publish(history, items, inverse, self._n_updates + 1)
        return True

    def _changed_rows(
        self, history: Interactions, start: int, items: Nums, after: sp.csr_array
    ) -> tuple[sp.csr_array, Floats]:
        """Return U^T, ``(rank, item)``: the new rows of users and the old ones they replace, and C."""
        users = np.unique(history.user_num[start:])
        old, new = self.matrix(history.part(0, start), items)[users], after[users]
        differs = np.diff((new - old).tocsr().astype(bool).indptr) > 0
        had = np.diff(old.indptr) > 0
        rows = sp.vstack([new[differs], old[differs & had]], format="csr")
        return sp.csr_array(rows), np.repeat([1.0, -1.0], [differs.sum(), (differs & had).sum()])

    def _enlarged(self, items: Nums) -> Floats:
        """Return P over ``items``, of which some may be new."""
        if len(items) == len(self._items):
            return self._inverse
        inverse = np.eye(len(items)) / self.ridge
        old = np.searchsorted(items, self._items)
        inverse[np.ix_(old, old)] = self._inverse
        return inverse

    def _publish(self, history: Interactions, items: Nums, inverse: Floats, n_updates: int) -> None:
        self._items, self._inverse, self._n_updates = items, inverse, n_updates
        self._n_items, self._n_events = history.n_items, history.n_events
        self._table = None

    def matrix(self, history: Interactions, items: Nums) -> sp.csr_array:
        """Return X over some items, ``(user, item)``."""
        matrix = history.matrix(binary=self.binary).astype(np.float64)
        return sp.csr_array(matrix[:, items])

    @property
    def items(self) -> Nums:
        """Return the numbers of the items that take part, rising."""
        return self._items

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        scores = np.full(self._n_items, np.nan)
        known = np.isin(items, self._items)
        place, weight = np.searchsorted(self._items, items[known]), weights[known]
        own = -(weight @ self._inverse[place]) / self._inverse.diagonal()
        np.add.at(own, place, weight)  # the diagonal of B is 0, not -P_jj / P_jj
        scores[self._items] = own
        return scores

    def score_many(self, histories: Histories) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        had = sp.csr_array(histories.matrix(self._n_items)[:, self._items])
        own = -(had @ self._inverse) / self._inverse.diagonal()
        scores = np.full((histories.n_requests, self._n_items), np.nan)
        scores[:, self._items] = own + had  # the diagonal of B is 0, not -P_jj / P_jj
        return scores

    def table(self) -> NeighbourTable:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        if self._table is None:
            table = empty_table(self._n_items, self.neighbours)
            diagonal = self._inverse.diagonal()
            for item, row in zip(self._items.tolist(), self._inverse, strict=True):
                keep_strongest(table, item, self._items, -row / diagonal)
            self._table = table
        return self._table

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        counts = np.array([self._n_items, self._n_events, self._n_updates], np.int64)
        return {"counts": counts, "items": self._items, "inverse": self._inverse}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        axes = {"counts": 1, "items": 1, "inverse": 2}
        counts, items, inverse = (stored(arrays, name, n_axes, "EASE") for name, n_axes in axes.items())
        if len(counts) != 3 or inverse.shape != (len(items), len(items)):
            raise CorruptionError(
                f"EASE: expected 3 counts, and an inverse of as many rows and columns as items; "
                f"got {len(counts)}, {inverse.shape}, {len(items)} items"
            )
        self._n_items, self._n_events, self._n_updates = counts.tolist()
        self._items, self._inverse, self._table = items, inverse, None


def _most_frequent(history: Interactions, most: int) -> Nums:
    """Return the items with most events, ties by number, in rising order."""
    n_events = np.bincount(history.item_num, minlength=history.n_items)
    items = np.flatnonzero(n_events)
    best = items[np.lexsort((items, -n_events[items]))][:most]
    return np.sort(best).astype(np.int32)


def inverse_at_once(matrix: sp.csr_array, ridge: float) -> Floats:
    """Return (X^T X + ridge I)^-1 from one Cholesky factor."""
    gram = _gram(matrix, matrix)
    gram[np.diag_indices_from(gram)] += ridge
    if not len(gram):
        return gram
    factor, failed_at = lapack.dpotrf(gram, lower=1, clean=1)
    if failed_at:
        raise ValueError(f"EASE: a ridge of {ridge} is lost in rounding beside the events; use a larger one")
    lower, _ = lapack.dpotri(factor, lower=1)
    return np.ascontiguousarray(lower + np.tril(lower, -1).T)


def inverse_by_blocks(matrix: sp.csr_array, ridge: float, block_size: int) -> Floats:
    """Return (X^T X + ridge I)^-1, its blocks made, factored and solved as tasks of Dask."""
    import dask
    import dask.array as da

    n_users, n_items = matrix.shape
    size = max(min(block_size, n_items), 1)
    # Dask factors blocks of one size only: items that nobody had fill the last.
    n_padded = -(-n_items // size) * size
    padded = sp.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(n_users, n_padded))
    parts = [padded[:, start : start + size] for start in range(0, n_padded, size)]
    if not parts:
        return np.zeros((0, 0))
    make = dask.delayed(_gram)
    gram = da.block([[da.from_delayed(make(a, b), (size, size), np.float64) for b in parts] for a in parts])
    eye = da.eye(n_padded, chunks=size)
    inverse = da.linalg.solve(gram + ridge * eye, eye, assume_a="pos").compute()
    return _symmetric(inverse[:n_items, :n_items])


def _gram(one: sp.csr_array, other: sp.csr_array) -> Floats:
    """Return the products of columns, ``(column of one, column of other)``."""
    return (one.T @ other).toarray()


def _woodbury(inverse: Floats, changed: sp.csr_array, signs: Floats) -> Floats:
    """Return P' for the rows U^T that ``changed`` adds (sign 1) or takes away (sign -1)."""
    if not len(signs):
        return inverse
    reach = changed @ inverse  # U^T P, (rank, item)
    middle = np.diag(signs) + changed @ reach.T
    return _symmetric(inverse - reach.T @ solve_dense(middle, reach))


def _symmetric(matrix: Floats) -> Floats:
    """Return the mean of a matrix and its transpose: rounding must not tell rows from columns."""
    return np.ascontiguousarray((matrix + matrix.T) / 2.0)


def _drift(inverse: Floats, matrix: sp.csr_array, ridge: float) -> float:
    """Return how far P (X^T X + ridge I) v is from v, relative, for a random v."""
    probe = np.random.default_rng(0).standard_normal(len(inverse))
    back = inverse @ (matrix.T @ (matrix @ probe) + ridge * probe)
    return float(np.linalg.norm(back - probe) / np.linalg.norm(probe))
