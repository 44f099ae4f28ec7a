"""A history in the form models are fitted on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from rtrec.types import Floats, NumberedEvents, Nums


class Interactions(NamedTuple):
    """Events of positive weight, oldest first; arrays have shape ``(event,)``.

    ``n_users`` and ``n_items`` bound the numbers: rows of users and items without an event are empty.
    ``weight`` is what an event counts for (1, or the weight of its kind), ``value`` the rating, price or play
    time that came with it (NaN if none came).
    """

    user_num: Nums
    item_num: Nums
    timestamp: Floats
    weight: Floats
    value: np.ndarray
    n_users: int
    n_items: int

    @classmethod
    def of(cls, events: NumberedEvents, kind_weights: tuple[float, ...] | None = None) -> Interactions:
        """Return the events of positive weight; without ``kind_weights`` each event counts 1."""
        n_users = int(events.user_num.max(initial=-1)) + 1
        n_items = int(events.item_num.max(initial=-1)) + 1
        weights = np.ones(events.n_events) if kind_weights is None else np.array(kind_weights)[events.kind]
        taken = weights > 0.0
        return cls(
            events.user_num[taken],
            events.item_num[taken],
            events.timestamp[taken],
            weights[taken],
            events.value[taken],
            n_users,
            n_items,
        )

    @property
    def n_events(self) -> int:
        """Return how many events these are."""
        return len(self.user_num)

    def part(self, start: int, stop: int) -> Interactions:
        """Return events ``start`` to ``stop - 1`` of the same users and items, as views."""
        return Interactions(*(each[start:stop] for each in self[:5]), self.n_users, self.n_items)  # type: ignore[call-arg, arg-type]

    def matrix(self, *, binary: bool = False) -> sp.csr_array:
        """Return the summed weights of each user and item, ``(user, item)`` float32; or 1 for any."""
        shape = (self.n_users, self.n_items)
        pairs = (self.user_num, self.item_num)
        summed = sp.coo_array((self.weight.astype(np.float32), pairs), shape=shape).tocsr()
        if binary:
            summed.data[:] = 1.0
        return summed
