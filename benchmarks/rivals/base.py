"""What all peers share: the rules of the protocol, and when to fit again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.models.base import Ranks
from rtrec.models.kernel import UNTESTED
from rtrec.types import KINDS, NumberedEvents

DISLIKE = KINDS.index("dislike")
RATING = KINDS.index("rating")


class Peer(ABC):
    """A model of another library as :class:`rtrec.models.base.Testable` wants it.

    A peer proposes items; one that is fitted on all events so far has :meth:`fit`, one that learns event by
    event has :meth:`learn_one`. Places that the proposals leave empty go to the items with most events.

    The evaluation throws the answers of the warm part away. So a peer gives none before
    :meth:`start_testing`, where it is fitted for the first time; neither is on the clock.

    Parameters
    ----------
    refit_every
        Events between two fits; None: never fitted.
    clock
        Returns seconds; tells how long the fits took.

    Attributes
    ----------
    fits, fit_seconds
        Fits since testing began, and the time they took.
    watch
        Called with this peer every 500 events, so that a long run shows that it is alive.
    """

    def __init__(
        self, *, refit_every: int | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        if refit_every is not None and refit_every < 1:
            raise ValueError(f"refit_every: expected at least 1 event between two fits; got {refit_every}")
        self.refit_every = refit_every
        self.fits = 0
        self.fit_seconds = 0.0
        self.n_learned = 0
        self.watch: Callable[[Peer], None] | None = None
        #: How many events each item had, at least as long as the highest item number; dislikes are none.
        self.count: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._clock = clock
        self._users, self._items = array("i"), array("i")
        self._past: defaultdict[int, dict[int, None]] = defaultdict(dict)
        self._had: defaultdict[int, set[int]] = defaultdict(set)
        self._known: list[int] = []
        self._shown: set[int] = set()
        self._is_tested = False

    @abstractmethod
    def propose(self, user: int, k: int) -> Sequence[int]:
        """Return items for a user, best first: ``k`` that the user has not had, as far as there are so many.

        Items that the user had may be among them, beyond the ``k``.
        """

    def fit(self) -> None:
        """Learn all events so far (:meth:`table`) anew."""
        return

    def learn_one(self, user: int, item: int, rating: float) -> None:
        """Learn one event, before it is part of the user's past; ``rating`` is 1 for all other kinds."""
        return

    # ---- what a peer knows of the stream

    def past(self, user: int, last: int | None = None) -> list[int]:
        """Return the items of a user, each once and the latest first; at most ``last``, None for all."""
        return list(islice(reversed(self._past[user]), last)) if user in self._past else []

    def had(self, user: int) -> set[int]:
        """Return what must not be recommended to a user: all they had, liked or not."""
        return self._had.get(user, set())

    def known(self) -> list[int]:
        """Return the items that anybody has had, in the order of their first event."""
        return self._known

    def table(self) -> Any:
        """Return who had what so far as a SciPy CSR matrix of ones, ``(user, item)``."""
        from scipy.sparse import csr_matrix

        rows, columns = np.array(self._users, np.int32), np.array(self._items, np.int32)
        table = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)))
        table.data[:] = 1.0  # repeated pairs were added up
        return table

    # ---- the protocol

    def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> Ranks:
        """Answer each batch, then learn it; fit anew whenever ``refit_every`` more events are known."""
        ranks = np.full(events.n_events, UNTESTED, np.int16)
        for start in range(0, events.n_events, batch):
            part = events.part(start, start + batch)
            rows = list(zip(*(column.tolist() for column in part), strict=True))
            if self._is_tested:
                for place, (user, item, _, kind, _) in enumerate(rows, start):
                    if kind != DISLIKE:
                        answer = self.recommend(user, k)
                        self._shown.update(answer)
                        ranks[place] = answer.index(item) + 1 if item in answer else 0
            for user, item, _, kind, value in rows:
                self._learn(user, item, kind, value)
            before, self.n_learned = self.n_learned, self.n_learned + len(rows)
            if self._is_tested and self.refit_every and _passed(before, self.n_learned, self.refit_every):
                self._refit()
            if self.watch is not None and _passed(before, self.n_learned, 500):
                self.watch(self)
        return ranks

    def start_testing(self) -> None:
        """Fit on what was learned so far; fits, their time and coverage count from here."""
        self._is_tested = True
        self._shown.clear()
        if self.refit_every and self._known:
            self._refit()
        self.fits, self.fit_seconds = 0, 0.0

    def coverage(self) -> float:
        """Return the share of known items that have been recommended since :meth:`start_testing`."""
        return len(self._shown) / max(len(self._known), 1)

    def recommend(self, user: int, k: int) -> list[int]:
        """Return ``k`` known items that the user has not had, best first; fewer if there are no more."""
        had = self.had(user)
        answer = first(self.propose(user, k), k, had)
        if len(answer) < k:
            popular = top(self.count, k + len(had) + len(answer))
            answer += first(popular[self.count[popular] > 0].tolist(), k - len(answer), had.union(answer))
        return answer

    def _learn(self, user: int, item: int, kind: int, value: float) -> None:
        if item >= len(self.count):
            self.count = np.pad(self.count, (0, item + 1 - len(self.count) + len(self.count) // 2))
        if kind != DISLIKE:
            # A rating may be missing (NaN, the only value that is not itself).
            self.learn_one(user, item, value if kind == RATING and value == value else 1.0)
            if not self.count[item]:
                self._known.append(item)
            self.count[item] += 1
            self._users.append(user)
            self._items.append(item)
            past = self._past[user]
            past.pop(item, None)  # to the end, if it was there
            past[item] = None
        self._had[user].add(item)

    def _refit(self) -> None:
        began = self._clock()
        self.fit()
        self.fit_seconds += self._clock() - began
        self.fits += 1


def _passed(before: int, after: int, every: int) -> bool:
    return after // every > before // every


def first(items: Iterable[int], n: int, without: set[int]) -> list[int]:
    """Return the first ``n`` items that are not ``without``."""
    return list(islice((item for item in items if item not in without), n))


def top(scores: npt.NDArray[Any], n: int) -> npt.NDArray[np.intp]:
    """Return where the ``n`` highest scores are, best first, ties by place.

    >>> top(np.array([2.0, 5.0, 2.0, 5.0, 2.0]), 3).tolist()
    [1, 3, 0]
    """
    if n < len(scores):  # all that reach the n-th best, ties too, then the order of those
        places = np.flatnonzero(scores >= np.partition(scores, -n)[-n])
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")][:n]


def best_allowed(scores: npt.NDArray[Any], n: int, barred: Iterable[int]) -> list[int]:
    """Return the ``n`` best places of a row of scores without those barred or without a finite score.

    ``scores`` is changed: what is barred becomes -inf.
    """
    scores[[item for item in barred if item < len(scores)]] = -np.inf
    places = top(np.where(np.isfinite(scores), scores, -np.inf), n)
    return places[np.isfinite(scores[places])].tolist()
