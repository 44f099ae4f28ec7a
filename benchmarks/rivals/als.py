"""implicit's matrix factorisation by alternating least squares (Hu, Koren, Volinsky 2008)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rivals.base import Peer, best_allowed


class ALS(Peer):
    """implicit's ALS, fitted again every ``refit_every`` events; the user is folded in for every answer.

    Folding in solves for the user's vector anew from their items up to this very event (implicit's
    ``recalculate_user``), so a user is never out of date and a new one needs no refit.

    Parameters
    ----------
    factors, regularization, alpha
        Length of the vectors, L2 penalty, and how much more an event counts than the absence of one.
    last
        How many of the user's items are folded in; None: all.
    seed
        Of the vectors before the first iteration.
    """

    def __init__(
        self,
        factors: int,
        regularization: float,
        alpha: float,
        *,
        last: int | None = None,
        refit_every: int = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__(refit_every=refit_every)
        self.factors, self.regularization, self.alpha = factors, regularization, alpha
        self.last = last
        self.seed = seed
        self._model: Any = None
        self._n_fitted = 0

    def fit(self) -> None:
        """See :class:`~rivals.base.Peer`."""
        from implicit.cpu.als import AlternatingLeastSquares

        table = self.table()
        model = AlternatingLeastSquares(
            self.factors, self.regularization, self.alpha, num_threads=1, random_state=self.seed
        )
        model.fit(table, show_progress=False)
        self._model, self._n_fitted = model, table.shape[1]

    def propose(self, user: int, k: int) -> list[int]:
        """See :class:`~rivals.base.Peer`."""
        from implicit.utils import ParameterWarning
        from scipy.sparse import csr_matrix

        items = np.array([item for item in self.past(user, self.last) if item < self._n_fitted], np.int32)
        if not len(items):
            return []
        row = csr_matrix(
            (np.ones(len(items), np.float32), items, np.array([0, len(items)], np.int32)),
            shape=(1, self._n_fitted),
        )
        with warnings.catch_warnings(action="ignore", category=ParameterWarning):
            vector = self._model.recalculate_user(0, row)
        scores = self._model.item_factors @ vector
        # Numbers below the highest may belong to items without an event yet; their vectors say nothing.
        scores[self.count[: self._n_fitted] == 0] = -np.inf
        return best_allowed(scores, k, self.had(user))
