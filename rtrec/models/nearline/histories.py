"""What many users had, so that a model can score all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from rtrec.types import Floats, Ints, Nums


class Histories(NamedTuple):
    """A request a user: what they had, newest first, and what each of it counts for.

    >>> many = Histories.of([(np.array([4, 2]), np.array([1.0, 0.5]), 7), (np.array([3]), np.ones(1), -1)])
    >>> many.n_requests, many.one(0)
    (2, (array([4, 2], dtype=int32), array([1. , 0.5]), 7))
    """

    item: Nums  # (event,) of all requests, one after the other
    weight: Floats  # (event,)
    start: Ints  # (request + 1,) where the events of each begin
    user_num: Nums  # (request,) -1: a stranger

    @classmethod
    def of(cls, requests: Iterable[tuple[Nums, Floats, int]]) -> Histories:
        """Put single requests, as :meth:`NearlineModel.score` takes them, behind each other."""
        items, weights, users = [np.zeros(0, np.int32)], [np.zeros(0)], []
        for item, weight, user_num in requests:
            items.append(np.asarray(item, np.int32))
            weights.append(np.asarray(weight, np.float64))
            users.append(user_num)
        start = np.cumsum([len(each) for each in items], dtype=np.int64)
        return cls(np.concatenate(items), np.concatenate(weights), start, np.array(users, np.int32))

    @property
    def n_requests(self) -> int:
        """Return how many users ask."""
        return len(self.user_num)

    def one(self, request: int) -> tuple[Nums, Floats, int]:
        """Return the items, weights and number of one user."""
        row = slice(self.start[request], self.start[request + 1])
        return self.item[row], self.weight[row], int(self.user_num[request])

    def matrix(self, n_items: int) -> sp.csr_array:
        """Return the summed weight of each item that is below ``n_items``, ``(request, item)``."""
        request = np.repeat(np.arange(self.n_requests), np.diff(self.start))
        known = self.item < n_items
        places = (request[known], self.item[known])
        return sp.coo_array((self.weight[known], places), shape=(self.n_requests, n_items)).tocsr()
