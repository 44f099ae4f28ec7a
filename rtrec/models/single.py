"""The built-in models one by one, each as the contract of :class:`rtrec.models.base.Testable` wants it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rtrec.models.base import Ranks
from rtrec.models.blend import Blend
from rtrec.models.kernel import RACERS
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.nearest import Nearest
from rtrec.models.nearline.publishing import publishable
from rtrec.models.published import Published
from rtrec.settings import Settings
from rtrec.types import Forgetting, NumberedEvents

#: Models that are one table alone, and the settings that switch it: ``use_<table>``.
TABLES = ("cooccurrence", "transitions", "trails")


class BuiltIn:
    """One of the racing models, running alone.

    Parameters
    ----------
    name
        One of :data:`rtrec.models.kernel.RACERS`.
    settings
        Its ``list_length`` is the k of the lists; a single table has the other tables' opinions switched off.
    published
        Tables that have an opinion too, by slot (:data:`rtrec.declared.SLOTS`).
    nearline
        Models whose tables are such, fitted again after every ``refit_every`` events; that time counts as
        learning.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        published: Mapping[str, Published] | None = None,
        nearline: Mapping[str, NearlineModel] | None = None,
        refit_every: int = 5000,
    ) -> None:
        if name in TABLES:
            settings = settings.changed(
                use_trending=False, **{f"use_{table}": table == name for table in TABLES}
            )
        self.name = name
        self.blend = Blend(settings, racers=(name,))
        self._place = RACERS.index(name)
        for slot, table in (published or {}).items():
            self.publish(slot, table)
        #: How the rows in each slot were found that come from a vector table, at the last publication.
        self.nearest: dict[str, Nearest] = {}
        self._nearline = dict(nearline or {})
        self._refit_every = refit_every
        self._until_refit = refit_every
        self._history: list[NumberedEvents] = []
        self._n_fitted: int | None = 0  # None: what was fitted is of no use

    def compile(self) -> None:
        """Compile the kernels, so that no event waits for it."""
        self.blend.compile()

    def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> Ranks:
        """See :class:`rtrec.models.base.Testable`."""
        if k != self.blend.settings.list_length:
            raise ValueError(
                f"{self.name} answers with lists of {self.blend.settings.list_length}; got k={k}"
            )
        ranks, start = [], 0
        while start < events.n_events:
            stop = events.n_events
            if self._nearline:
                if self._until_refit <= 0:
                    self._refit()
                stop = min(stop, start + -(-self._until_refit // batch) * batch)  # whole batches
            part = events.part(start, stop)
            ranks.append(self.blend.step(part, batch=batch).ranks[:, self._place])
            if self._nearline:
                admitted = part.item_num >= 0
                self._history.append(NumberedEvents(*(column[admitted] for column in part)))  # type: ignore[arg-type]
                self._until_refit -= part.n_events
            start = stop
        return np.concatenate(ranks) if ranks else np.zeros(0, np.int16)

    def publish(self, slot: str, value: Published) -> None:
        """See :class:`rtrec.models.base.Informed`."""
        self.blend.publish(slot, value)

    def forget(self, forgetting: Forgetting) -> None:
        """See :class:`rtrec.models.base.Forgetful`; the models behind slots are fitted anew, without them."""
        self.blend.forget(forgetting)
        if self._history:
            whole = self._whole_history()
            gone = np.isin(whole.user_num, forgetting.users) | np.isin(whole.item_num, forgetting.items)
            self._history = [NumberedEvents(*(column[~gone] for column in whole))]  # type: ignore[arg-type]
            self._n_fitted = None

    def _whole_history(self) -> NumberedEvents:
        self._history = [
            NumberedEvents(*(np.concatenate(column) for column in zip(*self._history, strict=True)))
        ]
        return self._history[0]

    def _refit(self) -> None:
        self._until_refit = self._refit_every
        history = Interactions.of(self._whole_history(), self.blend.settings.kind_weights())
        for slot, model in self._nearline.items():
            if self._n_fitted is None:
                model.fit(history)
            else:
                model.update(history, self._n_fitted)
            value, nearest = publishable(model.table(), self.blend.settings.row_length)
            if nearest is not None:
                self.nearest[slot] = nearest
            self.blend.publish(slot, value)
        self._n_fitted = history.n_events

    def start_testing(self) -> None:
        """See :class:`rtrec.models.base.Testable`."""
        self.blend.start_testing()

    def coverage(self) -> float:
        """See :class:`rtrec.models.base.Testable`."""
        return self.blend.coverage()[self.name]
