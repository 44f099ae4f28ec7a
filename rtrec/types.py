"""The names everything else agrees on: columns, kinds of event, numbered events.

Two id spaces, two names: what the outside world calls an item is an ``item_id`` (always a string inside
rtrec), its row in an array is an ``item_num``. :class:`rtrec.events.vocabulary.Vocabulary` translates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]
Nums = npt.NDArray[np.int32]


class Columns:
    """Column names of an event table, wherever one appears."""

    EVENT_ID = "event_id"
    USER_ID = "user_id"
    ITEM_ID = "item_id"
    TIMESTAMP = "timestamp"
    KIND = "kind"
    VALUE = "value"
    CONTEXT = "context"


#: Kinds of interaction. The position is the code that arrays carry, so new kinds go at the end.
KINDS: tuple[str, ...] = ("view", "click", "cart", "buy", "play", "rating", "like", "dislike")


class NumberedEvents(NamedTuple):
    """Events of one shard as the kernel reads them; all arrays have shape ``(event,)``.

    ``user_num`` is a row of the shard's own user arrays, ``item_num`` a row of the tables that all shards
    share (-1: one that is not admitted), ``timestamp`` is event time in seconds since 1970 UTC, ``kind`` an
    index into :data:`KINDS`, ``value`` the rating, price or play time that came with the event (NaN if none
    came).
    """

    user_num: Nums
    item_num: Nums
    timestamp: Floats
    kind: npt.NDArray[np.uint8]
    value: npt.NDArray[np.float32]

    @property
    def n_events(self) -> int:
        """Return how many events these are (``len`` of a tuple would count its fields)."""
        return len(self.user_num)

    def part(self, start: int, stop: int) -> NumberedEvents:
        """Return events ``start`` to ``stop - 1`` as views, without copying."""
        return NumberedEvents(*[column[start:stop] for column in self])  # type: ignore[arg-type]


class Forgetting(NamedTuple):
    """What a shard clears before an event, since from then on these numbers mean somebody else or nobody.

    ``position`` is the event's among those it came with; ``users`` are numbers of the shard, ``walkers``
    those that the item tables have for users of all shards, ``items`` those of items; each ``(number,)``.
    """

    position: int
    users: Nums
    walkers: Nums
    items: Nums
