"""What is known about items: decayed popularity, two neighbour tables and trails, learned event by event.

Everything here follows from operations in order, so shards that apply the same ones in the same order hold
the same tables, bit by bit. An *operation* is one event together with what its user did just before.

A neighbour table keeps at most M neighbours an item. When a row is full the weakest neighbour makes way and
the newcomer inherits part of its weight. Inheriting all is Space-Saving (Metwally, Agrawal, El Abbadi
2005), which forgets the old quickly; inheriting nothing keeps the past for ever. Films want the first, shop
orders the second: the shares below lose at most 1% of hr@10 against the better of the two on either log.

Popularity decays by half-lives. ``heat`` is ``log2(decayed count) + time / half-life``: both terms fall
alike for all items between events, so the order of items by heat changes only when one of them gets an
event, and a list of the hottest is kept exact by letting that one item rise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtrec.models.dayparts import N_DAYPARTS, daypart_of
from rtrec.models.jit import kernel
from rtrec.models.trails import AFTER, BEFORE, NOBODY, Trails, empty_trails, learn_visit
from rtrec.types import Floats, Ints, Nums

#: Popularity is counted at this many half-lives (``half_life_now_h``, ``..._short_h``, ``..._long_h``).
N_HALF_LIVES = 3
NOW, SHORT, LONG = 0, 1, 2
#: How many of the hottest items are kept in order at each half-life: the upper bound of
#: ``trending_candidates``.
TREND_LENGTH = 500
HOUR_S = 3600.0
NEAR_INHERITED = np.float32(0.9)
NEXT_INHERITED = np.float32(0.5)
#: Counts are smoothed and raised to this power before a neighbour's weight is divided by them (first study
#: of the design): between 0, which favours the popular, and 1, which favours the rare.
SMOOTHING = 5.0
CANDIDATE_POWER = 0.35
SOURCE_POWER = 0.6
NEVER_HOT = -1e300


class ItemTables(NamedTuple):
    """Item state that all shards share; axis ``item`` has room for more items than are known.

    An item is known once it has a positively weighted event (``total > 0``). Times are seconds since 1970.
    """

    total: Floats  # (item,) summed weights of its events
    log_count: np.ndarray  # (item,) float32, log(1 + total), kept so that no candidate takes a logarithm
    discount: np.ndarray  # (item,) float32, (total + SMOOTHING) ** -CANDIDATE_POWER, likewise
    first_time: Floats  # (item,) infinity before its first event, so that it is as new as can be
    last_time: Floats  # (item,) likewise
    value_sum: Floats  # (item,) of sign(value) * log(1 + |value|) over its events that have a value
    n_values: Floats  # (item,)
    value_level: (
        np.ndarray
    )  # (item,) float32, the mean of those, NaN without any; no candidate takes a quotient
    daypart: np.ndarray  # (item, daypart) float32, summed weights of its events at such times
    daypart_total: Floats  # (daypart,) of all items
    heat: Floats  # (half-life, item)
    trend_item: Nums  # (half-life, rank) hottest first
    trend_size: Ints  # (half-life,)
    near_item: Nums  # (item, M) co-occurrence: items of the same users, either way round
    near_weight: np.ndarray  # (item, M) float32
    near_size: Nums  # (item,)
    next_item: Nums  # (item, M) transitions: items that came after
    next_weight: np.ndarray  # (item, M) float32
    next_size: Nums  # (item,)
    next_total: Floats  # (item,) all transition weight that ever left the item
    trails: Trails
    last_item: Nums  # (walker, step) items of the latest visits of each user of all shards, newest first
    last_visit: Nums  # (walker, step) numbers of those visits


class Operations(NamedTuple):
    """Events with their users' last items: all that the item tables need to learn them."""

    timestamp: Floats  # (event,)
    item_num: Nums  # (event,)
    weight: Floats  # (event,) above zero it raises, below zero it lowers, zero teaches nothing
    value: Floats  # (event,) a price, a rating; NaN where there is none
    walker: Nums  # (event,) the user's number among those of all shards
    before: Nums  # (event, age) the user's items just before, newest first, -1 where there are none


def empty_operations(n_events: int, ring_length: int) -> Operations:
    """Return room for so many operations under a ring of so many items."""
    return Operations(
        timestamp=np.zeros(n_events),
        item_num=np.zeros(n_events, np.int32),
        weight=np.zeros(n_events),
        value=np.full(n_events, np.nan),
        walker=np.zeros(n_events, np.int32),
        before=np.full((n_events, max(ring_length, BEFORE, AFTER)), NOBODY, np.int32),
    )


def empty_item_tables(capacity: int, row_length: int, n_walkers: int) -> ItemTables:
    """Return tables with room for ``capacity`` items and ``n_walkers`` users that know none."""
    return ItemTables(
        total=np.zeros(capacity),
        log_count=np.zeros(capacity, np.float32),
        discount=np.full(capacity, SMOOTHING**-CANDIDATE_POWER, np.float32),
        first_time=np.full(capacity, np.inf),
        last_time=np.full(capacity, np.inf),
        value_sum=np.zeros(capacity),
        n_values=np.zeros(capacity),
        value_level=np.full(capacity, np.nan, np.float32),
        daypart=np.zeros((capacity, N_DAYPARTS), np.float32),
        daypart_total=np.zeros(N_DAYPARTS),
        heat=np.full((N_HALF_LIVES, capacity), NEVER_HOT),
        trend_item=np.zeros((N_HALF_LIVES, TREND_LENGTH), np.int32),
        trend_size=np.zeros(N_HALF_LIVES, np.int64),
        near_item=np.zeros((capacity, row_length), np.int32),
        near_weight=np.zeros((capacity, row_length), np.float32),
        near_size=np.zeros(capacity, np.int32),
        next_item=np.zeros((capacity, row_length), np.int32),
        next_weight=np.zeros((capacity, row_length), np.float32),
        next_size=np.zeros(capacity, np.int32),
        next_total=np.zeros(capacity),
        trails=empty_trails(capacity),
        last_item=np.full((n_walkers, AFTER), NOBODY, np.int32),
        last_visit=np.full((n_walkers, AFTER), NOBODY, np.int32),
    )


@kernel
def raise_neighbour(items, weights, sizes, row, neighbour, weight, inherited):
    """Add ``weight`` to a neighbour of ``row``; in a full row the weakest makes way and leaves a share."""
    size = sizes[row]
    for place in range(size):
        if items[row, place] == neighbour:
            weights[row, place] += weight
            return
    if size < items.shape[1]:
        items[row, size] = neighbour
        weights[row, size] = weight
        sizes[row] = size + 1
        return
    weakest = 0
    for place in range(1, size):
        if weights[row, place] < weights[row, weakest]:
            weakest = place
    items[row, weakest] = neighbour
    weights[row, weakest] = weight + inherited * weights[row, weakest]


@kernel
def let_rise(tables, half_life, item):
    """Move ``item`` to its place among the hottest after its heat grew."""
    heat = tables.heat[half_life]
    trend = tables.trend_item[half_life]
    size = tables.trend_size[half_life]
    place = size
    for rank in range(size):
        if trend[rank] == item:
            place = rank
            break
    if place == size:
        if size < TREND_LENGTH:
            tables.trend_size[half_life] = size + 1
        elif heat[item] > heat[trend[size - 1]]:
            place = size - 1
        else:
            return
    while place > 0 and hotter(heat, item, trend[place - 1]):
        trend[place] = trend[place - 1]
        place -= 1
    trend[place] = item


@kernel
def hotter(heat, one, other):
    """Say whether ``one`` stands before ``other``: more heat, or the same and the lower number."""
    return heat[one] > heat[other] or (heat[one] == heat[other] and one < other)


@kernel
def learn_item(tables, params, timestamp, item, weight, value, walker, before):
    """Learn one operation of positive ``weight``.

    ``before`` holds the user's last items, newest first, -1 where there are none.
    """
    if tables.total[item] == 0.0:
        tables.first_time[item] = timestamp
        tables.last_time[item] = timestamp
    set_total(tables, item, tables.total[item] + weight)
    tables.first_time[item] = min(tables.first_time[item], timestamp)  # events may come late
    tables.last_time[item] = max(tables.last_time[item], timestamp)
    if np.isfinite(value):
        tables.value_sum[item] += level_of(value)
        tables.n_values[item] += 1.0
        tables.value_level[item] = tables.value_sum[item] / tables.n_values[item]
    part = daypart_of(timestamp)
    tables.daypart[item, part] += np.float32(weight)
    tables.daypart_total[part] += weight
    for half_life in range(N_HALF_LIVES):
        add_heat(tables.heat[half_life], item, weight, timestamp / params.half_life_s[half_life])
        let_rise(tables, half_life, item)

    near, near_weight, near_size = tables.near_item, tables.near_weight, tables.near_size
    weight_then = weight
    for age in range(params.ring_length):
        other = before[age]
        if other < 0:
            break
        if other != item:
            raise_neighbour(near, near_weight, near_size, other, item, weight_then, NEAR_INHERITED)
            raise_neighbour(near, near_weight, near_size, item, other, weight_then, NEAR_INHERITED)
        weight_then *= params.ring_decay
    for age in range(min(params.transition_reach, params.ring_length)):
        other = before[age]
        if other < 0:
            break
        if other != item:
            weight_then = weight / (age + 1)
            tables.next_total[other] += weight_then
            raise_neighbour(
                tables.next_item,
                tables.next_weight,
                tables.next_size,
                other,
                item,
                weight_then,
                NEXT_INHERITED,
            )
    trails = tables.trails
    last_item, last_visit = tables.last_item[walker], tables.last_visit[walker]
    learn_visit(trails.before, trails.after, trails.n_visits, last_item, last_visit, item, before)


@kernel
def set_total(tables, item, total):
    """Set the weight of an item's events, and what is derived from it."""
    tables.total[item] = total
    tables.log_count[item] = np.log1p(total)
    tables.discount[item] = (total + SMOOTHING) ** -CANDIDATE_POWER


@kernel
def level_of(value):
    """Return a value on a scale on which prices compare as ratios: ``sign(value) * log(1 + |value|)``."""
    return np.sign(value) * np.log1p(abs(value))


@kernel
def add_heat(heat, item, weight, age):
    """Add ``weight`` at time ``age`` (in half-lives) to the decayed count behind ``heat[item]``.

    ``log2(2**a + 2**b) = max + log2(1 + 2**(min - max))``, so no decayed count can overflow.
    """
    added = np.log2(weight) + age
    high = max(heat[item], added)
    low = min(heat[item], added)
    heat[item] = high + np.log2(1.0 + 2.0 ** max(low - high, -1000.0))
