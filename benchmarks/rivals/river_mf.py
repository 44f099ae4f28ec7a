"""river's matrix factorisations, which learn each event as it comes.

river's recommenders predict a rating. To rank by it there are two ways: learn the ratings that were given (1
where none was), or learn 1 for each event and 0 for a few items drawn at random, as one does with events that
carry no rating. Both are tried.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rivals.base import Peer, best_allowed


class RiverMF(Peer):
    """``river.reco.FunkMF`` or ``BiasedMF``, ranking all items by the prediction.

    ``Ranker.rank`` predicts items one by one in Python, some ten milliseconds an event. The vectors are
    therefore also kept as one array, which gives the same order a hundred times faster.

    Parameters
    ----------
    model
        Name of the class in ``river.reco``.
    negatives
        Items drawn anew for each event and learned as 0; with none, ratings are learned as they are.
    factors, rate
        Length of the vectors, and the learning rate of plain gradient descent.
    seed
        Of the vectors' first values and of the items drawn.
    """

    def __init__(self, model: str, *, negatives: int, factors: int, rate: float, seed: int = 0) -> None:
        from river import optim, reco

        super().__init__()
        self.negatives = negatives
        start = optim.initializers.Normal(sigma=0.1, seed=seed)
        if model == "FunkMF":
            self.model: Any = reco.FunkMF(
                n_factors=factors, optimizer=optim.SGD(rate), initializer=start, seed=seed
            )
        else:
            self.model = reco.BiasedMF(
                n_factors=factors,
                bias_optimizer=optim.SGD(rate),
                latent_optimizer=optim.SGD(rate),
                latent_initializer=start,
                seed=seed,
            )
        self._biases: Any = getattr(self.model, "i_biases", None)
        self._rng = np.random.default_rng(seed)
        self._vectors = np.zeros((0, factors))  # (item, factor)
        self._bias = np.zeros(0)

    def learn_one(self, user: int, item: int, rating: float) -> None:
        """See :class:`~rivals.base.Peer`."""
        self._step(user, item, 1.0 if self.negatives else rating)
        known = self.known()
        if known:
            for place in self._rng.integers(len(known), size=self.negatives).tolist():
                if known[place] != item:
                    self._step(user, known[place], 0.0)

    def propose(self, user: int, k: int) -> list[int]:
        """See :class:`~rivals.base.Peer`."""
        if user not in self.model.u_latents:
            return []
        scores = self._vectors @ self.model.u_latents[user] + self._bias
        scores[self.count[: len(scores)] == 0] = -np.inf
        return best_allowed(scores, k, self.had(user))

    def _step(self, user: int, item: int, target: float) -> None:
        self.model.learn_one(user, item, target)
        if item >= len(self._vectors):
            # As long as the counts, which the item is then in: see Peer.
            more = max(len(self.count), item + 1) - len(self._vectors)
            self._vectors = np.pad(self._vectors, ((0, more), (0, 0)))
            self._bias = np.pad(self._bias, (0, more))
        self._vectors[item] = self.model.i_latents[item]
        if self._biases is not None:
            self._bias[item] = self.model.i_biases[item]
