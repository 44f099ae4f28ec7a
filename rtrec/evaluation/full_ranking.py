"""Teach any model a train part and have it rank all items for every user.

Three kinds of model meet here under one rule, the rule of the stream: the k best of all items that have an
event of positive weight in the train part, ties by item number, less what the user had there (with
``repeat``, less what they had last in an event of weight 0 or less, as a dislike is). An item that a model
has no opinion on (NaN) is not ranked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.models.base import Recommender
from rtrec.models.books import best_items
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.single import BuiltIn
from rtrec.settings import Settings
from rtrec.types import Floats, Ints, NumberedEvents, Nums

#: Scores of fitted models that are held at a time: 32 MB.
_SCORES_AT_ONCE = 4_000_000


class Lessons(NamedTuple):
    """The train part, and what follows from it for every list."""

    events: NumberedEvents  # in order of time
    history: Interactions  # those of positive weight
    known: npt.NDArray[np.bool_]  # (item,) may be listed: has an event of positive weight
    barred: ByUser  # what each user may not get

    @classmethod
    def of(cls, events: NumberedEvents, settings: Settings, *, n_items: int = 0) -> Lessons:
        """Prepare a train part, which is in order of time; with ``n_items`` all of so many may be listed."""
        raises = np.array(settings.kind_weights())[events.kind] > 0.0
        known = np.zeros(int(events.item_num.max(initial=-1)) + 1, bool)
        known[events.item_num[raises]] = True
        user, item = events.user_num, events.item_num
        if settings.repeat:
            # The last event on an item decides whether it is hidden.
            newest = np.lexsort((np.arange(len(user)), item, user))
            last = np.ones(len(user), bool)
            last[:-1] = (np.diff(user[newest]) != 0) | (np.diff(item[newest]) != 0)
            places = newest[last & ~raises[newest]]
            user, item = user[places], item[places]
        history = Interactions.of(events, settings.kind_weights())
        if n_items:
            history, known = history._replace(n_items=n_items), np.ones(n_items, bool)
        return cls(events, history, known, ByUser.of(user, item, np.ones(len(user))))

    @property
    def now(self) -> float:
        """Return the time of the last event learned, which is when all questions are asked."""
        return float(self.events.timestamp[-1])


class ByUser(NamedTuple):
    """Items and weights of each user's events, newest first."""

    item: Nums
    weight: Floats
    start: Ints  # (user + 1,) where each user's events begin

    @classmethod
    def of(cls, user: Nums, item: Nums, weight: Floats) -> ByUser:
        """Group events that are in order of time."""
        order = np.lexsort((-np.arange(len(user)), user))
        n_users = int(user.max(initial=-1)) + 1
        start = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=n_users))])
        return cls(item[order], weight[order], start)

    def items(self, user_num: int) -> Nums:
        """Return the items of a user, none for one who is not known."""
        return self.item[self._slice(user_num)]

    def weights(self, user_num: int) -> Floats:
        """Return the weights of a user's events."""
        return self.weight[self._slice(user_num)]

    def _slice(self, user_num: int) -> slice:
        known = 0 <= user_num < len(self.start) - 1
        return slice(self.start[user_num], self.start[user_num + 1]) if known else slice(0, 0)


def learn(name: str, model: object, lessons: Lessons, settings: Settings) -> None:
    """Teach a model the train part.

    Raises
    ------
    TypeError
        If it is of a kind that cannot be taught or cannot be asked.
    """
    if isinstance(model, NearlineModel):
        model.fit(lessons.history)
    elif isinstance(model, BuiltIn):
        model.test_then_learn(lessons.events, k=settings.list_length)
    elif isinstance(model, Recommender):
        model.repeat = settings.repeat
        # The base class keeps its books while it tests; asked for nothing, it only learns.
        vars(model)["recommend"] = _nothing
        try:
            model.test_then_learn(lessons.events, k=1)
        finally:
            del vars(model)["recommend"]
    else:
        raise TypeError(
            f"model {name!r}: expected a NearlineModel or a Recommender, which can rank all items; got "
            f"{type(model).__name__}; extend one of the two"
        )


def rank(model: object, users: Nums, lessons: Lessons, k: int, *, half_life: float = float("inf")) -> Nums:
    """Return a taught model's list for each user, ``(user, k)``, -1 past its end.

    Parameters
    ----------
    half_life
        For fitted models, in events of the user: how far back in a history counts half.
    """
    if isinstance(model, NearlineModel):
        return _rank_fitted(model, users, lessons, k, half_life)
    assert isinstance(model, BuiltIn | Recommender)
    return model.recommend_many(users, lessons.now, k=k)


def _rank_fitted(model: NearlineModel, users: Nums, lessons: Lessons, k: int, half_life: float) -> Nums:
    history = lessons.history
    histories = ByUser.of(history.user_num, history.item_num, history.weight)
    longest = int(np.diff(histories.start).max(initial=0))
    decay = 0.5 ** (np.arange(longest) / half_life)
    lists = np.full((len(users), k), -1, np.int32)
    step = max(_SCORES_AT_ONCE // max(len(lessons.known), 1), 1)
    for start in range(0, len(users), step):
        asking = users[start : start + step]
        requests = (
            (items, histories.weights(user) * decay[: len(items)], user)
            for user in asking.tolist()
            for items in [histories.items(user)]
        )
        scores = np.asarray(model.score_many(Histories.of(requests)), np.float64)
        for row, user in enumerate(asking.tolist()):
            allowed = lessons.known.copy()
            allowed[lessons.barred.items(user)] = False
            best = best_items(scores[row], allowed, k)
            lists[start + row, : len(best)] = best
    return lists


def _nothing(user_num: int, timestamp: float, *, k: int = 10) -> list[int]:
    return []
