"""What history said at any event of a log: historical features as a run has them that waits for them.

A run computes them from its log beside the stream, publishes them, and goes on. A test has the log at once;
so that nothing of the future gets in, each version is computed from the events before it and nothing else,
and speaks only of users and items who had a number by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rtrec.events.numbering import NumberedLog
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.past import Past
from rtrec.settings import Settings
from rtrec.types import NumberedEvents, Nums

if TYPE_CHECKING:
    from rtrec.features.historical.cohorts import Earlier


class PastOfLog:
    """Versions of the historical features of a log, one after the other.

    Parameters
    ----------
    table
        The events, in order.
    events, users, items
        The same in the numbers of these vocabularies.
    n_first_items
        How many items had a number before the first event.
    settings
        Give the weights of kinds of events.
    every
        Events between two versions.
    """

    def __init__(
        self,
        table: pa.Table,
        events: NumberedEvents,
        users: Vocabulary,
        items: Vocabulary,
        n_first_items: int,
        settings: Settings,
        *,
        every: int,
    ) -> None:
        self.every = every
        self._table = table
        self._events = events
        self._users = users
        self._items = items
        self._n_first_items = n_first_items
        self._kind_weights = settings.kind_weights()
        self._n_covered = 0
        self._earlier: Earlier | None = None

    def is_due(self, n_events: int) -> bool:
        """Say whether another version fell due since the last one, now that so many events are learned."""
        return n_events // self.every > self._n_covered // self.every

    def at(self, n_events: int, log: NumberedLog) -> Past:
        """Return the version as of the first ``n_events``; cohorts keep the numbers of the version before.

        Parameters
        ----------
        log
            The events in the numbers that the model goes by.
        """
        import dask

        from rtrec.features.historical.build import compute_features  # takes a second to import
        from rtrec.features.historical.frame import frame_of_events, moment_after
        from rtrec.models.past_of import past_of

        with dask.config.set({"scheduler": "synchronous", "dataframe.shuffle.method": "tasks"}):
            frame = frame_of_events(self._table.slice(0, n_events), self._kind_weights)
            features = compute_features(frame, as_of=moment_after(frame), earlier=self._earlier)
        self._n_covered, self._earlier = n_events, features.earlier
        gone = [each for each in log.forgetting if each.position < n_events]
        own, known = self._events.part(0, n_events), log.events.part(0, n_events)
        users = holders(own.user_num, known.user_num, ((each.position, each.users) for each in gone))
        items = holders(
            own.item_num,
            known.item_num,
            ((each.position, each.items) for each in gone),
            n_first=self._n_first_items,
        )
        return past_of(features, _ids(self._items, items), [_ids(self._users, users)])


def holders(own: Nums, given: Nums, freed: Iterable[tuple[int, Nums]], *, n_first: int = 0) -> Nums:
    """Return who has each number after some events, by a number that is used once; -1 for nobody.

    Parameters
    ----------
    own
        Of each event, the number that is used once, ``(event,)``.
    given
        Of each event, the number that is used again, -1 for none, ``(event,)``.
    freed
        Which of the latter were taken away before which event.
    n_first
        How many of both were given, alike, before the first event.

    Examples
    --------
    >>> nums = [np.array(each, np.int32) for each in ([0, 1, 2, 0], [0, 1, 0, -1], [0])]
    >>> holders(nums[0], nums[1], [(2, nums[2])])  # 2 has the number that was 0's
    array([2, 1], dtype=int32)
    """
    holder = np.arange(max(n_first, int(given.max(initial=-1)) + 1), dtype=np.int32)
    last, at = np.full(len(holder), -1), np.flatnonzero(given >= 0)
    holder[given[at]], last[given[at]] = own[at], at  # of several events of a number the last one stays
    for position, nums in freed:
        holder[nums[last[nums] < position]] = -1
    return holder


def _ids(vocabulary: Vocabulary, nums: Nums) -> list[str | None]:
    return [None if num < 0 else vocabulary.id_of(num) for num in nums.tolist()]
