"""What a model owes that is fitted on history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.tables import Table, VectorTable
from rtrec.types import Floats, Nums

Arrays = dict[str, np.ndarray[Any, Any]]


class NearlineModel(ABC):
    """Fit on a history, publish a table, score a user by what they had.

    A subclass writes :meth:`fit`, :meth:`table`, :meth:`to_arrays` and :meth:`restore`; it overrides
    :meth:`update` if it can take new events without starting over, and :meth:`score` if the score of a user
    is not what the table says (a closed-form fold-in, a sequence model), and then :meth:`score_many` if many
    at once are cheaper. Options are arguments of the
    constructor, chance is a ``seed`` among them: the same history gives the same model.
    """

    @abstractmethod
    def fit(self, history: Interactions) -> None:
        """Learn the whole history, forgetting what was learned before."""

    def update(self, history: Interactions, start: int) -> None:
        """Learn the events of ``history`` from ``start`` on; those before it have been learned.

        The same as to fit everything anew, unless a model knows a cheaper way.
        """
        self.fit(history)

    def compile(self) -> None:  # noqa: B027 - most models have nothing to compile
        """Compile what the model calls on, so that neither a fit nor a score waits for it."""

    @abstractmethod
    def table(self) -> Table:
        """Return what was learned as a table; a model that has learned nothing returns one without rows."""

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return a score for each item the model knows, ``(item,)``; NaN: no opinion.

        Parameters
        ----------
        items
            What the user had, newest first; numbers the model has not learned are allowed, and ignored.
        weights
            What each of them counts for, ``(event,)``.
        user_num
            Whose history it is; -1 or one not learned is a stranger, known by ``items`` alone.
        """
        table = self.table()
        if isinstance(table, VectorTable):
            return table.score(items, weights, user_num)
        return table.score(items, weights)

    def score_many(self, histories: Histories) -> Floats:
        """Return what :meth:`score` returns for each of many users, up to rounding, ``(request, item)``.

        A caller asks for as many at once as fit in memory. Where a model has a way of its own, a
        subclass that overrides :meth:`score` overrides this too.
        """
        if type(self).score is NearlineModel.score:
            return self.table().score_many(histories)
        scores = [self.score(*histories.one(request)) for request in range(histories.n_requests)]
        return np.array(scores, np.float64) if scores else np.zeros((0, self.table().n_items))

    @abstractmethod
    def to_arrays(self) -> Arrays:
        """Return all that was learned, as arrays for :mod:`rtrec.models.snapshot`."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take what :meth:`to_arrays` of a model with the same options returned.

        Raises
        ------
        CorruptionError
            If arrays are missing or have the wrong shape.
        """
