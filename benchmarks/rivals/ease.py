"""EASE as in its paper (Steck 2019): one dense inverse, and nothing of rtrec's.

With X who had what and G = X^T X + ridge I, P = G^-1, the weights are B_ij = -P_ij / P_jj with a diagonal of
zeros, and the scores of a user with row x are x B.
"""

from __future__ import annotations

import numpy as np

from rivals.base import Peer, best_allowed


class TextbookEASE(Peer):
    """EASE over all items, solved anew every ``refit_every`` events.

    Parameters
    ----------
    ridge
        Lambda of the paper.
    last
        How many of the user's items make up x; None: all.
    """

    def __init__(self, ridge: float, *, last: int | None, refit_every: int = 5000) -> None:
        super().__init__(refit_every=refit_every)
        self.ridge = ridge
        self.last = last
        self._weights = np.zeros((0, 0), np.float32)  # (from item, to item)
        self._scores: dict[int, np.ndarray] = {}

    def fit(self) -> None:
        """See :class:`~rivals.base.Peer`."""
        from scipy.linalg import lapack

        table = self.table().astype(np.float64)
        gram = (table.T @ table).toarray(order="F")
        gram[np.diag_indices_from(gram)] += self.ridge
        # Inverse by Cholesky: G is symmetric and positive definite, and that takes a third of `inv`.
        factor, failed = lapack.dpotrf(gram, lower=True, overwrite_a=True)
        inverse, failed_too = lapack.dpotri(factor, lower=True, overwrite_c=True)
        if failed or failed_too:
            raise ArithmeticError(f"EASE: no inverse with a ridge of {self.ridge}; take a higher one")
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        self._weights = weights.astype(np.float32)
        self._scores.clear()

    def learn_one(self, user: int, item: int, rating: float) -> None:
        """Keep the user's sum of whole history up to date between two fits."""
        if user in self._scores and item < len(self._weights) and item not in self.had(user):
            self._scores[user] += self._weights[item]

    def propose(self, user: int, k: int) -> list[int]:
        """See :class:`~rivals.base.Peer`."""
        items = [item for item in self.past(user, self.last) if item < len(self._weights)]
        if not items:
            return []
        if self.last is not None:
            scores = self._weights[items].sum(axis=0)
        else:
            # One row to add per event instead of all of them again: the same sum, at a price one can pay.
            if user not in self._scores:
                self._scores[user] = self._weights[items].sum(axis=0)
            scores = self._scores[user].copy()
        scores[self.count[: len(scores)] == 0] = -np.inf
        return best_allowed(scores, k, self.had(user))
