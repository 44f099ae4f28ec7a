"""FluRS: incremental matrix factorisation, and the same with BPR (Vinagre et al. 2014, Rendle et al. 2009).

FluRS has been quiet since 2022 and still runs. Of its other models, ``UserKNN`` goes over every pair of user
and item in Python at each event, the factorisation machine builds a dense matrix of (feature, item) for each
answer: both take seconds an event on logs of this size. The sketch needs features of items.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rivals.base import Peer


class FluRS(Peer):
    """``MFRecommender`` or ``BPRMFRecommender`` of ``flurs.recommender``, updated with each event.

    Parameters
    ----------
    model
        Name of the class.
    factors, rate, penalty
        Length of the vectors, learning rate, L2 penalty.
    seed
        FluRS draws from NumPy's global generator, which is seeded with this.
    """

    def __init__(self, model: str, *, factors: int, rate: float, penalty: float, seed: int = 0) -> None:
        import flurs.recommender
        from flurs.data.entity import Event, Item, User

        super().__init__()
        np.random.seed(seed)  # noqa: NPY002  # the only way in
        self._event, self._item, self._user = Event, Item, User
        self.model: Any = getattr(flurs.recommender, model)(k=factors, l2_reg=penalty, learn_rate=rate)
        self.model.initialize()
        # FluRS numbers items in the order they are registered in.
        self._row_of: dict[int, int] = {}

    def learn_one(self, user: int, item: int, rating: float) -> None:
        """See :class:`~rivals.base.Peer`."""
        if item not in self._row_of:
            self._row_of[item] = len(self._row_of)
            self.model.register(self._item(self._row_of[item]))
        if self.model.is_new_user(user):
            self.model.register(self._user(user))
        known = self.model.users[user]["known_items"]
        known.add(self._row_of[item])
        if len(known) < len(self._row_of):  # BPR draws an item that the user has not had: there must be one
            self.model.update(self._event(self._user(user), self._item(self._row_of[item])))

    def propose(self, user: int, k: int) -> list[int]:
        """See :class:`~rivals.base.Peer`."""
        if self.model.is_new_user(user):
            return []
        allowed = np.ones(len(self._row_of), np.bool_)
        allowed[[self._row_of[item] for item in self.had(user) if item in self._row_of]] = False
        candidates = np.flatnonzero(allowed)
        if not len(candidates):
            return []
        rows, _ = self.model.recommend(self._user(user), candidates)
        known = self.known()
        return [known[row] for row in rows[:k].tolist()]
