"""What every model owes: be tested on events before it learns them.

A model of your own needs two methods, ``score`` and ``learn_one``, in plain numpy:

>>> import numpy as np
>>> class MostEvents(Recommender):
...     def __init__(self):
...         self.count = np.zeros(0)
...     def score(self, user_num, timestamp):
...         return self.count
...     def learn_one(self, user_num, item_num, timestamp, kind, value):
...         if item_num >= len(self.count):
...             self.count = np.pad(self.count, (0, item_num + 1 - len(self.count)))
...         self.count[item_num] += 1
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rtrec.models.kernel import DISLIKE, UNTESTED
from rtrec.settings import Settings
from rtrec.types import KINDS, Floats, Forgetting, NumberedEvents

if TYPE_CHECKING:
    from rtrec.models.published import Published

Mask = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int16]


class Testable(Protocol):
    """What :func:`rtrec.evaluate` asks of a model, built-in or plugged in."""

    def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> Ranks:
        """Answer each ``batch`` of events with the state before it, learn it, and return the ranks.

        Returns
        -------
        Array of shape ``(event,)``: the place of the event's item in the list of k, 0 if it was not in it,
        -1 if the event was not asked for.
        """
        ...

    def start_testing(self) -> None:
        """Forget what was recommended so far: coverage counts from here."""
        ...

    def coverage(self) -> float:
        """Return the share of known items that have been recommended since :meth:`start_testing`."""
        ...


@runtime_checkable
class Compiled(Protocol):
    """A model whose code has to be compiled before it is timed."""

    def compile(self) -> None:
        """Compile it."""
        ...


@runtime_checkable
class Forgetful(Protocol):
    """A model that knows no more users and items at a time than settings allow."""

    def forget(self, forgetting: Forgetting) -> None:
        """Clear all that belongs to users and items whose numbers will mean somebody else."""
        ...


@runtime_checkable
class Informed(Protocol):
    """A model that looks at what is made outside the stream."""

    def publish(self, slot: str, value: Published) -> None:
        """Let it have an opinion from now on, in place of what was in the slot before."""
        ...


def checked_kind_weights(kind_weights: tuple[float, ...] | None) -> tuple[float, ...]:
    """Return what an event of each kind counts for, the default of the settings if nothing is given.

    Raises
    ------
    ValueError
        If there is not one weight for each of :data:`rtrec.types.KINDS`.
    """
    if kind_weights is None:
        return Settings().kind_weights()
    if len(kind_weights) != len(KINDS):
        raise ValueError(f"expected a weight for each of {', '.join(KINDS)}; got {len(kind_weights)}")
    return kind_weights


class Recommender(ABC):
    """A model in plain Python: score all items, learn one event.

    The base class keeps what each user has had and which items are known, so that every model answers under
    the same rules: the k best of all items known so far, ties by item number, less what the user had
    (with ``repeat``, less what they dislike). All that is made when it is first looked at, so a model of your
    own need not call ``super().__init__()``.
    """

    repeat: bool = False

    def __init__(self, *, repeat: bool = False) -> None:
        self.repeat = repeat

    @cached_property
    def _had(self) -> defaultdict[int, set[int]]:
        return defaultdict(set)

    @cached_property
    def _disliked(self) -> defaultdict[int, set[int]]:
        return defaultdict(set)

    @cached_property
    def _is_known(self) -> Mask:  # (item,) with room for more items than there are
        return np.zeros(0, np.bool_)

    @cached_property
    def _shown(self) -> set[int]:
        return set()

    @abstractmethod
    def score(self, user_num: int, timestamp: float) -> Floats:
        """Return a score for each item, shape ``(item,)``; NaN or missing at the end: no opinion."""

    @abstractmethod
    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        """Learn one event (``kind`` is an index into :data:`rtrec.types.KINDS`)."""

    def weight_of(self, kind: int) -> float:
        """Return what an event of a kind counts for; one of 0 or less hides its item from the user.

        With repeats, that is until an event of positive weight. What nobody had such an event with is not
        recommended.
        """
        return -1.0 if kind == DISLIKE else 1.0

    def recommend(self, user_num: int, timestamp: float, *, k: int = 10) -> list[int]:
        """Return at most ``k`` item numbers, best first.

        Raises
        ------
        ValueError
            If ``score`` returns something else than one number an item.
        """
        scores = np.asarray(self.score(user_num, timestamp), np.float64)
        if scores.ndim != 1:
            raise ValueError(
                f"{type(self).__name__}.score: expected one number an item, shape (item,); "
                f"got shape {scores.shape}"
            )
        allowed = np.full(len(scores), False)
        allowed[: len(self._is_known)] = self._is_known[: len(scores)]
        barred = self._disliked if self.repeat else self._had
        allowed[[item for item in barred[user_num] if item < len(scores)]] = False
        items = np.flatnonzero(allowed & ~np.isnan(scores))
        if len(items) > 4 * k:  # all that reach the k-th best score, ties too
            items = items[scores[items] >= np.partition(scores[items], -k)[-k]]
        return [int(item) for item in items[np.lexsort((items, -scores[items]))][:k]]

    def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> Ranks:
        """See :class:`Testable`."""
        ranks = np.full(events.n_events, UNTESTED, np.int16)
        for start in range(0, events.n_events, batch):
            part = events.part(start, start + batch)
            for place, (user, item, now, kind, _) in enumerate(zip(*part, strict=True), start):
                if kind != DISLIKE:
                    answer = self.recommend(int(user), float(now), k=k)
                    self._shown.update(answer)
                    ranks[place] = answer.index(item) + 1 if item in answer else 0
            for user, item, now, kind, value in zip(*part, strict=True):
                self.learn_one(int(user), int(item), float(now), int(kind), float(value))
                self._had[int(user)].add(int(item))
                if self.weight_of(int(kind)) <= 0.0:
                    self._disliked[int(user)].add(int(item))
                else:
                    self._know(int(item))
                    self._disliked[int(user)].discard(int(item))
        return ranks

    def start_testing(self) -> None:
        """See :class:`Testable`."""
        self._shown.clear()

    def coverage(self) -> float:
        """See :class:`Testable`."""
        n_known = np.count_nonzero(self._is_known)
        return len(self._shown) / int(n_known) if n_known else 0.0

    def _know(self, item_num: int) -> None:
        """Note that an item is there to be recommended."""
        if item_num >= len(self._is_known):
            # Twice the room each time: one copy of all items in every doubling of them.
            longer = max(item_num + 1, 2 * len(self._is_known)) - len(self._is_known)
            self._is_known = np.pad(self._is_known, (0, longer))
        self._is_known[item_num] = True
