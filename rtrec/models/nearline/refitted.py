"""A fitted model under the contract of the stream: tested on every event, refitted every so often."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.models.arrays import stored, under
from rtrec.models.base import Recommender, checked_kind_weights
from rtrec.models.books import Books
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.types import Floats, Nums

#: The most events of a user that a score looks at.
MOST_HISTORY = 200
#: What is kept of each event for the next fit, and what names of the model's own arrays begin with.
_COLUMNS = {
    "user": np.int32,
    "item": np.int32,
    "timestamp": np.float64,
    "weight": np.float64,
    "value": np.float32,
}
_MODEL = "model/"
_NAMED = "refitted model"
_Event = tuple[int, int, float, float, float]


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
        self._events: list[_Event] = []
        self._n_fitted = 0
        self._history: dict[int, deque[tuple[int, float]]] = {}

    def compile(self) -> None:
        """Compile the model, so that no event waits for it."""
        self.model.compile()

    def score(self, user_num: int, timestamp: float) -> Floats:
        """See :class:`~rtrec.models.base.Recommender`."""
        if not self._n_fitted:
            return np.zeros(0)
        return self.model.score(*self._had_by(user_num), user_num)

    def score_many(self, user_num: Nums, timestamp: float) -> Floats:
        """See :class:`~rtrec.models.base.Recommender`; the model scores all of them at once."""
        if not self._n_fitted:
            return np.zeros((len(user_num), 0))
        return self.model.score_many(Histories.of((*self._had_by(user), user) for user in user_num.tolist()))

    def weight_of(self, kind: int) -> float:
        """See :class:`~rtrec.models.base.Recommender`."""
        return self.kind_weights[kind]

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        """See :class:`~rtrec.models.base.Recommender`."""
        weight = self.weight_of(kind)
        if weight <= 0.0:
            return
        self._keep((user_num, item_num, timestamp, weight, value))
        if len(self._events) - self._n_fitted >= self.refit_every:
            self.refit()

    def refit(self) -> None:
        """Teach the model all events that it has not learned."""
        start, self._n_fitted = self._n_fitted, len(self._events)
        if start:
            self.model.update(self._all(), start)
        else:  # the model may know what a restored state does not
            self.model.fit(self._all())

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """See :class:`~rtrec.models.base.Model`; all events are in it, for a refit reads them again."""
        arrays = {f"event/{name}": column for name, column in zip(_COLUMNS, self._columns(), strict=True)}
        arrays["n_fitted"] = np.array([self._n_fitted])
        if self._n_fitted:
            arrays |= {f"{_MODEL}{name}": array.copy() for name, array in self.model.to_arrays().items()}
        return arrays | self._books.to_arrays()

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.base.Model`."""
        books = Books.of(arrays, _NAMED)
        n_fitted = int(stored(arrays, "n_fitted", (1,), _NAMED, kind="i")[0])
        length = len(stored(arrays, "event/user", (None,), _NAMED))
        columns = [
            stored(arrays, f"event/{name}", (length,), _NAMED, kind=np.dtype(dtype).kind)
            for name, dtype in _COLUMNS.items()
        ]
        if n_fitted:
            self.model.restore(under(arrays, _MODEL))
        self._books, self._n_fitted = books, n_fitted
        self._events, self._history = [], {}
        for event in zip(*(column.tolist() for column in columns), strict=True):
            self._keep(event)

    def _had_by(self, user_num: int) -> tuple[Nums, Floats]:
        """Return what a user had, newest first, and what each of it counts for now."""
        had = self._history.get(user_num, ())
        items = np.array([item for item, _ in had], np.int32)
        weights = np.array([weight for _, weight in had], np.float64)
        return items, weights * self._recency[: len(items)]

    def _keep(self, event: _Event) -> None:
        user_num, item_num, _, weight, _ = event
        self._history.setdefault(user_num, deque(maxlen=MOST_HISTORY)).appendleft((item_num, weight))
        self._events.append(event)

    def _all(self) -> Interactions:
        users, items, times, weights, values = self._columns()
        return Interactions(users, items, times, weights, values, int(users.max()) + 1, int(items.max()) + 1)

    def _columns(self) -> list[npt.NDArray[Any]]:
        columns = zip(*self._events, strict=True) if self._events else [()] * len(_COLUMNS)
        return [np.array(column, dtype) for column, dtype in zip(columns, _COLUMNS.values(), strict=True)]
