"""The built-in models one by one, each as the contract of :class:`rtrec.models.base.Testable` wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.models.arrays import under
from rtrec.models.base import Ranks
from rtrec.models.blend import Blend
from rtrec.models.kernel import RACERS
from rtrec.models.nearline.alongside import Alongside
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.published import Published
from rtrec.settings import Settings
from rtrec.types import Forgetting, NumberedEvents, Nums

#: Models that are one table alone, and the settings that switch it: ``use_<table>``.
TABLES = ("cooccurrence", "transitions", "trails")
#: What the names of the state of models beside the stream begin with.
_BESIDE = "beside/"


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
        self.nearline = Alongside(nearline or {}, refit_every)

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
            room = self.nearline.room(batch)
            if room == 0:
                self._refit()
                continue
            part = events.part(start, events.n_events if room is None else start + room)
            ranks.append(self.blend.step(part, batch=batch).ranks[:, self._place])
            self.nearline.hear(part)
            start += part.n_events
        return np.concatenate(ranks) if ranks else np.zeros(0, np.int16)

    def recommend(self, user_num: int, timestamp: float, *, k: int = 10) -> list[int]:
        """See :class:`rtrec.models.base.Model`."""
        best: list[int] = self.blend.answer(user_num, timestamp, k=k, racer=self.name)[0].best.tolist()
        return best

    def recommend_many(self, user_num: Nums, timestamp: float, *, k: int = 10) -> Nums:
        """See :class:`rtrec.models.base.Model`."""
        lists = np.full((len(user_num), k), -1, np.int32)
        for row, user in enumerate(user_num.tolist()):
            best = self.recommend(user, timestamp, k=k)
            lists[row, : len(best)] = best
        return lists

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """See :class:`rtrec.models.base.Model`."""
        arrays = {name: array.copy() for name, array in self.blend.to_arrays().items()}
        return arrays | {f"{_BESIDE}{name}": array for name, array in self.nearline.to_arrays().items()}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`rtrec.models.base.Model`."""
        blend = Blend.from_arrays(arrays, self.blend.settings, racers=(self.name,))
        self.nearline.restore(under(arrays, _BESIDE))
        self.blend = blend

    def publish(self, slot: str, value: Published) -> None:
        """See :class:`rtrec.models.base.Informed`."""
        self.blend.publish(slot, value)

    def forget(self, forgetting: Forgetting) -> None:
        """See :class:`rtrec.models.base.Forgetful`; the models behind slots are fitted anew, without them."""
        self.blend.forget(forgetting)
        self.nearline.forget(forgetting)

    def _refit(self) -> None:
        settings = self.blend.settings
        for slot, value in self.nearline.fit(settings.kind_weights(), settings.row_length):
            self.blend.publish(slot, value)

    def start_testing(self) -> None:
        """See :class:`rtrec.models.base.Testable`."""
        self.blend.start_testing()

    def coverage(self) -> float:
        """See :class:`rtrec.models.base.Testable`."""
        return self.blend.coverage()[self.name]
