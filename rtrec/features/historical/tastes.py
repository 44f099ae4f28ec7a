"""What users take of each category, computed again in batch: as the kernel counts it in real time.

With n_g the decayed events of the user in category g before the place, their weights w_e at times t_e, and C
the categories of the item asked about:

    n_g        = sum over events in g of w_e * 2 ** ((t_e - now) / h)
    taste      = mean over g in C of n_g / (1 + sum over all g of n_g)
    taste_last = 1 if the item shares a category with the last the user took, else 0

where ``now`` is not before the user's latest event. The kernel keeps 16 categories a user; while she has no
more than that, both agree row by row.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from rtrec.features.historical.running import last_before, running
from rtrec.types import Floats, Ints, Nums

TASTES = ("taste_now", "taste_short", "taste_long", "taste_last")


class _Memory(Protocol):
    @property
    def half_life_s(self) -> tuple[float, float, float]: ...


def taste_features(
    events: pd.DataFrame, asks: pd.DataFrame, memory: _Memory, *, categories: Nums
) -> pd.DataFrame:
    """Return what users took of the categories asked about, before each ask; their events must all be here.

    Parameters
    ----------
    events
        Columns ``place``, ``user_num``, ``item_num``, ``timestamp``, ``weight``.
    asks
        Columns ``ask``, ``place``, ``user_num``, ``item_num``, ``timestamp``.
    categories
        Of items, ``(item, place)``, -1 past the last of one.
    """
    events = events.sort_values(["user_num", "place"])
    liked = events[events["weight"] > 0.0]
    taken, own = (categories_of(categories, each["item_num"].to_numpy()) for each in (liked, asks))
    columns = _shares(liked, taken, asks, own, _not_before_the_latest(events, asks), memory)
    columns[TASTES[-1]] = _shared_with_last(liked, taken, asks, own)
    return pd.DataFrame({"ask": asks["ask"].to_numpy()} | columns)


def _shares(
    liked: pd.DataFrame, taken: Nums, asks: pd.DataFrame, own: Nums, now: Floats, memory: _Memory
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the mean share of the categories asked about at each half-life, ``(ask,)``.

    Parameters
    ----------
    taken, own
        Categories of the liked events, and of the asks: ``(event, place)`` and ``(ask, place)``.
    now
        When each ask is answered.
    """
    n_categories = int(taken.max(initial=-1)) + 1
    event, column = np.nonzero(taken >= 0)
    user, place, time, weight = (
        liked[name].to_numpy()[event] for name in ("user_num", "place", "timestamp", "weight")
    )
    key = user.astype(np.int64) * n_categories + taken[event, column]
    by_key = np.argsort(key, kind="stable")  # within a key by place, as they are
    asked_user, asked_place = asks["user_num"].to_numpy(np.int64), asks["place"].to_numpy()
    row_of_total = last_before(user, place, asked_user, asked_place)
    row_of_each = []
    for each in own.T.astype(np.int64):
        row = last_before(key[by_key], place[by_key], asked_user * n_categories + each, asked_place)
        row_of_each.append(np.where((each >= 0) & (each < n_categories), row, -1))
    n_own = np.maximum((own >= 0).sum(axis=1), 1)
    columns = {}
    for name, half_life in zip(TASTES, memory.half_life_s, strict=False):
        added = np.log2(weight) + time / half_life
        total = _left(running(np.logaddexp2, added, user), row_of_total, now / half_life)
        counts = running(np.logaddexp2, added[by_key], key[by_key])
        mine = sum((_left(counts, row, now / half_life) for row in row_of_each), start=np.zeros(len(asks)))
        columns[name] = (mine / n_own / (1.0 + total)).astype(np.float32)
    return columns


def _shared_with_last(
    liked: pd.DataFrame, taken: Nums, asks: pd.DataFrame, own: Nums
) -> npt.NDArray[np.float32]:
    """Return 1 where an ask shares a category with the last event liked, else 0, ``(ask,)``."""
    asked_user, asked_place = asks["user_num"].to_numpy(), asks["place"].to_numpy()
    newest = last_before(liked["user_num"].to_numpy(), liked["place"].to_numpy(), asked_user, asked_place)
    last = np.full(own.shape, -1, np.int32)
    last[newest >= 0] = taken[newest[newest >= 0]]
    shared = (own[:, :, None] == last[:, None, :]) & (own >= 0)[:, :, None]
    return shared.any(axis=(1, 2)).astype(np.float32)


def categories_of(categories: Nums, item_num: Ints) -> Nums:
    """Return the categories of each item, ``(item, place)``; -1 alone for one that is not there."""
    known = item_num < len(categories)
    rows = np.full((len(item_num), categories.shape[1]), -1, np.int32)
    rows[known] = categories[item_num[known]]
    return rows


def _not_before_the_latest(events: pd.DataFrame, asks: pd.DataFrame) -> Floats:
    """Return when each ask is answered: its time, or that of the user's latest event before its place."""
    user = events["user_num"].to_numpy(np.int64)
    latest = running(np.maximum, events["timestamp"].to_numpy(), user)
    rows = last_before(
        user, events["place"].to_numpy(), asks["user_num"].to_numpy(np.int64), asks["place"].to_numpy()
    )
    now = asks["timestamp"].to_numpy(np.float64).copy()
    known = rows >= 0
    now[known] = np.maximum(now[known], latest[rows[known]])
    return now


def _left(heat: Floats, rows: Ints, age: Floats) -> Floats:
    """Return what is left at each age of the counts behind rows of ``heat``; nothing of row -1."""
    left = np.zeros(len(rows))
    known = rows >= 0
    left[known] = 2.0 ** (heat[rows[known]] - age[known])
    return left
