"""SLIM from EASE: a sparse item-to-item model, its zeros found by pruning a dense one.

SLIM (Ning, Karypis 2011) is B >= 0 with few entries and a zero diagonal that minimises |X - X B|^2 +
lambda |B|^2, each column by itself. Its L1 term is there to choose which entries may differ from zero; here
the strongest of EASE (Steck 2019) choose, which takes no iterations, and each column is then solved again
over those it kept, as the sparse approximation of Steck's Markov random fields (2019) does:

    beta_S = (X_S^T X_S + lambda I)^-1 X_S^T x_i

with S the items whose row kept item i. Entries that turn negative are dropped: SLIM has none, and a
neighbour table neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.models.arrays import under
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.ease import EASE
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.stored import stored_table, table_arrays
from rtrec.models.nearline.tables import NeighbourTable, empty_table, keep_strongest
from rtrec.types import Floats, Nums


class SLIM(NearlineModel):
    """EASE pruned to the strongest positive weights of each row, and solved again over those.

    Parameters
    ----------
    ease
        What is fitted, updated and pruned; its ``neighbours`` is the length of a row. Give it to nobody
        else. By default one with rows of 200.
    most_sources
        From how many items at most a weight leads to one item: the strongest.
    refit
        Solve the kept weights again; without, they stay as EASE had them, made for company they have lost.

    Examples
    --------
    Two users had items 0 and 1, a third had item 2 alone. Only items 0 and 1 speak for one another, and with
    lambda 1 a column of one unknown is x_0 . x_1 / (x_0 . x_0 + 1) = 2 / 3:

    >>> from rtrec.models.nearline.interactions import Interactions
    >>> history = Interactions(
    ...     np.array([0, 0, 1, 1, 2], np.int32), np.array([0, 1, 0, 1, 2], np.int32),
    ...     np.arange(5.0), np.ones(5), np.full(5, np.nan, np.float32), 3, 3)
    >>> model = SLIM(EASE(ridge=1.0))
    >>> model.fit(history)
    >>> model.score(np.array([0], np.int32), np.ones(1)).round(3)
    array([0.   , 0.667, 0.   ])
    """

    def __init__(self, ease: EASE | None = None, *, most_sources: int = 200, refit: bool = True) -> None:
        if most_sources < 1:
            raise ValueError(f"SLIM: expected most_sources of at least 1; got {most_sources}")
        self.ease = EASE() if ease is None else ease
        self.most_sources = most_sources
        self.refit = refit
        self._table = empty_table(0, self.ease.neighbours)

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        self.ease.fit(history)
        self._prune(history)

    def update(self, history: Interactions, start: int) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`; what is kept is chosen and solved anew."""
        self.ease.update(history, start)
        self._prune(history)

    def _prune(self, history: Interactions) -> None:
        pruned = self.ease.table()
        self._table = self._solved(pruned, history) if self.refit else pruned

    def _solved(self, pruned: NeighbourTable, history: Interactions) -> NeighbourTable:
        """Solve each column again over the rows that kept it."""
        items = self.ease.items
        matrix = self.ease.matrix(history, items)
        gram = (matrix.T @ matrix).toarray()
        kept = pruned.matrix()[items][:, items].tocsc()
        sources, targets, weights = [], [], []
        for target in range(len(items)):
            part = slice(kept.indptr[target], kept.indptr[target + 1])
            strongest = np.lexsort((kept.indices[part], -kept.data[part]))[: self.most_sources]
            source, weight = _positive_ridge(
                gram, np.sort(kept.indices[part][strongest]), target, self.ease.ridge
            )
            sources.append(source)
            targets.append(np.full(len(source), target))
            weights.append(weight)
        table = empty_table(pruned.n_items, self.ease.neighbours)
        if sources:
            places = (np.concatenate(sources), np.concatenate(targets))
            rows = sp.coo_array((np.concatenate(weights), places), shape=kept.shape).tocsr()
            for row, item in enumerate(items.tolist()):
                part = slice(rows.indptr[row], rows.indptr[row + 1])
                keep_strongest(table, item, items[rows.indices[part]], rows.data[part])
        return table

    def table(self) -> NeighbourTable:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        return self._table

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        of_ease = {f"ease/{name}": array for name, array in self.ease.to_arrays().items()}
        return of_ease | table_arrays(self._table)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        table = stored_table(arrays, "SLIM")
        self.ease.restore(under(arrays, "ease/"))
        self._table = table


def _positive_ridge(gram: Floats, source: Nums, target: int, ridge: float) -> tuple[Nums, Floats]:
    """Return the items of ``source`` that keep a positive weight for ``target``, and those weights.

    An item whose weight turns negative leaves, until none does: each time one leaves the rest is solved anew.
    """
    while True:
        system = gram[np.ix_(source, source)]
        system[np.diag_indices_from(system)] += ridge
        weight = np.linalg.solve(system, gram[source, target])
        if (weight > 0.0).all():
            return source, weight
        source = source[weight > 0.0]
