"""implicit's item-item models: cosine, BM25, TF-IDF or plain counts (Sarwar et al. 2001).

The score of an item is the sum of its similarities to the user's items. Whether those are all a user had or
the last ten matters more than the similarity, so both are peers.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rivals.base import Peer


class ItemKNN(Peer):
    """implicit's item-kNN, fitted again every ``refit_every`` events on one core, as rtrec has.

    Parameters
    ----------
    similarity
        Name of the class in ``implicit.nearest_neighbours`` that says what is similar.
    last
        How many of the user's items the similarities are looked up from; None: all.
    neighbours
        Similar items kept for each item.
    """

    def __init__(
        self, similarity: str, *, last: int | None, refit_every: int = 1000, neighbours: int = 200
    ) -> None:
        super().__init__(refit_every=refit_every)
        self.similarity = similarity
        self.last = last
        self.neighbours = neighbours
        self._scorer: Any = None
        self._n_fitted = 0

    def fit(self) -> None:
        """See :class:`~rivals.base.Peer`."""
        import implicit.nearest_neighbours
        from implicit.utils import ParameterWarning

        table = self.table().astype(np.float64)
        model = getattr(implicit.nearest_neighbours, self.similarity)(K=self.neighbours, num_threads=1)
        with warnings.catch_warnings(action="ignore", category=ParameterWarning):  # of its own conversions
            model.fit(table, show_progress=False)
        self._scorer, self._n_fitted = model.scorer, table.shape[1]

    def propose(self, user: int, k: int) -> list[int]:
        """See :class:`~rivals.base.Peer`."""
        # Items first met after the fit are similar to nothing yet.
        items = np.array([item for item in self.past(user, self.last) if item < self._n_fitted], np.int32)
        if not len(items):
            return []
        # Public, and takes less than two thirds of the time of the models' own `recommend`.
        similar, _ = self._scorer.recommend(
            np.array([0, len(items)], np.int32),
            items,
            np.ones(len(items)),
            K=k + len(self.had(user)),
            remove_own_likes=False,
        )
        return similar.tolist()
