"""The built-in models one by one, each as the contract of :class:`rtrec.models.base.Testable` wants it."""

from __future__ import annotations

from rtrec.models.base import Ranks
from rtrec.models.blend import Blend
from rtrec.models.kernel import RACERS
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

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
    """

    def __init__(self, name: str, settings: Settings) -> None:
        if name in TABLES:
            settings = settings.changed(
                use_trending=False, **{f"use_{table}": table == name for table in TABLES}
            )
        self.name = name
        self.blend = Blend(settings, racers=(name,))
        self._place = RACERS.index(name)

    def compile(self) -> None:
        """Compile the kernels, so that no event waits for it."""
        self.blend.compile()

    def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> Ranks:
        """See :class:`rtrec.models.base.Testable`."""
        if k != self.blend.settings.list_length:
            raise ValueError(
                f"{self.name} answers with lists of {self.blend.settings.list_length}; got k={k}"
            )
        ranks: Ranks = self.blend.step(events, batch=batch).ranks[:, self._place]
        return ranks

    def start_testing(self) -> None:
        """See :class:`rtrec.models.base.Testable`."""
        self.blend.start_testing()

    def coverage(self) -> float:
        """See :class:`rtrec.models.base.Testable`."""
        return self.blend.coverage()[self.name]
