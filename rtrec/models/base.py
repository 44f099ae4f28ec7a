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
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rtrec.models.books import Books
from rtrec.models.kernel import DISLIKE, UNTESTED
from rtrec.settings import Settings
from rtrec.types import KINDS, Floats, Forgetting, NumberedEvents, Nums

if TYPE_CHECKING:
    from rtrec.models.published import Published

Ranks = npt.NDArray[np.int16]
#: Scores of a plain model that are held at a time: 32 MB.
_SCORES_AT_ONCE = 4_000_000


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


class Model(Testable, Protocol):
    """What every model of the registry can do besides: be asked, be put away and go on."""

    def recommend(self, user_num: int, timestamp: float, *, k: int = 10) -> list[int]:
        """Return at most ``k`` item numbers, best first; a user who is not known is still answered."""
        ...

    def recommend_many(self, user_num: Nums, timestamp: float, *, k: int = 10) -> Nums:
        """Return the lists of many users at one time, ``(user, k)``, -1 past their ends.

        They are those of :meth:`recommend`, but for items whose scores are equal up to rounding.
        """
        ...

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the whole state as arrays for :mod:`rtrec.models.snapshot`, as copies."""
        ...

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what :meth:`to_arrays` of a model with the same options returned, and go on from there.

        Raises
        ------
        CorruptionError
            If arrays are missing, or were made with other options.
        """
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

    The base class keeps :class:`~rtrec.models.books.Books` of what each user has had and which items are
    known, so that every model answers under the same rules: the k best of all items known so far, ties by
    item number, less what the user had (with ``repeat``, less what they dislike). The books are made when
    they are first looked at, so a model of your own need not call ``super().__init__()``.
    """

    repeat: bool = False

    def __init__(self, *, repeat: bool = False) -> None:
        self.repeat = repeat

    @cached_property
    def _books(self) -> Books:
        """What each user had, and which items are known."""
        return Books()

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
        scores = self._checked_score(user_num, timestamp)
        best: list[int] = self._books.best(user_num, scores, k, repeat=self.repeat).tolist()
        return best

    def score_many(self, user_num: Nums, timestamp: float) -> Floats:
        """Return what :meth:`score` returns for each of many users, up to rounding, ``(user, item)``.

        NaN stands for no opinion. A model that knows a cheaper way than one by one overrides this.
        """
        rows = [self._checked_score(user, timestamp) for user in user_num.tolist()]
        scores = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
        for row, of_user in zip(scores, rows, strict=True):
            row[: len(of_user)] = of_user
        return scores

    def recommend_many(self, user_num: Nums, timestamp: float, *, k: int = 10) -> Nums:
        """See :class:`Model`."""
        lists = np.full((len(user_num), k), -1, np.int32)
        step = max(_SCORES_AT_ONCE // max(self._books.n_items, 1), 1)
        for start in range(0, len(user_num), step):
            asking = user_num[start : start + step]
            scores = self.score_many(asking, timestamp)
            for row, (user, of_user) in enumerate(zip(asking.tolist(), scores, strict=True), start):
                best = self._books.best(user, of_user, k, repeat=self.repeat)
                lists[row, : len(best)] = best
        return lists

    def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> Ranks:
        """See :class:`Testable`."""
        ranks = np.full(events.n_events, UNTESTED, np.int16)
        for start in range(0, events.n_events, batch):
            part = events.part(start, start + batch)
            for place, (user, item, now, kind, _) in enumerate(zip(*part, strict=True), start):
                if kind != DISLIKE:
                    answer = self.recommend(int(user), float(now), k=k)
                    self._books.show(answer)
                    ranks[place] = answer.index(item) + 1 if item in answer else 0
            for user, item, now, kind, value in zip(*part, strict=True):
                self.learn_one(int(user), int(item), float(now), int(kind), float(value))
                self._books.note(int(user), int(item), hides=self.weight_of(int(kind)) <= 0.0)
        return ranks

    def start_testing(self) -> None:
        """See :class:`Testable`."""
        self._books.start_showing()

    def coverage(self) -> float:
        """See :class:`Testable`."""
        return self._books.coverage()

    def _checked_score(self, user_num: int, timestamp: float) -> Floats:
        scores = np.asarray(self.score(user_num, timestamp), np.float64)
        if scores.ndim != 1:
            raise ValueError(
                f"{type(self).__name__}.score: expected one number an item, shape (item,); "
                f"got shape {scores.shape}"
            )
        return scores
