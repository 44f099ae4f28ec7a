"""A fitted model under the contract of the stream: tested on every event, refitted every so often."""

from __future__ import annotations

from collections import deque

import numpy as np

from rtrec.models.base import Recommender
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.types import KINDS, Floats

#: The most events of a user that a score looks at.
MOST_HISTORY = 200
DISLIKE = KINDS.index("dislike")


class Refitted(Recommender):
    """Answer from the last fit and the user's history up to this event; refit every so many events.

    Parameters
    ----------
    model
        What is fitted. Until the first fit there is no opinion on any item.
    refit_every
        Events between two refits; the time they take counts as learning.
    half_life
        In events of the user: how far back counts half. The default of 5 is what suits tests in order of
        time; infinity weighs a whole history alike, as offline protocols do.
    """

    def __init__(self, model: NearlineModel, *, refit_every: int = 5000, half_life: float = 5.0) -> None:
        super().__init__()
        if refit_every < 1 or not half_life > 0.0:
            raise ValueError(
                f"expected refit_every of at least 1 and a positive half_life; got {refit_every}, {half_life}"
            )
        self.model = model
        self.refit_every = refit_every
        self._weights = 0.5 ** (np.arange(MOST_HISTORY) / half_life)
        self._events: list[tuple[int, int, float, float]] = []
        self._n_fitted = 0
        self._history: dict[int, deque[int]] = {}

    def score(self, user_num: int, timestamp: float) -> Floats:
        """See :class:`~rtrec.models.base.Recommender`."""
        if not self._n_fitted:
            return np.zeros(0)
        items = np.array(self._history.get(user_num, ()), np.int32)
        return self.model.score(items, self._weights[: len(items)], user_num)

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        """See :class:`~rtrec.models.base.Recommender`."""
        if kind == DISLIKE:
            return
        self._history.setdefault(user_num, deque(maxlen=MOST_HISTORY)).appendleft(item_num)
        self._events.append((user_num, item_num, timestamp, value))
        if len(self._events) - self._n_fitted >= self.refit_every:
            self.refit()

    def refit(self) -> None:
        """Teach the model all events that it has not learned."""
        start, self._n_fitted = self._n_fitted, len(self._events)
        self.model.update(self._all(), start)

    def _all(self) -> Interactions:
        users, items, times, values = (np.array(column) for column in zip(*self._events, strict=True))
        return Interactions(
            users.astype(np.int32),
            items.astype(np.int32),
            times.astype(np.float64),
            np.ones(len(users)),
            values.astype(np.float32),
            int(users.max()) + 1,
            int(items.max()) + 1,
        )
