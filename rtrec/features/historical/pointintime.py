"""The features that the kernel keeps in real time, computed again in batch: as they were at any moment.

Asked about a user, an item and a place in the stream, the answer is made from the events *before* that place
and from nothing else. It agrees with what the kernel had then, row by row, so one declared feature means the
same in batch and online; and it is what a model that trains on history should train on.

Item features need an item's events, user features a user's, so both sides are brought together by id, and
each partition is a few sorts and searches:

    count      = log(1 + sum of w_e)
    heat       = log2(sum of w_e * 2 ** (t_e / h)) - now / h, not below ``coldest``
    age, idle  = (1 + hours since the first, the latest event) ** (1/4), 1 before any
    had        = sqrt(events of the user with the item), 0 after one of weight zero or less
    had_idle   = (1 + hours since the latest of them) ** (1/4), 0 where ``had`` is
    value      = mean of sign(v_e) * log(1 + |v_e|), the user's mean where no value is known
    value_gap  = distance of that from the mean over the user's events, 0 where either is not known
    daypart    = sqrt((sum of w_e at such times + s * p) / (p * (sum of w_e + s)))
    velocity, acceleration: how the counts behind the heats grow (:mod:`rtrec.models.momentum`)

An event of negative weight takes |w_e| from the sums of ``count`` and ``heat`` as they stand then, down to
``least`` of an event.

with e over the item's events of positive weight w_e before the place, t_e their times, v_e their values, h a
half-life, p the share of such times in all events of positive weight before the place, s the smoothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rtrec.features.categories import ItemCategories
from rtrec.features.historical.running import Keys, last_before, running
from rtrec.features.historical.tastes import TASTES, taste_features
from rtrec.types import Floats, Ints, NumberedEvents, Nums

if TYPE_CHECKING:
    import dask.dataframe as dd

HOUR_S = 3600.0
_HEATS = ("heat_now", "heat_short", "heat_long")
_MOMENTUM = ("velocity", "acceleration")
_ITEM = (*_HEATS, *_MOMENTUM, "count", "age", "idle", "item_level", "taken", "taken_then")
_PAIR = ("had", "had_idle", "ring", "user_level")
_QUARTER_S, _DAY_S, _N_DAYPARTS = 6 * HOUR_S, 24 * HOUR_S, 8


class Asked(NamedTuple):
    """What is asked about, each ``(ask,)``; events ``0`` to ``place - 1`` of the stream may be known."""

    place: Ints
    user_num: Nums
    item_num: Nums
    timestamp: Floats  # when it is asked, seconds since 1970 UTC


class Memory(NamedTuple):
    """How the kernel remembers; the names are those of the settings."""

    kind_weight: tuple[float, ...]
    half_life_s: tuple[float, float, float]  # now, short, long
    ring_length: int
    coldest: float = -4.0  # log2 of a decayed count stops here
    least: float = 2.0**-4  # what negative feedback leaves of a count
    smoothing: float = 5.0  # events a daypart is drawn by towards that of all items
    prior: float = 1.0  # events that both sides of a growth get
    youngest_s: float = 1.0  # no item is younger


def asked_by(events: NumberedEvents) -> Asked:
    """Return what each event of a stream asks: its own item, for its own user, just before it is learned."""
    return Asked(np.arange(events.n_events), events.user_num, events.item_num, events.timestamp)


def online_features(
    events: NumberedEvents,
    asked: Asked,
    memory: Memory,
    *,
    categories: ItemCategories | None = None,
    n_partitions: int = 1,
) -> pd.DataFrame:
    """Return the online features of everything asked, a row an ask, computed by Dask over so many partitions.

    Parameters
    ----------
    events
        The stream in the order in which it was learned, which late events make another order than time's.
    asked
        From :func:`asked_by`, or of any pairs at any places.
    memory
        How the kernel remembers.
    categories
        Of items; without, nothing is said of what users take of them
        (:mod:`rtrec.features.historical.tastes`).

    Returns
    -------
    Float32 columns by the names in :mod:`rtrec.declared`, and ``ring``: whether the item was among
    the last ``memory.ring_length`` of the user.
    """
    import dask
    import dask.dataframe as dd

    weight = np.asarray(memory.kind_weight, np.float64)[events.kind]
    stream = pd.DataFrame(
        {
            "place": np.arange(events.n_events),
            "user_num": events.user_num,
            "item_num": events.item_num,
            "timestamp": events.timestamp,
            "weight": weight,
            "level": np.sign(events.value) * np.log1p(np.abs(events.value.astype(np.float64))),
            "daypart": dayparts(events.timestamp),
        }
    )
    wanted = pd.DataFrame(asked._asdict() | {"ask": np.arange(len(asked.place))})
    wanted["daypart"] = dayparts(asked.timestamp)
    history, asks = (dd.from_pandas(each, npartitions=n_partitions) for each in (stream, wanted))
    parts = [
        _by(key, function, columns, history, asks, memory, n_partitions)
        for key, function, columns in (
            ("item_num", item_features, _ITEM),
            ("user_num", pair_features, _PAIR),
        )
    ]
    if categories is not None:
        of_taste = partial(taste_features, categories=categories.number)
        parts.append(_by("user_num", of_taste, TASTES, history, asks, memory, n_partitions))
    of_item, *of_user = (each.set_index("ask").sort_index() for each in dask.compute(*parts))
    known = of_item.join(of_user)
    item_level, user_level = (known.pop(name) for name in ("item_level", "user_level"))
    known["value"] = item_level.fillna(user_level).fillna(0.0)
    known["value_gap"] = (item_level - user_level).abs().fillna(0.0)
    taken, taken_then = known.pop("taken"), known.pop("taken_then")
    share = _share_then(stream, wanted)
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = np.sqrt((taken_then + share * memory.smoothing) / (share * (taken + memory.smoothing)))
    known["daypart"] = np.where(share > 0.0, lift, 1.0).astype(np.float32)
    return known


def dayparts(timestamp: Floats) -> Ints:
    """Return the quarter of the day of each time (UTC), 0 to 3 on a weekday and 4 to 7 at a weekend."""
    quarter = (timestamp % _DAY_S // _QUARTER_S).astype(np.int64)
    day = (timestamp // _DAY_S + 3).astype(np.int64) % 7  # 1970 began on a Thursday; Monday is 0
    return np.where(day >= 5, quarter + 4, quarter)


def _share_then(stream: pd.DataFrame, wanted: pd.DataFrame) -> Floats:
    """Return the share of all that was taken before each ask that was taken in its part of the day."""
    taken = np.zeros((len(stream) + 1, _N_DAYPARTS))
    rows = np.arange(len(stream))
    taken[rows + 1, stream["daypart"]] = np.maximum(stream["weight"], 0.0)
    taken = np.cumsum(taken, axis=0)[np.minimum(wanted["place"], len(stream))]
    total = taken.sum(axis=1)
    return taken[np.arange(len(wanted)), wanted["daypart"]] / np.maximum(total, 1e-12)


def _by(
    key: str,
    function: Callable[[pd.DataFrame, pd.DataFrame, Memory], pd.DataFrame],
    columns: Sequence[str],
    history: dd.DataFrame,
    asks: dd.DataFrame,
    memory: Memory,
    n_partitions: int,
) -> dd.DataFrame:
    """Bring all events and asks of an id into one partition and compute them there."""
    sides = (each.shuffle(key, npartitions=n_partitions) for each in (history, asks))
    types = {name: np.dtype(bool if name == "ring" else np.float32) for name in columns}
    meta = pd.DataFrame(
        {name: pd.Series([], dtype=kind) for name, kind in ({"ask": np.int64} | types).items()}
    )
    events, wanted = sides
    return events.map_partitions(function, wanted, memory, meta=meta, align_dataframes=False)


def item_features(events: pd.DataFrame, asks: pd.DataFrame, memory: Memory) -> pd.DataFrame:
    """Return what was known of the items asked about, before each ask; their events must all be here.

    Parameters
    ----------
    events
        Columns ``place``, ``item_num``, ``timestamp``, ``weight``, ``level``, ``daypart``.
    asks
        Columns ``ask``, ``place``, ``item_num``, ``timestamp``, ``daypart``.
    """
    moved = events[events["weight"] != 0.0].sort_values(["item_num", "place"])
    item, time = moved["item_num"].to_numpy(), moved["timestamp"].to_numpy()
    weight = moved["weight"].to_numpy()
    raises = weight > 0.0
    total = _running_counts(weight, item, memory.least)
    first = running(np.minimum, np.where(raises, time, np.inf), item)
    latest = running(np.maximum, np.where(raises, time, -np.inf), item)
    last = last_before(item, moved["place"].to_numpy(), asks["item_num"].to_numpy(), asks["place"].to_numpy())
    known, now = last >= 0, asks["timestamp"].to_numpy()
    known[known] = total[last[known]] > 0.0  # not one that has only been disliked
    columns: dict[str, npt.NDArray[np.float32]] = {}
    counts = []
    moment = now.copy()  # of its latest event, to one that comes late
    moment[known] = np.maximum(now[known], latest[last[known]])
    for name, half_life in zip(_HEATS, memory.half_life_s, strict=True):
        heat = _running_heat(weight, time / half_life, item, memory.least)
        cooled, count = np.full(len(asks), memory.coldest), np.zeros(len(asks))
        cooled[known] = np.maximum(heat[last[known]] - now[known] / half_life, memory.coldest)
        count[known] = 2.0 ** (heat[last[known]] - moment[known] / half_life)
        columns[name] = cooled.astype(np.float32)
        counts.append(count)
    since = np.zeros(len(asks))
    since[known] = moment[known] - first[last[known]]
    columns |= zip(_MOMENTUM, _momentum(counts, since, memory), strict=True)
    counted = np.zeros(len(asks))
    counted[known] = np.log1p(total[last[known]])
    columns["count"] = counted.astype(np.float32)
    for name, moments in (("age", first), ("idle", latest)):
        since = np.zeros(len(asks))
        since[known] = now[known] - moments[last[known]]
        columns[name] = _root_hours(since)
    columns["item_level"] = _mean_level(moved[raises], "item_num", asks)
    columns["taken"] = np.zeros(len(asks), np.float32)
    columns["taken"][known] = total[last[known]]
    taught = moved[raises]
    taught = taught.assign(slot=taught["item_num"] * _N_DAYPARTS + taught["daypart"])
    taught = taught.sort_values(["slot", "place"])
    slot = taught["slot"].to_numpy()
    then = running(np.add, taught["weight"].to_numpy(), slot)
    asked_slot = (asks["item_num"] * _N_DAYPARTS + asks["daypart"]).to_numpy()
    last = last_before(slot, taught["place"].to_numpy(), asked_slot, asks["place"].to_numpy())
    columns["taken_then"] = np.where(last >= 0, then[last] if len(then) else 0.0, 0.0).astype(np.float32)
    return pd.DataFrame({"ask": asks["ask"].to_numpy(), **columns})


def pair_features(events: pd.DataFrame, asks: pd.DataFrame, memory: Memory) -> pd.DataFrame:
    """Return what users had with the items asked about, before each ask; their events must all be here.

    Parameters
    ----------
    events
        Columns ``place``, ``user_num``, ``item_num``, ``timestamp``, ``weight``, ``level``.
    asks
        Columns ``ask``, ``place``, ``user_num``, ``item_num``, ``timestamp``.
    """
    pair, wanted = _pairs(events), _pairs(asks)
    order = np.lexsort((events["place"].to_numpy(), pair))
    ordered, pair = events.iloc[order], pair[order]
    had_times = running(np.add, np.ones(len(pair)), pair)
    latest = running(np.maximum, ordered["timestamp"].to_numpy(), pair)
    place = asks["place"].to_numpy()
    last = last_before(pair, ordered["place"].to_numpy(), wanted, place)
    # The last of a pair's events decides whether the user has the item, or it is hidden.
    has = last >= 0
    has[has] = ordered["weight"].to_numpy()[last[has]] > 0.0
    had, had_idle = np.zeros(len(asks), np.float32), np.zeros(len(asks), np.float32)
    had[has] = np.sqrt(had_times[last[has]].astype(np.float32))
    had_idle[has] = _root_hours(asks["timestamp"].to_numpy()[has] - latest[last[has]])
    return pd.DataFrame(
        {
            "ask": asks["ask"].to_numpy(),
            "had": had,
            "had_idle": had_idle,
            "ring": _in_ring(events, asks, memory.ring_length),
            "user_level": _mean_level(events, "user_num", asks),
        }
    )


def _mean_level(events: pd.DataFrame, key: str, asks: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Return the mean level of the values that came with the events of a key before each ask; NaN if none."""
    valued = events[np.isfinite(events["level"])].sort_values([key, "place"])
    number = valued[key].to_numpy()
    total = running(np.add, valued["level"].to_numpy(), number)
    count = running(np.add, np.ones(len(valued)), number)
    last = last_before(number, valued["place"].to_numpy(), asks[key].to_numpy(), asks["place"].to_numpy())
    known = last >= 0
    mean = np.full(len(asks), np.nan, np.float32)
    mean[known] = total[last[known]] / count[last[known]]
    return mean


def _in_ring(events: pd.DataFrame, asks: pd.DataFrame, ring_length: int) -> npt.NDArray[np.bool_]:
    """Say of each ask whether the item was among the user's last ones, which only liked events enter."""
    entered = events[events["weight"] > 0.0].sort_values(["user_num", "place"])
    user, place = entered["user_num"].to_numpy(), entered["place"].to_numpy()
    asked_user, asked_place = asks["user_num"].to_numpy(), asks["place"].to_numpy()
    newest = last_before(user, place, asked_user, asked_place)  # rows of one user follow each other
    pair = _pairs(entered)
    order = np.lexsort((place, pair))
    found = last_before(pair[order], place[order], _pairs(asks), asked_place)
    inside = found >= 0
    inside[inside] = newest[inside] - order[found[inside]] < ring_length
    return inside


def _pairs(frame: pd.DataFrame) -> Ints:
    return frame["user_num"].to_numpy(np.int64) << 32 | frame["item_num"].to_numpy(np.int64)


def _running_counts(weight: Floats, key: Keys, least: float) -> Floats:
    """Add weights up by key; negative ones take away, but leave ``least`` of an event."""
    counts = running(np.add, np.maximum(weight, 0.0), key)
    for rows in _groups_that_fall(weight, key):
        count = 0.0
        for row in rows.tolist():
            count = max(count + weight[row], min(count, least)) if weight[row] < 0.0 else count + weight[row]
            counts[row] = count
    return counts


def _running_heat(weight: Floats, age: Floats, key: Keys, least: float) -> Floats:
    """Return ``log2`` of the sum of ``weight * 2 ** age`` so far, by key; negative weights as above.

    Powers of two of times in half-lives overflow; their logarithms add up as well.
    """
    with np.errstate(divide="ignore"):
        added = np.where(weight > 0.0, np.log2(np.abs(weight)) + age, -np.inf)
        heats = running(np.logaddexp2, added, key)
        for rows in _groups_that_fall(weight, key):
            heat = -np.inf
            for row in rows.tolist():
                if weight[row] > 0.0:
                    heat = np.logaddexp2(heat, added[row])
                elif heat > -np.inf:
                    left = 2.0 ** (heat - age[row])  # 0 after a thousand half-lives
                    heat = np.log2(max(left + weight[row], min(left, least))) + age[row]
                heats[row] = heat
    return heats


def _momentum(counts: Sequence[Floats], age: Floats, memory: Memory) -> list[npt.NDArray[np.float32]]:
    """Return velocity and acceleration, from counts at the three half-lives and seconds since the first."""
    known_for = np.maximum(age, memory.youngest_s)
    windows = [-np.expm1(-np.log(2.0) * known_for / each) * each for each in memory.half_life_s]
    growths = []
    for shorter, longer in pairwise(range(len(counts))):
        expected = counts[longer] * windows[shorter] / windows[longer]
        growths.append(np.sqrt((counts[shorter] + memory.prior) / (expected + memory.prior)))
    of_now, velocity = growths
    return [velocity.astype(np.float32), (of_now - velocity).astype(np.float32)]


def _groups_that_fall(weight: Floats, key: Keys) -> list[Ints]:
    """Return the rows of each key, of rising ones, that has a negative weight: these are not plain sums."""
    fallen = np.unique(key[weight < 0.0])
    ends = zip(*(np.searchsorted(key, fallen, side=side) for side in ("left", "right")), strict=True)
    return [np.arange(start, stop) for start, stop in ends]


def _root_hours(seconds: Floats) -> npt.NDArray[np.float32]:
    """Return the fourth root of 1 + hours, in float32 as the kernel has it."""
    hours = np.maximum(seconds.astype(np.float32), np.float32(0.0)) * np.float32(1.0 / HOUR_S)
    return np.sqrt(np.sqrt(np.float32(1.0) + hours))
