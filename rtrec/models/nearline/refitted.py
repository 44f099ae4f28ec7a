"""A fitted model under the contract of the stream: tested on every event, refitted every so often."""

from __future__ import annotations

from collections import deque

import numpy as np

from rtrec.models.base import Recommender, checked_kind_weights
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.types import Floats

#: The most events of a user that a score looks at.
MOST_HISTORY = 200


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
    kind_weights
        What an event of each kind counts for (:meth:`rtrec.settings.Settings.kind_weights`), in the fits and
        in a user's history. An event of 0 or less teaches nothing and hides the item from the user, as in the
        default recommender. By default 1, and -1 for a dislike.
    """

    def __init__(
        self,
        model: NearlineModel,
        *,
        refit_every: int = 5000,
        half_life: float = 5.0,
        kind_weights: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        if refit_every < 1 or not half_life > 0.0:
            raise ValueError(
                f"expected refit_every of at least 1 and a positive half_life; got {refit_every}, {half_life}"
            )
        self.model = model
        self.refit_every = refit_every
        self.kind_weights = checked_kind_weights(kind_weights)
        self._recency = 0.5 ** (np.arange(MOST_HISTORY) / half_life)
        self._events: list[tuple[int, int, float, float, float]] = []
        self._n_fitted = 0
        self._history: dict[int, deque[tuple[int, float]]] = {}

    def compile(self) -> None:
        """Compile the model, so that no event waits for it."""
        self.model.compile()

    def score(self, user_num: int, timestamp: float) -> Floats:
        """See :class:`~rtrec.models.base.Recommender`."""
        if not self._n_fitted:
            return np.zeros(0)
        had = self._history.get(user_num, ())
        items = np.array([item for item, _ in had], np.int32)
        weights = np.array([weight for _, weight in had], np.float64)
        return self.model.score(items, weights * self._recency[: len(items)], user_num)

    def weight_of(self, kind: int) -> float:
        """See :class:`~rtrec.models.base.Recommender`."""
        return self.kind_weights[kind]

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        """See :class:`~rtrec.models.base.Recommender`."""
        weight = self.weight_of(kind)
        if weight <= 0.0:
            return
        self._history.setdefault(user_num, deque(maxlen=MOST_HISTORY)).appendleft((item_num, weight))
        self._events.append((user_num, item_num, timestamp, weight, value))
        if len(self._events) - self._n_fitted >= self.refit_every:
            self.refit()

    def refit(self) -> None:
        """Teach the model all events that it has not learned."""
        start, self._n_fitted = self._n_fitted, len(self._events)
        self.model.update(self._all(), start)

    def _all(self) -> Interactions:
        columns = (np.array(column) for column in zip(*self._events, strict=True))
        users, items, times, weights, values = columns
        return Interactions(
            users.astype(np.int32),
            items.astype(np.int32),
            times.astype(np.float64),
            weights.astype(np.float64),
            values.astype(np.float32),
            int(users.max()) + 1,
            int(items.max()) + 1,
        )
