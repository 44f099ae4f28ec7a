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

from rtrec.declared import FEATURE_NAMES
from rtrec.models.base import Recommender
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.single import BuiltIn
from rtrec.models.tables import LONG
from rtrec.settings import Settings
from rtrec.types import Floats, Ints, NumberedEvents, Nums

#: Anybody without events: only the tables of an answer are wanted.
_STRANGER = -1
#: Scores of fitted models that are held at a time: 32 MB.
_SCORES_AT_ONCE = 4_000_000
#: What each table says of a candidate, by the name of the feature.
_RINGS = {"cooccurrence": "near_ring", "transitions": "next_ring", "trails": "trail_ring"}


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
    if isinstance(model, BuiltIn):
        return _rank_built_in(model, users, lessons, k)
    assert isinstance(model, Recommender)
    lists = np.full((len(users), k), -1, np.int32)
    for row, user in enumerate(users.tolist()):
        best = model.recommend(user, lessons.now, k=k)
        lists[row, : len(best)] = best
    return lists


def best_items(scores: Floats, allowed: npt.NDArray[np.bool_], k: int) -> Nums:
    """Return the at most ``k`` best of the allowed items, by score and then by number.

    >>> best_items(np.array([0.5, 2.0, np.nan, 2.0]), np.array([True, True, True, True]), 2)
    array([1, 3], dtype=int32)
    """
    items = np.flatnonzero(allowed[: len(scores)] & ~np.isnan(scores[: len(allowed)]))
    if len(items) > 4 * k:  # all that reach the k-th best score, ties too
        items = items[scores[items] >= np.partition(scores[items], -k)[-k]]
    return items[np.lexsort((items, -scores[items]))][:k].astype(np.int32)


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


def _rank_built_in(model: BuiltIn, users: Nums, lessons: Lessons, k: int) -> Nums:
    """Ask the blend for its list; put that of a single table together from what an answer is made from.

    As in the kernel, that is the candidates the table speaks for, and then the most popular items.
    """
    blend, now = model.blend, lessons.now
    lists = np.full((len(users), k), -1, np.int32)
    _, tables, *_ = blend.answer(_STRANGER, now, k=1)
    known = np.flatnonzero(tables.total > 0.0)
    popular = known[np.lexsort((known, -tables.heat[LONG][known]))].astype(np.int32)
    for row, user in enumerate(users.tolist()):
        if model.name == "default":
            best = blend.answer(user, now, k=k)[0].best
        else:
            spoken_for = _spoken_for(model, user, now)[:k] if model.name in _RINGS else np.zeros(0, np.int32)
            barred = lessons.barred.items(user)
            few = popular[: k + len(barred)]
            rest = few[~np.isin(few, barred) & ~np.isin(few, spoken_for)]
            best = np.concatenate([spoken_for, rest])[:k]
        lists[row, : len(best)] = best
    return lists


def _spoken_for(model: BuiltIn, user: int, now: float) -> Nums:
    """Return the candidates that a single table says anything of, best first."""
    answer, _, _, work, _ = model.blend.answer(user, now, k=1)
    item = work.item[: answer.n_candidates]
    said = work.features[FEATURE_NAMES.index(_RINGS[model.name]), : answer.n_candidates]
    return item[np.lexsort((item, -said))][: np.count_nonzero(said > 0.0)]


def _nothing(user_num: int, timestamp: float, *, k: int = 10) -> list[int]:
    return []
