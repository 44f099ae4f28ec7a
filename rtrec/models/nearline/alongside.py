"""Fitted models beside a stream: they hear all of it, and publish again every so many events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.models.arrays import stored, under
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.nearest import Nearest
from rtrec.models.nearline.publishing import publishable
from rtrec.models.published import Published
from rtrec.types import Forgetting, NumberedEvents

_NAMED = "models beside a stream"
#: Of the columns of numbered events.
_DTYPES = (np.int32, np.int32, np.float64, np.uint8, np.float32)


class Alongside:
    """Models by slot, the stream so far, and when they are due.

    Parameters
    ----------
    models
        By the slot their tables are published in.
    every
        Events between two fits; they fall between batches.

    Attributes
    ----------
    nearest
        How the rows in each slot were found that come from a vector table, at the last fit.
    """

    def __init__(self, models: Mapping[str, NearlineModel], every: int) -> None:
        self.models = dict(models)
        self.nearest: dict[str, Nearest] = {}
        self._every = self._until = every
        self._history: list[NumberedEvents] = []
        self._n_fitted = 0  # events that the last fit is of; 0: whatever was fitted is of no use

    def room(self, batch: int) -> int | None:
        """Return how many events may come before the next fit, in whole batches; None if there is none."""
        return max(-(-self._until // batch), 0) * batch if self.models else None

    def hear(self, events: NumberedEvents) -> None:
        """Keep events for the next fit, those of items that are not admitted left out."""
        if self.models:
            admitted = events.item_num >= 0
            self._history.append(NumberedEvents(*(column[admitted] for column in events)))  # type: ignore[arg-type]
            self._until -= events.n_events

    def fit(self, kind_weights: tuple[float, ...], row_length: int) -> Iterator[tuple[str, Published]]:
        """Teach the models what they have not heard, and yield what each of them publishes, by slot."""
        self._until = self._every
        history = Interactions.of(self._whole_history(), kind_weights)
        for slot, model in self.models.items():
            if self._n_fitted:
                model.update(history, self._n_fitted)
            else:
                model.fit(history)
            value, nearest = publishable(model.table(), row_length)
            if nearest is not None:
                self.nearest[slot] = nearest
            yield slot, value
        self._n_fitted = history.n_events

    def forget(self, forgetting: Forgetting) -> None:
        """Leave out users and items whose numbers will mean somebody else; the next fit is a new one."""
        if self._history:
            whole = self._whole_history()
            gone = np.isin(whole.user_num, forgetting.users) | np.isin(whole.item_num, forgetting.items)
            self._history = [NumberedEvents(*(column[~gone] for column in whole))]  # type: ignore[arg-type]
            self._n_fitted = 0

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the history, the models that were fitted, and when they are due."""
        if not self.models:
            return {}
        arrays = {f"event/{name}": column for name, column in self._whole_history()._asdict().items()}
        arrays["due"] = np.array([self._until, self._n_fitted], np.int64)
        if self._n_fitted:
            for slot, model in self.models.items():
                arrays |= {f"model/{slot}/{name}": array.copy() for name, array in model.to_arrays().items()}
        return arrays

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what :meth:`to_arrays` returned with the same models.

        Raises
        ------
        CorruptionError
            If arrays are missing or have the wrong shape.
        """
        if not self.models:
            return
        until, n_fitted = (int(each) for each in stored(arrays, "due", (2,), _NAMED, kind="i"))
        n_events = len(stored(arrays, "event/user_num", (None,), _NAMED))
        history = NumberedEvents(
            *(stored(arrays, f"event/{name}", (n_events,), _NAMED) for name in NumberedEvents._fields)
        )
        if n_fitted:
            for slot, model in self.models.items():
                model.restore(under(arrays, f"model/{slot}/"))
        self._history, self._until, self._n_fitted = [history], until, n_fitted

    def _whole_history(self) -> NumberedEvents:
        none = NumberedEvents(*(np.zeros(0, dtype) for dtype in _DTYPES))  # type: ignore[arg-type]
        columns = zip(none, *self._history, strict=True)
        self._history = [NumberedEvents(*(np.concatenate(column) for column in columns))]
        return self._history[0]
