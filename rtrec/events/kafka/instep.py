"""Put what several partitions say into one order of time, without waiting for what is not there.

A broker hands out one partition after the other, thousands of messages at a time: whoever reads a topic from
its beginning would see a day of one user before the first minute of the next. So a message waits until every
partition that has more to say has come as far in time. Order within a partition is never changed.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from math import inf, isfinite
from operator import itemgetter
from typing import Generic, TypeVar

Item = TypeVar("Item")


class InStep(Generic[Item]):
    """Items of several partitions, in step.

    >>> step = InStep[str]([0, 1])
    >>> step.add(0, 10.0, "a"), step.add(0, 30.0, "b"), step.take()
    (None, None, [])
    >>> step.add(1, 20.0, "c"), step.take()
    (None, ['a', 'c'])
    >>> step.end(1), step.take()
    (None, ['b'])
    """

    def __init__(self, partitions: Iterable[int] = ()) -> None:
        self._waiting: dict[int, deque[tuple[float, Item]]] = {}
        self._reached: dict[int, float] = {}
        self._at_end: set[int] = set()
        for partition in partitions:
            self.open(partition)

    def open(self, partition: int) -> None:
        """Take part with a partition, of which nobody knows yet whether it has something to say."""
        self._waiting[partition], self._reached[partition] = deque(), -inf

    def add(self, partition: int, time: float, item: Item) -> None:
        """Take an item behind those of its partition; one without a sound time belongs to the one before."""
        if isfinite(time):
            self._reached[partition] = max(self._reached[partition], time)
        self._waiting[partition].append((self._reached[partition], item))
        self._at_end.discard(partition)

    def end(self, partition: int) -> None:
        """Note that a partition has nothing more to say for now."""
        self._at_end.add(partition)

    def n_waiting(self, partition: int) -> int:
        """Return how many items of a partition wait."""
        return len(self._waiting[partition])

    def take(self, *, all_that_wait: bool = False) -> list[Item]:
        """Return the items whose turn it is, or all, in order of time."""
        moment = inf if all_that_wait else self._moment()
        ready = [_up_to(moment, waiting) for waiting in self._waiting.values()]
        return [item for _, item in heapq.merge(*ready, key=itemgetter(0))]

    def _moment(self) -> float:
        """Return how far all partitions have come that may have more to say."""
        more = [waiting for partition, waiting in self._waiting.items() if partition not in self._at_end]
        return min((waiting[-1][0] if waiting else -inf for waiting in more), default=inf)


def _up_to(moment: float, waiting: deque[tuple[float, Item]]) -> list[tuple[float, Item]]:
    ready = []
    while waiting and waiting[0][0] <= moment:
        ready.append(waiting.popleft())
    return ready
