"""implicit's item-item models as a streaming model: what :mod:`peers` measures rtrec against.

The library knows no events, so a careful user fits it again every so often and keeps the rest up to date
with each event: the last 10 items of a user, which the similarities are looked up from, the items to leave
out, and the popularity that fills up what the similarities leave empty. Fits take one core, as rtrec does.
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from rtrec.models.base import UNTESTED, Ranks
from rtrec.models.kernel import DISLIKE
from rtrec.types import NumberedEvents

NEIGHBOURS = 200
LAST = 10


class ItemKNN:
    """implicit's item-kNN as :class:`rtrec.models.base.Testable` wants it.

    Parameters
    ----------
    similarity
        Name of the class of implicit's that says what is similar; None: recommend what had most events.
    refit_every
        Events between two fits.
    clock
        Returns seconds; tells how long the fits took.
    """

    def __init__(
        self, similarity: str | None, refit_every: int, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.similarity = similarity
        self.refit_every = refit_every
        self.fit_seconds = 0.0
        self.fits = 0
        self._clock = clock
        self._scorer: Any = None
        self._n_fitted_items = 0
        self._n_learned = 0
        self._users: list[np.ndarray] = []
        self._items: list[np.ndarray] = []
        self._last: defaultdict[int, list[int]] = defaultdict(list)
        self._had: defaultdict[int, set[int]] = defaultdict(set)
        self._count = np.zeros(0, np.int64)
        self._shown: set[int] = set()

    def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> Ranks:
        """Answer each batch, then learn it; fit anew as soon as ``refit_every`` more events are known."""
        ranks = np.full(events.n_events, UNTESTED, np.int16)
        for start in range(0, events.n_events, batch):
            part = events.part(start, start + batch)
            pairs = list(zip(part.user_num.tolist(), part.item_num.tolist(), part.kind.tolist(), strict=True))
            for place, (user, item, kind) in enumerate(pairs, start):
                if kind != DISLIKE:
                    answer = self._recommend(user, k)
                    self._shown.update(answer)
                    ranks[place] = answer.index(item) + 1 if item in answer else 0
            self._learn(part, pairs)
        return ranks

    def start_testing(self) -> None:
        """Forget what was recommended and how long fits took: both count from here."""
        self._shown.clear()
        self.fit_seconds, self.fits = 0.0, 0

    def coverage(self) -> float:
        """Return the share of known items that have been recommended since :meth:`start_testing`."""
        return len(self._shown) / max(int(np.count_nonzero(self._count)), 1)

    def _recommend(self, user: int, k: int) -> list[int]:
        had = self._had[user]
        # Items first met after the fit are similar to nothing yet.
        last = np.array([item for item in self._last[user] if item < self._n_fitted_items], np.int32)
        answer: list[int] = []
        if len(last):
            # Public, and takes less than two thirds of the time of the models' own `recommend`.
            similar, _ = self._scorer.recommend(
                np.array([0, len(last)], np.int32),
                last,
                np.ones(len(last)),
                K=k + len(had),
                remove_own_likes=False,
            )
            answer = _first(similar, k, had)
        if len(answer) < k:
            wanted = min(k + len(had) + len(answer), int(np.count_nonzero(self._count)))
            if wanted < len(self._count):  # all that reach the last wanted count, then the order of those
                least = np.partition(self._count, -wanted)[-wanted]
                popular = np.flatnonzero(self._count >= max(least, 1))
            else:
                popular = np.flatnonzero(self._count)
            popular = popular[np.argsort(-self._count[popular], kind="stable")][:wanted]
            answer += _first(popular, k - len(answer), had.union(answer))
        return answer

    def _learn(self, events: NumberedEvents, pairs: list[tuple[int, int, int]]) -> None:
        liked = events.kind != DISLIKE
        self._users.append(events.user_num[liked])
        self._items.append(events.item_num[liked])
        for user, item, kind in pairs:
            self._had[user].add(item)
            if kind == DISLIKE:
                continue
            if item >= len(self._count):
                self._count = np.pad(self._count, (0, item + 1 - len(self._count) + len(self._count) // 2))
            self._count[item] += 1
            last = self._last[user]
            if item in last:
                last.remove(item)
            last.append(item)
            del last[:-LAST]
        before, self._n_learned = self._n_learned, self._n_learned + len(pairs)
        is_due = self._n_learned // self.refit_every > before // self.refit_every
        if self.similarity is not None and is_due:
            began = self._clock()
            self._fit(self.similarity)
            self.fit_seconds += self._clock() - began
            self.fits += 1

    def _fit(self, similarity: str) -> None:
        import implicit.nearest_neighbours
        from implicit.utils import ParameterWarning
        from scipy.sparse import csr_matrix

        self._users, self._items = [np.concatenate(self._users)], [np.concatenate(self._items)]
        table = csr_matrix((np.ones(len(self._users[0])), (self._users[0], self._items[0])))
        table.data[:] = 1.0  # repeated pairs were added up, but these similarities are of having had or not
        model = getattr(implicit.nearest_neighbours, similarity)(K=NEIGHBOURS, num_threads=1)
        with warnings.catch_warnings(action="ignore", category=ParameterWarning):  # of its own conversions
            model.fit(table, show_progress=False)
        self._scorer, self._n_fitted_items = model.scorer, table.shape[1]


def _first(items: np.ndarray, n: int, without: set[int]) -> list[int]:
    found: list[int] = []
    for item in items.tolist():
        if len(found) == n:
            break
        if item not in without:
            found.append(item)
    return found
